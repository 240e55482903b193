/* SPDX-License-Identifier: ISC */
/* For tests around the core: it asks for a link, or tells agents and operators,
 * and nothing comes of it. */
#ifndef IDLE_IO_H
#define IDLE_IO_H

#include "core.h"

static inline void
idle_gateway(void *arg, struct gateway *gw)
{
	(void)arg;
	(void)gw;
}

static inline void
idle_read(void *arg, struct gateway *gw, int on)
{
	(void)arg;
	(void)gw;
	(void)on;
}

static inline void
idle_remark(void *arg, struct gateway *gw, int level, const char *event,
    const char *text)
{
	(void)arg;
	(void)gw;
	(void)level;
	(void)event;
	(void)text;
}

static inline int
idle_send(void *arg, struct agent *a, const struct span *piece, int n)
{
	(void)arg;
	(void)a;
	(void)piece;
	(void)n;
	return 0;
}

static inline void
idle_close(void *arg, struct agent *a, const char *reason)
{
	(void)arg;
	(void)a;
	(void)reason;
}

static inline void
idle_fared(void *arg, struct gateway *gw, enum fared what, const char *text)
{
	(void)arg;
	(void)gw;
	(void)what;
	(void)text;
}

static inline void
idle_result(void *arg, uint64_t cookie, int theirs, struct span result)
{
	(void)arg;
	(void)cookie;
	(void)theirs;
	(void)result;
}

static inline void
idle_wish(void *arg, uint64_t cookie, const char *error)
{
	(void)arg;
	(void)cookie;
	(void)error;
}

static inline void
idle_tap(void *arg, struct gateway *gw, enum tap_dir dir, struct span line)
{
	(void)arg;
	(void)gw;
	(void)dir;
	(void)line;
}

/* What begins the initializer of a struct core_io; what is left out is NULL. */
#define IDLE_IO                                                             \
	.dial = idle_gateway, .tls = idle_gateway, .mint = idle_gateway,    \
	.upgrade = idle_gateway, .ask = idle_gateway, .drop = idle_gateway, \
	.link_output = idle_gateway, .link_read = idle_read,                \
	.state_changed = idle_gateway, .remark = idle_remark

/* And of those who hear of it: agents, operators, relay-authd, taps. */
#define IDLE_EARS                                           \
	.agent_send = idle_send, .agent_close = idle_close, \
	.send_result = idle_result, .fared = idle_fared,    \
	.wish_done = idle_wish, .journal_sync = idle_gateway, .tap = idle_tap

#endif
