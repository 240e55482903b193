/* SPDX-License-Identifier: ISC */
/* One dial: name, race of its addresses, proxy; ends in a connected socket or
 * a reason. */
#ifndef DIAL_H
#define DIAL_H

#include <stdint.h>

#include "msg.h"

struct dial;
struct event_base;
struct resolver;

struct dial_target {
	char name[LIMIT_NAME + 1]; /* the gateway's, for the log */
	char host[URL_HOST_MAX + 1];
	uint16_t port;
	char proxy_host[URL_HOST_MAX + 1];
	uint16_t proxy_port;  /* 0: no proxy */
	struct span userpass; /* for the proxy, in secret memory; or absent */
};

/* What dials share. */
struct dial_env {
	struct event_base *base;
	struct resolver *resolver;
	char *request; /* PROXY_REQUEST_MAX bytes of secret memory */
};

struct dial_result {
	int fd;		      /* connected, the receiver's; or -1 */
	char address[64 + 1]; /* reached: the proxy's, if there is one */
	uint32_t took_ms;
	enum dial_stage stage;	       /* where it failed … */
	char reason[LIMIT_REASON + 1]; /* … and why */
};

/* Called once, from the loop; may call dial_free. */
typedef void dial_cb(const struct dial_result *result, void *arg);

/* Begin.  env and target stay the caller's and outlive the dial.  NULL without
 * memory. */
struct dial *dial_start(const struct dial_env *env,
    const struct dial_target *target, dial_cb *cb, void *arg);
/* End it, whatever it is doing. */
void dial_free(struct dial *d);

#endif
