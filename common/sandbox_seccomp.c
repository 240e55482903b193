/* SPDX-License-Identifier: ISC */
/* seccomp: from the tables of sandbox_rules.c to a loaded filter. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "sandbox_rules.h"
#include "sandbox_seccomp.h"

#ifdef RELAYD_SANITIZE
/*
 * AddressSanitizer, when it has found something, looks at itself: with these
 * refused rather than deadly its report comes out, without symbols.
 */
static const int calls_sanitizer[] = {SCMP_SYS(openat), SCMP_SYS(open),
    SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(access), SCMP_SYS(stat),
    -1};
#endif

static int
add_list(scmp_filter_ctx f, const int *call, uint32_t action)
{
	int r = 0;

	for (; r == 0 && *call != -1; call++)
		r = seccomp_rule_add(f, action, *call, 0);
	return r;
}

static int
add_rules(scmp_filter_ctx f, const struct sandbox_rule *rule)
{
	int r = 0;

	for (; r == 0 && rule->call != -1; rule++)
		r = seccomp_rule_add_array(f,
		    rule->err == 0 ? SCMP_ACT_ALLOW
				   : SCMP_ACT_ERRNO((uint32_t)rule->err),
		    rule->call, rule->ncmp, rule->cmp);
	return r;
}

/* abort(3) signals its own thread: nobody else's. */
static int
add_abort(scmp_filter_ctx f)
{
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
	    SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint32_t)getpid()));
}

static int
fill(scmp_filter_ctx f, const struct role_row *row)
{
	int r;

	if ((r = seccomp_attr_set(
		 f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS)) != 0 ||
	    (r = seccomp_attr_set(f, SCMP_FLTATR_CTL_NNP, 0)) != 0 ||
	    (r = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2)) != 0 ||
	    (r = add_list(f, sandbox_calls_common, SCMP_ACT_ALLOW)) != 0 ||
	    (r = add_list(f, row->syscalls, SCMP_ACT_ALLOW)) != 0 ||
	    (r = add_rules(f, sandbox_rules_common)) != 0 ||
	    (r = add_rules(f, row->rules)) != 0)
		return r;
#ifdef RELAYD_SANITIZE
	if ((row == role_row(ROLE_ENGINE) || row == role_row(ROLE_XCHG)) &&
	    (r = add_list(f, calls_sanitizer, SCMP_ACT_ERRNO(EACCES))) != 0)
		return r;
#endif
	return add_abort(f);
}

int
sandbox_seccomp(enum role role)
{
	scmp_filter_ctx f;
	int r;

	if ((f = seccomp_init(SCMP_ACT_KILL_PROCESS)) == NULL) {
		errno = ENOMEM;
		return -1;
	}
	if ((r = fill(f, role_row(role))) == 0)
		r = seccomp_load(f);
	seccomp_release(f);
	if (r == 0)
		return 0;
	errno = -r;
	return -1;
}
