/* SPDX-License-Identifier: ISC */
/* What the status tells of a gateway, as explain's table wants it. */
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "out.h"

/* As status says it: tokens live for 300 s, and beyond this nothing is taken
 * for a revocation. */
#define SKEW_S 60
/* An agent that has not acknowledged for so long is worth a look: taking an
 * event is a matter of milliseconds. */
#define SLOW_S 10

/* A link that was up for so long is held to be well: relayd counts its attempts
 * anew from there. */
#define HEALTHY_S 60

/* All the texts of struct facts. */
static const size_t texts[] = {
#define T(m) offsetof(struct facts, m)
    T(name),
    T(state),
    T(phase),
    T(reason),
    T(url),
    T(host),
    T(address),
    T(tls),
    T(evidence),
    T(skipped),
    T(failed_phase),
    T(failed),
    T(credential),
    T(lacks),
    T(slow),
#undef T
};

static char **
text_at(struct facts *f, size_t i)
{
	return (char **)(void *)((char *)f + texts[i]);
}

static void
take(char **to, struct span s)
{
	free(*to);
	*to = out_safe(s.p == NULL ? SPAN_LIT("") : s);
}

/* The host of "wss://host:port/path", also of "[::1]". */
static struct span
host_of(const char *url)
{
	const char *p = strstr(url, "://");
	size_t n;

	p = p == NULL ? url : p + 3;
	n = p[0] == '[' ? strcspn(p, "]/") : strcspn(p, ":/");
	if (p[0] == '[')
		return (struct span){p + 1, n > 0 ? n - 1 : 0};
	return (struct span){p, n};
}

static void
read_failure(struct facts *f, struct obj *g)
{
	struct obj o;

	f->failed_ago = -1;
	if (obj_sub(&o, g, "last_failure") == -1)
		return;
	take(&f->failed_phase, field_str(&o, "phase"));
	take(&f->failed, field_str(&o, "reason"));
	f->code = (int)field_int(&o, "code", 0);
	f->http = (int)field_int(&o, "http_status", 0);
	f->failed_at = field_int(&o, "at", 0);
	f->failed_ago = field_int(&o, "ago_s", -1);
	f->is |= F_FAILED;
}

static void
read_credential(struct facts *f, struct obj *g)
{
	struct obj o;

	if (obj_sub(&o, g, "credential") == 0) {
		take(&f->credential, field_str(&o, "source"));
		take(&f->lacks, field_str(&o, "reason"));
		f->cred_age_s = field_int(&o, "age_s", -1);
		if (strcmp(f->credential, "file") == 0 ||
		    strcmp(f->credential, "directory") == 0 ||
		    strcmp(f->credential, "environment") == 0)
			f->is |= F_PINNED;
		if (span_eq(field_raw(&o, "usable"), SPAN_LIT("false")))
			f->is |= F_UNUSABLE;
		if (field_true(&o, "worked"))
			f->is |= F_WORKED;
		else if (f->cred_age_s >= 0 && f->shaken_s >= f->cred_age_s)
			f->is |= F_OTHER;
	}
	if (obj_sub(&o, g, "revoked") == 0) {
		take(&f->evidence, field_str(&o, "evidence"));
		f->is |= F_REVOKED;
	}
}

static void
read_identities(struct facts *f, const struct obj *g)
{
	struct span all = field_raw(g, "identities"), elem, why;
	struct obj o;
	size_t pos = 0;

	while (json_each(all, &pos, &elem) == 1) {
		if (obj_parse(&o, elem) == -1 ||
		    (why = field_str(&o, "skipped")).len == 0)
			continue;
		take(&f->skipped, why);
		f->is |= F_SKIPPED;
	}
}

/* "#2 echo (pid 123) has 3 events, the oldest for 34s, of 2m00s that it may" */
static void
describe_slow(struct facts *f, struct obj *a, int64_t oldest)
{
	char age[OUT_AGE], most[OUT_AGE], text[512];
	struct span name = field_str(a, "name");

	(void)snprintf(text, sizeof(text),
	    "#%" PRId64 "%s%.*s (pid %" PRId64 ") has %" PRId64
	    " unacknowledged, the oldest for %s of the %s it may take",
	    field_int(a, "number", 0), name.len > 0 ? " " : "", (int)name.len,
	    name.p == NULL ? "" : name.p, field_int(a, "pid", 0),
	    field_int(a, "unacknowledged", 0), out_age(age, oldest),
	    out_age(most, (int64_t)field_num(a, "ack_timeout_s", 0)));
	take(&f->slow, span_str(text));
}

static void
read_agents(struct facts *f, const struct obj *g)
{
	struct span all = field_raw(g, "agents"), elem;
	int64_t oldest, worst = SLOW_S - 1;
	struct obj a;
	size_t pos = 0;

	while (json_each(all, &pos, &elem) == 1) {
		obj_parse(&a, elem);
		f->agents++;
		f->unacked += field_int(&a, "unacknowledged", 0);
		f->is |= F_AGENTS;
		/* Before its hello it has no platform. */
		if (!field_true(&a, "draining") &&
		    field_raw(&a, "platforms").len > 2)
			f->is |= F_SERVED;
		oldest = field_int(&a, "oldest_s", -1);
		if (oldest <= worst)
			continue;
		worst = oldest;
		f->is |= F_SLOW;
		describe_slow(f, &a, oldest);
	}
}

static void
read_queue(struct facts *f, const struct obj *g)
{
	struct obj o;

	if (obj_sub(&o, g, "journal") == 0) {
		f->aside = field_int(&o, "aside", 0);
		f->used = field_int(&o, "bytes", 0);
		f->room = field_int(&o, "capacity_bytes", 0);
	}
	if (obj_sub(&o, g, "counters") == 0) {
		f->bad_lines = field_int(&o, "lines_bad", 0);
		f->losses = field_int(&o, "losses", 0);
	}
	if (obj_sub(&o, g, "queue") == -1)
		return;
	f->waiting = field_int(&o, "events", 0);
	f->oldest_s = field_num(&o, "oldest_s", -1);
	if (field_true(&o, "paused") || field_true(&o, "hushed"))
		f->is |= F_FULL;
}

static void
read_figures(struct facts *f, const struct obj *g)
{
	f->since = field_int(g, "since", 0);
	f->for_s = field_int(g, "for_s", -1);
	f->attempt = field_int(g, "attempt", 0);
	f->next_s = field_num(g, "next_attempt_in_s", -1);
	f->idle_in_s = field_num(g, "idle_in_s", -1);
	f->shaken_s = field_int(g, "last_handshake_s", -1);
	f->pong_s = field_int(g, "last_pong_s", -1);
	f->heard_s = field_int(g, "last_heard_s", -1);
	f->event_s = field_int(g, "last_inbound_s", -1);
	f->rtt_ms = field_int(g, "rtt_ms", -1);
	f->skew_s = field_int(g, "clock_skew_s", 0);
	if (f->skew_s > SKEW_S || f->skew_s < -SKEW_S)
		f->is |= F_SKEWED;
}

/*
 * How the connection before this one ended, or the last one.  relayd counts
 * dials until one holds: two of them at least that came up and were lost, and
 * of what is there now it is not known yet.
 */
static void
judge_ends(struct facts *f)
{
	static const char *const up[] = {"connected", "going idle", "hushed"};
	int dials = (f->is & F_DIALS) != 0;
	int64_t n = dials && strcmp(f->phase, "waiting") == 0 ? 2 : 3;
	int64_t lived = f->shaken_s;
	size_t i;

	f->up_s = -1;
	for (i = 0; i < sizeof(up) / sizeof(up[0]); i++)
		if (strcmp(f->failed_phase, up[i]) == 0)
			f->is |= F_WAS_UP;
	if ((f->is & F_WAS_UP) == 0)
		return;
	if (dials && f->failed_ago >= 0 && f->shaken_s >= f->failed_ago)
		lived = f->up_s = f->shaken_s - f->failed_ago;
	if (lived >= 0 && lived < HEALTHY_S && f->attempt >= n &&
	    f->losses >= 2)
		f->is |= F_REPEATS;
}

int
facts_read(struct facts *f, struct obj *g)
{
	size_t i;

	memset(f, 0, sizeof(*f));
	take(&f->name, field_str(g, "name"));
	take(&f->state, field_str(g, "state"));
	take(&f->phase, field_str(g, "phase"));
	take(&f->reason, field_str(g, "reason"));
	take(&f->url, field_str(g, "url"));
	if (strncmp(f->url, "http:", 5) == 0 || strncmp(f->url, "ws:", 3) == 0)
		f->is |= F_PLAIN;
	take(&f->address, field_str(g, "address"));
	take(&f->tls, field_str(g, "tls"));
	if (f->url != NULL)
		take(&f->host, host_of(f->url));
	read_figures(f, g);
	read_failure(f, g);
	read_credential(f, g);
	read_identities(f, g);
	read_agents(f, g);
	read_queue(f, g);
	if (span_eq(field_str(g, "when_no_agent"), SPAN_LIT("hold")))
		f->is |= F_HOLD;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (*text_at(f, i) == NULL &&
		    (*text_at(f, i) = strdup("")) == NULL)
			return -1;
	if (strcmp(f->state, "connecting") == 0 ||
	    strcmp(f->state, "retrying") == 0)
		f->is |= F_DIALS;
	judge_ends(f);
	return 0;
}

void
facts_free(struct facts *f)
{
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		free(*text_at(f, i));
}
