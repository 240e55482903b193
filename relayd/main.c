/* SPDX-License-Identifier: ISC */
/*
 * relayd: takes its options, and becomes the supervisor, or, when the
 * supervisor started it with -R, the dialer or the engine.
 */

#include <sys/prctl.h>
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dialer.h"
#include "engine.h"
#include "sup_conf.h"
#include "sup_level.h"
#include "supervisor.h"

struct options {
	int check, debug, version;
	const char *file, *run, *state;
};

static int
usage(void)
{
	fprintf(stderr,
	    "usage: relayd [-dnv] [-f FILE] [-r RUNDIR] [-s STATEDIR]\n");
	return EXIT_USAGE;
}

static int
parse(struct options *o, int argc, char *argv[])
{
	int c;

	memset(o, 0, sizeof(*o));
	while ((c = getopt(argc, argv, "dnvf:r:s:")) != -1) {
		switch (c) {
		case 'd':
			o->debug = 1;
			break;
		case 'n':
			o->check = 1;
			break;
		case 'v':
			o->version = 1;
			break;
		case 'f':
			o->file = optarg;
			break;
		case 'r':
			o->run = optarg;
			break;
		case 's':
			o->state = optarg;
			break;
		default:
			return -1;
		}
	}
	return optind == argc ? 0 : -1;
}

/* An absolute path of a relative one, for children that change directory. */
static int
absolute(char *out, size_t cap, const char *path)
{
	char cwd[LIMIT_PATH + 1];
	int n;

	if (path[0] != '/' && getcwd(cwd, sizeof(cwd)) == NULL) {
		fprintf(stderr,
		    "relayd: the working directory: %s: give absolute paths\n",
		    strerror(errno));
		return -1;
	}
	n = path[0] == '/' ? snprintf(out, cap, "%s", path)
			   : snprintf(out, cap, "%s/%s", cwd, path);
	if (n >= 0 && (size_t)n < cap)
		return 0;
	fprintf(stderr,
	    "relayd: a path on the command line is longer than %zu bytes: "
	    "shorten it\n",
	    cap - 1);
	return -1;
}

/* $var/name, or $HOME/rest/name. */
static int
xdg(char *out, size_t cap, const struct sup_env *env, const char *var,
    const char *rest, const char *name)
{
	const char *dir = sup_env_get(env, var), *home;
	int n;

	if (dir != NULL && dir[0] == '/')
		n = snprintf(out, cap, "%s/%s", dir, name);
	else if (rest != NULL && (home = sup_env_get(env, "HOME")) != NULL)
		n = snprintf(out, cap, "%s/%s/%s", home, rest, name);
	else
		return -1;
	return n < 0 || (size_t)n >= cap ? -1 : 0;
}

/* A directory of ours in /tmp, where others may have made one before us. */
static int
tmp_dir(struct sup_paths *p)
{
	char *out = p->run;
	struct stat st;

	snprintf(out, sizeof(p->run), "/tmp/relayd-%u", (unsigned)geteuid());
	if (sup_made_dir(&p->made, out, 0700) == 0)
		return 0;
	if (errno == EEXIST && lstat(out, &st) == 0 && S_ISDIR(st.st_mode) &&
	    st.st_uid == geteuid() && (st.st_mode & 07777) == 0700)
		return 0;
	log_refused("%s is not a private directory of ours: give another with "
		    "-r, or set XDG_RUNTIME_DIR",
	    out);
	return -1;
}

/* mkdir -p for the parents of a default directory under $HOME. */
static void
make_parents(struct sup_paths *p)
{
	char part[LIMIT_PATH + 1];
	char *end;

	strlcpy(part, p->state, sizeof(part));
	for (end = part + 1; (end = strchr(end, '/')) != NULL; end++) {
		*end = '\0';
		(void)sup_made_dir(&p->made, part, 0700);
		*end = '/';
	}
}

static int
run_dir(struct sup_paths *p, const struct options *o, const struct sup_env *env)
{
	if (o->run != NULL)
		return absolute(p->run, sizeof(p->run), o->run);
	if (geteuid() == 0)
		return absolute(p->run, sizeof(p->run), "/run/relayd");
	if (xdg(p->run, sizeof(p->run), env, "XDG_RUNTIME_DIR", NULL,
		"relayd") == 0)
		return 0;
	/* -n makes nothing. */
	return o->check ? 0 : tmp_dir(p);
}

static int
state_dir(
    struct sup_paths *p, const struct options *o, const struct sup_env *env)
{
	int n;

	if (o->state != NULL)
		return absolute(p->state, sizeof(p->state), o->state);
	if (geteuid() == 0)
		return absolute(p->state, sizeof(p->state), "/var/lib/relayd");
	if (xdg(p->state, sizeof(p->state), env, "XDG_STATE_HOME",
		".local/state", "relayd") == 0) {
		if (!o->check)
			make_parents(p);
		return 0;
	}
	if (o->check) /* -n may have no run directory, either */
		return 0;
	n = snprintf(p->state, sizeof(p->state), "%s/state", p->run);
	if (n < 0 || (size_t)n >= sizeof(p->state)) {
		fprintf(
		    stderr, "relayd: %s is too long a path: give -s\n", p->run);
		return -1;
	}
	log_warn("state", NULL,
	    "neither HOME nor XDG_STATE_HOME nor -s says where state is kept: "
	    "it is in %s, which may not outlive a restart of the machine",
	    p->state);
	return 0;
}

/* Where it is; without a place for it, "": there is no file, and the
 * environment alone may do.  -1: nor is there that. */
static int
conf_place(
    struct sup_paths *p, const struct options *o, const struct sup_env *env)
{
	p->conf_given = o->file != NULL;
	if (o->file != NULL)
		return absolute(p->conf, sizeof(p->conf), o->file);
	if (geteuid() == 0)
		return absolute(
		    p->conf, sizeof(p->conf), "/etc/relayd/relayd.yaml");
	if (xdg(p->conf, sizeof(p->conf), env, "XDG_CONFIG_HOME", ".config",
		"relayd/relayd.yaml") == 0 ||
	    sup_env_get(env, "GATEWAY_RELAY_URL") != NULL)
		return 0;
	return -1;
}

static int
conf_file(
    struct sup_paths *p, const struct options *o, const struct sup_env *env)
{
	if (conf_place(p, o, env) == 0)
		return 0;
	log_refused("no place for the configuration: set HOME or "
		    "XDG_CONFIG_HOME, give -f, or set GATEWAY_RELAY_URL");
	return -1;
}

/* The children's programs are beside ours. */
static int
bin_dir(struct sup_paths *p)
{
	char *slash;
	ssize_t n;

	n = readlink("/proc/self/exe", p->bin, sizeof(p->bin) - 1);
	if (n <= 0 || (size_t)n >= sizeof(p->bin) - 1) {
		log_refused("/proc/self/exe: %s",
		    n < 0 ? strerror(errno) : "path too long");
		return -1;
	}
	p->bin[n] = '\0';
	if ((slash = strrchr(p->bin, '/')) != NULL)
		*slash = '\0';
	return 0;
}

/* 0, 1 and 2 are there; of what else was inherited, the service manager's
 * sockets alone stay open. */
static void
tidy_fds(void)
{
	int fd, passed = sup_passed_count(environ);

	while ((fd = open("/dev/null", O_RDWR)) != -1 && fd <= 2)
		;
	/* What comes after them is that of the loop above. */
	closefrom(3 + (passed > 0 ? passed : 0));
}

/* Who started us may have blocked signals; a SIGHUP that comes before there is
 * a configuration to reload has nothing to say; a limit on the size of files
 * is to be told as an error of the file that meets it. */
static void
tidy_signals(void)
{
	sigset_t none;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int
supervise(const struct options *o, struct sup_env *env)
{
	struct sup_paths p;

	memset(&p, 0, sizeof(p));
	log_init(LOG_TO_PEOPLE, "supervisor", o->debug ? LOG_DEBUG : LOG_INFO);
	log_journal(sup_env_get(env, "JOURNAL_STREAM"));
	if (o->check) /* a person's question */
		log_form(LOG_FORM_LOGFMT);
	if (conf_file(&p, o, env) == -1 || run_dir(&p, o, env) == -1 ||
	    state_dir(&p, o, env) == -1) {
		sup_made_undo(&p.made);
		sup_env_free(env);
		return EXIT_CONF;
	}
	if (bin_dir(&p) == -1) {
		sup_made_undo(&p.made);
		sup_env_free(env);
		return 1;
	}
	return o->check ? supervisor_check(&p, env)
			: supervisor_run(&p, env, o->debug);
}

/*
 * Take the environment over before anything copies it.  Which variables hold
 * identity tokens the configuration says, so that is looked at first.
 */
static int
take_env(struct sup_env *env, const struct options *o)
{
	/* The environment as it still stands; nothing of it is kept. */
	struct sup_env raw = {.var = environ};
	char *names[LIMIT_GATEWAYS];
	struct conf *c = NULL;
	struct sup_paths p;
	size_t n = 0;
	int r;

	memset(&p, 0, sizeof(p));
	while (environ[raw.nvar] != NULL)
		raw.nvar++;
	if (conf_place(&p, o, &raw) == 0)
		c = sup_conf_variables(&p, environ, names, &n);
	r = sup_env_take(env, environ, names, n);
	if (c != NULL) {
		/* From the first line on. */
		sup_level_form(c);
		conf_free(c);
	}
	return r;
}

static int
child_main(int argc, char *argv[])
{
	switch (role_by_name(argv[2])) {
	case ROLE_DIALER:
		return dialer_main(argc, argv);
	case ROLE_ENGINE:
		return engine_main(argc, argv);
	default:
		return usage();
	}
}

int
main(int argc, char *argv[])
{
	struct options o;
	struct sup_env env;
	int sealed, usable;

	/* A child's environment is empty. */
	if (argc > 2 && strcmp(argv[1], "-R") == 0)
		return child_main(argc, argv);
	tidy_fds();
	/* Modes are set as they are to be; nobody may have taken our own. */
	umask(077);
	/* What is sealed could be mapped by who can take our descriptors: the
	 * processes of our user, unless this forbids it. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	usable = parse(&o, argc, argv) == 0;
	sealed = take_env(&env, &o);
	tidy_signals();
	if (sealed == -1) {
		fprintf(stderr,
		    "relayd: %s of the environment cannot be "
		    "sealed: %s\n",
		    env.failed == NULL ? "a secret" : env.failed,
		    strerror(errno));
		sup_env_free(&env);
		return 1;
	}
	if (!usable) {
		sup_env_free(&env);
		return usage();
	}
	if (!o.version)
		return supervise(&o, &env);
	printf("relayd %s\n", VERSION);
	sup_env_free(&env);
	return 0;
}
