/* SPDX-License-Identifier: ISC */
/* The start-up ladder of every child. */
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ladder.h"
#include "limit.h"
#include "log.h"
#include "nss_load.h"
#include "probe.h"
#include "sandbox_landlock.h"
#include "sandbox_seccomp.h"

#define PORT_MAX 65535

#ifdef RELAYD_SANITIZE
/* A confined process cannot start the leak checker's tracer: it is left out
 * then, by the sanitizer's own hook. */
int __lsan_is_turned_off(void);
static int confined;

int
__lsan_is_turned_off(void)
{
	return confined;
}
#endif

/* The command line. */

/* "443,53": into memory that lives as long as the process. */
static int
parse_ports(struct ladder *l, char *list)
{
	const char *bad;
	uint16_t *port;
	char *s;
	size_t n = 1;

	for (s = list; *s != '\0'; s++)
		n += *s == ',';
	if (n > PORT_MAX || (port = calloc(n, sizeof(*port))) == NULL)
		return -1;
	l->port = port;
	while ((s = strsep(&list, ",")) != NULL) {
		port[l->nport++] = (uint16_t)strtonum(s, 1, PORT_MAX, &bad);
		if (bad != NULL)
			return -1;
	}
	return 0;
}

static int
parse_option(struct ladder *l, int c, char *arg, int *level)
{
	const char *bad = NULL;

	switch (c) {
	case 'R':
		l->role = role_by_name(arg);
		break;
	case 'P':
		l->parent = (int)strtonum(arg, 1, INT32_MAX, &bad);
		break;
	case 'C':
		l->root = arg;
		break;
	case 'W':
		l->writable = arg;
		break;
	case 'p':
		return l->nport > 0 ? -1 : parse_ports(l, arg);
	case 'l':
		*level = (int)strtonum(arg, LOG_ERR, LOG_DEBUG, &bad);
		break;
	default:
		return -1;
	}
	return bad == NULL ? 0 : -1;
}

int
ladder_args(struct ladder *l, int argc, char *argv[], int *level)
{
	int c;

	memset(l, 0, sizeof(*l));
	l->role = ROLE_COUNT;
	*level = LOG_INFO;
	if (argc < 3 || strcmp(argv[1], "-R") != 0)
		return -1;
	opterr = 0;
	optind = 1;
	while ((c = getopt(argc, argv, "R:P:C:W:p:l:")) != -1)
		if (parse_option(l, c, optarg, level) == -1)
			return -1;
	if (optind != argc || l->parent == 0 || l->role == ROLE_SUPERVISOR ||
	    l->role >= ROLE_COUNT)
		return -1;
	return 0;
}

/* The first rung. */

#define die(...) log_die(NULL, "ladder", "cannot start: " __VA_ARGS__)

/* Die with the supervisor; and now, if it died before this was said. */
static void
bind_to_parent(const struct ladder *l)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1)
		die("parent-death signal: %s", strerror(errno));
	if (getppid() != l->parent)
		die("the supervisor (pid %d) is gone", l->parent);
}

static void
tidy_descriptors(const struct role_row *row)
{
	const int end = FD_PEER + row->npeer + row->ninput;
	int fd;

	if ((fd = open("/dev/null", O_RDWR)) == -1 || dup2(fd, 0) == -1 ||
	    dup2(fd, 1) == -1)
		die("/dev/null: %s", strerror(errno));
	closefrom(end);
	for (fd = FD_SUPERVISOR; fd < end; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) == -1)
			die("no pipe on descriptor %d: relayd starts this", fd);
}

/* exec kept only what was ignored or blocked. */
static void
tidy_signals(void)
{
	struct sigaction sa;
	sigset_t none;
	int s;

	for (s = 1; s < NSIG; s++)
		if (sigaction(s, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN)
			signal(s, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* What libraries would read later, when there are no files. */
static void
load_libraries(void)
{
	/* Unless TZ is set, each look at the local time looks at the file. */
	if (getenv("TZ") == NULL)
		setenv("TZ", ":/etc/localtime", 1);
	tzset();
}

void
ladder_begin(struct ladder *l)
{
	bind_to_parent(l);
	tidy_descriptors(role_row(l->role));
	umask(077);
	tidy_signals();
	load_libraries();
}

/* The other rungs. */

/* A root that was left no power over the user's directory goes there as the
 * user; one that has it needs no way for the user. */
static void
enter_root(const struct ladder *l, uid_t uid)
{
	if (l->root == NULL)
		die("no directory to chroot into (-C)");
	if (chroot(l->root) == 0)
		return;
	if (errno == EACCES) {
		(void)setfsuid(uid);
		if (chroot(l->root) == 0)
			return;
	}
	die("chroot %s: %s", l->root, strerror(errno));
}

/* Become the user, and make sure that there is no way back. */
static void
become(const struct passwd *pw)
{
	if (setgroups(0, NULL) == -1 ||
	    setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) == -1 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) == -1)
		die("user %s: %s", pw->pw_name, strerror(errno));
	if (setuid(0) != -1 || setresuid(-1U, 0, -1U) != -1 || setgid(0) != -1)
		die("user %s: root can be had back", pw->pw_name);
}

static void
drop_root(const struct ladder *l, const struct role_row *row)
{
	struct passwd *pw;

	errno = 0;
	if ((pw = getpwnam(row->user)) == NULL)
		die("user %s: %s", row->user,
		    errno == 0 ? "does not exist; create it (see sysusers)"
			       : strerror(errno));
	if (pw->pw_uid == 0 || pw->pw_gid == 0)
		die("user %s is root", row->user);
	if (row->root != ROOT_NONE)
		enter_root(l, pw->pw_uid);
	if (chdir("/") == -1)
		die("chdir /: %s", strerror(errno));
	become(pw);
}

static void
set_limits(const struct ladder *l)
{
	const struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) == -1)
		die("rlimit core: %s", strerror(errno));
	/* Who has no directory has no file to write; pipes, sockets and
	 * mapped memory are not meant by this.  Who is nobody's child may have
	 * a file as its standard error. */
	if (l->writable == NULL && l->parent != 0 &&
	    setrlimit(RLIMIT_FSIZE, &none) == -1)
		die("rlimit fsize: %s", strerror(errno));
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		die("not dumpable: %s", strerror(errno));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		die("no_new_privs: %s", strerror(errno));
}

/* Returns the ABI of the Landlock that was put on, 0 without. */
static int
put_landlock(const struct ladder *l, const struct role_row *row)
{
	const struct sandbox_landlock s = {
	    l->writable, row->readable, l->port, l->nport};
	int abi = sandbox_landlock_abi();

	if (abi > 0 && sandbox_landlock(&s, abi) == -1) {
		log_warn("ladder", NULL, "Landlock: %s", strerror(errno));
		return 0;
	}
	return abi;
}

static void
lack(struct ladder *l, enum layer layer, int abi)
{
	static const int needs[LAYER_COUNT] = {
	    [LAYER_FILES] = 1,
	    [LAYER_TCP] = 4,
	    [LAYER_SCOPE] = 6,
	};
	size_t n = strlen(l->lacking);
	char *at = l->lacking + n;
	const char *sep = n > 0 ? "; " : "", *name = layer_name(layer);

	n = sizeof(l->lacking) - n;
	if (abi >= needs[layer])
		snprintf(
		    at, n, "%s%s: what it forbids was not refused", sep, name);
	else if (abi == 0)
		snprintf(at, n, "%s%s: no Landlock", sep, name);
	else
		snprintf(
		    at, n, "%s%s: kernel has Landlock ABI %d", sep, name, abi);
}

/* Probe what was asked for; insist on what is obligatory. */
static void
probe(struct ladder *l, const struct probe *p, uint32_t obligatory, int abi)
{
	unsigned i;

	for (i = 0; i < LAYER_COUNT; i++) {
		if ((l->wanted & LAYER_BIT(i)) == 0 || i == LAYER_SECRET)
			continue;
		if (probe_holds(p, (enum layer)i))
			l->held |= LAYER_BIT(i);
		else if (obligatory & LAYER_BIT(i))
			die("layer %s does not hold",
			    layer_name((enum layer)i));
		else
			lack(l, (enum layer)i, abi);
	}
}

/* From the limits to the filter; p has what lies outside. */
static void
shut_in(struct ladder *l, struct probe *p, uint32_t obligatory)
{
	int abi;

	set_limits(l);
	if (probe_bystander(p) == -1)
		die("probes: %s", strerror(errno));
	abi = put_landlock(l, role_row(l->role));
	probe(l, p, obligatory, abi);
	probe_end(p);
#ifdef RELAYD_SANITIZE
	confined = 1;
#endif
	if (sandbox_seccomp(l->role) == -1)
		die("seccomp: %s", strerror(errno));
}

void
ladder_climb(struct ladder *l)
{
	const struct role_row *row = role_row(l->role);
	const int root = geteuid() == 0 || getuid() == 0;
	struct probe p = {.role = l->role, .port = l->port, .nport = l->nport};

	l->wanted = row->layers;
	if (!root)
		l->wanted &= ~(LAYER_BIT(LAYER_USER) | LAYER_BIT(LAYER_CHROOT));
	if (probe_outside(&p) == -1)
		die("/: %s", strerror(errno));
	if (row->resolves)
		nss_load();
	if (root)
		drop_root(l, row);
	else if (chdir("/") == -1)
		die("chdir /: %s", strerror(errno));
	bind_to_parent(l);
	shut_in(l, &p, root ? row->obligatory_root : row->obligatory);
}

void
ladder_confine(struct ladder *l)
{
	struct __user_cap_header_struct head = {
	    .version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[2] = {{0}};
	const struct role_row *row = role_row(l->role);
	struct probe p = {.role = l->role};

	l->wanted = row->layers;
	load_libraries();
	if (probe_outside(&p) == -1)
		die("/: %s", strerror(errno));
	if (syscall(SYS_capset, &head, none) == -1)
		die("capabilities: %s", strerror(errno));
	shut_in(l, &p, row->obligatory);
}
