/* SPDX-License-Identifier: ISC */
/*
 * Names to addresses: getaddrinfo in a short-lived child, since it cannot be
 * given a deadline and since it parses what strangers answer.
 */
#ifndef RESOLVE_H
#define RESOLVE_H

#include <sys/socket.h>
#include <stdint.h>

#include "limit.h"

struct event_base;
struct resolve;
struct resolver;

/* Addresses taken from an answer: twice of what is tried, so that both
 * families are among them. */
#define RESOLVE_MAX 16
#define RESOLVE_MS  10000

struct resolve_addrs {
	size_t n;
	struct sockaddr_storage addr[RESOLVE_MAX];
	socklen_t len[RESOLVE_MAX];
};

/* What collects the children that ended.  NULL without memory.  To be made
 * before the sandbox closes; freed when all resolves are over. */
struct resolver *resolver_new(struct event_base *base);
void resolver_free(struct resolver *rs);

/* An address literal: 1 with *out filled, 0 when it is none. */
int resolve_literal(const char *host, uint16_t port, struct resolve_addrs *out);

/* The answer: addrs, or NULL and why, in words with the name.  The resolve is
 * over and freed when this is called. */
typedef void
resolve_cb(const struct resolve_addrs *addrs, const char *why, void *arg);

/* Ask for a name's addresses.  The callback comes from the loop.  NULL with
 * errno when no child can be had. */
struct resolve *resolve_start(struct resolver *rs, const char *host,
    uint16_t port, resolve_cb *cb, void *arg);
/* The answer is no longer wanted.  NULL is none. */
void resolve_cancel(struct resolve *r);

#endif
