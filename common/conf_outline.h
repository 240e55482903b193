/* SPDX-License-Identifier: ISC */
/* A configuration for others' eyes: every key, and no text of its values but
 * what the reader's table lets through. */
#ifndef CONF_OUTLINE_H
#define CONF_OUTLINE_H

#include "buf.h"
#include "conf.h"

/*
 * What to show of a text that stands at a key ("gateways.url",
 * "gateways.identities.bot_id"): appended to out.
 */
typedef void
conf_outline_fn(void *arg, struct buf *out, const char *key, const char *text);

/* Append a line "key: value" for each key.  Numbers, switches and words of the
 * schema are shown as they are, of lists the number of elements, of all other
 * values what fn appends.  */
void conf_outline(
    struct buf *out, const struct conf *c, conf_outline_fn *fn, void *arg);

#endif
