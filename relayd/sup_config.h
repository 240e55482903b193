/* SPDX-License-Identifier: ISC */
/* config.json in the run directory: the configuration that is lived by. */
#ifndef SUP_CONFIG_H
#define SUP_CONFIG_H

#include "supervisor.h"

/* Write it; refused: why a new one was not taken, or NULL when this one just
 * was. */
void sup_config_write(struct supervisor *s, const char *refused);
/* Tell the engine, for its status. */
void sup_config_tell(const struct supervisor *s);

#endif
