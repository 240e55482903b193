/* SPDX-License-Identifier: ISC */
/*
 * The configuration (relayd.yaml): a table says which keys there are, of
 * which type and range; loading fills these structs or says where the file is
 * wrong.  Pure data afterwards: nobody changes a loaded struct conf.
 */
#ifndef CONF_H
#define CONF_H

#include <stddef.h>
#include <stdint.h>

#include "limit.h"
#include "url.h"

enum conf_tri { CONF_UNSET, CONF_NO, CONF_YES };
enum conf_allow_bots { BOTS_UNSET, BOTS_NONE, BOTS_MENTIONS, BOTS_ALL };
enum conf_when_no_agent { NO_AGENT_IDLE, NO_AGENT_HOLD };
enum conf_journal { JOURNAL_DISK, JOURNAL_MEMORY, JOURNAL_OFF };
enum conf_log_format { LOG_LOGFMT, LOG_JSON };
enum conf_overlong { OVERLONG_REFUSE, OVERLONG_PASS };

struct conf_identity {
	char *platform;
	char *bot_id;	/* may be "" (CONTRACT 2: malformed BOT_IDS) */
	char *username; /* NULL when not set */
	enum conf_tri require_mention;
	char **free_response_channels;
	size_t nfree_response_channels;
	enum conf_allow_bots allow_bots;
};

/* Where a secret's bytes are to be had; the loader never reads them. */
struct conf_secret_ref {
	char *file;   /* NULL: not named in the file */
	int from_env; /* GATEWAY_RELAY_SECRET is set; it goes before the file */
};

/* How an identity token is had (CONTRACT 2): all NULL, or exactly one of file,
 * env, command and oidc_url is set, the rest belongs to it. */
struct conf_identity_token {
	char *file;
	char *env;
	char **command;
	size_t ncommand;
	char *command_user; /* NULL: ours, which as root is refused */
	char *oidc_url;
	struct url oidc;	 /* of it: where it is; base is not used */
	const char *oidc_target; /* points into it: path and query, or "" */
	char *oidc_client_id;
	char *oidc_client_secret_file;
	char *oidc_scope;
	int oidc_secret_from_env; /* GATEWAY_RELAY_IDP_CLIENT_SECRET is set */
};

struct conf_gateway {
	char *name; /* [a-z0-9][a-z0-9_-]*, at most LIMIT_NAME: it names a
		       socket */
	/* Where it stands in the file; 0: from the environment. */
	unsigned line;
	char *url_text; /* as configured, for people */
	struct url url;
	char *id; /* gateway id; default gw-<hostname> */
	struct conf_identity *identity;
	size_t nidentity;
	struct conf_secret_ref secret;
	struct conf_identity_token token;
	char *instance_id, *wake_url, *display_name, *endpoint;
	char **route_keys;
	size_t nroute_keys;

	struct {
		char *group;	      /* of agent/<name>.sock; NULL: ours */
		uint32_t window;      /* default of an agent's window */
		uint32_t ack_timeout; /* seconds */
		enum conf_when_no_agent when_no_agent;
		uint32_t idle_after; /* seconds */
		enum conf_overlong overlong;
	} agents;
	struct {
		char *ca_file;	   /* NULL: the system's store */
		char *server_name; /* NULL: the URL's host */
		int plaintext;	   /* ws:// beyond loopback allowed */
	} tls;
	struct {
		struct url url; /* http:// only; valid when set */
		int set; /* -1: explicitly none ("proxy: none"), 0: environment
			    decides, 1: url */
		char *credentials_file; /* user:password, or NULL */
	} proxy;
	struct {
		uint32_t min_ms, max_ms;
	} reconnect;
	struct {
		int group_per_user;  /* default 1 */
		int thread_per_user; /* default 0 */
	} sessions;
	struct {
		enum conf_journal where;
		uint64_t size; /* bytes */
		int sync;
	} journal;
	char *command_manifest; /* JSON text for Discord's hello, or NULL */
};

struct conf {
	char *path; /* of the file; NULL when all came from the environment */
	struct conf_gateway *gateway;
	size_t ngateway;
	char *control_group; /* of control.sock and status.sock; NULL: ours */
	int log_level; /* syslog's LOG_ERR … LOG_DEBUG; default LOG_INFO */
	enum conf_log_format log_format;
	uint32_t dials_per_second; /* all gateways together, default 50 */
	/* Places of the values that the environment gave. */
	const void **from_env;
	size_t nfrom_env;
};

/* What was wrong, or worth saying. */
struct conf_error {
	char text[1024]; /* one line, safe for a terminal:
			  * "FILE:LINE:COLUMN: gateways.main.url: what; what to
			  * do" */
	int passing;	 /* nothing is wrong with it: the machine was short of
			  * something, and a later try may do */
	int mistake; /* of who configured us or our unit: no try will do.  Where
		      * it is not the configuration that is loaded */
};

/* Whether an error of the system is of that kind. */
int conf_error_passes(int error);
/* Say what was wrong that is at no place of a file.  Returns -1. */
int conf_error_set(struct conf_error *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Called for each warning while loading (a key this version accepts but does
 * not use yet, a malformed GATEWAY_RELAY_BOT_IDS, …).  text as in conf_error.
 */
typedef void conf_warn_fn(void *arg, const char *text);

/*
 * Load the file (path NULL: none) and lay the environment over it (CONTRACT
 * 2; env is a NULL-terminated vector in the form of environ, may be NULL).
 * Secrets in the environment are not read: only whether they are there.  With
 * path NULL or a missing file at a default path (must_exist 0), the
 * environment alone may configure one gateway, named "main".  hostname gives
 * the default gateway id.  Returns a conf (conf_free) or NULL with *e filled.
 * Of several mistakes the first in the file is told; text that is no YAML
 * before all, and what is missing in a mapping after what is wrong in it.
 */
struct conf *conf_load(const char *path, int must_exist, char *const env[],
    const char *hostname, conf_warn_fn *warn, void *arg, struct conf_error *e);

/* As conf_load, from memory (tests, fuzzing); name stands for the path. */
struct conf *
conf_parse(const char *name, const char *text, size_t len, char *const env[],
    const char *hostname, conf_warn_fn *warn, void *arg, struct conf_error *e);

void conf_free(struct conf *c);

/* Whether a gateway's settings are the same in both (reload touches only what
 * changed). */
int
conf_gateway_equal(const struct conf_gateway *a, const struct conf_gateway *b);
/* Whether at least those are that its link, or an agent, depends on: a link
 * lives on when only the secret, or what an exchange says, has changed. */
int conf_link_equal(const struct conf_gateway *a, const struct conf_gateway *b);

/*
 * As root: refuse a file, or a directory on its way, that others than root
 * can write.  Returns 0, or -1 with *e filled.
 */
int conf_check_owner(const char *path, struct conf_error *e);
/*
 * As root: refuse a directory (which may not be there yet) below one that
 * others than root can write, sticky or not: they could put another in its
 * place.  Returns 0, or -1 with *e filled.
 */
int conf_check_parents(const char *path, struct conf_error *e);

/* The keys there are, one line each "path<TAB>type<TAB>default<TAB>what", for
 * the manual and its test. */
struct buf;
void conf_describe(struct buf *out);

/* Append what is lived by as a JSON array of {"key","value","from"}, "from"
 * being file, environment or default; keys without a value are left out, and
 * there is nothing secret in it. */
void conf_dump(struct buf *out, const struct conf *c);

#endif
