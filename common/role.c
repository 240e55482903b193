/* SPDX-License-Identifier: ISC */
/* The role table. */
#include <stddef.h>
#include <string.h>

#include "role.h"
#include "sandbox_rules.h"

#define CONFINED                                                 \
	(LAYER_BIT(LAYER_USER) | LAYER_BIT(LAYER_NNP) |          \
	    LAYER_BIT(LAYER_NODUMP) | LAYER_BIT(LAYER_SECCOMP) | \
	    LAYER_BIT(LAYER_FILES) | LAYER_BIT(LAYER_TCP) |      \
	    LAYER_BIT(LAYER_SCOPE))
/* What every kernel we run on offers to every user. */
#define ALWAYS                                            \
	(LAYER_BIT(LAYER_NNP) | LAYER_BIT(LAYER_NODUMP) | \
	    LAYER_BIT(LAYER_SECCOMP))
#define JAILED LAYER_BIT(LAYER_CHROOT)

/* Where name resolution reads; directories, because files in them are
 * replaced by rename. */
static const char *const resolver_dirs[] = {"/etc", "/run/systemd/resolve",
    "/run/resolvconf", "/run/NetworkManager", NULL};

static const struct role_row rows[ROLE_ROWS] = {
    [ROLE_SUPERVISOR] =
	{
	    .name = "supervisor",
	    .title = "relayd: supervisor",
	    .program = "relayd",
	},
    [ROLE_AUTHD] =
	{
	    .name = "authd",
	    .title = "relay-authd: secrets",
	    .program = "relay-authd",
	    .user = "_relayauth",
	    .root = ROOT_STATE,
	    .peer = {ROLE_ENGINE, ROLE_DIALER},
	    .npeer = 2,
	    .layers = CONFINED | JAILED | LAYER_BIT(LAYER_SECRET),
	    .obligatory_root = ALWAYS | JAILED | LAYER_BIT(LAYER_USER),
	    .obligatory = ALWAYS,
	    .syscalls = sandbox_calls_authd,
	    .rules = sandbox_rules_authd,
	},
    [ROLE_DIALER] =
	{
	    .name = "dialer",
	    .title = "relayd: dialer",
	    .program = "relayd",
	    .user = "_relaydial",
	    .root = ROOT_NONE,
	    .peer = {ROLE_ENGINE, ROLE_AUTHD},
	    .npeer = 2,
	    .layers = CONFINED,
	    .obligatory_root = ALWAYS | LAYER_BIT(LAYER_USER),
	    .obligatory = ALWAYS,
	    .syscalls = sandbox_calls_dialer,
	    .rules = sandbox_rules_dialer,
	    .readable = resolver_dirs,
	    .resolves = 1,
	},
    [ROLE_ENGINE] =
	{
	    .name = "engine",
	    .title = "relayd: engine",
	    .program = "relayd",
	    .user = "_relayd",
	    .root = ROOT_EMPTY,
	    .peer = {ROLE_AUTHD, ROLE_DIALER},
	    .npeer = 2,
	    .layers = CONFINED | JAILED,
	    .obligatory_root = ALWAYS | JAILED | LAYER_BIT(LAYER_USER),
	    .obligatory = ALWAYS,
	    .syscalls = sandbox_calls_engine,
	    .rules = sandbox_rules_engine,
	},
    [ROLE_XCHG] =
	{
	    .name = "exchange",
	    .title = "relayd: exchange",
	    .program = "relay-xchg",
	    .user = "_relayxchg",
	    .root = ROOT_EMPTY,
	    .peer = {ROLE_AUTHD},
	    .npeer = 1,
	    .ninput = 1,
	    .layers = CONFINED | JAILED | LAYER_BIT(LAYER_SECRET),
	    .obligatory_root = ALWAYS | JAILED | LAYER_BIT(LAYER_USER),
	    .obligatory = ALWAYS,
	    .syscalls = sandbox_calls_xchg,
	    .rules = sandbox_rules_xchg,
	},
    [ROLE_SERVE] =
	{
	    .name = "serve",
	    .title = "relay-ctl",
	    .program = "relay-ctl",
	    .root = ROOT_NONE,
	    .layers = CONFINED & ~LAYER_BIT(LAYER_USER),
	    .obligatory = ALWAYS,
	    .syscalls = sandbox_calls_serve,
	    .rules = sandbox_rules_serve,
	},
};

const struct role_row *
role_row(enum role r)
{
	return &rows[r];
}

enum role
role_by_name(const char *name)
{
	unsigned r;

	for (r = 0; r < ROLE_COUNT; r++)
		if (strcmp(rows[r].name, name) == 0)
			break;
	return (enum role)r;
}

int
role_peer_fd(enum role self, enum role peer)
{
	int i;

	if (self != ROLE_SUPERVISOR && peer == ROLE_SUPERVISOR)
		return FD_SUPERVISOR;
	for (i = 0; i < rows[self].npeer; i++)
		if (rows[self].peer[i] == peer)
			return FD_PEER + i;
	return -1;
}

const char *
layer_name(enum layer l)
{
	static const char *const names[LAYER_COUNT] = {
	    [LAYER_USER] = "user",
	    [LAYER_CHROOT] = "chroot",
	    [LAYER_NNP] = "nnp",
	    [LAYER_NODUMP] = "nodump",
	    [LAYER_SECCOMP] = "seccomp",
	    [LAYER_FILES] = "files",
	    [LAYER_TCP] = "tcp",
	    [LAYER_SCOPE] = "scope",
	    [LAYER_SECRET] = "secret",
	};

	return (unsigned)l < LAYER_COUNT ? names[l] : "?";
}
