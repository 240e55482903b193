/* SPDX-License-Identifier: ISC */
/*
 * Happy eyeballs (RFC 8305): in which order and when to try the addresses of
 * a name.  No sockets, no clock: events and the time go in, what to do comes
 * out.
 */
#ifndef RACE_H
#define RACE_H

#include <stddef.h>
#include <stdint.h>

/* Addresses tried at most: eight attempts, 250 ms apart, are two seconds. */
#define RACE_MAX 8
/* Between two attempts (RFC 8305 section 5). */
#define RACE_STEP_MS 250
/* For all attempts together. */
#define RACE_TOTAL_MS 15000

struct race {
	uint8_t order[RACE_MAX]; /* attempt -> the caller's address */
	int err[RACE_MAX];	 /* attempt -> errno, 0: none (yet) */
	unsigned n;		 /* attempts there can be */
	unsigned started;
	unsigned failed;
	uint64_t next_ms;     /* when the next attempt begins */
	uint64_t deadline_ms; /* of all */
};

enum race_what {
	RACE_START,  /* begin the attempt with address *index; ask again */
	RACE_WAIT,   /* nothing to do before *until_ms */
	RACE_GIVE_UP /* all failed, or the time is over */
};

/* Addresses of these families (AF_*), in the resolver's order of preference:
 * taken in turns, beginning with the first one's family.  More than RACE_MAX
 * are left out, but not all of a family. */
void race_init(struct race *r, const int *family, size_t n, uint64_t now_ms);
enum race_what
race_next(struct race *r, uint64_t now_ms, unsigned *index, uint64_t *until_ms);
/* The attempt with that address failed: the next one need not wait. */
void race_failed(struct race *r, unsigned index, int err, uint64_t now_ms);
/* Of the failures, the one that says most: its address in *index and its
 * errno; ETIMEDOUT when none had failed by itself. */
int race_error(const struct race *r, unsigned *index);

#endif
