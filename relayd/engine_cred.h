/* SPDX-License-Identifier: ISC */
/* A gateway's credential as far as the engine knows of it: what relay-authd
 * tells, and what it is told of how the credential fared. */
#ifndef ENGINE_CRED_H
#define ENGINE_CRED_H

#include "engine.h"

/* CREDENTIAL, and STANDING which completes it; eg is NULL while the gateway is
 * not there.  NULL, or a phrase that says what is wrong. */
const char *
engine_cred_told(struct engine *e, struct engine_gw *eg, struct msg *m);
const char *
engine_cred_standing(struct engine *e, struct engine_gw *eg, struct msg *m);
/* The gateway is there: what was told of it before. */
void engine_cred_early(struct engine_gw *eg);
/* What was told and not used is void. */
void engine_cred_forget(struct engine *e);

/* The part of struct core_io that is about the credential. */
void engine_cred_fared(
    void *arg, struct gateway *gw, enum fared what, const char *text);

/* An operator ends the mark of a revocation: the link dials when relay-authd
 * has taken it away.  0; -1: relay-authd is not there. */
int engine_cred_enable(struct engine_gw *eg, uint32_t uid, int32_t pid);

#endif
