/* SPDX-License-Identifier: ISC */
/* Settings that a connector is told, in its words (CONTRACT 2). */
#ifndef SUP_JSON_H
#define SUP_JSON_H

#include "buf.h"
#include "conf.h"

/* What a message carries of each (msg.def). */
#define JSON_POLICY_MAX	    32768
#define JSON_ROUTE_KEYS_MAX 16384

/* Append the relevance policy of an identity; nothing when none of its
 * settings is set. */
void sup_json_policy(struct buf *b, const struct conf_identity *id);
/* Append the route keys as an array. */
void sup_json_route_keys(struct buf *b, const struct conf_gateway *g);

#endif
