/* SPDX-License-Identifier: ISC */
/* What a line of the input does: its first letter names the step. */
#include "link_world.h"
#include "quarantine.h"

/* The first character as a small number. */
static unsigned
digit(struct span *arg)
{
	if (arg->len == 0)
		return 0;
	arg->len--;
	return (unsigned char)(*arg->p++ - '0') % 64;
}

static uint64_t
number(struct span arg, uint64_t max)
{
	uint64_t v = 0;

	while (arg.len > 0 && *arg.p >= '0' && *arg.p <= '9' && v < max) {
		v = v * 10 + (uint64_t)(*arg.p++ - '0');
		arg.len--;
	}
	return v < max ? v : max;
}

/*
 * Free text, to be freed; of agents and operators (lines) without newlines,
 * since their lines are cut apart outside the core.  MARK can neither stand in
 * it nor come about by an escape, not even across two texts.
 */
static struct span
free_text(struct span arg, int lines)
{
	char *p = exact(arg);
	size_t i;

	for (i = 0; i < arg.len; i++)
		if (p[i] == MARK[0])
			p[i] = '?';
		else if (p[i] == '9' &&
		    (i == 0 || p[i - 1] == 'e' || p[i - 1] == 'E'))
			p[i] = '8';
		else if (p[i] == 1)
			p[i] = lines ? ' ' : '\n';
	return (struct span){p, arg.len};
}

static void
free_span(struct span s)
{
	free((void *)(uintptr_t)s.p);
}

/* What was asked for is answered: well, well in another way, badly, or the
 * connection is lost. */
static void
step_answer(struct world *w, struct span arg)
{
	static const int event[][4] = {
	    [ASKED_NOTHING] = {-1, -1, -1, LE_LOST},
	    [ASKED_DIAL] = {LE_DIALED, LE_DIALED_PLAIN, LE_DIAL_FAILED, -1},
	    [ASKED_TLS] = {LE_TLS_UP, LE_TLS_UP, LE_TLS_FAILED, LE_LOST},
	    [ASKED_MINT] = {LE_TOKEN, LE_TOKEN, LE_TOKEN_REFUSED, LE_LOST},
	    [ASKED_UPGRADE] = {LE_UPGRADED, LE_UPGRADED, LE_UPGRADE_REFUSED,
		LE_LOST},
	    [ASKED_TIME] = {LE_UPGRADED, LE_UPGRADED, LE_UPGRADE_REFUSED,
		LE_LOST},
	};
	int time = w->asked == ASKED_TIME;
	unsigned k = digit(&arg) % 4;
	int ev = event[w->asked][k];

	if (ev == -1 || (w->asked == ASKED_NOTHING && !w->connected))
		return;
	w->asked = ASKED_NOTHING;
	if (ev == LE_UPGRADE_REFUSED)
		link_http_status(w->gw, 401);
	if (ev == LE_UPGRADED && time) {
		refusal_answered(w->gw);
		return;
	}
	if (ev == LE_UPGRADED)
		connector_begin(w);
	link_event(w->gw, (enum link_event)ev, "%.*s", (int)arg.len, arg.p);
}

static void
step_descriptors(struct world *w, struct span arg)
{
	struct buf b;
	uint32_t i;

	(void)arg;
	buf_init(&b, 0);
	for (i = 0; i < w->gw->conf.nidentity; i++)
		(void)buf_addf(&b,
		    "\n{\"type\":\"descriptor\",\"descriptor\":{"
		    "\"contract_version\":1,\"platform\":\"%s\","
		    "\"max_message_length\":2000,\"len_unit\":\"utf16\"}}\n",
		    w->gw->conf.identity[i].platform);
	CHECK(!b.failed);
	if (w->connected)
		connector_text(w, buf_span(&b));
	buf_free(&b);
}

/* The whole way up, if there is one. */
static void
step_up(struct world *w, struct span arg)
{
	static const struct span good = SPAN_LIT("0");
	int i;

	if (w->gw->link.state == LINK_UNPROVISIONED)
		core_credential(w->gw, 1, 1, "fresh");
	if (w->gw->link.state == LINK_WAIT)
		world_time(w, w->gw->link.next_dial - w->now);
	for (i = 0; i < 4 && w->asked != ASKED_NOTHING; i++)
		step_answer(w, good);
	if (w->gw->link.state == LINK_HELLO)
		step_descriptors(w, arg);
}

static void
step_line(struct world *w, struct span arg)
{
	struct span text = free_text(arg, 0);

	if (w->connected) {
		connector_text(w, text);
		connector_text(w, SPAN_LIT("\n"));
	}
	free_span(text);
}

static void
step_part(struct world *w, struct span arg)
{
	struct span text = free_text(arg, 0);

	connector_text(w, text);
	free_span(text);
}

/* A line that is longer than any may be, by its padding; the text ends it. */
static void
step_long(struct world *w, struct span arg)
{
	struct span text = free_text(arg, 0);
	struct buf b;
	int i;

	buf_init(&b, 0);
	CHECK(buf_add(&b, "\n", 1) == 0);
	for (i = 0; i < 2; i++)
		world_pad(w, &b);
	CHECK(buf_adds(&b, text) == 0 && buf_add(&b, "\n", 1) == 0);
	connector_text(w, buf_span(&b));
	buf_free(&b);
	free_span(text);
}

/* More members than a document keeps: in the frame, the event, its source, or
 * an agent's action. */
static void
step_members(struct world *w, struct span arg)
{
	static const char *const begin[] = {
	    "\n{\"type\":\"inbound\",\"event\":{\"source\":{}}",
	    "\n{\"type\":\"inbound\",\"event\":{\"source\":{}",
	    "\n{\"type\":\"inbound\",\"event\":{\"source\":{\"platform\":"
	    "\"discord\"",
	    "{\"type\":\"outbound\",\"requestId\":\"r\",\"action\":{\"op\":"
	    "\"send\"",
	};
	static const char *const end[] = {"}\n", "}}\n", "}}}\n", "}}"};
	/* Not so many that nobody finds the bufferId among them. */
	unsigned where = digit(&arg) % 4, n = digit(&arg) % 40 * 6, i;
	struct buf b;

	if (where == 3)
		n *= 10; /* it has none */
	buf_init(&b, 0);
	(void)buf_addf(&b, "%s", begin[where]);
	for (i = 0; i < n; i++)
		(void)buf_addf(&b, ",\"m%u\":[%u]", i, i);
	(void)buf_addf(&b, "%s", end[where]);
	CHECK(!b.failed);
	if (where == 3)
		agents_say(&w->slot[0], buf_span(&b));
	else
		connector_text(w, buf_span(&b));
	buf_free(&b);
}

/* A frame with any first byte: after an unusual one nothing is certain. */
static void
step_frame(struct world *w, struct span arg)
{
	struct span text = free_text(arg, 0);
	unsigned b0 = text.len > 0 ? (unsigned char)text.p[0] : 0x81;

	if (b0 != 0x81 && b0 != 0x82 && b0 != 0x89 && b0 != 0x8a)
		w->tainted = 1;
	if (text.len > 1)
		connector_frame(w, b0, (struct span){text.p + 1, text.len - 1});
	free_span(text);
}

static void
step_raw(struct world *w, struct span arg)
{
	struct span text = free_text(arg, 0);

	w->tainted = 1;
	connector_send(w, text);
	free_span(text);
}

static void
step_close(struct world *w, struct span arg)
{
	char payload[WS_CONTROL_MAX];
	uint64_t code = number(arg, 4999);

	while (arg.len > 0 && *arg.p >= '0' && *arg.p <= '9') {
		arg.p++;
		arg.len--;
	}
	if (arg.len > sizeof(payload) - 2)
		arg.len = sizeof(payload) - 2;
	payload[0] = (char)(code >> 8);
	payload[1] = (char)(code & 0xff);
	memcpy(payload + 2, arg.p, arg.len);
	connector_frame(w, 0x88, (struct span){payload, arg.len + 2});
	w->tainted = 1;
}

static void
step_event(struct world *w, struct span arg)
{
	unsigned event = digit(&arg);

	connector_event(w, event, digit(&arg));
}

static void
step_forward(struct world *w, struct span arg)
{
	connector_forward(w, digit(&arg));
}

static void
step_result(struct world *w, struct span arg)
{
	unsigned n = digit(&arg);
	struct span text = free_text(arg, 0);

	connector_result(
	    w, n, text.len > 0 ? text : SPAN_LIT("{\"success\":true}"));
	free_span(text);
}

static void
step_chunk(struct world *w, struct span arg)
{
	w->chunk = (uint32_t)number(arg, ROOM);
}

static void
step_padding(struct world *w, struct span arg)
{
	w->padding = digit(&arg) % 10 * 5000;
}

static void
step_join(struct world *w, struct span arg)
{
	unsigned slot = digit(&arg);
	struct span text = free_text(arg, 1);

	agents_join(
	    w, slot, text.len > 0 ? text : SPAN_LIT("{\"type\":\"hello\"}"));
	free_span(text);
}

static struct slot *
slot_of(struct world *w, struct span *arg)
{
	return &w->slot[digit(arg) % AGENTS];
}

static void
step_say(struct world *w, struct span arg)
{
	struct slot *s = slot_of(w, &arg);
	struct span text = free_text(arg, 1);

	agents_say(s, text);
	free_span(text);
}

static void
step_ack(struct world *w, struct span arg)
{
	struct slot *s = slot_of(w, &arg);

	agents_ack(s, digit(&arg));
}

static void
step_request(struct world *w, struct span arg)
{
	struct slot *s = slot_of(w, &arg);

	agents_request(s, digit(&arg));
}

static void
step_deaf(struct world *w, struct span arg)
{
	struct slot *s = slot_of(w, &arg);

	s->deaf = !s->deaf;
}

static void
step_gone(struct world *w, struct span arg)
{
	struct slot *s = slot_of(w, &arg);
	struct agent *a = s->a;

	if (a == NULL)
		return;
	agents_leave(s);
	core_agent_gone(a, "closed");
}

static void
step_refuse(struct world *w, struct span arg)
{
	struct slot *s = slot_of(w, &arg);

	if (s->a != NULL)
		core_agent_refuse(s->a, "a line longer than 1 MiB");
}

static void
step_operator(struct world *w, struct span arg)
{
	struct span text = free_text(arg, 1);
	const char *why;

	if (w->nrequest < REQUESTS) {
		w->request[w->nrequest++] = (struct request){-1, 0, 1};
		why = core_send(w->gw,
		    text.len > 0 ? text : SPAN_LIT("{\"op\":\"typing\"}"),
		    w->nrequest);
		if (why != NULL) {
			CHECK(!w->request[w->nrequest - 1].answered);
			w->request[w->nrequest - 1].answered = 1;
		}
	}
	free_span(text);
}

static void
step_time(struct world *w, struct span arg)
{
	world_time(w, number(arg, 200000));
}

/* The host slept: nothing ran meanwhile. */
static void
step_sleep(struct world *w, struct span arg)
{
	w->now += number(arg, 10000000);
	core_now(w->c, w->now);
}

static void
step_stall(struct world *w, struct span arg)
{
	(void)arg;
	w->stalled = !w->stalled;
}

static void
step_read(struct world *w, struct span arg)
{
	connector_read(w, number(arg, 1 << 20));
}

static void
step_credential(struct world *w, struct span arg)
{
	unsigned k = digit(&arg) % 6;

	if (k >= 3)
		core_standing(w->gw, k != 4, k == 5, "told");
	core_credential(w->gw, k % 3 != 0, k % 3 == 2, "told");
}

static void
step_authd(struct world *w, struct span arg)
{
	(void)arg;
	link_event(w->gw, LE_AUTHD_GONE, "relay-authd ended");
}

static void
step_clock(struct world *w, struct span arg)
{
	static const int64_t skew[] = {INT64_MIN, 0, 61, -100000};

	w->gw->link.clock_skew_s = skew[digit(&arg) % 4];
	w->gw->link.skew_at = w->now;
}

static void
step_settings(struct world *w, struct span arg)
{
	world_conf(w, digit(&arg));
	core_gateway_change(w->gw, &w->conf);
}

/* The engine dies, and perhaps what it left behind is damaged. */
static void
step_restart(struct world *w, struct span arg)
{
	char *seen = (char *)w->journal.p + JOURNAL_HEAD;
	size_t i;

	for (i = 0; i + 1 < arg.len; i += 2) {
		w->damaged = 1;
		seen[(unsigned char)arg.p[i] % 96] = arg.p[i + 1];
	}
	world_restart(w);
}

static void
step_tap(struct world *w, struct span arg)
{
	w->gw->taps = digit(&arg) % 2;
	w->gw->followers = digit(&arg) % 2;
}

/* By an id that somebody made up, or that there is. */
static void
step_trace(struct world *w, struct span arg)
{
	const struct delivery *d;
	char id[CORE_ID];
	size_t len;

	stages_asked(w, arg);
	TAILQ_FOREACH (d, &w->gw->delivery.order, order) {
		stages_asked(w, (struct span){d->cid, d->cidlen});
		if (d->seq == 0)
			continue;
		len = core_put_id(d->epoch, d->seq, id);
		stages_asked(w, (struct span){id + 1, len - 2});
	}
}

static void
step_wish(struct world *w, struct span arg)
{
	enum link_wish wish =
	    (enum link_wish)(digit(&arg) % (WISH_RECONNECT + 1));

	w->nwish++;
	w->nwish_open++;
	if (core_wish(w->gw, wish, w->nwish, "uid 0") != NULL)
		w->nwish_open--;
}

/* The host slept, and that is noticed. */
static void
step_slept(struct world *w, struct span arg)
{
	step_sleep(w, arg);
	core_slept(w->c);
}

static void
step_pressure(struct world *w, struct span arg)
{
	link_pressure(w->gw, (int)(digit(&arg) % 2));
}

/* Settings that the link does not depend on. */
static void
step_adjust(struct world *w, struct span arg)
{
	unsigned k = digit(&arg);
	struct gateway_conf gc = w->gw->conf;

	gc.hold = k % 2;
	gc.idle_after_ms = k / 2 * 1000;
	core_gateway_adjust(w->gw, &gc);
}

static void
step_interrupt(struct world *w, struct span arg)
{
	struct span key = free_text(arg, 1);

	(void)core_interrupt(w->gw, key, "uid 0");
	free_span(key);
}

static void
step_stop(struct world *w, struct span arg)
{
	core_stop(w->c, number(arg, 60000));
}

static const struct {
	char letter;
	void (*fn)(struct world *, struct span);
} steps[] = {
    {'u', step_up},
    {'n', step_answer},
    {'i', step_descriptors},
    {'c', step_line},
    {'p', step_part},
    {'L', step_long},
    {'M', step_members},
    {'f', step_frame},
    {'r', step_raw},
    {'q', step_close},
    {'e', step_event},
    {'F', step_forward},
    {'R', step_result},
    {'k', step_chunk},
    {'B', step_padding},
    {'a', step_join},
    {'s', step_say},
    {'A', step_ack},
    {'o', step_request},
    {'d', step_deaf},
    {'g', step_gone},
    {'x', step_refuse},
    {'O', step_operator},
    {'t', step_time},
    {'T', step_sleep},
    {'z', step_stall},
    {'w', step_read},
    {'v', step_credential},
    {'j', step_authd},
    {'h', step_clock},
    {'G', step_settings},
    {'X', step_restart},
    {'y', step_tap},
    {'Q', step_trace},
    {'S', step_stop},
    {'W', step_wish},
    {'N', step_slept},
    {'P', step_pressure},
    {'H', step_adjust},
    {'I', step_interrupt},
};

void
link_step(struct world *w, struct span line)
{
	size_t i;

	if (line.len == 0)
		return;
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (line.p[0] == steps[i].letter)
			steps[i].fn(w, (struct span){line.p + 1, line.len - 1});
	world_turn(w);
	connector_pump(w);
	world_turn(w);
	audit(w);
}
