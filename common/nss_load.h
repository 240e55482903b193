/* SPDX-License-Identifier: ISC */
/* The C library's name service modules. */
#ifndef NSS_LOAD_H
#define NSS_LOAD_H

/*
 * Load the modules that /etc/nsswitch.conf names for hosts, and keep them, so
 * that getaddrinfo needs no new code in memory later, when that is forbidden.
 * A module that cannot be loaded is one that getaddrinfo does without.
 */
void nss_load(void);

#endif
