/* SPDX-License-Identifier: ISC */
/* What the service manager is told, at once or as soon as it has room. */
#ifndef SUP_NOTIFY_H
#define SUP_NOTIFY_H

#include "supervisor.h"

/* Open the socket that the environment names; a bad name is logged. */
void sup_notify_open(struct supervisor *s);
/* 0, or -1 with errno set. */
int sup_notify_init(struct supervisor *s);
/* As notify_tell(); what is kept is sent by the loop. */
void sup_notify(struct supervisor *s, const char *text);
void sup_notify_free(struct supervisor *s);

#endif
