/* SPDX-License-Identifier: ISC */
/* The connector's side: its buffer and cursor, and what it sends. */
#include "invariant.h"
#include "sim.h"

void
session_key_of(unsigned session, char key[64])
{
	static const char *const platform[] = {"discord", "telegram", "slack"};

	if (session == SESSIONS - 1)
		(void)snprintf(key, 64, "passthrough:discord");
	else
		(void)snprintf(key, 64, "agent:main:%s:dm:c%u",
		    platform[session % 3], session);
}

uint32_t
session_platform(unsigned session)
{
	if (session == SESSIONS - 1 || session % 3 == 0)
		return 1;
	return session % 3 == 1 ? 2 : UINT32_MAX;
}

/* A frame that will arrive, bytes in one piece; NULL when too many wait. */
struct frame_out *
connector_put(
    struct world *w, enum ws_opcode op, enum frame_kind kind, struct span text)
{
	struct frame_out *f = &w->frame[w->nframe];
	char head[WS_HEAD_MAX];
	size_t n = ws_head(head, op, 1, text.len, NULL);

	if (!w->connected || w->nframe == FRAMES || w->closing)
		return NULL;
	memset(f, 0, sizeof(*f));
	f->kind = kind;
	f->len = n + text.len;
	f->bytes = malloc(f->len);
	memcpy(f->bytes, head, n);
	if (text.len > 0)
		memcpy(f->bytes + n, text.p, text.len);
	w->nframe++;
	return f;
}

void
connector_begin(struct world *w)
{
	unsigned i;

	w->connected = 1;
	w->connections++;
	w->reading = 1;
	w->shaken = w->live = w->idle_asked = w->idle_acked = 0;
	w->idle_told = 0;
	w->closed = w->closing = w->stalled = w->silent = 0;
	w->hellos = 0;
	w->greeting = w->conf;
	w->heard_at = w->now;
	w->pending = 0;
	w->ranks = w->ranked = 0;
	for (i = 0; i < w->nevent; i++)
		w->event[i].sent = w->event[i].acks = w->event[i].rank = 0;
	for (w->next = 0; w->next < w->nevent; w->next++)
		if (w->event[w->next].has_id && !w->event[w->next].acked)
			break;
	ws_decoder_init(&w->dec, WS_SERVER, 1 << 26, 1);
}

void
connector_end(struct world *w)
{
	uint64_t until;
	uint32_t i;

	trace(w, "the connection ends");
	w->connected = 0;
	for (i = 0; i < w->nframe; i++)
		free(w->frame[i].bytes);
	w->nframe = 0;
	buf_reset(&w->from_core);
	/* One that fell silent was healthy until then. */
	until = w->c->now < w->heard_at + HEALTHY_MS ? w->c->now : w->heard_at;
	if (w->up_at != 0 && until >= w->up_at + HEALTHY_MS)
		w->tries = 0;
	w->up_at = 0;
}

void
connector_lose(struct world *w)
{
	if (!w->connected)
		return;
	connector_read(w, pick(w, 3) == 0 ? SIZE_MAX : pick(w, 200));
	if (w->connected)
		link_event(w->gw, LE_LOST, "reset");
}

/* The way to it. */

int
connector_skewed(const struct world *w)
{
	return w->told_skew > 60 || w->told_skew < -60;
}

static void
tell_time(struct world *w)
{
	w->told = w->profile.date;
	w->told_skew = w->skew;
	if (w->told)
		link_date(w->gw, core_unix(w->c) + w->skew);
}

/* A bad mood passes. */
static void
relent(struct world *w)
{
	if (w->mood == MOOD_GOOD || chance(w, w->profile.stubborn))
		return;
	w->mood = MOOD_GOOD;
	w->skew = 0;
}

static void
answer_upgrade(struct world *w)
{
	tell_time(w);
	if (w->mood == MOOD_401 || w->mood == MOOD_503) {
		link_http_status(w->gw, w->mood == MOOD_401 ? 401 : 503);
		link_event(w->gw, LE_UPGRADE_REFUSED, "refused");
		return;
	}
	connector_begin(w);
	link_event(w->gw, LE_UPGRADED, "upgraded");
}

static void
answer_time(struct world *w)
{
	tell_time(w);
	if (w->told && connector_skewed(w))
		w->strikes = 0;
	w->told = 1; /* or it never is */
	refusal_answered(w->gw);
	revocation_is_believed(w);
}

/* What the mood makes of what was asked for: an event, or NOTHING. */
static int
failure(const struct world *w, enum asked what)
{
	if (w->mood == MOOD_DIAL_FAILS && what == ASKED_DIAL)
		return LE_DIAL_FAILED;
	if (w->mood == MOOD_TLS_FAILS && what == ASKED_TLS)
		return LE_TLS_FAILED;
	if (w->mood == MOOD_RESET && what != ASKED_DIAL)
		return LE_LOST;
	if (what == ASKED_MINT && !w->authd.usable)
		return LE_TOKEN_REFUSED;
	return NOTHING;
}

void
connector_answer(struct world *w)
{
	enum asked what = w->asked;
	int bad = failure(w, what);

	if (what == ASKED_NOTHING || (w->mood == MOOD_MUTE && !w->calm))
		return;
	w->asked = ASKED_NOTHING;
	if (bad != NOTHING)
		link_event(w->gw, (enum link_event)bad, "it failed");
	else if (what == ASKED_DIAL)
		link_event(w->gw,
		    w->profile.plain ? LE_DIALED_PLAIN : LE_DIALED, "dialed");
	else if (what == ASKED_TLS)
		link_event(w->gw, LE_TLS_UP, "TLS");
	else if (what == ASKED_MINT)
		link_event(w->gw, LE_TOKEN, "token");
	else if (what == ASKED_UPGRADE)
		answer_upgrade(w);
	else
		answer_time(w);
	if (w->mood < MOOD_MUTE && what >= ASKED_UPGRADE)
		relent(w);
	else if (bad != NOTHING)
		relent(w);
}

/* Sending. */

static void
put_event_line(struct world *w, struct buf *b, unsigned n)
{
	const struct event *e = &w->event[n];
	static const char *const platform[] = {"discord", "telegram", "slack"};
	char prompt[96] = "", id[32] = "", pad[PADDING];
	uint32_t len = w->profile.padding;

	if (e->answers)
		(void)snprintf(prompt, sizeof(prompt),
		    "\"prompt_response\":{\"prompt_id\":\"p%u\","
		    "\"option_id\":\"o\"},",
		    e->answers - 1U);
	if (e->has_id)
		(void)snprintf(id, sizeof(id), ",\"bufferId\":\"b%u\"", n);
	memset(pad, 'p', sizeof(pad));
	if (e->kind == KIND_BROKEN)
		(void)buf_addf(
		    b, "{\"type\":\"inbound\"%s,\"event\":{\"source\":\n", id);
	else if (e->kind == KIND_FORWARD)
		(void)buf_addf(b,
		    "{\"type\":\"passthrough_forward\"%s,\"forward\":{"
		    "\"platform\":\"discord\",\"path\":\"E%u \"}}\n",
		    id, n);
	else
		(void)buf_addf(b,
		    "{\"type\":\"inbound\"%s,\"event\":{\"text\":\"E%u %.*s\","
		    "%s\"source\":{\"platform\":\"%s\",\"chat_id\":\"c%u\","
		    "\"chat_type\":\"dm\",\"user_id\":\"u\"}}}\n",
		    id, n, (int)(n * 997 % (len + 1)), pad, prompt,
		    platform[e->session % 3], e->session);
}

static void
put_events(struct world *w, const int *what, int n)
{
	struct frame_out *f;
	struct buf b;
	int i;

	buf_init(&b, 0);
	for (i = 0; i < n; i++)
		put_event_line(w, &b, (unsigned)what[i]);
	f = connector_put(w, WS_TEXT, FRAME_EVENTS, buf_span(&b));
	buf_free(&b);
	if (f == NULL)
		return;
	f->n = n;
	memcpy(f->what, what, (size_t)n * sizeof(*what));
}

/* The next events that may go out: in order, gated while it drains. */
static void
send_buffered(struct world *w)
{
	int what[BATCH], n = 0;
	const struct event *e;

	if (w->nframe >= FRAMES - 2)
		return;
	while (w->next < w->nevent && n < w->profile.batch) {
		e = &w->event[w->next];
		if (!w->live && w->profile.gate != 0 &&
		    w->pending >= w->profile.gate)
			break;
		w->next++;
		if (!e->has_id && !w->live) /* it was live, and is gone */
			continue;
		if (e->acked)
			continue;
		w->pending += e->has_id;
		what[n++] = (int)(w->next - 1);
	}
	if (n > 0)
		put_events(w, what, n);
	if (w->next == w->nevent && (w->pending == 0 || w->profile.gate == 0))
		w->live = 1;
}

static void
send_descriptors(struct world *w)
{
	struct buf b;
	uint32_t i;

	buf_init(&b, 0);
	for (i = 0; i < w->greeting.nidentity; i++)
		(void)buf_addf(&b,
		    "{\"type\":\"descriptor\",\"descriptor\":{"
		    "\"contract_version\":1,\"platform\":\"%s\",\"label\":\"L\""
		    ",\"max_message_length\":2000,\"len_unit\":\"chars\","
		    "\"supported_ops\":[\"send\",\"prompt\"]}}\n",
		    w->greeting.identity[i].platform);
	(void)connector_put(w, WS_TEXT, FRAME_OTHER, buf_span(&b));
	buf_free(&b);
	w->shaken = 1;
}

static void
refuse(struct world *w, const char *reason)
{
	connector_close(w, 4401, reason);
	relent(w);
}

static void
shake(struct world *w)
{
	if (w->hellos < w->greeting.nidentity)
		return;
	if (w->mood == MOOD_REFUSED)
		refuse(w, "revoked");
	else if (w->mood == MOOD_EXPIRED)
		refuse(w, "expired");
	else if (w->mood == MOOD_RESET)
		connector_lose(w);
	else if (w->mood != MOOD_MUTE || w->calm)
		send_descriptors(w);
}

void
connector_speak(struct world *w)
{
	if (!w->connected || w->closing)
		return;
	if (w->closed) {
		connector_close(w, 1000, "");
		return;
	}
	if (!w->shaken) {
		shake(w);
		return;
	}
	if (w->idle_asked && !w->idle_acked && w->profile.full != 2 &&
	    (w->calm || (w->profile.full == 0 && pick(w, 3) == 0)) &&
	    connector_put(w, WS_TEXT, FRAME_IDLE_ACK,
		SPAN_LIT("{\"type\":\"going_idle_ack\"}\n")) != NULL) {
		w->idle_acked = 1;
		trace(w, "the connector acknowledges going_idle");
	}
	if (!w->idle_acked)
		send_buffered(w);
}

void
connector_close(struct world *w, unsigned code, const char *reason)
{
	char payload[64];
	size_t n = strlen(reason);
	struct frame_out *f;

	payload[0] = (char)(code >> 8);
	payload[1] = (char)(code & 0xff);
	memcpy(payload + 2, reason, n);
	f = connector_put(
	    w, WS_CLOSE, FRAME_CLOSE, (struct span){payload, n + 2});
	if (f == NULL)
		return;
	f->what[0] = (int)code;
	f->expired = strcmp(reason, "expired") == 0;
	w->closing = 1;
	trace(w, "the connector closes: %u %s", code, reason);
}

/* A prompt that it was sent, plus one, now and then. */
static uint8_t
a_prompt(struct world *w)
{
	uint32_t n;

	if (w->nrequest == 0 || pick(w, 3) != 0)
		return 0;
	n = pick(w, w->nrequest);
	return w->request[n].prompt && w->request[n].read ? (uint8_t)(n + 1)
							  : 0;
}

void
connector_event(struct world *w)
{
	struct event *e = &w->event[w->nevent];

	if (w->nevent == EVENTS)
		return;
	memset(e, 0, sizeof(*e));
	e->kind = (uint8_t)(pick(w, 12) == 0 ? KIND_FORWARD : KIND_EVENT);
	if (pick(w, 40) == 0)
		e->kind = KIND_BROKEN;
	e->session = (uint8_t)(e->kind == KIND_FORWARD ? SESSIONS - 1
						       : pick(w, SESSIONS - 1));
	e->has_id = e->kind == KIND_BROKEN || !w->connected || !w->live ||
	    w->idle_acked || !chance(w, w->profile.no_id);
	e->poison = e->kind != KIND_BROKEN && chance(w, w->profile.poison);
	e->holder = NOTHING;
	if (e->kind == KIND_EVENT)
		e->answers = a_prompt(w);
	trace(w, "event E%u of session %u%s%s%s", w->nevent, e->session,
	    e->has_id ? "" : " without id", e->poison ? " poison" : "",
	    e->kind == KIND_BROKEN ? " broken" : "");
	w->nevent++;
}

/* Something that was sent on this connection, once more. */
void
connector_repeat(struct world *w)
{
	int n;

	if (!w->connected || w->nevent == 0 || w->idle_acked)
		return;
	n = (int)pick(w, w->nevent);
	if (w->event[n].has_id && w->event[n].sent > 0) {
		trace(w, "the connector repeats b%d", n);
		put_events(w, &n, 1);
	}
}

void
connector_interrupt(struct world *w, unsigned session)
{
	struct frame_out *f;
	char key[64], text[160];

	session_key_of(session, key);
	(void)snprintf(text, sizeof(text),
	    "{\"type\":\"interrupt_inbound\",\"session_key\":\"%s\","
	    "\"chat_id\":\"c\"}\n",
	    key);
	if (!w->shaken)
		return;
	f = connector_put(w, WS_TEXT, FRAME_INTERRUPT, span_str(text));
	if (f != NULL)
		f->what[0] = (int)session;
}

void
connector_result(struct world *w, unsigned n)
{
	struct request *r = &w->request[n];
	struct frame_out *f;
	char text[200];

	if (!r->read || r->answered || r->connection != w->connections ||
	    !w->connected)
		return;
	(void)snprintf(text, sizeof(text),
	    "{\"type\":\"outbound_result\",\"requestId\":\"%s\","
	    "\"result\":{\"success\":true,\"message_id\":\"%u\"}}\n",
	    r->id, n);
	f = connector_put(w, WS_TEXT, FRAME_RESULT, span_str(text));
	if (f == NULL)
		return;
	r->answered = 1;
	trace(w, "the connector answers request %u", n);
}

void
connector_junk(struct world *w)
{
	static const char *const junk[] = {
	    "{\"type\":\"inbound\"\n",
	    "[]\n",
	    "{\"type\":\"outbound_result\",\"requestId\":\"x\",\"result\":{}}"
	    "\n",
	    "{\"type\":\"inbound_ack\",\"bufferId\":\"junk\"}\n",
	    "\n\n",
	    "{\"type\":\"later\",\"bufferId\":\"junk\"}\n",
	};

	if (w->shaken)
		(void)connector_put(w, WS_TEXT, FRAME_OTHER,
		    span_str(junk[pick(w, sizeof(junk) / sizeof(junk[0]))]));
}
