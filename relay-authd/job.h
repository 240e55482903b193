/* SPDX-License-Identifier: ISC */
/*
 * Jobs: what relay-authd has done by HTTP exchanges.  A job gets what it needs
 * step by step (a secret opened by the supervisor, an identity token, one
 * exchange per identity) and ends with a result.  Messages in, messages out;
 * no descriptor is read but secrets' files.
 */
#ifndef JOB_H
#define JOB_H

#include "msg.h"
#include "vault.h"

#define JOB_EXCHANGE_MS 15000 /* a whole exchange (CONTRACT 2) */
#define JOB_SECRET_MS	5000  /* for the supervisor to open a file */

enum job_kind { JOB_PROVISION, JOB_ENROLL, JOB_POLICY, JOB_KINDS };

/* A gateway's settings for its exchanges, in copies. */
struct plan {
	struct msg_kept *provision, *token, *fronted[LIMIT_IDENTITIES];
	unsigned nfronted;
};

struct job {
	enum job_kind kind;
	enum { JOB_FREE, JOB_SECRET, JOB_EXCHANGE } state;
	uint32_t gateway, cookie; /* the starter's */
	const char *name;	  /* of the gateway, the starter's */
	const struct plan *plan;  /* the starter's */
	char id[LIMIT_ID + 1];	  /* gateway id to ask for */
	struct vault vault;	  /* what follows lies in it */
	struct span enroll, client, identity;
	/* the step under way */
	uint32_t corr;
	enum want_secret want;
	enum xchg_kind with;
	int sock; /* for the exchange, or -1 */
	uint8_t piped, dialled, asked;
	uint64_t deadline;
	/* what came of it so far */
	unsigned item, good; /* next identity; how many went well */
	uint8_t absent;	     /* a secret could not be opened */
	const char *code;    /* NULL, or of the last failure, as auth.sock's */
	char why[LIMIT_REASON + 1]; /* and in words */
};

struct job_ops {
	/* A message; to ROLE_XCHG: by the pipe of this correlation.  0, -1 */
	int (*send)(enum role to, enum msg_type type, uint32_t corr,
	    const void *fields, int fd, void *arg);
	/* An exchange's pipe; what it says comes to job_message.  0, -1. */
	int (*open)(uint32_t corr, int fd, void *arg);
	void (*close)(uint32_t corr, void *arg);
	/* A token of the gateway's own; its length, or 0. */
	size_t (*mint)(
	    uint32_t gateway, char token[LIMIT_TOKEN + 1], void *arg);
	/* A bearer was used: audited. */
	void (*used)(const struct job *j, const char *what, const char *outcome,
	    void *arg);
	/* The first credential of the job.  NULL, or why it cannot be kept. */
	const char *(*take)(
	    const struct job *j, const struct msg_xanswer *m, void *arg);
	/* Ended: code is NULL when all went well, good when some did.  The job
	 * is gone when this returns. */
	void (*done)(const struct job *j, void *arg);
};

struct jobs {
	struct job job[LIMIT_EXCHANGES];
	uint32_t seq;
	const struct job_ops *ops;
	void *arg;
};

/* Start one; j's kind, gateway, cookie, name, plan and id are taken, token (may
 * be absent) is the enrolment token.  NULL, or why it cannot be ("busy" among
 * its words); done is not called then, but it may be before this returns. */
const char *job_start(
    struct jobs *js, const struct job *j, struct span token, uint64_t now_ms);
/* The gateway's job, or NULL. */
const struct job *job_of(const struct jobs *js, uint32_t gateway);
/* End it with this failure. */
void job_cancel(struct jobs *js, uint32_t gateway, const char *why);
/* A message from supervisor, dialer or exchange; its descriptor is taken.
 * NULL, or a phrase: it must not be. */
const char *job_message(struct jobs *js, struct msg *m, uint64_t now_ms);
/* An exchange's pipe ended or broke a rule. */
void job_lost(struct jobs *js, uint32_t corr, const char *why, uint64_t now_ms);
/* End what is too late.  Returns when the next one will be; UINT64_MAX. */
uint64_t job_tick(struct jobs *js, uint64_t now_ms);

#endif
