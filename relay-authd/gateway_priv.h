/* SPDX-License-Identifier: ISC */
/* What gateway.c has for gateway_conf.c. */
#ifndef GATEWAY_PRIV_H
#define GATEWAY_PRIV_H

#include "gateway.h"

/* The gateway's entry among the secrets, or NULL. */
struct secret *gateway_secret(struct gateways *gs, uint32_t g);
/* Whether its own credential is in memory alone. */
int gateway_provisioned(const struct gateway *gw);
/* Let the supervisor keep what was provisioned, or nothing. */
void gateway_keep(struct gateways *gs, uint32_t g);
/* The standing is another one. */
void gateway_save_standing(struct gateways *gs, uint32_t g);
/* The credential is another one, by somebody's will. */
void gateway_end_mark(struct gateways *gs, uint32_t g);
/* What stands in the table of secrets where nothing is pinned. */
void gateway_lend(const struct gateway *gw, struct secret *s);
/* Whether to provision, and when. */
void gateway_consider(struct gateways *gs, uint32_t g);

#endif
