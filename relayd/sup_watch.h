/* SPDX-License-Identifier: ISC */
/*
 * Files of pinned secrets, looked at again and again: one that changed is
 * handed to relay-authd by itself.  That is polled, through symbolic links,
 * so that it holds for every way to replace a file, and every file system.
 */
#ifndef SUP_WATCH_H
#define SUP_WATCH_H

#include "supervisor.h"

/* 0, or -1 without memory. */
int sup_watch_init(struct supervisor *s);
void sup_watch_free(struct supervisor *s);
/* The file of a gateway's secret is about to be opened for relay-authd. */
void sup_watch_offer(
    struct sup_slot *at, const struct sup_env *e, const struct conf_gateway *g);
/* relay-authd is told to live by what it was offered. */
void sup_watch_taken(struct supervisor *s);

#endif
