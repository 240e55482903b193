/* SPDX-License-Identifier: ISC */
/*
 * One HTTP exchange as seen by who has it done: an exchange process is asked
 * for, a connection for it is dialled, and when both have come one request
 * goes there and one answer comes back.  Messages in, messages out.
 */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include "msg.h"

#define EXCHANGE_MS 15000 /* a whole one (CONTRACT 2) */

struct exchange_ops {
	/* A message; to ROLE_XCHG: by the pipe of this correlation.  0, -1 */
	int (*send)(enum role to, enum msg_type type, uint32_t corr,
	    const void *fields, int fd, void *arg);
	/* Take an exchange's pipe, or -1; and be done with it. */
	int (*open)(uint32_t corr, int fd, void *arg);
	void (*close)(uint32_t corr, void *arg);
};

struct exchange {
	enum xchg_kind with;
	uint32_t gateway, corr;
	uint64_t deadline;
	int sock;	 /* connected, for the exchange; or -1 */
	uint8_t active;	 /* between begin and end */
	uint8_t piped;	 /* there is a pipe to it */
	uint8_t dialled; /* the dialer was asked and has not answered */
	uint8_t asked;	 /* the request is there */
};

enum exchange_event {
	EXCHANGE_NOTHING,  /* wait on */
	EXCHANGE_READY,	   /* exchange_ask it */
	EXCHANGE_ANSWERED, /* the message is the answer */
	EXCHANGE_LOST,	   /* *why says how; exchange_end it */
	EXCHANGE_OFFENCE   /* *why is a phrase: the sender must not */
};

/* Begin one, named by corr. */
void exchange_begin(struct exchange *x, uint32_t corr, uint32_t gateway,
    enum xchg_kind with, uint64_t now_ms, const struct exchange_ops *ops,
    void *arg);
/* A message whose correlation is its; the descriptor is taken. */
enum exchange_event exchange_message(struct exchange *x, struct msg *m,
    struct span *why, const struct exchange_ops *ops, void *arg);
/* Hand the request over, and the socket with it.  0, or -1 when the exchange is
 * no more. */
int exchange_ask(struct exchange *x, const struct msg_xrequest *m,
    const struct exchange_ops *ops, void *arg);
/* Whatever it has come to. */
void
exchange_end(struct exchange *x, const struct exchange_ops *ops, void *arg);

#endif
