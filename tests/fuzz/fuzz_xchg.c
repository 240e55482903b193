/* SPDX-License-Identifier: ISC */
/*
 * Answers to an exchange: what is made of one does not depend on how it
 * arrives, lies within its bounds, and can always be told to relay-authd.
 * Input: what is expected, a seed for the pieces, and what the peer sends.
 */
#include "fuzz.h"
#include "utf8.h"

#include "../../relay-xchg/xchg_answer.c"
#include "../../relay-xchg/xchg_http.c"

struct one {
	struct xchg_reader reader;
	struct xchg_result result;
};

/* In pieces of random length, each alone in memory; seed 0: in one. */
static struct one *
take(enum xchg_answer kind, struct span text, uint32_t seed)
{
	struct one *o = malloc(sizeof(*o));
	size_t at = 0, n;
	char *piece;

	CHECK(o != NULL);
	memset(&o->result, 0, sizeof(o->result));
	xchg_reader_init(&o->reader);
	while (at < text.len) {
		n = text.len - at;
		if (seed != 0)
			n = 1 + next_random(&seed) % (n < 40 ? n : 40);
		piece = exact((struct span){text.p + at, n});
		xchg_reader_feed(&o->reader, piece, n);
		free(piece);
		at += n;
	}
	xchg_reader_close(&o->reader);
	CHECK(o->reader.state == READER_DONE || o->reader.state == READER_BAD);
	CHECK((o->reader.state == READER_BAD) == (o->reader.err != NULL));
	if (o->reader.status != 0)
		xchg_answer_http(&o->result, kind, &o->reader);
	return o;
}

static void
check_visible(struct span s)
{
	size_t i;

	for (i = 0; i < s.len; i++)
		CHECK(s.p[i] > ' ' && s.p[i] < 0x7f);
}

static void
check_plain(struct span s)
{
	size_t i;

	CHECK(utf8_valid_prefix(s.p, s.len) == s.len);
	for (i = 0; i < s.len; i++)
		CHECK((unsigned char)s.p[i] >= 0x20 && s.p[i] != 0x7f);
}

/* It can be told, and says what its stage says. */
static void
check_told(enum xchg_answer kind, const struct msg_xanswer *m)
{
	static char packet[LIMIT_PACKET];
	const int done = m->stage == XSTAGE_DONE;

	CHECK(msg_encode(packet, sizeof(packet), MSG_XANSWER, 1, m) > 0);
	check_plain(m->reason);
	check_visible(m->token);
	check_plain(m->secret);
	check_plain(m->delivery_key);
	check_plain(m->tenant);
	check_plain(m->gateway_id);
	CHECK((m->secret.len > 0) == (done && kind == ANSWER_CREDENTIAL));
	CHECK((m->token.len > 0) ==
	    (done && (kind == ANSWER_TOKEN || kind == ANSWER_COMMAND)));
	CHECK(!done || m->reason.len == 0);
	if (kind == ANSWER_COMMAND)
		return;
	CHECK(!done || (m->status >= 200 && m->status <= 299));
	CHECK((m->stage == XSTAGE_REFUSED) == (m->status >= 300));
}

static void
check_same(const struct one *a, const struct one *b)
{
	const struct msg_xanswer *m = &a->result.m, *n = &b->result.m;

	CHECK(a->reader.state == b->reader.state);
	CHECK(a->reader.status == b->reader.status);
	CHECK(a->reader.err == b->reader.err);
	CHECK(m->stage == n->stage && m->status == n->status &&
	    m->date == n->date);
	CHECK(span_eq(m->reason, n->reason) && span_eq(m->token, n->token) &&
	    span_eq(m->secret, n->secret) && span_eq(m->tenant, n->tenant) &&
	    span_eq(m->delivery_key, n->delivery_key) &&
	    span_eq(m->gateway_id, n->gateway_id));
}

/* What a command printed. */
static void
check_printed(struct span text)
{
	struct xchg_result *r = calloc(1, sizeof(*r));
	char *copy = exact(text);

	CHECK(r != NULL);
	xchg_answer_command(r, (struct span){copy, text.len});
	CHECK(r->m.stage == XSTAGE_DONE || r->m.stage == XSTAGE_COMMAND);
	check_told(ANSWER_COMMAND, &r->m);
	free(copy);
	free(r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	enum xchg_answer kind = (enum xchg_answer)(input_byte(&in) % 3);
	uint32_t seed = input_byte(&in) + 1;
	struct one *whole, *pieces;

	whole = take(kind, input_rest(&in), 0);
	pieces = take(kind, input_rest(&in), seed);
	check_same(whole, pieces);
	if (whole->reader.status != 0)
		check_told(kind, &whole->result.m);
	check_printed(input_rest(&in));
	free(whole);
	free(pieces);
	return 0;
}
