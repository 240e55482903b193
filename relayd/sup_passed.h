/* SPDX-License-Identifier: ISC */
/*
 * Listening sockets that the service manager made and passed (sd_listen_fds(3)
 * has the protocol).  Where a socket is bound says which it is: control.sock,
 * status.sock or agent/NAME.sock of the run directory.  Their files belong to
 * the manager: relayd never removes, replaces or re-groups them.
 */
#ifndef SUP_PASSED_H
#define SUP_PASSED_H

#include <sys/types.h>
#include <stddef.h>

#include "conf.h"
#include "sup_secret.h"

struct sup_passed_fd;

struct sup_passed {
	struct sup_passed_fd *fd;
	size_t n;
};

/* How many descriptors were passed to this very process, from the third on: 0
 * to most.  Looks at nothing but the environment. */
int sup_passed_count(char *const env[]);
/*
 * Take over what was passed, as the environment says; what relayd has no use
 * for is closed, with a line in the log.  0, or -1: something is wrong with one
 * of them, and e says what.
 */
int sup_passed_init(struct sup_passed *p, const struct sup_env *env,
    const char *run, struct conf_error *e);
/*
 * Have the socket that was passed for a place, for a group that the
 * configuration names ((gid_t)-1: none): *fd stays as it is, or becomes that.
 * 0; 1: none was passed for it; or -1 with e filled: it is open to others than
 * that group, or its file is gone.
 */
int sup_passed_listen(const struct sup_passed *p, const char *path, gid_t gid,
    int *fd, struct conf_error *e);
/* Give the socket at a place to a group, unless the manager says whose it is.
 * 0; 1: it had another; or -1 with e filled. */
int sup_passed_group(const struct sup_passed *p, const char *path, gid_t gid,
    struct conf_error *e);
/* Say which are for gateways that a configuration does not have: they wait for
 * one that does. */
void sup_passed_say(const struct sup_passed *p, const struct conf *c);
void sup_passed_free(struct sup_passed *p);

#endif
