/* SPDX-License-Identifier: ISC */
/*
 * relay-ctl agent --exec: the command, its loop and its signals.
 */
#include <sys/signalfd.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "json.h"
#include "state.h"

/* No gateway's socket is there, though relayd may run. */
static int
no_socket(const struct agent *a, const struct client *c, int error)
{
	char pid[24];
	enum client_life life = client_life(a->ctl, pid);

	if (error == EACCES)
		return client_explain(c, a->ctl, CLIENT_DENIED);
	if (life == LIFE_NO)
		return client_explain(c, a->ctl, CLIENT_ABSENT);
	ctl_warn("%s: no socket for agents is there, though relayd %s%s: "
		 "somebody removed it; have an operator make it anew "
		 "(relay-ctl reload)",
	    c->path, life == LIFE_YES ? "runs" : "seems to run", pid);
	return CTL_FAILED;
}

/* The gateways that have a socket: how many, their names, and the last one. */
static int
list_sockets(
    const char *path, char *names, size_t cap, char last[LIMIT_NAME + 1])
{
	struct dirent *d;
	size_t len;
	DIR *dir;
	int n = 0;

	names[0] = '\0';
	if ((dir = opendir(path)) == NULL)
		return -1;
	while ((d = readdir(dir)) != NULL) {
		len = strlen(d->d_name);
		if (len <= 5 || strcmp(d->d_name + len - 5, ".sock") != 0 ||
		    len - 5 > LIMIT_NAME)
			continue;
		snprintf(last, LIMIT_NAME + 1, "%.*s", (int)len - 5, d->d_name);
		strlcat(names, n == 0 ? "" : ", ", cap);
		strlcat(names, last, cap);
		n++;
	}
	closedir(dir);
	return n;
}

/* The gateway whose socket stands alone in the run directory.  CTL_OK, or
 * the exit status after saying what is wrong. */
static int
only_gateway(struct agent *a)
{
	char path[LIMIT_PATH + 16], names[256];
	struct client none = {.fd = -1};
	int n;

	snprintf(path, sizeof(path), "%s/agent", a->ctl->rundir);
	strlcpy(none.path, path, sizeof(none.path));
	n = list_sockets(path, names, sizeof(names), a->gateway);
	if (n == -1)
		return no_socket(a, &none, errno);
	if (n == 0)
		return no_socket(a, &none, ENOENT);
	if (n == 1)
		return CTL_OK;
	return ctl_usage(
	    "agent", "name the gateway (-g); there are: %s", names);
}

/* Whether it is a gateway of this relayd: 1, 0, or -1: not known to us. */
static int
is_gateway(const struct agent *a)
{
	struct state st;
	struct span elem;
	struct obj o;
	size_t pos = 0;
	int is = state_read(&st, a->ctl) == 0 && st.alive ? 0 : -1;

	while (is == 0 && json_each(st.gateways, &pos, &elem) == 1)
		if (obj_parse(&o, elem) == 0 &&
		    span_eq(field_str(&o, "name"), span_str(a->gateway)))
			is = 1;
	state_free(&st);
	return is;
}

int
agent_unknown(const struct agent *a)
{
	char path[LIMIT_PATH + 16], names[256], last[LIMIT_NAME + 1], pid[24];
	int is, n;

	if (access(a->link.path, F_OK) == 0 || errno != ENOENT ||
	    client_life(a->ctl, pid) == LIFE_NO)
		return 0;
	if ((is = is_gateway(a)) == 1) {
		ctl_warn("%s is gone, though relayd runs%s: somebody removed "
			 "it; have an operator make it anew (relay-ctl reload)",
		    a->link.path, pid);
		return 1;
	}
	snprintf(path, sizeof(path), "%s/agent", a->ctl->rundir);
	n = list_sockets(path, names, sizeof(names), last);
	ctl_warn("%s: there is no such socket: %s%s; there %s %s%s",
	    a->link.path, a->gateway,
	    is == 0 ? " is no gateway of this relayd"
		    : " is perhaps no gateway of this relayd, or somebody "
		      "removed its socket (relay-ctl reload makes it anew)",
	    n == 1 ? "is" : "are", n > 0 ? names : "none",
	    n >= 0 ? "" : " that we may see");
	return 1;
}

/* Whether the program can be found, so that a typing mistake is told now and
 * not at the first event. */
static int
can_run(const char *program)
{
	const char *path = getenv("PATH"), *end;
	char file[4096];

	if (strchr(program, '/') != NULL)
		return access(program, X_OK) == 0;
	for (; path != NULL; path = *end == '\0' ? NULL : end + 1) {
		end = strchrnul(path, ':');
		snprintf(file, sizeof(file), "%.*s/%s", (int)(end - path), path,
		    program);
		if (access(file, X_OK) == 0)
			return 1;
	}
	errno = ENOENT;
	return 0;
}

static int
take_options(struct agent *a)
{
	struct ctl *ctl = a->ctl;

	if (ctl->exec == NULL)
		return ctl_usage("agent", "which program? (--exec)");
	a->argv = ctl->exec;
	a->jobs = ctl_number(ctl, OPT_JOBS, 1, AGENT_JOBS_MAX, 1);
	a->timeout_s = ctl_number(ctl, OPT_TIMEOUT, 1, 3500, 100);
	if (a->jobs == -1 || a->timeout_s == -1)
		return CTL_USAGE;
	if (!can_run(a->argv[0])) {
		ctl_warn("cannot run %s: %s", a->argv[0], strerror(errno));
		return CTL_FAILED;
	}
	if (ctl->opt[OPT_GATEWAY] == NULL)
		return only_gateway(a);
	if (strlcpy(a->gateway, ctl->opt[OPT_GATEWAY], sizeof(a->gateway)) >=
		sizeof(a->gateway) ||
	    strchr(a->gateway, '/') != NULL)
		return ctl_usage("agent", "that is no gateway's name");
	return CTL_OK;
}

static int
take_signals(struct agent *a)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN); /* a program need not read its event */
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	a->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (a->signals == -1)
		ctl_warn("signalfd: %s", strerror(errno));
	return a->signals == -1 ? -1 : 0;
}

static void
end_all(struct agent *a, int sig)
{
	struct turn *t;

	TAILQ_FOREACH (t, &a->turns, entry) {
		if (t->state != TURN_RUNNING)
			continue;
		a->killed = 1;
		if (sig == SIGKILL)
			job_signal(&t->job, SIGKILL);
		else
			job_end(&t->job);
	}
}

static void
stop(struct agent *a)
{
	if (a->stopping) { /* asked twice: at once */
		end_all(a, SIGKILL);
		a->fatal = CTL_FAILED;
		return;
	}
	a->stopping = 1;
	a->stop_at = client_now() + AGENT_STOP_MS;
	link_going_idle(a);
	if (turn_any(a, TURN_RUNNING))
		ctl_warn("stopping once the running programs end, in %d s at "
			 "the latest",
		    AGENT_STOP_MS / 1000);
}

static void
on_signals(struct agent *a)
{
	struct signalfd_siginfo si;
	struct turn *t, *next;
	int status;

	while (read(a->signals, &si, sizeof(si)) == (ssize_t)sizeof(si))
		if (si.ssi_signo != SIGCHLD)
			stop(a);
	for (t = TAILQ_FIRST(&a->turns); t != NULL; t = next) {
		next = TAILQ_NEXT(t, entry);
		if (t->state == TURN_RUNNING && job_reap(&t->job, &status))
			turn_ended(a, t, status);
	}
}

#define POLL_FIXED 2 /* signals, link */
#define POLL_MAX   (POLL_FIXED + 2 * AGENT_TURNS_MAX)

static nfds_t
poll_set(const struct agent *a, struct pollfd *p)
{
	const struct turn *t;
	nfds_t n = POLL_FIXED;

	p[0] = (struct pollfd){.fd = a->signals, .events = POLLIN};
	p[1] = (struct pollfd){.fd = a->link.fd, .events = POLLIN};
	if (buf_len(&a->out) > 0)
		p[1].events |= POLLOUT;
	TAILQ_FOREACH (t, &a->turns, entry) {
		if (t->state != TURN_RUNNING)
			continue;
		p[n++] = (struct pollfd){.fd = t->job.in, .events = POLLOUT};
		p[n++] = (struct pollfd){.fd = t->job.out, .events = POLLIN};
	}
	return n;
}

/* Milliseconds until something is due. */
static int
poll_wait(const struct agent *a)
{
	int64_t due = turn_deadline(a), left;

	if (a->link.fd == -1 && !a->stopping &&
	    (due == -1 || a->attach_at < due))
		due = a->attach_at;
	if (a->stopping && (due == -1 || a->stop_at < due))
		due = a->stop_at;
	if (due == -1)
		return -1;
	left = due - client_now();
	return left < 0 ? 0 : (int)left;
}

/* The programs' pipes, in the order of poll_set. */
static void
serve_jobs(struct agent *a, const struct pollfd *p)
{
	struct turn *t;

	TAILQ_FOREACH (t, &a->turns, entry) {
		if (t->state != TURN_RUNNING)
			continue;
		if (p[0].fd != -1 && p[0].revents != 0)
			job_writable(&t->job, t);
		if (p[1].fd != -1 && p[1].revents != 0)
			job_readable(&t->job);
		p += 2;
	}
}

/* One turn of the loop: wait, and handle what there is. */
static void
step(struct agent *a)
{
	struct pollfd p[POLL_MAX];
	nfds_t n = poll_set(a, p);

	if (poll(p, n, poll_wait(a)) == -1)
		return; /* EINTR */
	serve_jobs(a, p + POLL_FIXED);
	if (p[1].revents & POLLOUT)
		link_writable(a);
	if (a->link.fd != -1 && (p[1].revents & (POLLIN | POLLHUP | POLLERR)))
		link_readable(a);
	if (p[0].revents != 0)
		on_signals(a);
	turn_overdue(a, client_now());
}

static int
is_busy(const struct agent *a)
{
	return turn_any(a, TURN_RUNNING) || turn_any(a, TURN_REPLY) ||
	    turn_any(a, TURN_SENT);
}

/* What follows from how things stand. */
static void
settle(struct agent *a)
{
	int64_t now = client_now();

	if (a->detach && !turn_any(a, TURN_SENT)) {
		a->detach = 0;
		link_detach(a, a->fail_delay);
		a->fail_delay *= 2;
		if (a->fail_delay > AGENT_FAIL_MAX_MS)
			a->fail_delay = AGENT_FAIL_MAX_MS;
	}
	if (a->link.fd == -1 && now >= a->attach_at && !a->stopping)
		link_attach(a);
	if (a->stopping && now >= a->stop_at) {
		if (turn_any(a, TURN_RUNNING))
			end_all(a, SIGTERM);
		else if (is_busy(a))
			a->fatal = CTL_FAILED;
		a->stop_at = now + AGENT_KILL_MS;
	}
	turn_advance(a);
}

/* The last acknowledgements leave before we do. */
static void
leave(struct agent *a)
{
	struct turn *t;

	if (a->link.fd != -1 && buf_len(&a->out) > 0)
		client_write(&a->link, buf_span(&a->out), AGENT_KILL_MS);
	client_close(&a->link);
	while ((t = TAILQ_FIRST(&a->turns)) != NULL)
		turn_free(a, t);
	buf_free(&a->out);
	if (a->signals != -1)
		close(a->signals);
}

int
cmd_agent(struct ctl *ctl)
{
	struct agent *a;
	int r;

	if ((a = calloc(1, sizeof(*a))) == NULL) {
		ctl_warn("no memory");
		return CTL_FAILED;
	}
	a->ctl = ctl;
	a->link.fd = a->signals = -1;
	a->attach_delay = AGENT_ATTACH_MIN_MS;
	a->fail_delay = AGENT_FAIL_MIN_MS;
	buf_init(&a->out, AGENT_OUT_MAX);
	TAILQ_INIT(&a->turns);
	r = take_options(a);
	if (r == CTL_OK && take_signals(a) == -1)
		r = CTL_FAILED;
	if (r == CTL_OK) {
		settle(a);
		while (a->fatal == 0 && !(a->stopping && !is_busy(a))) {
			step(a);
			settle(a);
		}
		leave(a);
		r = a->fatal != 0 ? a->fatal : a->killed ? CTL_FAILED : CTL_OK;
	}
	free(a);
	return r;
}
