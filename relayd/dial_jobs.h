/* SPDX-License-Identifier: ISC */
/*
 * The dials that the dialer is asked for: whose they are, in which order and
 * how fast they begin, and whom their outcome is told.
 */
#ifndef DIAL_JOBS_H
#define DIAL_JOBS_H

#include <stdint.h>

#include "dial.h"
#include "msg.h"

struct child;
struct dial_jobs;

/* Who asked: the engine for its link, or relay-authd for an exchange. */
enum dial_owner { OWNER_ENGINE, OWNER_AUTHD, OWNER_COUNT };

/* No dial may begin before dial_jobs_rate.  child and env stay the caller's
 * and outlive it.  NULL without memory. */
struct dial_jobs *
dial_jobs_new(struct child *child, const struct dial_env *env);
void dial_jobs_free(struct dial_jobs *jobs);

/* The budget of all dials together: no second has more (but for a budget of
 * 1, two at its ends); at least 1. */
void dial_jobs_rate(struct dial_jobs *jobs, uint32_t per_s);

/* Begin a dial, or let it wait its turn.  The target stays the caller's, and
 * is there until dial_jobs_fail or the outcome.  NULL, or a phrase that makes
 * the request an offence: an owner has one dial for each gateway, and one of
 * each number. */
const char *dial_jobs_add(struct dial_jobs *jobs, enum dial_owner owner,
    uint32_t gateway, uint32_t corr, const struct dial_target *target);
/* It is no longer wanted.  NULL, or a phrase: it is another gateway's. */
const char *dial_jobs_cancel(struct dial_jobs *jobs, enum dial_owner owner,
    uint32_t gateway, uint32_t corr);

/* Tell the owner that there is no connection, and why.  name: the gateway's,
 * for the log, or NULL. */
void dial_jobs_refuse(struct dial_jobs *jobs, enum dial_owner owner,
    uint32_t gateway, const char *name, uint32_t corr, enum dial_stage stage,
    const char *reason);
/* End all dials to a target, which goes: their owners are told why. */
void dial_jobs_fail(struct dial_jobs *jobs, const struct dial_target *target,
    enum dial_stage stage, const char *reason);
/* End all of an owner's, who is gone, without a word. */
void dial_jobs_drop(struct dial_jobs *jobs, enum dial_owner owner);

#endif
