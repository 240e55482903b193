/* SPDX-License-Identifier: ISC */
/*
 * Exchanges: processes that relay-authd asks for, each for one HTTP request
 * or the output of one token command (DESIGN 1).  Started with a pipe to
 * relay-authd and what they need to read; watched to their end.
 */
#ifndef SUP_XCHG_H
#define SUP_XCHG_H

#include "msg.h"
#include "supervisor.h"

/* Who takes longer is killed: relay-authd gives up after 15 s. */
#define XCHG_MS 20000
/* A request may wait so long for one of LIMIT_EXCHANGES to end: the answer of
 * an exchange can be there before its end is. */
#define XCHG_WAIT_MS 1000
/* Between two starts of a gateway's token command. */
#define XCHG_COMMAND_MS 1000

/* 0, or -1 without memory. */
int sup_xchg_init(struct supervisor *s);
void sup_xchg_free(struct supervisor *s);
/* WANT_EXCHANGE: start one, or answer why not. */
void sup_xchg_want(
    struct supervisor *s, uint32_t corr, unsigned gateway, enum xchg_kind kind);
/* relay-authd is gone, or relayd stops: all are killed. */
void sup_xchg_end_all(struct supervisor *s);
/* A process that is none of the children has ended, and will be waited for
 * now; it was. */
void sup_xchg_ended(struct supervisor *s, pid_t pid);
void sup_xchg_reaped(struct supervisor *s, pid_t pid, int status);

#endif
