/* SPDX-License-Identifier: ISC */
/*
 * The places of gateways: messages name a gateway by the index of its place,
 * which stays the same over reloads as long as the gateway's name does.  A
 * place that fell free is the last to be taken again, so that a message that
 * still speaks of the old gateway does not meet a new one.
 */
#ifndef SUP_SLOT_H
#define SUP_SLOT_H

#include <sys/types.h>
#include <stdint.h>
#include <time.h>

#include "limit.h"
#include "sup_journal.h"
#include "sup_sock.h"

/* A file as it was found; all 0: it cannot be found. */
struct sup_stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

struct sup_slot {
	char name[LIMIT_NAME + 1];  /* "": free */
	struct sup_sock sock;	    /* agent/<name>.sock */
	struct sup_journal journal; /* what outlives the engine */
	int kept_fd; /* what outlives relay-authd (KEEP); -1: nothing */
	uint32_t kept_skipped; /* what it told beside it */
	char state[33];	       /* as the engine last told */
	char reason[LIMIT_REASON + 1];
	int64_t since; /* Unix seconds of that */
	int64_t next;  /* of the next attempt; 0: none is planned */
	/* The file of its pinned secret: as relay-authd is being given it, as
	 * it lives by it, and when it was last looked at. */
	struct sup_stamp offered, taken, seen;
	unsigned due; /* relay-authd is to have it */
};

struct sup_slots {
	struct sup_slot slot[LIMIT_GATEWAYS];
	unsigned next; /* where the search for a free place begins */
};

void sup_slots_init(struct sup_slots *s);
/* The index of a name's place, or -1. */
int sup_slot_find(const struct sup_slots *s, const char *name);
/* The same, taking a free place when it has none; -1 when all are taken or
 * the name is too long. */
int sup_slot_take(struct sup_slots *s, const char *name);
/* Give a place back; its descriptors are closed. */
void sup_slot_free(struct sup_slots *s, unsigned i);
/* Whether a place is taken. */
int sup_slot_used(const struct sup_slots *s, unsigned i);

#endif
