/* SPDX-License-Identifier: ISC */
/*
 * An event's way: queued, its program runs, its answer leaves, the result
 * comes, it is acknowledged.
 *
 * An event is never answered twice: one whose answer may have reached the
 * chat is acknowledged, and known again when it is delivered anew, whatever
 * became of the connection in between.
 */
#include <sys/wait.h>
#include <errno.h>
#include <inttypes.h>
#include <sha2.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "utf8.h"

/* A copy with a NUL; absent gives NULL. */
static char *
copy(struct span s)
{
	return s.p == NULL ? NULL : strndup(s.p, s.len);
}

/* A line about a turn; the session key is foreign. */
static void
say(const struct turn *t, const char *what)
{
	char *session = out_safe(span_str(t->session));

	ctl_warn("%s: %s", session == NULL ? "?" : session, what);
	free(session);
}

void
turn_free(struct agent *a, struct turn *t)
{
	TAILQ_REMOVE(&a->turns, t, entry);
	a->nturn--;
	job_free(&t->job);
	free(t->buffer_id);
	free(t->id);
	free(t->session);
	free(t->event);
	free(t->chat_id);
	free(t->reply_to);
	free(t->thread_id);
	free(t);
}

/* It is done with: remember it, acknowledge it where that is possible. */
static void
finish(struct agent *a, struct turn *t)
{
	struct done *d = &a->done[a->ndone++ % AGENT_DONE];

	memcpy(d->by_id, t->by_id, sizeof(d->by_id));
	memcpy(d->by_message, t->by_message, sizeof(d->by_message));
	d->has_message = t->has_message;
	d->serial = t->serial;
	if (a->link.fd != -1 && t->serial == a->serial)
		link_ack(a, t->buffer_id);
	turn_free(a, t);
}

/* The program failed: leave the event unacknowledged and come back for it. */
static void
give_back(struct agent *a, struct turn *t, const char *why)
{
	char text[256], when[OUT_AGE];

	if (a->stopping)
		snprintf(text, sizeof(text), "%s; not acknowledged", why);
	else {
		snprintf(text, sizeof(text),
		    "%s; not acknowledged, tried again in %s", why,
		    out_delay(when, (double)a->fail_delay / 1000));
		a->detach = 1;
	}
	say(t, text);
	turn_free(a, t);
}

static void
digest(unsigned char out[32], const char *tag, const struct span *part, int n)
{
	SHA2_CTX ctx;
	uint64_t len;
	int i;

	SHA256Init(&ctx);
	SHA256Update(&ctx, (const uint8_t *)tag, strlen(tag));
	for (i = 0; i < n; i++) {
		len = part[i].len;
		SHA256Update(&ctx, (const uint8_t *)&len, sizeof(len));
		SHA256Update(&ctx, (const uint8_t *)part[i].p, part[i].len);
	}
	SHA256Final(out, &ctx);
}

/*
 * What the event is known by.  Its bufferId is the same as long as this
 * relayd's engine lives; after that, the message it is about.  A button can be
 * pressed twice on one message: such events have nothing else.
 */
static void
identify(struct turn *t, const struct obj *event)
{
	struct span id = span_str(t->buffer_id), part[3];

	digest(t->by_id, "id", &id, 1);
	part[0] = span_str(t->session);
	part[1] = field_raw(event, "message_id");
	part[2] = field_raw(event, "text");
	t->has_message = part[1].p != NULL &&
	    !span_eq(part[1], SPAN_LIT("null")) &&
	    field_raw(event, "prompt_response").p == NULL;
	if (t->has_message)
		digest(t->by_message, "message", part, 3);
}

/* Whether it was done with before, and its acknowledgement got lost. */
static int
is_done(const struct agent *a, const struct turn *t)
{
	unsigned i, n = a->ndone < AGENT_DONE ? a->ndone : AGENT_DONE;
	const struct done *d;

	for (i = 0; i < n; i++) {
		d = &a->done[i];
		if (memcmp(d->by_id, t->by_id, sizeof(d->by_id)) == 0)
			return 1;
		if (d->serial != a->serial && d->has_message &&
		    t->has_message &&
		    memcmp(d->by_message, t->by_message,
			sizeof(d->by_message)) == 0)
			return 1;
	}
	return 0;
}

/* The turn this event is already on, from an attachment before. */
static struct turn *
find_same(const struct agent *a, const struct turn *t)
{
	struct turn *o;

	TAILQ_FOREACH (o, &a->turns, entry) {
		if (o == t)
			continue;
		if (memcmp(o->by_id, t->by_id, sizeof(o->by_id)) == 0)
			return o;
		if (o->serial != a->serial && o->has_message &&
		    t->has_message &&
		    memcmp(o->by_message, t->by_message,
			sizeof(o->by_message)) == 0)
			return o;
	}
	return NULL;
}

/* Where an answer goes: JSON values, but null. */
static char *
target(const struct obj *o, const char *key)
{
	struct span raw = field_raw(o, key);

	if (raw.p == NULL ||
	    (raw.p[0] != '"' && raw.p[0] != '-' &&
		(raw.p[0] < '0' || raw.p[0] > '9')))
		return NULL;
	return copy(raw);
}

static struct turn *
turn_new(struct agent *a, struct obj *line)
{
	struct span event = field_raw(line, "event");
	struct obj ev, source;
	struct turn *t;

	if (obj_parse(&ev, event) == -1 || a->nturn >= AGENT_TURNS_MAX ||
	    (t = calloc(1, sizeof(*t))) == NULL)
		return NULL;
	t->job.in = t->job.out = -1;
	t->serial = a->serial;
	t->buffer_id = copy(field_raw(line, "bufferId"));
	t->id = field_dup(line, "bufferId");
	t->session = field_dup(line, "session_key");
	if ((t->event = malloc(event.len + 1)) != NULL) {
		memcpy(t->event, event.p, event.len);
		t->event[event.len] = '\n';
		t->eventlen = event.len + 1;
	}
	obj_sub(&source, &ev, "source");
	t->chat_id = target(&source, "chat_id");
	t->thread_id = target(&source, "thread_id");
	t->reply_to = target(&ev, "message_id");
	TAILQ_INSERT_TAIL(&a->turns, t, entry);
	a->nturn++;
	if (t->buffer_id == NULL || t->session == NULL || t->event == NULL) {
		turn_free(a, t);
		return NULL;
	}
	identify(t, &ev);
	return t;
}

void
turn_event(struct agent *a, struct obj *line)
{
	struct turn *t, *same;

	if ((t = turn_new(a, line)) == NULL) {
		ctl_warn("an event that cannot be taken; not acknowledged");
		return;
	}
	if (is_done(a, t)) {
		link_ack(a, t->buffer_id);
		turn_free(a, t);
	} else if ((same = find_same(a, t)) != NULL) {
		/* Its program still runs: acknowledge by the new name then. */
		free(same->buffer_id);
		same->buffer_id = t->buffer_id;
		t->buffer_id = NULL;
		memcpy(same->by_id, t->by_id, sizeof(same->by_id));
		same->serial = a->serial;
		turn_free(a, t);
	}
}

void
turn_ended(struct agent *a, struct turn *t, int status)
{
	struct span text = buf_span(&t->job.text);
	char why[128];

	if (text.len > 0 && text.p[text.len - 1] == '\n')
		text.len--;
	if (t->interrupted) {
		finish(a, t);
		return;
	}
	if (t->job.late)
		snprintf(why, sizeof(why), "no end within %ld s", a->timeout_s);
	else if (t->job.overflow || text.len > AGENT_REPLY_MAX)
		snprintf(why, sizeof(why), "printed more than %u bytes",
		    AGENT_REPLY_MAX);
	else if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "ended by signal %d (%s)",
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != 0)
		snprintf(
		    why, sizeof(why), "exit status %d", WEXITSTATUS(status));
	else if (utf8_valid_prefix(text.p, text.len) < text.len)
		snprintf(why, sizeof(why), "printed what is not UTF-8");
	else
		why[0] = '\0';
	if (why[0] != '\0') {
		give_back(a, t, why);
		return;
	}
	a->fail_delay = AGENT_FAIL_MIN_MS;
	if (text.len > 0 && t->chat_id == NULL)
		say(t, "an answer, but the event names no chat");
	if (text.len == 0 || t->chat_id == NULL) {
		finish(a, t);
		return;
	}
	t->job.text.end = t->job.text.off + text.len;
	t->state = TURN_REPLY;
}

void
turn_result(struct agent *a, struct obj *line)
{
	int64_t id = field_int(line, "requestId", -1);
	struct obj result;
	struct turn *t;
	char *error, text[512];

	if (id == -1 && (error = field_dup(line, "requestId")) != NULL) {
		id = strtoll(error, NULL, 10);
		free(error);
	}
	TAILQ_FOREACH (t, &a->turns, entry)
		if (t->state == TURN_SENT && t->request == (uint64_t)id)
			break;
	if (t == NULL)
		return;
	obj_sub(&result, line, "result");
	if (!field_true(&result, "success")) {
		error = out_safe(field_str(&result, "error"));
		snprintf(text, sizeof(text), "the answer %s: %s",
		    field_true(&result, "ambiguous")
			? "may not have been delivered, and is not repeated"
			: "was not delivered",
		    error == NULL || error[0] == '\0' ? "no reason given"
						      : error);
		free(error);
		say(t, text);
	}
	finish(a, t);
}

void
turn_interrupt(struct agent *a, struct obj *line)
{
	char *session = field_dup(line, "session_key");
	struct turn *t;

	if (session == NULL)
		return;
	TAILQ_FOREACH (t, &a->turns, entry) {
		if (t->state != TURN_RUNNING ||
		    strcmp(t->session, session) != 0)
			continue;
		say(t, "interrupted");
		t->interrupted = 1;
		job_end(&t->job);
	}
	free(session);
}

void
turn_link_lost(struct agent *a)
{
	struct turn *t, *next;

	for (t = TAILQ_FIRST(&a->turns); t != NULL; t = next) {
		next = TAILQ_NEXT(t, entry);
		if (t->state == TURN_QUEUED)
			turn_free(a, t); /* it will be delivered again */
		else if (t->state == TURN_SENT && a->written < t->left_at)
			t->state = TURN_REPLY; /* a line cut short is none */
		else if (t->state == TURN_SENT) {
			say(t,
			    "the answer may not have been delivered, and is "
			    "not repeated: the connection to relayd ended");
			finish(a, t);
		}
	}
}

/* Whether an earlier event of its session is still on its way. */
static int
is_blocked(const struct agent *a, const struct turn *t)
{
	const struct turn *o;

	TAILQ_FOREACH (o, &a->turns, entry) {
		if (o == t)
			return 0;
		if (strcmp(o->session, t->session) == 0)
			return 1;
	}
	return 0;
}

static long
running(const struct agent *a)
{
	const struct turn *t;
	long n = 0;

	TAILQ_FOREACH (t, &a->turns, entry)
		n += t->state == TURN_RUNNING;
	return n;
}

void
turn_advance(struct agent *a)
{
	struct turn *t, *next;

	for (t = TAILQ_FIRST(&a->turns); t != NULL; t = next) {
		next = TAILQ_NEXT(t, entry);
		if (t->state == TURN_REPLY && a->link.fd != -1 && !a->detach)
			link_reply(a, t);
		else if (t->state != TURN_QUEUED)
			continue;
		else if (a->stopping)
			turn_free(a, t);
		else if (!a->detach && !is_blocked(a, t) &&
		    running(a) < a->jobs) {
			if (job_start(&t->job, a, t) == -1)
				give_back(a, t, strerror(errno));
			else
				t->state = TURN_RUNNING;
		}
	}
}

void
turn_overdue(struct agent *a, int64_t now)
{
	struct turn *t, *next;
	struct job *j;

	for (t = TAILQ_FIRST(&a->turns); t != NULL; t = next) {
		next = TAILQ_NEXT(t, entry);
		j = &t->job;
		if (t->state == TURN_RUNNING && now >= j->deadline) {
			if (!j->told) {
				j->late = 1;
				job_end(j);
			} else {
				job_signal(j, SIGKILL);
				j->killed = 1;
				j->deadline = now + AGENT_KILL_MS;
			}
		} else if (t->state == TURN_SENT && now >= t->deadline) {
			say(t,
			    "the answer may not have been delivered, and is "
			    "not repeated: no result came");
			finish(a, t);
		}
	}
}

int64_t
turn_deadline(const struct agent *a)
{
	const struct turn *t;
	int64_t d, first = -1;

	TAILQ_FOREACH (t, &a->turns, entry) {
		if (t->state == TURN_RUNNING)
			d = t->job.deadline;
		else if (t->state == TURN_SENT)
			d = t->deadline;
		else
			continue;
		if (first == -1 || d < first)
			first = d;
	}
	return first;
}

int
turn_any(const struct agent *a, enum turn_state s)
{
	const struct turn *t;

	TAILQ_FOREACH (t, &a->turns, entry)
		if (t->state == s)
			return 1;
	return 0;
}
