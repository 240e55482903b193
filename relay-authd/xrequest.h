/* SPDX-License-Identifier: ISC */
/* What is asked in exchanges (CONTRACT 2): requests and their bodies. */
#ifndef XREQUEST_H
#define XREQUEST_H

#include "buf.h"
#include "msg.h"

#define XREQUEST_BODY 36864 /* bytes of a body, as XREQUEST's */
#define XREQUEST_PATH (URL_PATH_MAX + 16)

/* A POST of JSON to the connector, at a path below the link's: "/enroll".
 * path is the caller's; body and bearer are for the caller to set. */
void
xrequest_connector(struct msg_xrequest *m, const struct msg_conf_provision *p,
    const char *below, char path[XREQUEST_PATH]);
/* For an identity token: OAuth 2 client credentials, or a plain GET. */
void xrequest_token(struct msg_xrequest *m, struct buf *body,
    const struct msg_conf_token *t, struct span client_secret);

/* Bodies. */
void xrequest_put_provision(struct buf *b, const struct msg_conf_provision *p,
    const struct msg_conf_fronted *f, struct span id);
void
xrequest_put_enroll(struct buf *b, struct span enroll_token, struct span id);

#endif
