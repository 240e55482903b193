/* SPDX-License-Identifier: ISC */
/* A configuration as the supervisor lives by it: a plan. */
#ifndef SUP_CONF_H
#define SUP_CONF_H

#include "supervisor.h"

/*
 * Load and check the configuration: the file, the environment, and what they
 * name on this machine (groups, CA bundles, proxies).  Nothing is made yet.
 * Returns a plan (sup_plan_free) or NULL with e filled.
 */
struct sup_plan *sup_plan_load(struct supervisor *s, struct conf_error *e);
/*
 * Before the environment is taken over: the variables that the configuration
 * says hold identity tokens.  Their names belong to what is returned
 * (conf_free); NULL: it cannot be loaded, which is told when it is loaded
 * again.  Nothing secret is read.
 */
struct conf *sup_conf_variables(const struct sup_paths *paths,
    char *const env[], char *names[LIMIT_GATEWAYS], size_t *n);
/* "FILE:LINE: gateways.main.tls.ca_file: …" into e, for g NULL without
 * gateway; whether it may pass errno says.  Returns -1. */
int sup_plan_fail(struct conf_error *e, const struct conf *c,
    const struct conf_gateway *g, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void sup_plan_free(struct sup_plan *p);
/*
 * Find or make the places of its gateways: socket and journal for each.  What
 * was made is given back by sup_plan_keep with the old plan.  0, or -1.
 */
int
sup_plan_place(struct supervisor *s, struct sup_plan *p, struct conf_error *e);
/* Give back the places that the plan does not use; NULL: all. */
void sup_plan_keep(struct supervisor *s, const struct sup_plan *p);
/* The plan is lived by: so are the journals of its gateways. */
void sup_plan_journals(struct supervisor *s, const struct sup_plan *p);
/* Count and mark what differs from the plan before. */
void sup_plan_compare(struct sup_plan *p, const struct sup_plan *old);
/* Whether a dialer started with those ports (sorted) reaches what the plan
 * says, and no more. */
int sup_plan_ports_same(
    const struct sup_plan *p, const uint16_t *port, size_t nport);
/* The gateway with that place, or NULL. */
const struct conf_gateway *
sup_plan_gateway(const struct sup_plan *p, unsigned slot);

/* Open the CA bundle a gateway's connector is verified with; g NULL: the
 * system's, for everybody else.  label says where it is.  The descriptor, or -1
 * with what is wrong in why. */
int sup_ca_open(const struct sup_env *env, const struct conf_gateway *g,
    char *label, size_t labellen, char *why, size_t whylen);

#endif
