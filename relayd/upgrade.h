/* SPDX-License-Identifier: ISC */
/* The WebSocket opening handshake on a gateway's connection. */
#ifndef UPGRADE_H
#define UPGRADE_H

#include "conn.h"
#include "engine.h"

struct upgrade;

/*
 * Send the request with the bearer on eg->conn and judge the answer: link_event
 * LE_UPGRADED or LE_UPGRADE_REFUSED (LE_LOST when the connection ends) follows
 * from the loop.  After LE_UPGRADED the conn has the handlers `then`, with eg
 * as their argument.  Returns 0, or -1 when it cannot begin (memory; a token
 * that is none).
 */
int upgrade_begin(
    struct engine_gw *eg, struct span token, const struct conn_ops *then);
/*
 * Send a plain request, without bearer, for the Date of its answer: link_date()
 * and refusal_answered() follow from the loop (LE_UPGRADE_REFUSED or LE_LOST
 * without an answer).  0, or -1 without memory.
 */
int upgrade_ask(struct engine_gw *eg);
/* Give it up, or free it when it is done; eg->upgrade is NULL then. */
void upgrade_end(struct engine_gw *eg);

#endif
