/* SPDX-License-Identifier: ISC */
/*
 * The journals of gateways, as the supervisor has them: it makes, checks,
 * locks and grows their files, or the memory in their place, keeps them open
 * over engines and reloads, and reads no more of them than the head.
 */
#ifndef SUP_JOURNAL_H
#define SUP_JOURNAL_H

#include <stdint.h>

#include "conf.h"

struct sup_journal {
	int fd;	      /* file or memory, -1: none; a file's is locked */
	uint8_t open; /* what stands below was decided */
	uint8_t made; /* the file was not there before */
	uint8_t kept; /* lived by: its file is not taken away again */
	uint8_t away; /* its file was found to be away */
	enum conf_journal where; /* as configured when it was opened */
	uint64_t asked;		 /* size as configured then */
	uint64_t size;		 /* of what fd is of */
};

void sup_journal_init(struct sup_journal *j);
/*
 * Have the journal of gateway g, if it is not open already; files are below
 * the state directory.  A file whose head is wrong is put aside, and a new one
 * begun.  0, or -1 with the reason in e->text.  May wait for another process
 * to give the file's lock back, for two seconds.
 */
int sup_journal_open(struct sup_journal *j, const char *state,
    const struct conf_gateway *g, struct conf_error *e);
/*
 * Whether a start finds room for the journal of g, as far as the file system
 * tells; nothing is made.  want counts the bytes of the journals asked about
 * before it, and gets its own.  0, or -1 with the reason in why.
 */
int sup_journal_room(const char *state, const struct conf_gateway *g,
    uint64_t *want, char *why, size_t whylen);
/* The gateway is lived by, with these settings: take over what can be, and say
 * in the log what has to wait until relayd is started anew. */
void sup_journal_keep(struct sup_journal *j, const struct conf_gateway *g);
/* Now and then: tell, once, that somebody took its file away. */
void
sup_journal_look(struct sup_journal *j, const char *state, const char *name);
/* The gateway is no more.  Its file stays, and gone says so in the log; one
 * that was made for a gateway never lived by is removed. */
void sup_journal_close(
    struct sup_journal *j, const char *state, const char *name, int gone);

#endif
