/* SPDX-License-Identifier: ISC */
/* The link's bytes: frames to lines, and lines to masked frames. */
#include <string.h>

#include "core.h"
#include "frame.h"
#include "order.h"
#include "ping.h"

/* A frame's payload at most: a connector that batches its lines sends some
 * megabytes; its lines are bounded one by one. */
#define FRAME_MAX (64U * 1024 * 1024)
/* What is kept of the beginning of a line that is skipped. */
#define HEAD_BYTES 512
/* Lines are gathered into messages of about this size: receivers commonly
 * bound a message at 1 MiB. */
#define MESSAGE_BYTES (64U * 1024)

void
wire_open(struct gateway *gw)
{
	struct wire *w = &gw->wire;

	wire_free(gw);
	ws_decoder_init(&w->dec, WS_CLIENT, FRAME_MAX, 0);
	buf_init(&w->line, LIMIT_LINE);
	buf_init(&w->lines, LIMIT_LINK_QUEUE);
	buf_init(&w->out, LIMIT_LINK_QUEUE + LIMIT_LINE);
	w->skipping = 0;
	w->taillen = 0;
	w->written = 0;
	w->close_sent = 0;
	w->open = 1;
}

void
wire_shut(struct gateway *gw)
{
	wire_flush(gw);
	gw->wire.open = 0;
}

void
wire_free(struct gateway *gw)
{
	struct wire *w = &gw->wire;

	buf_free(&w->line);
	buf_free(&w->lines);
	buf_free(&w->out);
}

/* Remember the end of a line that is too long to be kept: a bufferId may
 * stand there. */
static void
keep_tail(struct wire *w, struct span part)
{
	size_t keep;

	if (part.len >= sizeof(w->tail)) {
		memcpy(w->tail, part.p + part.len - sizeof(w->tail),
		    sizeof(w->tail));
		w->taillen = sizeof(w->tail);
		return;
	}
	keep = sizeof(w->tail) - part.len;
	if (keep > w->taillen)
		keep = w->taillen;
	memmove(w->tail, w->tail + w->taillen - keep, keep);
	memcpy(w->tail + keep, part.p, part.len);
	w->taillen = (uint16_t)(keep + part.len);
}

/* The line that goes on with a part is too long: from now on `line` holds its
 * first bytes alone, where a bufferId may stand as well. */
static void
skip(struct wire *w, struct span part)
{
	char head[HEAD_BYTES];
	struct span line = buf_span(&w->line);
	size_t n = line.len < sizeof(head) ? line.len : sizeof(head), more;

	more = part.len < sizeof(head) - n ? part.len : sizeof(head) - n;
	if (n > 0)
		memcpy(head, line.p, n);
	memcpy(head + n, part.p, more);
	w->skipping = 1;
	w->taillen = 0;
	keep_tail(w, line);
	buf_free(&w->line);
	(void)buf_add(&w->line, head, n + more);
}

/* Bytes of a line whose end is not here yet. */
static void
line_begin(struct gateway *gw, struct span part)
{
	struct wire *w = &gw->wire;

	if (!w->skipping && buf_adds(&w->line, part) == 0)
		return;
	if (!w->skipping)
		skip(w, part);
	keep_tail(w, part);
}

/* The end of a line of which more came before. */
static void
line_end(struct gateway *gw, struct span part)
{
	struct wire *w = &gw->wire;

	line_begin(gw, part);
	if (w->skipping) {
		w->skipping = 0;
		frame_oversized(
		    gw, buf_span(&w->line), (struct span){w->tail, w->taillen});
	} else
		frame_line(gw, buf_span(&w->line));
	if (w->line.cap > MESSAGE_BYTES)
		buf_free(&w->line);
	else
		buf_reset(&w->line);
}

/* A piece of a message: the lines in it.  A line may go on in the next. */
static void
wire_text(struct gateway *gw, struct span text)
{
	struct wire *w = &gw->wire;
	const char *nl;
	struct span line;

	while (text.len > 0 && w->open) {
		nl = memchr(text.p, '\n', text.len);
		if (nl == NULL) {
			line_begin(gw, text);
			return;
		}
		line = (struct span){text.p, (size_t)(nl - text.p)};
		text.len -= line.len + 1;
		text.p = nl + 1;
		if (w->skipping || buf_len(&w->line) > 0)
			line_end(gw, line);
		else if (line.len > LIMIT_LINE)
			frame_oversized(gw, line, line);
		else
			frame_line(gw, line);
	}
}

/* Append one frame with the payload. */
static int
put_frame(struct gateway *gw, enum ws_opcode op, struct span payload)
{
	struct wire *w = &gw->wire;
	char head[WS_HEAD_MAX], *body;
	uint64_t r = core_random(gw->core, 0);
	uint8_t mask[4];
	size_t n;

	memcpy(mask, &r, sizeof(mask));
	n = ws_head(head, op, 1, payload.len, mask);
	if ((body = buf_reserve(&w->out, n + payload.len)) == NULL) {
		w->out.failed = 0;
		return -1;
	}
	memcpy(body, head, n);
	if (payload.len > 0) {
		memcpy(body + n, payload.p, payload.len);
		ws_mask(body + n, payload.len, mask, 0);
	}
	buf_commit(&w->out, n + payload.len);
	gw->core->io->link_output(gw->core->arg, gw);
	return 0;
}

static void
on_event(struct gateway *gw, const struct ws_event *ev)
{
	switch (ev->type) {
	case WS_EV_DATA:
		wire_text(gw, ev->payload);
		break;
	case WS_EV_PING:
		/* One that does not fit is dropped: the peer asks again. */
		if (!gw->wire.close_sent)
			(void)put_frame(gw, WS_PONG, ev->payload);
		break;
	case WS_EV_PONG:
		ping_pong(gw);
		break;
	case WS_EV_CLOSE:
		link_closed(gw, ev->code, ev->payload);
		break;
	case WS_EV_ERROR:
		wire_close(gw, ev->code, ev->why);
		link_event(gw, LE_PROTOCOL,
		    "the connector broke the WebSocket protocol: %s", ev->why);
		break;
	case WS_EV_MORE:
		break;
	}
}

size_t
wire_input(struct gateway *gw, char *p, size_t len, size_t room)
{
	struct ws_event ev;
	size_t done = 0, used;

	link_heard(gw);
	gw->count.bytes_in += len;
	while (gw->wire.open) {
		ws_decode(
		    &gw->wire.dec, p + done, len - done, room, &used, &ev);
		done += used;
		if (ev.type == WS_EV_MORE)
			break;
		on_event(gw, &ev);
	}
	return done;
}

struct span
wire_output(struct gateway *gw)
{
	return buf_span(&gw->wire.out);
}

void
wire_written(struct gateway *gw, size_t n)
{
	struct wire *w = &gw->wire;

	buf_drain(&w->out, n);
	w->written += n;
	/* An idle link holds no buffer. */
	if (buf_len(&w->out) == 0 && w->out.cap > 0)
		buf_free(&w->out);
	/* Nor does it keep waiting what found the queue full. */
	if (buf_len(&w->out) > 0)
		return;
	order_flush(gw);
	if (link_serves(gw) && !TAILQ_EMPTY(&gw->outbound.waiting))
		outbound_link_up(gw);
}

/* The turn's end shall frame this gateway's lines. */
static void
mark_dirty(struct gateway *gw)
{
	if (gw->wire.dirty)
		return;
	gw->wire.dirty = 1;
	gw->next_dirty = gw->core->dirty;
	gw->core->dirty = gw;
}

int
wire_line(struct gateway *gw, const struct span *piece, int n, uint64_t *at)
{
	struct wire *w = &gw->wire;
	size_t len = 1, had = buf_len(&w->lines);
	int i;

	if (!w->open || w->close_sent)
		return -1;
	for (i = 0; i < n; i++)
		len += piece[i].len;
	if (had > 0 && had + len > MESSAGE_BYTES) {
		wire_flush(gw);
		if (!w->open) /* it could not, and that ended the link */
			return -1;
		had = 0;
	}
	if (len + buf_len(&w->out) > LIMIT_LINK_QUEUE)
		return -1;
	/* A frame's head comes before: the true position is a little later,
	 * never earlier. */
	if (at != NULL)
		*at = w->written + buf_len(&w->out) + had;
	for (i = 0; i < n; i++)
		(void)buf_adds(&w->lines, piece[i]);
	(void)buf_add(&w->lines, "\n", 1);
	if (w->lines.failed) {
		w->lines.failed = 0;
		w->lines.end = w->lines.off + had;
		return -1;
	}
	if (gw->taps > 0)
		core_tap(gw, TAP_TO_CONNECTOR, piece, n);
	mark_dirty(gw);
	return 0;
}

void
wire_flush(struct gateway *gw)
{
	struct wire *w = &gw->wire;

	if (buf_len(&w->lines) == 0)
		return;
	delivery_sync(gw);
	if (put_frame(gw, WS_TEXT, buf_span(&w->lines)) == -1)
		link_event(gw, LE_PROTOCOL, "no memory for what is to be sent");
	if (w->lines.cap > MESSAGE_BYTES)
		buf_free(&w->lines);
	else
		buf_reset(&w->lines);
}

void
wire_ping(struct gateway *gw)
{
	if (!gw->wire.close_sent)
		(void)put_frame(gw, WS_PING, SPAN_LIT("relayd"));
}

void
wire_close(struct gateway *gw, uint16_t code, const char *reason)
{
	char payload[WS_CONTROL_MAX];
	size_t n = strlen(reason);

	if (!gw->wire.open || gw->wire.close_sent)
		return;
	wire_flush(gw);
	if (n > sizeof(payload) - 2)
		n = sizeof(payload) - 2;
	payload[0] = (char)(code >> 8);
	payload[1] = (char)(code & 0xff);
	memcpy(payload + 2, reason, n);
	gw->wire.close_sent = 1;
	(void)put_frame(gw, WS_CLOSE, (struct span){payload, n + 2});
}
