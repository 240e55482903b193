/* SPDX-License-Identifier: ISC */
/*
 * The WebSocket decoder in both roles.  Whatever the stream: whole at once and
 * in pieces it gives the same messages; masked, to a server, the same as
 * unmasked to a client; and a reader with a buffer of limited size never comes
 * to a stop.  Input: a byte of choices, one that seeds the cuts, the stream.
 */
#include "buf.h"
#include "fuzz.h"
#include "scalar.h"
#include "ws.h"

#define MAX_FRAME  4096 /* so that a short input can announce too much */
#define ROOM_MIN   160	/* any control frame lies whole in it */
#define CHECK_UTF8 0x01
#define AS_SERVER  0x02
#define SMALL_ROOM 0x04

/* What a stream gave, as text that can be compared. */
struct result {
	struct buf events;
	size_t settled; /* bytes of events but for the open message's */
	int ended;	/* error or close */
};

static void
put_event(struct result *r, const struct ws_event *ev)
{
	switch (ev->type) {
	case WS_EV_DATA:
		if (ev->first)
			(void)buf_addf(&r->events, "[%d:", (int)ev->opcode);
		(void)buf_adds(&r->events, ev->payload);
		if (!ev->last)
			return;
		(void)buf_add(&r->events, "]", 1);
		break;
	case WS_EV_ERROR:
		CHECK(ev->why != NULL && ws_close_code_ok(ev->code));
		/* How much of a message that turns out bad was handed out
		 * before depends on the pieces. */
		r->events.end = r->events.off + r->settled;
		(void)buf_addf(&r->events, "<error %u %s>", ev->code, ev->why);
		r->ended = 1;
		break;
	default:
		/* Between the pieces of a message: the same for all. */
		(void)buf_addf(&r->events, "<%d %u ", (int)ev->type, ev->code);
		(void)buf_adds(&r->events, ev->payload);
		(void)buf_add(&r->events, ">", 1);
		r->ended = ev->type == WS_EV_CLOSE;
		break;
	}
	r->settled = buf_len(&r->events);
}

static void
check_event(const struct ws_event *ev, struct span in, size_t used)
{
	CHECK(used <= in.len);
	if (ev->type == WS_EV_DATA || ev->type == WS_EV_PING ||
	    ev->type == WS_EV_PONG || ev->type == WS_EV_CLOSE)
		CHECK(ev->payload.len == 0 ||
		    within(ev->payload, (struct span){in.p, used}));
	if (ev->type == WS_EV_PING || ev->type == WS_EV_PONG)
		CHECK(ev->payload.len <= WS_CONTROL_MAX);
	if (ev->type == WS_EV_CLOSE)
		CHECK(ev->code == WS_CLOSE_NOSTATUS ||
		    ws_close_code_ok(ev->code));
}

/* Decode what is held until more is needed; what is left of it goes back. */
static void
decode_held(
    struct ws_decoder *d, struct buf *held, size_t room, struct result *r)
{
	struct ws_event ev;
	struct span in;
	size_t used;
	char *copy;

	do {
		in = buf_span(held);
		copy = exact(in);
		in.p = copy;
		ws_decode(d, copy, in.len, room, &used, &ev);
		check_event(&ev, in, used);
		if (ev.type != WS_EV_MORE)
			put_event(r, &ev);
		buf_drain(held, used);
		free(copy);
	} while (ev.type != WS_EV_MORE && !r->ended);
	/* A buffer that is full and stays so would never be read into. */
	if (!r->ended)
		CHECK(buf_len(held) < room);
}

/* The stream through a buffer of `room` bytes, cut where the seed says; 0: as
 * much at a time as the buffer takes. */
static void
run(struct result *r, enum ws_role role, int utf8, struct span stream,
    size_t room, uint32_t cuts)
{
	struct ws_decoder d;
	struct buf held;
	size_t n;

	buf_init(&r->events, 0);
	buf_init(&held, room);
	r->settled = 0;
	r->ended = 0;
	ws_decoder_init(&d, role, MAX_FRAME, utf8);
	while (stream.len > 0 && !r->ended) {
		n = room - buf_len(&held);
		if (cuts != 0 && next_random(&cuts) % 4 != 0)
			n = 1 + next_random(&cuts) % n;
		if (n > stream.len)
			n = stream.len;
		CHECK(buf_add(&held, stream.p, n) == 0);
		stream.p += n;
		stream.len -= n;
		decode_held(&d, &held, room, r);
	}
	buf_free(&held);
}

static void
check_same(const struct result *a, const struct result *b)
{
	CHECK(a->ended == b->ended);
	/* Of a message that has not ended, more or less may be out. */
	CHECK(a->settled == b->settled);
	if (a->settled > 0)
		CHECK(memcmp(a->events.p, b->events.p, a->settled) == 0);
}

/* As read through a buffer of another size: that may be too small for the last
 * frame, and then shows earlier that it is bad. */
static void
check_other_room(const struct result *a, const struct result *b)
{
	static const char bad[] = "<error 1007";

	if (a->ended == b->ended) {
		check_same(a, b);
		return;
	}
	if (b->ended) {
		check_other_room(b, a);
		return;
	}
	CHECK(a->settled > b->settled + sizeof(bad));
	CHECK(b->settled == 0 ||
	    memcmp(a->events.p, b->events.p, b->settled) == 0);
	CHECK(memcmp(a->events.p + b->settled, bad, sizeof(bad) - 1) == 0);
}

static void
result_free(struct result *r)
{
	buf_free(&r->events);
}

/* The frame at in, unmasked: its head's length and its payload's; 0 when it
 * does not lie whole in the input. */
static size_t
frame_size(struct span in, uint64_t *payload)
{
	const uint8_t *p = (const uint8_t *)in.p;
	size_t n = 2, i;

	if (in.len < 2)
		return 0;
	*payload = p[1] & 0x7f;
	if (*payload >= 126) {
		n = *payload == 126 ? 4 : 10;
		if (in.len < n)
			return 0;
		for (*payload = 0, i = 2; i < n; i++)
			*payload = *payload << 8 | p[i];
	}
	return *payload <= in.len - n ? n : 0;
}

/* The stream's whole frames as a client sends them.  Bytes of `in` done. */
static size_t
mask_stream(struct span in, struct buf *out, uint32_t seed)
{
	struct span rest = in;
	uint64_t len;
	size_t head;
	uint32_t key;
	char *plain;

	while ((head = frame_size(rest, &len)) != 0) {
		if (((uint8_t)rest.p[1] & 0x80) != 0)
			break;
		key = next_random(&seed) * 2654435761U;
		CHECK(buf_add(out, rest.p, head) == 0);
		out->p[out->end - head + 1] |= (char)0x80;
		CHECK(buf_add(out, &key, 4) == 0);
		plain = exact((struct span){rest.p + head, (size_t)len});
		scalar_ws_mask(plain, (size_t)len, (const uint8_t *)&key, 0);
		CHECK(buf_add(out, plain, (size_t)len) == 0);
		free(plain);
		rest.p += head + len;
		rest.len -= head + len;
	}
	return in.len - rest.len;
}

static void
check_masked(struct span stream, int utf8, uint32_t seed)
{
	struct result plain, masked;
	struct buf out;
	size_t n;

	buf_init(&out, 0);
	n = mask_stream(stream, &out, seed);
	if (n > 0) {
		run(&plain, WS_CLIENT, utf8, (struct span){stream.p, n}, 65536,
		    0);
		run(&masked, WS_SERVER, utf8, buf_span(&out), 65536, seed);
		check_same(&plain, &masked);
		result_free(&plain);
		result_free(&masked);
	}
	buf_free(&out);
}

/* With and without vectors, at any phase, in one or two steps. */
static void
check_mask(struct span text, uint32_t seed)
{
	char *a = exact(text), *b = exact(text), *c = exact(text);
	uint32_t key = next_random(&seed) * 2654435761U;
	const uint8_t *mask = (const uint8_t *)&key;
	uint64_t pos = next_random(&seed);
	size_t at = text.len == 0 ? 0 : next_random(&seed) % text.len;

	ws_mask(a, text.len, mask, pos);
	scalar_ws_mask(b, text.len, mask, pos);
	ws_mask(c, at, mask, pos);
	ws_mask(c + at, text.len - at, mask, pos + at);
	if (text.len > 0) {
		CHECK(memcmp(a, b, text.len) == 0);
		CHECK(memcmp(a, c, text.len) == 0);
	}
	free(a);
	free(b);
	free(c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	unsigned choice = input_byte(&in);
	uint32_t seed = input_byte(&in) * 40503 + 1;
	struct span stream = input_rest(&in);
	enum ws_role role = (choice & AS_SERVER) != 0 ? WS_SERVER : WS_CLIENT;
	int utf8 = (choice & CHECK_UTF8) != 0;
	size_t room = ROOM_MIN;
	struct result whole, cut, other;

	if ((choice & SMALL_ROOM) == 0)
		room += seed % MAX_FRAME;
	run(&whole, role, utf8, stream, room, 0);
	run(&cut, role, utf8, stream, room, seed);
	run(&other, role, utf8, stream, stream.len + ROOM_MIN, 0);
	check_same(&whole, &cut);
	check_other_room(&whole, &other);
	result_free(&whole);
	result_free(&cut);
	result_free(&other);
	check_masked(stream, utf8, seed);
	check_mask(stream, seed);
	return 0;
}
