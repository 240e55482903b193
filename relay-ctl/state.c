/* SPDX-License-Identifier: ISC */
/* Reading state.json. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "field.h"
#include "schema.h"
#include "state.h"

/* Bytes of such a file: LIMIT_GATEWAYS gateways with all their values. */
#define FILE_MAX (64U * 1024 * 1024)

int
state_file(struct buf *b, const struct ctl *ctl, const char *name)
{
	char path[LIMIT_PATH + 16];
	ssize_t n = -1;
	char *p;
	int fd;

	buf_init(b, FILE_MAX);
	snprintf(path, sizeof(path), "%s/%s", ctl->rundir, name);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) == -1)
		return -1;
	while (
	    (p = buf_reserve(b, 8192)) != NULL && (n = read(fd, p, 8192)) > 0)
		buf_commit(b, (size_t)n);
	close(fd);
	return p == NULL || n == -1 ? -1 : 0;
}

/* Whether there is such a process.  One that has ended and for which nobody has
 * waited is none: in a container there may be nobody who does. */
static int
is_alive(int pid)
{
	char path[32], text[512];
	const char *end;
	ssize_t n;
	int fd;

	if (pid <= 0 || (kill(pid, 0) == -1 && errno == ESRCH))
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return 1; /* it may be hidden from us */
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n < 0 ? 0 : n] = '\0';
	/* "PID (NAME) STATE …", and the name may have anything in it. */
	end = strrchr(text, ')');
	return end == NULL ||
	    (strncmp(end, ") Z", 3) != 0 && strncmp(end, ") X", 3) != 0);
}

int
state_read(struct state *st, const struct ctl *ctl)
{
	struct timespec now;
	struct obj o;

	memset(st, 0, sizeof(*st));
	if (state_file(&st->text, ctl, "state.json") == -1 ||
	    obj_parse(&o, buf_span(&st->text)) == -1)
		return -1;
	st->strange = !span_eq(field_str(&o, "schema"), SPAN_LIT(SCHEMA_STATE));
	if (st->strange)
		return -1;
	st->pid = (int)field_int(&o, "pid", 0);
	st->alive = is_alive(st->pid);
	clock_gettime(CLOCK_REALTIME, &now);
	st->age =
	    (double)now.tv_sec - field_num(&o, "updated", (double)now.tv_sec);
	st->phase = field_raw(&o, "phase");
	st->processes = field_raw(&o, "processes");
	st->gateways = field_raw(&o, "gateways");
	return 0;
}

void
state_free(struct state *st)
{
	buf_free(&st->text);
}

/* What is told of one process that is down; *n gets the bytes in text. */
static void
tell(const struct state *st, struct obj *o, char *text, size_t *n)
{
	char nth[OUT_AGE], when[OUT_AGE];
	int64_t restarts = field_int(o, "restarts", 0);
	double next = field_num(o, "next_start_in_ms", -1) / 1000 - st->age;
	char *role;
	int w;

	if ((role = out_safe(field_str(o, "role"))) == NULL)
		return;
	w = snprintf(text + *n, STATE_TEXT - *n,
	    "%s%s is restarting (%s restart", *n == 0 ? "" : ", ", role,
	    out_ordinal(nth, restarts == 0 ? 1 : restarts));
	free(role);
	if (w > 0 && (size_t)w < STATE_TEXT - *n)
		*n += (size_t)w;
	w = next > 0 ? snprintf(text + *n, STATE_TEXT - *n,
			   ", next start in %s)", out_delay(when, next))
		     : snprintf(text + *n, STATE_TEXT - *n, ")");
	if (w > 0 && (size_t)w < STATE_TEXT - *n)
		*n += (size_t)w;
}

void
state_describe(const struct state *st, const char *who, char text[STATE_TEXT])
{
	struct span elem;
	struct obj o;
	size_t pos = 0, n = 0;

	text[0] = '\0';
	while (json_each(st->processes, &pos, &elem) == 1)
		if (obj_parse(&o, elem) == 0 &&
		    span_eq(field_str(&o, "state"), SPAN_LIT("restarting")))
			tell(st, &o, text, &n);
	if (n > 0)
		return;
	if (span_eq(st->phase, SPAN_LIT("\"stopping\"")))
		strlcpy(text, "it is stopping", STATE_TEXT);
	else if (span_eq(st->phase, SPAN_LIT("\"starting\"")))
		strlcpy(text, "it is starting", STATE_TEXT);
	else
		snprintf(text, STATE_TEXT,
		    "its processes run, but %s is silent; "
		    "try again, then look at relayd's log",
		    who);
}

int
state_steady(const struct ctl *ctl)
{
	struct state st;
	struct span elem;
	struct obj o;
	size_t pos = 0;
	int steady = -1;

	if (state_read(&st, ctl) == 0)
		steady = st.alive && span_eq(st.phase, SPAN_LIT("\"running\""));
	while (steady == 1 && json_each(st.processes, &pos, &elem) == 1)
		if (obj_parse(&o, elem) == 0 &&
		    span_eq(field_str(&o, "state"), SPAN_LIT("restarting")))
			steady = 0;
	state_free(&st);
	return steady;
}

int
state_warn(const struct ctl *ctl, const char *who)
{
	char text[STATE_TEXT];
	struct state st;
	int r = -1;

	if (state_read(&st, ctl) == 0 && st.alive) {
		state_describe(&st, who, text);
		ctl_warn("no answer from relayd (pid %d): %s", st.pid, text);
		r = 0;
	}
	state_free(&st);
	return r;
}

int
state_strange(const struct ctl *ctl)
{
	struct state st;
	int strange;

	(void)state_read(&st, ctl);
	strange = st.strange;
	state_free(&st);
	if (strange)
		ctl_warn("no answer from relayd, and %s/state.json is of "
			 "another version than this relay-ctl %s; use the one "
			 "that came with relayd",
		    ctl->rundir, VERSION);
	return strange;
}
