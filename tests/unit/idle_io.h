/* SPDX-License-Identifier: ISC */
/* For tests of what stands around the core: it asks for a link, and nothing
 * comes of it. */
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

/* What begins the initializer of a struct core_io; what is left out is NULL. */
#define IDLE_IO                                                             \
	.dial = idle_gateway, .tls = idle_gateway, .mint = idle_gateway,    \
	.upgrade = idle_gateway, .ask = idle_gateway, .drop = idle_gateway, \
	.link_output = idle_gateway, .link_read = idle_read,                \
	.state_changed = idle_gateway, .remark = idle_remark

#endif
