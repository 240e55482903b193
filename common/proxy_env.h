/* SPDX-License-Identifier: ISC */
/* What the usual variables of the environment say of proxies. */
#ifndef PROXY_ENV_H
#define PROXY_ENV_H

#include <stdint.h>

#include "url.h"

/* Variables that may name a proxy, in the order in which they count. */
#define PROXY_ENV_VARS 4
extern const char *const proxy_env_vars[PROXY_ENV_VARS];

/* Whether a no_proxy list (names, suffixes, "*", each with an optional port;
 * NULL: none) covers a host. */
int proxy_env_excepts(const char *list, const char *host, uint16_t port);

/* Take a proxy variable's value apart: http://host:port without userinfo, or
 * host:port alone.  NULL, or a phrase that says what is wrong. */
const char *proxy_env_parse(struct url *u, const char *text);

#endif
