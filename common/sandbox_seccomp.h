/* SPDX-License-Identifier: ISC */
/* The seccomp filter of a role: system calls off its list kill. */
#ifndef SANDBOX_SECCOMP_H
#define SANDBOX_SECCOMP_H

#include "role.h"

/* Load the filter of the role into this process, for good.  no_new_privs is
 * set already.  0, or -1 with errno. */
int sandbox_seccomp(enum role r);

#endif
