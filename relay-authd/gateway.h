/* SPDX-License-Identifier: ISC */
/*
 * What relay-authd does about each gateway's credential: which source it is
 * taken from, when it is provisioned, told of, marked as revoked.  Messages in,
 * messages out; the time is given.
 */
#ifndef GATEWAY_H
#define GATEWAY_H

#include "job.h"
#include "permit.h"
#include "secret.h"
#include "store.h"

/* What the connector refuses before it ever worked is provisioned again, so
 * often, after so long and then ever more rarely. */
#define GATEWAY_RENEWALS   5
#define GATEWAY_RENEWAL_MS 5000
/* A policy that is refused is sent so often. */
#define GATEWAY_POLICY_TRIES 5

/* What secrets are used for: a link, and the kinds of jobs. */
enum { USE_LINK, USE_JOB, USES = USE_JOB + JOB_KINDS };

struct gateway {
	struct plan plan, next;	       /* lived by, staged */
	struct cred own;	       /* enrolled, imported or provisioned */
	struct cred kept, old;	       /* staged; replaced by a commit */
	struct standing standing;      /* of URL and configured id */
	char asked[LIMIT_ID + 1];      /* configured gateway id */
	char wake_url[LIMIT_PATH + 1]; /* of an enrolment under way */
	char why[LIMIT_REASON + 1];    /* why there is no own one */
	char policy[LIMIT_REASON + 1]; /* its state in words */
	char unset[LIMIT_REASON + 1];  /* why nothing is pinned */
	uint32_t skipped; /* identities not provisioned with it, bits */
	char skipped_why[LIMIT_REASON + 1]; /* why */
	struct cred won;		    /* by the provisioning under way */
	uint8_t refused;   /* its file is there and cannot be used */
	uint8_t anew;	   /* it is refused: all is provisioned again */
	unsigned renewals; /* for the connector's refusals */
	unsigned tries[JOB_KINDS];
	uint64_t due[JOB_KINDS]; /* when to try; 0: not */
	uint64_t before; /* connections up to this had another credential */
	uint64_t uses[USES];
	uint64_t refusals;
	int64_t refused_at; /* last refusal; 0: none */
	const char *refused_what;
	char refused_why[LIMIT_REASON + 1];
};

struct gateways {
	struct gateway *all; /* LIMIT_GATEWAYS */
	struct secrets *secrets;
	struct permits *permits;
	struct jobs jobs;
	int dir;	 /* of the files; -1: none are kept */
	uint64_t now_ms; /* of the event under way */
	int64_t now;	 /* Unix seconds */
	/* send, open and close are the caller's; called with us as arg */
	struct job_ops ops;
	/* An enrolment ended; well, if j->good is not 0. */
	void (*enrolled)(const struct job *j, struct gateways *gs);
	void *owner;		     /* the caller's */
	char text[LIMIT_REASON + 1]; /* of a refusal */
};

/* Set all up; the caller has set what is no table of ours.  0, or -1. */
int gateway_init(struct gateways *gs);

/* Configuration: begin a stage (and forget one), add to it; then before and
 * after secret_commit. */
void gateway_stage(struct gateways *gs);
const char *gateway_item(struct gateways *gs, struct msg *m);
void gateway_prepare(struct gateways *gs);
void gateway_settle(struct gateways *gs);

/* Tell the engine of all. */
void gateway_tell_all(struct gateways *gs);
/* The engine says WORKED, REFUSED, REVOKED or ENABLE.  NULL, or a phrase. */
const char *gateway_message(struct gateways *gs, const struct msg *m);
/* Do what is due.  Returns when the next is. */
uint64_t gateway_tick(struct gateways *gs);

/* Operators' commands.  NULL, or a code with the sentence in gs->text. */
const char *gateway_enroll(struct gateways *gs, uint32_t g, uint32_t cookie,
    struct span token, struct span id, struct span wake_url);
const char *gateway_import(struct gateways *gs, uint32_t g, struct span id,
    struct span secret, struct span delivery_key, struct span wake_url);
const char *gateway_forget(struct gateways *gs, uint32_t g);

#endif
