/* SPDX-License-Identifier: ISC */
/*
 * Jobs: what is done by HTTP exchanges for a gateway.  A job gets what it needs
 * step by step (a secret that the supervisor opens, an identity token, one
 * exchange per identity) and ends.  For an exchange a process is asked for, and
 * a connection for it is dialled; when both have come one request goes there
 * and one answer comes back.  Messages in, messages out.
 */
#ifndef JOB_H
#define JOB_H

#include "plan.h"
#include "vault.h"

#define JOB_EXCHANGE_MS 15000 /* a whole exchange (CONTRACT 2) */

enum job_kind { JOB_PROVISION, JOB_ENROLL, JOB_POLICY, JOB_KINDS };

struct job {
	enum job_kind kind;
	uint32_t gateway, cookie;
	const struct plan *plan; /* the starter's */
	char id[LIMIT_ID + 1];	 /* gateway id to ask for */
	uint32_t skip;		 /* identities to leave out, bits */
	/* private, but for done: */
	enum { JOB_FREE, JOB_SECRET, JOB_EXCHANGE } state;
	struct vault vault; /* holds the next three */
	struct span enroll, client, identity;
	uint32_t corr; /* names the step under way */
	enum want_secret want;
	uint64_t deadline;
	enum xchg_kind with; /* the exchange */
	int sock;	     /* connected, for the exchange; or -1 */
	uint8_t piped;	     /* there is a pipe to it */
	uint8_t dialled;     /* the dialer was asked and has not answered */
	uint8_t asked;	     /* the request is there */
	unsigned item, good; /* next identity; how many went well */
	uint8_t absent;	     /* a secret could not be opened */
	uint8_t cancelled;   /* by job_cancel */
	const char *code; /* of the last failure, as auth.sock says it; NULL */
	char why[LIMIT_REASON + 1]; /* it in words */
	uint32_t failed;	    /* identities that did not go well, bits */
	char failures[LIMIT_REASON + 1]; /* all of them in words */
};

struct job_ops {
	/* A message; to ROLE_XCHG: by the pipe of this correlation.  0, -1 */
	int (*send)(enum role to, enum msg_type type, uint32_t corr,
	    const void *fields, int fd, void *arg);
	/* Take an exchange's pipe, or -1; and be done with it. */
	int (*open)(uint32_t corr, int fd, void *arg);
	void (*close)(uint32_t corr, void *arg);
	/* A token of the gateway's own; its length, or 0. */
	size_t (*mint)(
	    uint32_t gateway, char token[LIMIT_TOKEN + 1], void *arg);
	/* A bearer is about to be used (NULL), then with this outcome. */
	void (*used)(const struct job *j, const char *outcome, void *arg);
	/* The first credential of the job.  NULL, or why it is not kept. */
	const char *(*take)(
	    const struct job *j, const struct msg_xanswer *m, void *arg);
	/* It ended; good says how often it went well. */
	void (*done)(const struct job *j, void *arg);
};

struct jobs {
	struct job job[LIMIT_EXCHANGES];
	uint32_t seq;
	const struct job_ops *ops;
	void *arg;
};

/* It failed once more: set when to try again, ever more rarely.  Returns in how
 * many seconds. */
uint64_t job_retry(const struct job *j, unsigned tries[JOB_KINDS],
    uint64_t due[JOB_KINDS], uint64_t now_ms);

/* Start one like j, of which the members before "private" count; token: to
 * enrol with, absent: the configured one.  NULL, or why it cannot be; done is
 * not called then, but else it may be before this returns. */
const char *job_start(
    struct jobs *js, const struct job *j, struct span token, uint64_t now_ms);
/* The gateway's job, or NULL; and end it with this failure. */
struct job *job_of(struct jobs *js, uint32_t gateway);
void job_cancel(struct jobs *js, uint32_t gateway, const char *why);
/* A message of supervisor, dialer or exchange; its descriptor is taken.  NULL,
 * or a phrase: it must not be. */
const char *job_message(struct jobs *js, struct msg *m, uint64_t now_ms);
/* The pipe of an exchange ended, or broke a rule. */
void job_lost(struct jobs *js, uint32_t corr, const char *why, uint64_t now_ms);
/* End what is too late.  Returns when the next one is; UINT64_MAX: never. */
uint64_t job_tick(struct jobs *js, uint64_t now_ms);

#endif
