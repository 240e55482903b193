/* SPDX-License-Identifier: ISC */
/* The connector's reading in the worlds around the engine's core. */
#ifndef CORE_WIRE_H
#define CORE_WIRE_H

#include <stdlib.h>

#include "core.h"

struct world;

/* Up to n bytes of what the core has written go into b and are decoded from
 * there, frame by frame, up to a close frame or an error. */
static inline void
core_wire_read(struct gateway *gw, size_t n, struct buf *b,
    struct ws_decoder *dec,
    void (*frame)(struct world *, const struct ws_event *), struct world *w)
{
	struct span out = wire_output(gw);
	struct ws_event ev;
	size_t used;

	if (out.len < n)
		n = out.len;
	if (buf_add(b, out.p, n) == -1)
		abort();
	wire_written(gw, n);
	do {
		ws_decode(dec, b->p + b->off, buf_len(b), SIZE_MAX, &used, &ev);
		if (ev.type != WS_EV_MORE)
			frame(w, &ev);
		buf_drain(b, used);
	} while (ev.type != WS_EV_MORE && ev.type != WS_EV_CLOSE &&
	    ev.type != WS_EV_ERROR);
}

#endif
