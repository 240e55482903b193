/* SPDX-License-Identifier: ISC */
/* Talking to relay-authd on auth.sock, where credentials are changed. */
#ifndef AUTH_H
#define AUTH_H

#include "client.h"

/* Milliseconds until a reply is given up. */
#define AUTH_WAIT_STORE 10000 /* a file is written and synced */
/* An identity token is had and a connector is asked: 20 s each. */
#define AUTH_WAIT_ENROLL 45000

/* Begin a request: {"cmd":…; members follow. */
void auth_begin(struct buf *req, const char *cmd);

/* Whether auth.sock lets us in: to be known before a secret is asked for.
 * CTL_OK, or the exit status after saying why not. */
int auth_reach(const struct ctl *ctl);

/*
 * Ask.  Ends the request's object and line, and wipes it once it is sent.
 * doing: what a person at a terminal is told that we do, or NULL.
 * Returns CTL_OK with a reply that says "ok":true; else the exit status, after
 * saying what was refused or failed, and what to do.  The client is to be
 * closed in any case.
 */
int auth_do(struct client *c, const struct ctl *ctl, struct buf *req,
    int wait_ms, const char *doing, struct span *reply);

#endif
