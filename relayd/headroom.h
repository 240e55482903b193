/* SPDX-License-Identifier: ISC */
/* Descriptors that are kept free of clients, so that a link's connection and
 * a new pipe always find room. */
#ifndef HEADROOM_H
#define HEADROOM_H

#include "engine.h"

/* Told to whoever is turned away. */
#define HEADROOM_LACK \
	"relayd is out of descriptors: its limit of open files is too low"

/*
 * Whether the number of a descriptor that was just accepted leaves free what
 * the engine needs (LIMIT_FD_RESERVE) and `more` beside it.  Numbers are
 * handed out lowest first: clients that stay below this mark never take what
 * is above it.  The limit is asked for each time: it can be changed from
 * outside while we run.
 */
int headroom_left(const struct engine *e, int fd, unsigned more);

/* Log that somebody (of a gateway, or NULL) was not served for want of
 * descriptors; at most every ten seconds for one *said, the time of the last
 * (0: never). */
void headroom_log(
    const char *event, const char *gateway, const char *why, uint64_t *said);

#endif
