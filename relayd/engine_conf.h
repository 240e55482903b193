/* SPDX-License-Identifier: ISC */
/* The engine's slice of the configuration, in two phases: stage and check,
 * then commit or forget. */
#ifndef ENGINE_CONF_H
#define ENGINE_CONF_H

#include "engine.h"

/* As child_ops'; arg is the engine. */
void engine_conf_begin(void *arg);
const char *engine_conf_item(struct msg *m, void *arg);
const char *engine_conf_check(void *arg);
void engine_conf_commit(void *arg);
void engine_conf_abort(void *arg);

/* Take a gateway out and free it. */
void engine_conf_remove(struct engine *e, struct engine_gw *eg);

#endif
