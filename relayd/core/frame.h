/* SPDX-License-Identifier: ISC */
/* The connector's frames (CONTRACT 3): one line each, by type. */
#ifndef FRAME_H
#define FRAME_H

#include "span.h"

struct gateway;

/* Send a hello for each identity that is not skipped. */
void frame_hellos(struct gateway *gw);
/* A line from the connector, without its newline. */
void frame_line(struct gateway *gw, struct span line);
/* A line that was too long to be kept; of its first and its last bytes. */
void frame_oversized(struct gateway *gw, struct span head, struct span tail);

#endif
