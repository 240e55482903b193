/* SPDX-License-Identifier: ISC */
/*
 * relay-ctl: what people and scripts type to look at relayd and to tell it
 * something.  The tables of options and commands are here; usage, help and
 * parsing are made from them.
 */
#include <sys/stat.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "schema.h"

struct option_row {
	const char *name;
	char letter;	 /* 0: none */
	const char *arg; /* NULL: takes none */
	const char *what;
};

static const struct option_row options[OPT_COUNT] = {
    [OPT_RUNDIR] = {"run-dir", 'r', "RUNDIR", "relayd's run directory"},
    [OPT_JSON] = {"json", 0, NULL, "print what relayd said, as JSON"},
    [OPT_GATEWAY] = {"gateway", 'g', "GATEWAY",
	"which gateway; not needed when there is one"},
    [OPT_CONTENT] = {"content", 0, NULL, "show what the lines say, too"},
    [OPT_REPLY_TO] = {"reply-to", 0, "ID", "message to reply to"},
    [OPT_NAME] = {"name", 0, "NAME", "the agent's name in status"},
    [OPT_PLATFORM] = {"platform", 0, "P[,P...]", "serve these platforms only"},
    [OPT_JOBS] = {"jobs", 'j', "N", "programs at once (1)"},
    [OPT_TIMEOUT] = {"timeout", 0, "SECONDS",
	"how long it may take: a program 100, to wait for ever"},
    [OPT_FOR] = {"for", 0, "STATE[,STATE...]", "what is waited for"},
    [OPT_FILE] = {"file", 'f', "FILE", "the configuration file"},
    [OPT_TOKEN_FILE] = {"token-file", 0, "FILE",
	"where the enrollment token is; -: standard input"},
    [OPT_CONNECTOR_URL] = {"connector-url", 0, "URL",
	"the connector that is meant; must be the configured one"},
    [OPT_GATEWAY_ID] = {"gateway-id", 0, "ID", "the id to ask for"},
    [OPT_WAKE_URL] = {"wake-url", 0, "URL", "kept with the credential"},
    [OPT_YES] = {"yes", 'y', NULL, "do not ask back"},
    [OPT_LISTEN] = {"listen", 0, "ADDRESS:PORT",
	"where to be found (127.0.0.1:9464)"},
    [OPT_ALLOW_REMOTE] = {"allow-remote", 0, NULL,
	"listen beyond this host, where everybody may ask"},
    [OPT_ALL] = {"all", 'a', NULL, "everything, with -f too"},
    [OPT_STATE_DIR] = {"state-dir", 's', "STATEDIR",
	"relayd's state directory"},
    [OPT_FOLLOW] = {"follow", 0, NULL, "go on until the event is at its end"},
    [OPT_METRICS] = {"metrics", 0, NULL, "print metrics, for Prometheus"},
    [OPT_STAGES] = {"stages", 0, NULL, "only the stages of events, no lines"},
    [OPT_EXEC] = {"exec", 0, "PROGRAM [ARG...]",
	"run this for every event; ends the options"},
};

#define O(o)	(1U << (o))
#define O_EVERY (O(OPT_RUNDIR) | O(OPT_JSON))
/* A command with this one takes a secret, though not as an argument. */
#define O_SECRET O(OPT_TOKEN_FILE)

static int cmd_help(struct ctl *ctl);
static int cmd_version(struct ctl *ctl);

struct command_row {
	const char *name;
	const char *args;
	int min, max; /* positional arguments */
	uint32_t options;
	uint32_t needs; /* options without which it cannot be */
	int (*run)(struct ctl *ctl);
	const char *what;
};

static const struct command_row commands[] = {
    {"status", "[GATEWAY]", 0, 1, O(OPT_METRICS), 0, cmd_status,
	"how the gateways are"},
    {"explain", "[GATEWAY]", 0, 1, O(OPT_FILE), 0, cmd_explain,
	"which layer fails, why, what comes next, what to do"},
    {"show", "WHAT [GATEWAY]", 1, 2, O(OPT_CONTENT), 0, cmd_show,
	"what there is, and how it is"},
    {"watch", "", 0, 0, 0, 0, cmd_watch,
	"follow the gateways: a live screen on a terminal, else changes"},
    {"wait", "[GATEWAY]", 0, 1, O(OPT_FOR) | O(OPT_TIMEOUT), O(OPT_FOR),
	cmd_wait, "wait until it is, or all are, in a state"},
    {"tap", "[GATEWAY]", 0, 1, O(OPT_CONTENT) | O(OPT_STAGES), 0, cmd_tap,
	"follow what flows, without taking part"},
    {"trace", "BUFFERID", 1, 1,
	O(OPT_GATEWAY) | O(OPT_CONTENT) | O(OPT_FOLLOW) | O(OPT_TIMEOUT), 0,
	cmd_trace, "the stages of one event, each with its time"},
    {"send", "CHAT_ID [TEXT|-]", 1, 2, O(OPT_GATEWAY) | O(OPT_REPLY_TO), 0,
	cmd_send, "send a message; its text from standard input by default"},
    {"action", "GATEWAY JSON|-", 2, 2, 0, 0, cmd_action,
	"have the connector carry out any operation"},
    {"agent", "--exec PROGRAM [ARG...]", 0, 0,
	O(OPT_GATEWAY) | O(OPT_NAME) | O(OPT_PLATFORM) | O(OPT_JOBS) |
	    O(OPT_TIMEOUT) | O(OPT_EXEC),
	0, cmd_agent, "be an agent: run a program for every event"},
    {"interrupt", "GATEWAY SESSION_KEY", 2, 2, 0, 0, cmd_link,
	"stop the turn of a session"},
    {"idle", "GATEWAY", 1, 1, 0, 0, cmd_link,
	"sleep until somebody needs the link; the connector keeps what comes"},
    {"wake", "GATEWAY", 1, 1, 0, 0, cmd_link, "end idle and dormant"},
    {"dormant", "GATEWAY", 1, 1, 0, 0, cmd_link,
	"be ready for the host's suspend"},
    {"enable", "GATEWAY", 1, 1, 0, 0, cmd_link,
	"let a disabled gateway dial again"},
    {"disable", "GATEWAY", 1, 1, 0, 0, cmd_link,
	"switch a gateway off, over restarts too"},
    {"reconnect", "GATEWAY", 1, 1, 0, 0, cmd_link,
	"close in order and dial again"},
    {"requeue", "GATEWAY BUFFERID|all", 2, 2, 0, 0, cmd_aside,
	"deliver again what was put aside"},
    {"drop", "GATEWAY BUFFERID|all", 2, 2, O(OPT_YES), 0, cmd_aside,
	"give up what was put aside"},
    {"reload", "", 0, 0, 0, 0, cmd_reload, "read the configuration again"},
    {"log", "[LEVEL]", 0, 1, 0, 0, cmd_log,
	"which level is logged, or log at one from now on"},
    {"check", "[GATEWAY]", 0, 1, O(OPT_FILE) | O(OPT_ALL) | O(OPT_STATE_DIR), 0,
	cmd_check, "check everything that relayd needs; with -f a file alone"},
    {"bundle", "[FILE]", 0, 1, O(OPT_FILE) | O(OPT_STATE_DIR), 0, cmd_bundle,
	"write what a bug report needs, nothing secret or personal"},
    {"enroll", "GATEWAY", 1, 1,
	O(OPT_TOKEN_FILE) | O(OPT_CONNECTOR_URL) | O(OPT_GATEWAY_ID) |
	    O(OPT_WAKE_URL),
	0, cmd_enroll, "get a credential for an enrollment token"},
    {"import", "GATEWAY FILE|-", 2, 2, 0, 0, cmd_import,
	"take a credential over from an environment file"},
    {"forget", "GATEWAY", 1, 1, O(OPT_YES), 0, cmd_forget,
	"remove an enrolled or imported credential"},
    {"serve", "", 0, 0, O(OPT_LISTEN) | O(OPT_ALLOW_REMOTE), 0, cmd_serve,
	"the status over HTTP: for Prometheus, probes and dashboards"},
    {"help", "[COMMAND]", 0, 1, 0, 0, cmd_help, "this, or a command's options"},
    {"version", "", 0, 0, 0, 0, cmd_version, "relay-ctl's version"},
};
#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

void
ctl_warn(const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fflush(stdout);
	/* In one write: a log may be shared. */
	dprintf(STDERR_FILENO, "relay-ctl: %s\n", text);
}

static void
put_option(FILE *f, const struct option_row *o)
{
	char text[64], letter[8] = "    ";

	if (o->letter != 0)
		snprintf(letter, sizeof(letter), "-%c, ", o->letter);
	snprintf(text, sizeof(text), "--%s %s", o->name,
	    o->arg == NULL ? "" : o->arg);
	fprintf(f, "  %s%-26s  %s\n", letter, text, o->what);
}

static void
put_options(FILE *f, uint32_t set)
{
	int i;

	for (i = 0; i < OPT_COUNT; i++)
		if ((set & O(i)) != 0)
			put_option(f, &options[i]);
}

/* The i-th word. */
static const char *
word_at(const void *words, size_t i, size_t stride)
{
	const struct ctl_word *w =
	    (const void *)((const char *)words + i * stride);

	return w->name;
}

/* Words that can stand in a command's place. */
static const struct {
	const char *command;
	const struct ctl_words *words;
} places[] = {
    {"show", &show_words}, {"wait", &gwtext_words}, {"log", &log_words}};

/* "WHAT: gateways agents ..." */
static void
put_words(FILE *f, const struct command_row *cmd)
{
	const struct ctl_words *w;
	size_t i, k;

	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (strcmp(places[i].command, cmd->name) != 0)
			continue;
		w = places[i].words;
		fprintf(f, "%s:", w->where);
		for (k = 0; k < w->n; k++)
			fprintf(f, " %s", word_at(w->words, k, w->stride));
		putc('\n', f);
	}
}

/* "[-g GATEWAY] [--content] " */
static void
put_synopsis(FILE *f, const struct command_row *cmd)
{
	const struct option_row *o;
	int i, needed;

	fprintf(f, "usage: relay-ctl [-r RUNDIR] [--json] %s", cmd->name);
	for (i = 0; i < OPT_COUNT; i++) {
		if ((cmd->options & O(i)) == 0 || i == OPT_EXEC)
			continue;
		o = &options[i];
		needed = (cmd->needs & O(i)) != 0;
		fprintf(f, needed ? " " : " [");
		if (o->letter != 0)
			fprintf(f, "-%c", o->letter);
		else
			fprintf(f, "--%s", o->name);
		fprintf(f, "%s%s%s", o->arg == NULL ? "" : " ",
		    o->arg == NULL ? "" : o->arg, needed ? "" : "]");
	}
	fprintf(f, "%s%s\n", cmd->args[0] == '\0' ? "" : " ", cmd->args);
	put_words(f, cmd);
}

static void
put_help(FILE *f)
{
	size_t i;

	fprintf(f, "usage: relay-ctl [-r RUNDIR] [--json] COMMAND ...\n\n");
	for (i = 0; i < NCOMMANDS; i++)
		fprintf(f, "  %-9s %-23s %s\n", commands[i].name,
		    commands[i].args, commands[i].what);
	fprintf(f, "\noptions of every command:\n");
	put_options(f, O_EVERY);
}

static const struct command_row *
find_command(const char *given)
{
	int i = ctl_match(
	    "command", given, commands, NCOMMANDS, sizeof(commands[0]));

	return i == -1 ? NULL : &commands[i];
}

static int
cmd_help(struct ctl *ctl)
{
	const struct command_row *cmd;

	if (ctl->narg == 0) {
		put_help(stdout);
		return CTL_OK;
	}
	if ((cmd = find_command(ctl->arg[0])) == NULL)
		return CTL_USAGE;
	put_synopsis(stdout, cmd);
	printf("%s\n", cmd->what);
	put_options(stdout, cmd->options | O_EVERY);
	return CTL_OK;
}

static int
cmd_version(struct ctl *ctl)
{
	if (ctl->out.json)
		printf("{\"ok\":true,\"schema\":\"%s\",\"version\":\"%s\"}\n",
		    SCHEMA_STATUS, VERSION);
	else
		printf("relay-ctl %s\n", VERSION);
	return CTL_OK;
}

int
ctl_usage(const char *command, const char *fmt, ...)
{
	va_list ap;
	size_t i;

	fflush(stdout);
	fputs("relay-ctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	putc('\n', stderr);
	for (i = 0; i < NCOMMANDS; i++)
		if (command != NULL && strcmp(commands[i].name, command) == 0)
			put_synopsis(stderr, &commands[i]);
	if (command == NULL)
		put_help(stderr);
	return CTL_USAGE;
}

int
ctl_match(const char *what, const char *given, const void *words, size_t n,
    size_t stride)
{
	size_t i, len = strlen(given), hits = 0, last = 0;
	char *safe;

	for (i = 0; i < n; i++) {
		if (strncmp(word_at(words, i, stride), given, len) != 0)
			continue;
		last = i;
		hits++;
		if (word_at(words, i, stride)[len] == '\0') {
			hits = 1;
			break;
		}
	}
	if (hits == 1 && len > 0)
		return (int)last;
	safe = out_safe(span_str(given));
	fprintf(stderr, "relay-ctl: \"%s\" %s; %s:", safe == NULL ? "" : safe,
	    hits > 1 ? "could be several" : "is no such thing here", what);
	free(safe);
	for (i = 0; i < n; i++)
		if (hits <= 1 ||
		    strncmp(word_at(words, i, stride), given, len) == 0)
			fprintf(stderr, " %s", word_at(words, i, stride));
	putc('\n', stderr);
	return -1;
}

long
ctl_number(
    const struct ctl *ctl, enum ctl_opt opt, long min, long max, long dflt)
{
	const char *text = ctl->opt[opt];
	char *end;
	long v;

	if (text == NULL)
		return dflt;
	errno = 0;
	v = strtol(text, &end, 10);
	if (*text >= '0' && *text <= '9' && *end == '\0' && errno == 0 &&
	    v >= min && v <= max)
		return v;
	ctl_warn("--%s must be a number from %ld to %ld", options[opt].name,
	    min, max);
	return -1;
}

/* What is never an option, though an abbreviation might be taken for one. */
static const char *const never[] = {"token", "gateway"};
#define NEVER  512 /* getopt's value of the first; above those of options */
#define NNEVER (sizeof(never) / sizeof(never[0]))

/* Whether an option's name looks as if a secret came with it. */
static int
is_secret(const char *name, size_t len)
{
	static const char *const words[] = {"token", "secret", "key"};
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (memmem(name, len, words[i], strlen(words[i])) != NULL)
			return 1;
	return 0;
}

/* An option that there is not, or that lacks its value.  The value of another
 * is not repeated: it may be a secret. */
static int
bad_option(const struct command_row *cmd, const char *given, int c)
{
	const char *name = cmd == NULL ? NULL : cmd->name;
	char letter[] = {'-', (char)optopt, '\0'};
	size_t len;

	if (optopt > 0 && optopt < 256)
		given = letter;
	len = strcspn(given, "=");
	if (c != ':' && strncmp(given, "--", 2) == 0 && is_secret(given, len))
		return ctl_usage(name,
		    "%.*s: secrets are not taken from the arguments, which "
		    "every user sees in the process list and which the shell's "
		    "history keeps; name a file with --token-file, or - for "
		    "standard input, or type the token when asked; what stood "
		    "here is a secret no more: have another one issued",
		    (int)len, given);
	return ctl_usage(name,
	    c == ':' ? "%.*s needs a value" : "%.*s is no option here",
	    (int)len, given);
}

/* Parse options of the set: up to the first positional argument, or also
 * behind it.  CTL_OK, or CTL_USAGE after that was told. */
static int
parse(struct ctl *ctl, const struct command_row *cmd, int argc, char *argv[],
    uint32_t set)
{
	struct option lo[OPT_COUNT + NNEVER + 1] = {0};
	char so[2 * OPT_COUNT + 3] = ":";
	int i, c, n = 0, s = 0, permute;
	size_t k;

	permute = cmd != NULL && (set & O(OPT_EXEC)) == 0;
	if (!permute)
		so[s++] = '+';
	so[s++] = ':';
	for (i = 0; i < OPT_COUNT; i++) {
		if ((set & O(i)) == 0)
			continue;
		lo[n++] = (struct option){
		    options[i].name, options[i].arg != NULL, NULL, 256 + i};
		if (options[i].letter != 0) {
			so[s++] = options[i].letter;
			if (options[i].arg != NULL)
				so[s++] = ':';
		}
	}
	for (k = 0; k < NNEVER && (set & O_SECRET) != 0; k++)
		lo[n++] = (struct option){
		    never[k], optional_argument, NULL, NEVER + (int)k};
	optind = 0;
	opterr = 0;
	optopt = 0;
	while ((c = getopt_long(argc, argv, so, lo, NULL)) != -1) {
		for (i = 0; i < OPT_COUNT; i++)
			if ((set & O(i)) != 0 &&
			    (c == 256 + i || c == options[i].letter))
				break;
		if (c == ':' || c == '?' || i == OPT_COUNT)
			return bad_option(cmd, argv[optind - 1], c);
		ctl->opt[i] = optarg == NULL ? "" : optarg;
		if (i == OPT_EXEC) { /* the rest is the program's */
			argv[optind - 1] = optarg;
			ctl->exec = argv + optind - 1;
			optind = argc;
			break;
		}
	}
	return CTL_OK;
}

/* Whether a directory below /tmp is ours, so that nobody else answers in
 * relayd's place. */
static int
is_ours(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
	    st.st_uid == geteuid() && (st.st_mode & 022) == 0;
}

/* The run directory: relayd's own default for this user; when there is none,
 * the system's. */
static int
find_rundir(struct ctl *ctl)
{
	const char *given = ctl->opt[OPT_RUNDIR], *xdg;
	size_t n;

	if (given != NULL) {
		n = strlcpy(ctl->rundir, given, sizeof(ctl->rundir));
		if (n > 0 && n < sizeof(ctl->rundir))
			return 0;
		ctl_warn("-r: no path, or too long a one");
		return -1;
	}
	if (geteuid() != 0) {
		xdg = getenv("XDG_RUNTIME_DIR");
		if (xdg != NULL && xdg[0] == '/' &&
		    strlen(xdg) < LIMIT_PATH / 2)
			snprintf(
			    ctl->rundir, sizeof(ctl->rundir), "%s/relayd", xdg);
		else
			snprintf(ctl->rundir, sizeof(ctl->rundir),
			    "/tmp/relayd-%u", (unsigned)geteuid());
		if (is_ours(ctl->rundir))
			return 0;
		if (access("/run/relayd", F_OK) == -1) {
			if (access(ctl->rundir, F_OK) == -1)
				return 0; /* "not running" names our own */
			ctl_warn("%s is not a directory that only we can "
				 "write in; name the run directory with -r",
			    ctl->rundir);
			return -1;
		}
	}
	strlcpy(ctl->rundir, "/run/relayd", sizeof(ctl->rundir));
	return 0;
}

static int
run_command(struct ctl *ctl, int argc, char *argv[])
{
	const struct command_row *cmd;
	int i;

	if ((cmd = find_command(argv[0])) == NULL)
		return CTL_USAGE;
	if (parse(ctl, cmd, argc, argv, cmd->options | O_EVERY) != CTL_OK)
		return CTL_USAGE;
	ctl->arg = argv + optind;
	ctl->narg = argc - optind;
	if (ctl->narg < cmd->min || ctl->narg > cmd->max)
		return ctl_usage(cmd->name, "too %s arguments%s",
		    ctl->narg < cmd->min ? "few" : "many",
		    ctl->narg > cmd->max && (cmd->options & O_SECRET) != 0
			? "; a token is never one of them"
			: "");
	for (i = 0; i < OPT_COUNT; i++)
		if ((cmd->needs & O(i)) != 0 && ctl->opt[i] == NULL)
			return ctl_usage(cmd->name, "%s needs --%s", cmd->name,
			    options[i].name);
	ctl->command = cmd->name;
	ctl->out.json = ctl->opt[OPT_JSON] != NULL;
	if (find_rundir(ctl) == -1)
		return CTL_USAGE;
	return cmd->run(ctl);
}

int
main(int argc, char *argv[])
{
	int r, told = 0;
	struct ctl ctl = {.told = &told};

	/* Started by a program that ignores it, we still want EPIPE to end us
	 * rather than write on in vain. */
	signal(SIGPIPE, SIG_DFL);
	out_init(&ctl.out);
	if (parse(&ctl, NULL, argc, argv, O_EVERY) != CTL_OK)
		return CTL_USAGE;
	argc -= optind;
	argv += optind;
	if (argc == 0)
		return ctl_usage(NULL, "which command?");
	r = run_command(&ctl, argc, argv);
	if (fflush(stdout) != 0 && r == CTL_OK)
		r = CTL_FAILED;
	return r;
}
