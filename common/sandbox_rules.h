/* SPDX-License-Identifier: ISC */
/*
 * System calls a child may make, as data: lists for those that are harmless
 * whatever their arguments, rules for those that are not.  What is neither
 * listed nor matched by a rule kills the process.
 */
#ifndef SANDBOX_RULES_H
#define SANDBOX_RULES_H

#include <seccomp.h>

#define SANDBOX_CMP 3 /* most arguments one rule looks at */

struct sandbox_rule {
	int call;      /* -1 ends a table */
	int err;       /* 0: allowed; else it fails with this errno */
	unsigned ncmp; /* all must match */
	struct scmp_arg_cmp cmp[SANDBOX_CMP];
};

/* What every confined process may do; -1 at the end. */
extern const int sandbox_calls_common[];
extern const struct sandbox_rule sandbox_rules_common[];

/* What a role may do beyond that. */
extern const int sandbox_calls_engine[];
extern const int sandbox_calls_dialer[];
extern const int sandbox_calls_authd[];
extern const int sandbox_calls_xchg[];
extern const int sandbox_calls_serve[];
extern const struct sandbox_rule sandbox_rules_engine[];
extern const struct sandbox_rule sandbox_rules_authd[];
extern const struct sandbox_rule sandbox_rules_dialer[];
extern const struct sandbox_rule sandbox_rules_xchg[];
extern const struct sandbox_rule sandbox_rules_serve[];

#endif
