/* SPDX-License-Identifier: ISC */
/* Streams: relayd tells, line by line, until one of us ends. */
#ifndef STREAM_H
#define STREAM_H

#include "buf.h"
#include "ctl.h"
#include "field.h"

/* Make the request and show each line of the stream, with --json as it came.
 * Returns the exit status. */
int stream_follow(struct ctl *ctl, struct buf *req, int read_only,
    void (*show)(struct obj *o));
/* Print " ", the label and the member's value, when there is one. */
void stream_field(struct obj *o, const char *key, const char *label);

#endif
