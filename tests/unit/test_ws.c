/* SPDX-License-Identifier: ISC */
/* ws: every framing rule of RFC 6455 has a case; input cut anywhere gives the
 * same events; both builds mask like a loop over bytes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "ws.h"

/* The same source without vectors, under other names. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#define CODEC_SCALAR
#define ws_decoder_init	 scalar_decoder_init
#define ws_decode	 scalar_decode
#define ws_head		 scalar_head
#define ws_mask		 scalar_mask
#define ws_close_code_ok scalar_close_code_ok
void ws_mask(char *, size_t, const uint8_t[4], uint64_t);
int ws_close_code_ok(unsigned);
#include "../../common/ws.c"
#undef ws_decoder_init
#undef ws_decode
#undef ws_head
#undef ws_mask
#undef ws_close_code_ok
#pragma GCC diagnostic pop

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define IN_MAX	  4096	/* the reader's buffer in these tests */
#define MAX_FRAME 70000 /* the decoder's bound in these tests */

static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

/* Append a frame as the given role would send it. */
static void
put_frame(struct buf *b, enum ws_role from, enum ws_opcode op, int fin,
    const void *payload, size_t len)
{
	char head[WS_HEAD_MAX];

	buf_add(b, head,
	    ws_head(head, op, fin, len, from == WS_CLIENT ? mask : NULL));
	buf_add(b, payload, len);
	if (from == WS_CLIENT)
		ws_mask(b->p + b->end - len, len, mask, 0);
}

/* What happened, as text.  Pieces of one message are run together. */
static void
trace_event(struct buf *t, const struct ws_event *ev)
{
	static const char *const names[] = {[WS_EV_PING] = "ping",
	    [WS_EV_PONG] = "pong",
	    [WS_EV_CLOSE] = "close",
	    [WS_EV_ERROR] = "error"};

	if (ev->type == WS_EV_MORE)
		return;
	if (ev->type == WS_EV_DATA) {
		if (ev->first)
			buf_addf(
			    t, "%s(", ev->opcode == WS_TEXT ? "text" : "bin");
		buf_adds(t, ev->payload);
		if (ev->last)
			buf_addf(t, ")");
		return;
	}
	buf_addf(t, "%s(", names[ev->type]);
	if (ev->code != 0)
		buf_addf(t, "%u ", ev->code);
	if (ev->why != NULL)
		buf_addf(t, "%s", ev->why);
	buf_adds(t, ev->payload);
	buf_addf(t, ")");
}

/*
 * Read `bytes` through a buffer of `room` as a connection does, `step` bytes
 * at a time after a first portion of `first`, and trace what comes out.
 */
static void
run(struct ws_decoder *d, struct span bytes, size_t room, size_t first,
    size_t step, struct buf *t)
{
	char in[IN_MAX];
	size_t have = 0, done = 0, n, used;
	struct ws_event ev;

	n = first;
	while (done < bytes.len) {
		if (n > bytes.len - done)
			n = bytes.len - done;
		if (n > room - have)
			n = room - have;
		assert_true(n > 0 || first == 0);
		memcpy(in + have, bytes.p + done, n);
		have += n;
		done += n;
		do {
			ws_decode(d, in, have, room, &used, &ev);
			assert_true(used <= have);
			trace_event(t, &ev);
			have -= used;
			memmove(in, in + used, have);
		} while (ev.type != WS_EV_MORE && ev.type != WS_EV_ERROR);
		if (ev.type == WS_EV_ERROR)
			return;
		n = step;
	}
}

/* The trace of reading bytes at once with a fresh decoder. */
static void
check_trace(enum ws_role role, struct span bytes, const char *want)
{
	struct ws_decoder d;
	struct buf t;

	ws_decoder_init(&d, role, MAX_FRAME, 1);
	buf_init(&t, 0);
	run(&d, bytes, IN_MAX, bytes.len, 1, &t);
	if (!span_eq(buf_span(&t), span_str(want)))
		fail_msg("%.*s instead of %s", (int)buf_len(&t), buf_span(&t).p,
		    want);
	buf_free(&t);
}

#define PROTOCOL(why) "error(1002 " why ")"

/* Bytes, and the trace of reading them. */
static const struct rule {
	enum ws_role role; /* the reader's */
	struct span bytes;
	const char *want;
} rules[] = {
#define C(bytes, want)                                      \
	{                                                   \
		WS_CLIENT, {bytes, sizeof(bytes) - 1}, want \
	}
#define S(bytes, want)                                      \
	{                                                   \
		WS_SERVER, {bytes, sizeof(bytes) - 1}, want \
	}
    /* 5.2: reserved bits, opcodes */
    C("\xc1\x00", PROTOCOL("reserved bit set")),
    C("\xa1\x00", PROTOCOL("reserved bit set")),
    C("\x91\x00", PROTOCOL("reserved bit set")),
    C("\x83\x00", PROTOCOL("unknown opcode")),
    C("\x84\x00", PROTOCOL("unknown opcode")),
    C("\x85\x00", PROTOCOL("unknown opcode")),
    C("\x86\x00", PROTOCOL("unknown opcode")),
    C("\x87\x00", PROTOCOL("unknown opcode")),
    C("\x8b\x00", PROTOCOL("unknown opcode")),
    C("\x8c\x00", PROTOCOL("unknown opcode")),
    C("\x8d\x00", PROTOCOL("unknown opcode")),
    C("\x8e\x00", PROTOCOL("unknown opcode")),
    C("\x8f\x00", PROTOCOL("unknown opcode")),
    /* 5.5: control frames */
    C("\x09\x00", PROTOCOL("fragmented control frame")),
    C("\x0a\x00", PROTOCOL("fragmented control frame")),
    C("\x08\x00", PROTOCOL("fragmented control frame")),
    C("\x89\x7e\x00\x7e", PROTOCOL("control frame longer than 125 bytes")),
    C("\x88\x7f", PROTOCOL("control frame longer than 125 bytes")),
    /* 5.2: the shortest form of a length */
    C("\x82\x7e\x00\x7d", PROTOCOL("length not in its shortest form")),
    C("\x82\x7e\x00\x00", PROTOCOL("length not in its shortest form")),
    C("\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff",
	PROTOCOL("length not in its shortest form")),
    C("\x82\x7f\x00\x00\x00\x00\x00\x00\x00\x05",
	PROTOCOL("length not in its shortest form")),
    C("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00",
	PROTOCOL("length with its top bit set")),
    C("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
	PROTOCOL("length with its top bit set")),
    /* 5.1: who masks */
    C("\x81\x80\x01\x02\x03\x04", PROTOCOL("masked frame from a server")),
    S("\x81\x00", PROTOCOL("unmasked frame from a client")),
    S("\x89\x00", PROTOCOL("unmasked frame from a client")),
    /* 5.4: fragments */
    C("\x80\x01x", PROTOCOL("continuation of no message")),
    C("\x81\x01x\x80\x01y", "text(x)" PROTOCOL("continuation of no message")),
    C("\x01\x01x\x81\x01y",
	"text(x" PROTOCOL("new message inside a fragmented one")),
    C("\x02\x01x\x01\x01y",
	"bin(x" PROTOCOL("new message inside a fragmented one")),
    /* 5.5.1 and 7.4: close */
    C("\x88\x01\x03", PROTOCOL("close code of one byte")),
    C("\x88\x02\x03\xe7", PROTOCOL("close code that must not be sent")),
    C("\x88\x02\x03\xed", PROTOCOL("close code that must not be sent")),
    C("\x88\x02\x03\xee", PROTOCOL("close code that must not be sent")),
    C("\x88\x04\x03\xe8\xc3\x28", "error(1007 close reason is not UTF-8)"),
    C("\x88\x03\x03\xe8\xc3", "error(1007 close reason is not UTF-8)"),
    C("\x88\x00", "close(1005 )"),
    C("\x88\x02\x03\xe8", "close(1000 )"),
    C("\x88\x09\x11\x31"
      "expired",
	"close(4401 expired)"),
    /* 8.1: text is UTF-8, over fragments */
    C("\x81\x02\xc3\xa9", "text(\xc3\xa9)"),
    C("\x01\x01\xc3\x80\x01\xa9", "text(\xc3\xa9)"),
    C("\x81\x01\xc3", "error(1007 text message is not UTF-8)"),
    C("\x01\x01\xc3\x80\x01x",
	"text(\xc3"
	"error(1007 text message is not UTF-8)"),
    C("\x01\x01\xc3\x80\x00",
	"text(\xc3"
	"error(1007 text message is not UTF-8)"),
    C("\x01\x02x\xff", "error(1007 text message is not UTF-8)"),
    C("\x82\x02\xc3\xff", "bin(\xc3\xff)"),
    /* bounds */
    C("\x82\x7f\x00\x00\x00\x00\x00\x01\x11\x71", "error(1009 frame too long)"),
    /* what is allowed */
    C("\x81\x00", "text()"),
    C("\x01\x00\x00\x00\x80\x00", "text()"),
    C("\x01\x02He\x89\x01p\x8a\x00\x80\x03llo", "text(Heping(p)pong()llo)"),
    S("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "text(Hello)"),
    S("\x88\x82\x37\xfa\x21\x3d\x34\x12", "close(1000 )"),
#undef C
#undef S
};

static void
test_each_rule_has_its_refusal(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		check_trace(rules[i].role, rules[i].bytes, rules[i].want);
}

static void
test_close_codes(void **state)
{
	static const struct {
		unsigned from, to;
	} good[] = {{1000, 1003}, {1007, 1014}, {3000, 4999}};
	unsigned code, i, want;

	(void)state;
	for (code = 0; code < 0x10000; code++) {
		for (want = i = 0; i < 3; i++)
			want |= code >= good[i].from && code <= good[i].to;
		assert_int_equal(ws_close_code_ok(code), want);
	}
}

/* One of everything, with lengths at the edges of their forms. */
static void
put_everything(struct buf *b, enum ws_role from)
{
	char big[1000];

	memset(big, 'z', sizeof(big));
	put_frame(b, from, WS_TEXT, 1, "first \xe2\x80\x93 one", 13);
	put_frame(b, from, WS_PING, 1, "", 0);
	put_frame(b, from, WS_BINARY, 1, big, 125);
	put_frame(b, from, WS_TEXT, 0, "frag \xf0\x9f", 7);
	put_frame(b, from, WS_PONG, 1, big, 125);
	put_frame(b, from, WS_CONT, 0, "\x99", 1);
	put_frame(b, from, WS_PING, 1, "in between", 10);
	put_frame(b, from, WS_CONT, 0, "", 0);
	put_frame(b, from, WS_CONT, 1, "\x82.", 2);
	put_frame(b, from, WS_BINARY, 1, big, 126);
	put_frame(b, from, WS_TEXT, 0, big, 127);
	put_frame(b, from, WS_CONT, 1, big, 900);
	put_frame(b, from, WS_BINARY, 1, "", 0);
	put_frame(b, from, WS_CLOSE, 1,
	    "\x11\x31"
	    "bye \xc3\xa9",
	    8);
	buf_add(b, "behind the close", 16);
}

/* Read b with the first portion cut off at `cut`, the rest in steps. */
static void
check_split(const struct buf *b, enum ws_role reader, size_t room, size_t cut,
    size_t step, struct span want)
{
	struct ws_decoder d;
	struct buf got;

	buf_init(&got, 0);
	ws_decoder_init(&d, reader, MAX_FRAME, 1);
	run(&d, buf_span(b), room, cut, step, &got);
	if (!span_eq(want, buf_span(&got)))
		fail_msg("room %zu, cut at %zu, step %zu", room, cut, step);
	buf_free(&got);
}

static void
split_everywhere(enum ws_role from)
{
	static const size_t rooms[] = {IN_MAX, 1024, 300, 139};
	static const char last[] = "close(4401 bye \xc3\xa9)";
	enum ws_role reader = from == WS_CLIENT ? WS_SERVER : WS_CLIENT;
	struct ws_decoder d;
	struct buf b, want;
	size_t n, r;

	buf_init(&b, 0);
	buf_init(&want, 0);
	put_everything(&b, from);
	ws_decoder_init(&d, reader, MAX_FRAME, 1);
	run(&d, buf_span(&b), IN_MAX, buf_len(&b), 1, &want);
	assert_true(buf_len(&want) > 1500);
	assert_memory_equal(b.p + b.end - 16, "behind the close", 16);
	assert_memory_equal(
	    want.p + want.end - (sizeof(last) - 1), last, sizeof(last) - 1);
	for (r = 0; r < sizeof(rooms) / sizeof(rooms[0]); r++) {
		for (n = 1; n < buf_len(&b); n++)
			check_split(
			    &b, reader, rooms[r], n, IN_MAX, buf_span(&want));
		for (n = 1; n < 20; n++)
			check_split(
			    &b, reader, rooms[r], n, n, buf_span(&want));
	}
	buf_free(&b);
	buf_free(&want);
}

static void
test_input_cut_anywhere_gives_the_same_events(void **state)
{
	(void)state;
	split_everywhere(WS_SERVER);
	split_everywhere(WS_CLIENT);
}

/* The contract of ws_decode about waiting and handing out. */
static void
test_whole_frames_are_one_event_and_long_ones_come_in_pieces(void **state)
{
	struct ws_decoder d;
	struct ws_event ev;
	char in[64];
	size_t used;

	(void)state;
	ws_decoder_init(&d, WS_CLIENT, 1000, 1);
	memcpy(in, "\x81\x05Hello", 7);
	/* Cut short, it fits the room: waited for, nothing is dropped. */
	ws_decode(&d, in, 6, 7, &used, &ev);
	assert_int_equal(ev.type, WS_EV_MORE);
	assert_int_equal(used, 0);
	ws_decode(&d, in, 7, 7, &used, &ev);
	assert_int_equal(ev.type, WS_EV_DATA);
	assert_int_equal(used, 7);
	assert_ptr_equal(ev.payload.p, in + 2);
	assert_true(ev.first && ev.last);
	/* One byte longer than the room: pieces. */
	ws_decode(&d, in, 2, 6, &used, &ev);
	assert_int_equal(ev.type, WS_EV_MORE);
	assert_int_equal(used, 2);
	ws_decode(&d, in + 2, 0, 6, &used, &ev);
	assert_int_equal(ev.type, WS_EV_MORE);
	ws_decode(&d, in + 2, 2, 6, &used, &ev);
	assert_true(ev.type == WS_EV_DATA && ev.first && !ev.last);
	assert_int_equal(ev.payload.len, 2);
	ws_decode(&d, in + 4, 3, 6, &used, &ev);
	assert_true(ev.type == WS_EV_DATA && !ev.first && ev.last);
	assert_int_equal(used, 3);
	/* The next frame begins afresh. */
	ws_decode(&d, in, 7, 64, &used, &ev);
	assert_true(ev.type == WS_EV_DATA && ev.first && ev.last);
}

static void
test_a_length_is_refused_before_any_payload_comes(void **state)
{
	struct ws_decoder d;
	struct ws_event ev;
	char in[] = "\x82\x7e\x03\xe8\x82\x7e\x03\xe9";
	size_t used;

	(void)state;
	ws_decoder_init(&d, WS_CLIENT, 1000, 1);
	ws_decode(&d, in, 4, 4096, &used, &ev);
	assert_int_equal(ev.type, WS_EV_MORE);
	ws_decode(&d, in + 4, 4, 4096, &used, &ev);
	assert_int_equal(ev.type, WS_EV_ERROR);
	assert_int_equal(ev.code, WS_CLOSE_TOO_BIG);
	/* The bound is for data: a ping passes below any. */
	ws_decoder_init(&d, WS_CLIENT, 0, 1);
	memcpy(in, "\x89\x01p", 3);
	ws_decode(&d, in, 3, 4096, &used, &ev);
	assert_int_equal(ev.type, WS_EV_PING);
}

static void
test_nothing_is_read_after_close_or_error(void **state)
{
	struct ws_decoder d;
	struct ws_event ev;
	char in[] = "\x88\x00\x81\x01x", bad[] = "\xc1\x00\x81\x01x";
	size_t used;

	(void)state;
	ws_decoder_init(&d, WS_CLIENT, 1000, 1);
	ws_decode(&d, in, 5, 4096, &used, &ev);
	assert_int_equal(ev.type, WS_EV_CLOSE);
	assert_int_equal(used, 2);
	ws_decode(&d, in + 2, 3, 4096, &used, &ev);
	assert_int_equal(ev.type, WS_EV_MORE);
	assert_int_equal(used, 3);
	ws_decoder_init(&d, WS_CLIENT, 1000, 1);
	ws_decode(&d, bad, 5, 4096, &used, &ev);
	assert_int_equal(ev.type, WS_EV_ERROR);
	assert_int_equal(used, 0);
	ws_decode(&d, in + 2, 3, 4096, &used, &ev);
	assert_int_equal(ev.type, WS_EV_MORE);
	assert_int_equal(used, 3);
}

static void
test_utf8_is_checked_only_when_asked(void **state)
{
	struct ws_decoder d;
	struct ws_event ev;
	char in[] = "\x81\x01\xff\x88\x03\x03\xe8\xff";
	size_t used;

	(void)state;
	ws_decoder_init(&d, WS_CLIENT, 1000, 0);
	ws_decode(&d, in, 8, 4096, &used, &ev);
	assert_int_equal(ev.type, WS_EV_DATA);
	/* A close reason is shown to people: always. */
	ws_decode(&d, in + 3, 5, 4096, &used, &ev);
	assert_int_equal(ev.type, WS_EV_ERROR);
	assert_int_equal(ev.code, WS_CLOSE_BAD_PAYLOAD);
}

static void
test_masking_is_the_loop_over_bytes(void **state)
{
	static void (*const masks[])(char *, size_t, const uint8_t[4],
	    uint64_t) = {ws_mask, scalar_mask};
	char *got, want[256];
	size_t len, i, m, align;
	uint64_t pos;

	(void)state;
	for (m = 0; m < 2; m++)
		for (len = 0; len <= 200; len++)
			for (pos = 0; pos < 8; pos++) {
				align = (len + pos) % 16;
				got = malloc(align + len + 1);
				assert_non_null(got);
				for (i = 0; i < len; i++) {
					got[align + i] = (char)(i * 7 + pos);
					want[i] =
					    (char)((uint8_t)got[align + i] ^
						mask[(pos + i) % 4]);
				}
				got[align + len] = 'E';
				/* Any position, also a very late one. */
				masks[m](got + align, len, mask,
				    pos < 4 ? pos : pos + (1ULL << 40));
				assert_memory_equal(got + align, want, len);
				assert_int_equal(got[align + len], 'E');
				free(got);
			}
}

static void
test_heads_are_written_in_their_shortest_form(void **state)
{
	static const struct {
		uint64_t len;
		size_t size;
		const char *bytes;
	} cases[] = {
	    {0, 2, "\x81\x00"},
	    {125, 2, "\x81\x7d"},
	    {126, 4, "\x81\x7e\x00\x7e"},
	    {65535, 4, "\x81\x7e\xff\xff"},
	    {65536, 10, "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"},
	    {INT64_MAX, 10, "\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"},
	};
	char head[WS_HEAD_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(ws_head(head, WS_TEXT, 1, cases[i].len, NULL),
		    cases[i].size);
		assert_memory_equal(head, cases[i].bytes, cases[i].size);
		assert_int_equal(ws_head(head, WS_TEXT, 1, cases[i].len, mask),
		    cases[i].size + 4);
		assert_memory_equal(head + cases[i].size, mask, 4);
		assert_int_equal(
		    (uint8_t)head[1], (uint8_t)cases[i].bytes[1] | 0x80);
	}
	assert_int_equal(ws_head(head, WS_CONT, 0, 1, NULL), 2);
	assert_memory_equal(head, "\x00\x01", 2);
	assert_int_equal(ws_head(head, WS_CLOSE, 1, 0, NULL), 2);
	assert_memory_equal(head, "\x88\x00", 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_each_rule_has_its_refusal),
	    cmocka_unit_test(test_close_codes),
	    cmocka_unit_test(test_input_cut_anywhere_gives_the_same_events),
	    cmocka_unit_test(
		test_whole_frames_are_one_event_and_long_ones_come_in_pieces),
	    cmocka_unit_test(test_a_length_is_refused_before_any_payload_comes),
	    cmocka_unit_test(test_nothing_is_read_after_close_or_error),
	    cmocka_unit_test(test_utf8_is_checked_only_when_asked),
	    cmocka_unit_test(test_masking_is_the_loop_over_bytes),
	    cmocka_unit_test(test_heads_are_written_in_their_shortest_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
