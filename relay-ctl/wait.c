/* SPDX-License-Identifier: ISC */
/*
 * relay-ctl wait: until a gateway is, or all are, in one of some states.
 *
 * The stream of changes is opened first and the status asked for then, so that
 * nothing is missed between them; what the stream tells of changes before the
 * status is repeated by it at worst.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "field.h"
#include "gwtext.h"
#include "json.h"
#include "pulse.h"
#include "state.h"

/* Milliseconds between tries while relayd's engine is being restarted. */
#define AGAIN_MS 200
/* Milliseconds that an answer may take, however little time is left. */
#define ASK_MS 500
/* From which on it is said that the engine is away: most are back before. */
#define SAY_MS 1500

struct gate {
	char *name, *reason;
	int state;     /* gwtext_index() */
	int64_t since; /* ms on our clock */
};

struct wait {
	struct ctl *ctl;
	const char *only; /* NULL: all gateways */
	uint32_t want;	  /* bits: states */
	int64_t until;	  /* ms; -1: for ever */
	struct gate *gate;
	size_t n;
	/* Since when the engine of a relayd that runs does not answer, ms; 0:
	 * it does. */
	int64_t lost;
	int said;  /* that it does not */
	int away;  /* and that relayd does not run */
	int heard; /* it has answered */
	struct progress progress;
	char doing[512];
};

static void
gate_free(struct wait *w, size_t i)
{
	free(w->gate[i].name);
	free(w->gate[i].reason);
	w->gate[i] = w->gate[--w->n];
}

/* The gateway of that name, made when there is room; NULL: none. */
static struct gate *
gate_get(struct wait *w, struct span name)
{
	struct gate *g;
	size_t i;

	for (i = 0; i < w->n; i++)
		if (span_eq(name, span_str(w->gate[i].name)))
			return &w->gate[i];
	if (w->n == LIMIT_GATEWAYS ||
	    (w->only != NULL && !span_eq(name, span_str(w->only))))
		return NULL;
	g = &w->gate[w->n];
	memset(g, 0, sizeof(*g));
	if ((g->name = out_safe(name)) == NULL)
		return NULL;
	w->n++;
	return g;
}

/* What an object tells of a gateway; name: its member with the name. */
static void
note(struct wait *w, struct obj *o, const char *name, int64_t age_s)
{
	struct span s = field_str(o, name);
	struct gate *g;
	int state;

	if (s.p == NULL || (g = gate_get(w, s)) == NULL)
		return;
	state = gwtext_index(field_str(o, "state"));
	if (age_s >= 0 || g->state != state)
		g->since = client_now() - (age_s > 0 ? age_s : 0) * 1000;
	g->state = state;
	free(g->reason);
	s = field_str(o, "reason");
	g->reason = out_safe(s.p == NULL ? SPAN_LIT("") : s);
}

static void
note_status(struct obj *o, void *arg)
{
	note(arg, o, "name", field_int(o, "for_s", 0));
}

static void
note_event(struct wait *w, struct span line)
{
	struct gate *g;
	struct obj o;

	if (obj_parse(&o, line) == -1)
		return;
	if (!span_eq(field_str(&o, "event"), SPAN_LIT("gone")))
		note(w, &o, "gateway", -1);
	else if ((g = gate_get(w, field_str(&o, "gateway"))) != NULL)
		gate_free(w, (size_t)(g - w->gate));
}

static int
is_there(const struct wait *w, const struct gate *g)
{
	return g->state >= 0 && (w->want >> g->state & 1) != 0;
}

static int
all_there(const struct wait *w)
{
	size_t i;

	for (i = 0; i < w->n; i++)
		if (!is_there(w, &w->gate[i]))
			return 0;
	return w->n > 0;
}

/* Milliseconds that are left; at most most (-1: no bound). */
static int
left(const struct wait *w, int most)
{
	int64_t ms;

	if (w->until == -1)
		return most;
	ms = w->until - client_now();
	if (ms < 0)
		ms = 0;
	return most >= 0 && ms > most ? most : (int)ms;
}

/* For what relayd answers at once, even when time is up. */
static int
left_to_ask(const struct wait *w)
{
	int ms = left(w, CLIENT_WAIT_STATUS);

	return ms < ASK_MS ? ASK_MS : ms;
}

static void
print_json(const struct wait *w, struct span line)
{
	if (w->ctl->out.json)
		(void)out_json(line);
}

/* Ask for the status.  CLIENT_OK with *status an exit status that ends the
 * wait, or -1. */
static enum client_result
look(struct wait *w, int *status)
{
	enum client_result r;
	struct client c;
	struct span reply;
	struct buf req;
	struct obj o;

	client_begin(&req, "status");
	client_gateway(&req, w->only);
	r = client_ask(&c, w->ctl, &req, 1, left_to_ask(w), &reply);
	if (r == CLIENT_OK &&
	    (obj_parse(&o, reply) == -1 || !field_true(&o, "ok")))
		*status = client_refused(&c, w->ctl, reply);
	else if (r == CLIENT_OK) {
		while (w->n > 0)
			gate_free(w, 0);
		gwtext_each(reply, w->only, note_status, w);
		print_json(w, reply);
	}
	client_close(&c);
	return r;
}

/* What we wait for: the first that is not there yet. */
static void
describe(struct wait *w)
{
	size_t i, there = 0;
	const struct gate *g = NULL;

	for (i = 0; i < w->n; i++) {
		if (is_there(w, &w->gate[i]))
			there++;
		else if (g == NULL)
			g = &w->gate[i];
	}
	if (g == NULL)
		return;
	(void)snprintf(w->doing, sizeof(w->doing), "%s is %s%s%s", g->name,
	    g->state < 0 ? "?" : gwtext_state(g->state),
	    g->reason == NULL || g->reason[0] == '\0' ? "" : ": ",
	    g->reason == NULL ? "" : g->reason);
	if (w->n > 1 && there > 0)
		(void)snprintf(w->doing + strlen(w->doing),
		    sizeof(w->doing) - strlen(w->doing), "; %zu of %zu there",
		    there, w->n);
}

/* Wait for changes until all are there.  As look(). */
static enum client_result
await(struct wait *w, struct client *c, int *status)
{
	enum client_result r = CLIENT_OK;
	struct pulse pulse;
	struct span line;

	pulse_begin(&pulse, w->ctl, c);
	pulse.progress = &w->progress;
	pulse.doing = w->doing;
	while (r == CLIENT_OK && !all_there(w)) {
		describe(w);
		r = pulse_line(&pulse, c, &line, left(w, CLIENT_WAIT_EVER));
		if (r == CLIENT_OK) {
			print_json(w, line);
			note_event(w, line);
		}
	}
	if (r == CLIENT_OK)
		*status = CTL_OK;
	w->said = pulse.silent;
	if (pulse.silent)
		w->lost = client_now();
	pulse_end(&pulse);
	return r;
}

/* Follow one stream.  As look(). */
static enum client_result
follow(struct wait *w, int *status)
{
	enum client_result r;
	struct client c;
	struct span line;
	struct buf req;
	struct obj o;

	client_begin(&req, "watch");
	r = client_ask(&c, w->ctl, &req, 1, left_to_ask(w), &line);
	if (r == CLIENT_OK &&
	    (obj_parse(&o, line) == -1 || !field_true(&o, "ok")))
		*status = client_refused(&c, w->ctl, line);
	else if (r == CLIENT_OK)
		r = look(w, status);
	if (r == CLIENT_OK && *status == -1) {
		if (w->said || w->away)
			ctl_warn(
			    "relayd answers %s", w->heard ? "again" : "now");
		w->lost = w->said = w->away = 0;
		w->heard = 1;
		r = await(w, &c, status);
	}
	client_close(&c);
	return r;
}

/* Time is up: say how it is. */
static int
tell(const struct wait *w, const char *wanted)
{
	char age[OUT_AGE];
	const struct gate *g;
	size_t i;

	if (w->lost != 0)
		(void)state_warn(w->ctl, "the engine");
	for (i = 0; i < w->n; i++) {
		g = &w->gate[i];
		if (is_there(w, g))
			continue;
		ctl_warn("%s is not %s in time; it is %s, for %s%s%s", g->name,
		    wanted, g->state < 0 ? "?" : gwtext_state(g->state),
		    out_age(age, (client_now() - g->since) / 1000),
		    g->reason == NULL || g->reason[0] == '\0' ? "" : ": ",
		    g->reason == NULL ? "" : g->reason);
	}
	if (w->n == 0 && w->lost == 0)
		ctl_warn("there is no gateway");
	return CTL_FAILED;
}

/* relayd is not there. */
static void
tell_away(struct wait *w, const struct client *c, enum client_result r)
{
	char most[OUT_AGE];

	if (w->away)
		return;
	w->away = 1;
	(void)out_age(most, (left(w, -1) + 999) / 1000);
	if (r == CLIENT_SILENT)
		ctl_warn("%s: no answer; waiting up to %s for relayd", c->path,
		    most);
	else
		ctl_warn("relayd is not running (%s: nobody answers); waiting "
			 "up to %s for it",
		    c->path, most);
}

/*
 * Whether to try again: relayd lives and its engine does not answer now; or
 * relayd is not there, and there is a time up to which it may come.  Without
 * one, a mistake would be waited for for ever.
 */
static int
may_come(struct wait *w, const struct client *c, enum client_result r)
{
	int64_t now = client_now();
	int alive, strange;
	struct state st;

	alive = state_read(&st, w->ctl) == 0 && st.alive;
	strange = st.strange;
	state_free(&st);
	if (!alive || w->lost == 0)
		w->lost = now;
	if (alive && !w->said &&
	    (r == CLIENT_SILENT || now - w->lost >= SAY_MS)) {
		w->said = 1;
		alive = state_warn(w->ctl, c->who) == 0;
	}
	if (alive)
		return 1;
	if (strange || w->until == -1 || left(w, 1) == 0)
		return 0;
	tell_away(w, c, r);
	return 1;
}

static int
run(struct wait *w, const char *wanted)
{
	enum client_result r;
	struct client none = {.fd = -1, .who = "the engine"};
	int status = -1;

	(void)snprintf(
	    none.path, sizeof(none.path), "%s/control.sock", w->ctl->rundir);
	w->lost = client_now();
	for (;;) {
		r = follow(w, &status);
		if (status != -1)
			return status;
		/* It was there until time was up. */
		if (r == CLIENT_SILENT && w->lost == 0)
			return tell(w, wanted);
		if (r == CLIENT_DENIED || r == CLIENT_WRONG ||
		    !may_come(w, &none, r))
			return client_explain(&none, w->ctl, r);
		if (left(w, 1) == 0)
			return tell(w, wanted);
		(void)poll(NULL, 0, left(w, AGAIN_MS));
	}
}

/* "connected,idle" to bits.  0, or -1 after saying what is wrong. */
static int
parse_states(struct wait *w, char *list)
{
	char *word;
	int i;

	while ((word = strsep(&list, ",")) != NULL) {
		if ((i = gwtext_match(word)) == -1)
			return -1;
		w->want |= 1U << i;
	}
	return 0;
}

static void
print_done(const struct wait *w)
{
	size_t i;

	if (w->ctl->out.json)
		return;
	for (i = 0; i < w->n; i++)
		printf("%s is %s\n", w->gate[i].name,
		    gwtext_state(w->gate[i].state));
}

int
cmd_wait(struct ctl *ctl)
{
	struct wait w = {.ctl = ctl, .until = -1};
	long seconds = ctl_number(ctl, OPT_TIMEOUT, 0, 86400 * 7, -2);
	char *list;
	int status = CTL_USAGE;

	if (seconds == -1)
		return CTL_USAGE;
	progress_begin(&w.progress);
	if (seconds >= 0)
		w.until = client_now() + seconds * 1000;
	w.only = ctl->narg > 0 ? ctl->arg[0] : NULL;
	list = strdup(ctl->opt[OPT_FOR]);
	w.gate = calloc(LIMIT_GATEWAYS, sizeof(*w.gate));
	if (list == NULL || w.gate == NULL) {
		ctl_warn("no memory");
		status = CTL_FAILED;
	} else if (parse_states(&w, list) == 0) {
		status = run(&w, ctl->opt[OPT_FOR]);
		if (status == CTL_OK)
			print_done(&w);
	}
	while (w.gate != NULL && w.n > 0)
		gate_free(&w, 0);
	free(w.gate);
	free(list);
	return status;
}
