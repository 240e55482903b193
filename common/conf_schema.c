/* SPDX-License-Identifier: ISC */
/*
 * Configuration: the keys there are, as tables, and what is done with whole
 * tables: defaults, freeing, comparing, describing.
 */
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "conf_priv.h"
#include "journal_head.h"

#define GW(m)	offsetof(struct conf_gateway, m)
#define ID(m)	offsetof(struct conf_identity, m)
#define CONF(m) offsetof(struct conf, m)
#define NONE	CONF_NOWHERE
#define SECOND	1000ULL

#define STRING(n, o, max, flags, check, what)                               \
	{                                                                   \
		n, CT_STRING, flags, o, 0, 0, max, NULL, NULL, check, NULL, \
		    NULL, what                                              \
	}
#define BOOL(n, o, def, what)                                                \
	{                                                                    \
		n, CT_BOOL, 0, o, 0, 0, 0, NULL, NULL, NULL, NULL, def, what \
	}
#define NUMBER(n, type, o, min, max, def, what)                               \
	{                                                                     \
		n, type, 0, o, 0, min, max, NULL, NULL, NULL, NULL, def, what \
	}
#define WORD(n, o, words, flags, def, what)                                  \
	{                                                                    \
		n, CT_WORD, flags, o, 0, 0, 0, words, NULL, NULL, NULL, def, \
		    what                                                     \
	}
#define LIST(n, o, no, max, flags, what)                                  \
	{                                                                 \
		n, CT_LIST, flags, o, no, 0, max, NULL, NULL, NULL, NULL, \
		    NULL, what                                            \
	}
#define OBJECT(n, flags, sub, done, what)                                     \
	{                                                                     \
		n, CT_OBJECT, flags, 0, 0, 0, 0, NULL, sub, NULL, done, NULL, \
		    what                                                      \
	}
#define END                                                                  \
	{                                                                    \
		NULL, CT_TYPES, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, \
		    NULL                                                     \
	}

static const struct conf_word allow_bots_words[] = {
    {"none", BOTS_NONE, 0},
    {"mentions", BOTS_MENTIONS, 0},
    {"all", BOTS_ALL, 0},
    {NULL, 0, 0},
};
static const struct conf_word no_agent_words[] = {
    {"idle", NO_AGENT_IDLE, 0},
    {"hold", NO_AGENT_HOLD, 0},
    {NULL, 0, 0},
};
static const struct conf_word overlong_words[] = {
    {"refuse", OVERLONG_REFUSE, 0},
    {"pass", OVERLONG_PASS, 0},
    {NULL, 0, 0},
};
static const struct conf_word journal_words[] = {
    {"disk", JOURNAL_DISK, 0},
    {"memory", JOURNAL_MEMORY, 0},
    {"off", JOURNAL_OFF, 0},
    {NULL, 0, 0},
};
static const struct conf_word level_words[] = {
    {"error", LOG_ERR, 0},
    {"warn", LOG_WARNING, 0},
    {"info", LOG_INFO, 0},
    {"debug", LOG_DEBUG, 0},
    {"err", LOG_ERR, 0},
    {"warning", LOG_WARNING, 0},
    {NULL, 0, 0},
};
static const struct conf_word format_words[] = {
    {"logfmt", LOG_LOGFMT, 0},
    {"json", LOG_JSON, 0},
    {NULL, 0, 0},
};

static const struct conf_key identity_keys[] = {
    STRING("platform", ID(platform), LIMIT_PLATFORM, CF_REQUIRED,
	conf_form_platform, "platform this bot is on, such as discord"),
    STRING("bot_id", ID(bot_id), LIMIT_ID, CF_EMPTY, NULL,
	"the bot's id on that platform"),
    STRING("username", ID(username), LIMIT_ID, CF_APART, NULL,
	"the bot's name on that platform"),
    {"require_mention", CT_TRI, CF_APART, ID(require_mention), 0, 0, 0, NULL,
	NULL, NULL, NULL, NULL,
	"only messages that address the bot are delivered"},
    LIST("free_response_channels", ID(free_response_channels),
	ID(nfree_response_channels), LIMIT_ID, CF_COMMA | CF_APART,
	"channels in which no mention is needed"),
    WORD("allow_bots", ID(allow_bots), allow_bots_words, CF_APART, NULL,
	"which messages of other bots are delivered"),
    END,
};

static const struct conf_key oidc_keys[] = {
    STRING("url", GW(token.oidc_url), LIMIT_PATH, 0, conf_form_oidc,
	"token URL of the identity provider"),
    STRING("client_id", GW(token.oidc_client_id), LIMIT_ID, 0, NULL,
	"OAuth 2 client id"),
    STRING("client_secret_file", GW(token.oidc_client_secret_file), LIMIT_PATH,
	0, conf_form_path, "file with the OAuth 2 client secret"),
    STRING("scope", GW(token.oidc_scope), LIMIT_PATH, 0, NULL, "OAuth 2 scope"),
    END,
};

static const struct conf_key token_keys[] = {
    STRING("file", GW(token.file), LIMIT_PATH, 0, conf_form_path,
	"file that holds the identity token"),
    STRING("env", GW(token.env), LIMIT_ID, 0, conf_form_variable,
	"environment variable that holds it"),
    {"command", CT_LIST, 0, GW(token.command), GW(token.ncommand), 0,
	LIMIT_PATH, NULL, NULL, NULL, NULL, NULL,
	"program with arguments that prints it"},
    STRING("user", GW(token.command_user), LIMIT_NAME, 0, conf_form_user,
	"user that runs the command, not root; required as root"),
    OBJECT("oidc", 0, oidc_keys, NULL, "OAuth 2 client credentials"),
    END,
};

static const struct conf_key agents_keys[] = {
    STRING("group", GW(agents.group), LIMIT_NAME, CF_APART, conf_form_group,
	"group that may open the agents' socket"),
    NUMBER("window", CT_UINT, GW(agents.window), 1, LIMIT_WINDOW, "64",
	"deliveries in flight to an agent that asks for no other number"),
    NUMBER("ack_timeout", CT_SEC, GW(agents.ack_timeout), SECOND, 3600 * SECOND,
	"120s", "time an agent has to acknowledge"),
    WORD("when_no_agent", GW(agents.when_no_agent), no_agent_words, 0, "idle",
	"without an agent: let the connector buffer, or hold the link"),
    NUMBER("idle_after", CT_SEC, GW(agents.idle_after), SECOND, 3600 * SECOND,
	"60s", "time without an agent until then"),
    WORD("overlong", GW(agents.overlong), overlong_words, 0, "refuse",
	"messages longer than the platform allows"),
    END,
};

static const struct conf_key secret_keys[] = {
    STRING("file", GW(secret.file), LIMIT_PATH, CF_REQUIRED, conf_form_path,
	"file that holds the gateway's secret"),
    END,
};

static const struct conf_key tls_keys[] = {
    STRING("ca_file", GW(tls.ca_file), LIMIT_PATH, 0, conf_form_path,
	"certificates to trust instead of the system's"),
    STRING("server_name", GW(tls.server_name), URL_HOST_MAX, 0, conf_form_host,
	"name the connector's certificate must bear"),
    BOOL("plaintext", GW(tls.plaintext), "false",
	"http:// or ws:// to another machine is allowed"),
    END,
};

static const struct conf_key credentials_keys[] = {
    STRING("file", GW(proxy.credentials_file), LIMIT_PATH, CF_REQUIRED,
	conf_form_path, "file that holds user:password for the proxy"),
    END,
};

static const struct conf_key proxy_keys[] = {
    STRING("url", NONE, LIMIT_PATH, CF_REQUIRED | CF_SECRET, conf_form_proxy,
	"http://host:port of the proxy"),
    OBJECT("credentials", CF_SECRET, credentials_keys, NULL,
	"what the proxy asks for"),
    END,
};

static const struct conf_key sessions_keys[] = {
    BOOL("group_per_user", GW(sessions.group_per_user), "true",
	"one session per user in a group's chat"),
    BOOL("thread_per_user", GW(sessions.thread_per_user), "false",
	"one session per user in a thread"),
    END,
};

static const struct conf_key journal_keys[] = {
    WORD("where", GW(journal.where), journal_words, 0, "disk",
	"where undelivered events are kept"),
    NUMBER("size", CT_SIZE, GW(journal.size), JOURNAL_CONF_LEAST, JOURNAL_MOST,
	"16MiB", "bytes of the journal"),
    BOOL("sync", GW(journal.sync), "false",
	"it is written to the disk before an acknowledgement leaves"),
    END,
};

static const struct conf_key reconnect_keys[] = {
    NUMBER("min", CT_MS, GW(reconnect.min_ms), 10, 60 * SECOND, "1s",
	"delay after the first failure"),
    NUMBER("max", CT_MS, GW(reconnect.max_ms), 10, 600 * SECOND, "30s",
	"delay that doubling ends at"),
    END,
};

static const struct conf_key gateway_keys[] = {
    /* Required too, but the environment may give it: conf_check.c. */
    STRING("url", GW(url_text), LIMIT_PATH, 0, conf_form_url,
	"the connector's base URL; required"),
    STRING("id", GW(id), LIMIT_ID, 0, NULL,
	"gateway id; default gw- and the host's name"),
    {"identities", CT_IDENTITIES, 0, GW(identity), GW(nidentity), 0,
	LIMIT_IDENTITIES, NULL, identity_keys, NULL, conf_check_identities,
	NULL, "the bots this gateway stands for; required"},
    OBJECT("identity_token", CF_SECRET | CF_APART, token_keys, conf_check_token,
	"how the identity token is had"),
    STRING("instance_id", GW(instance_id), LIMIT_ID, CF_APART, NULL,
	"instance id, for provisioning"),
    STRING("wake_url", GW(wake_url), LIMIT_PATH, CF_APART, conf_form_http,
	"URL the connector calls to wake this gateway"),
    STRING("display_name", GW(display_name), LIMIT_PATH, CF_APART,
	conf_form_display, "name people see, at most 64 characters"),
    STRING("endpoint", GW(endpoint), LIMIT_PATH, CF_APART, NULL,
	"gateway endpoint, for provisioning"),
    LIST("route_keys", GW(route_keys), GW(nroute_keys), LIMIT_ID,
	CF_COMMA | CF_APART, "route keys, for provisioning"),
    OBJECT("agents", CF_APART, agents_keys, NULL, "the agents' socket"),
    OBJECT("secret", CF_SECRET | CF_APART, secret_keys, NULL,
	"the gateway's secret; default: what was enrolled"),
    OBJECT("tls", 0, tls_keys, NULL, "TLS to the connector"),
    OBJECT("proxy", CF_NONE | CF_SECRET, proxy_keys, conf_check_proxy,
	"proxy on the way; default: the environment's"),
    OBJECT("sessions", CF_APART, sessions_keys, NULL, "what a session is"),
    {"command_manifest", CT_MANIFEST, 0, GW(command_manifest), 0, 0,
	CONF_MANIFEST, NULL, NULL, NULL, NULL, NULL,
	"commands to register with Discord: {name, description, "
	"options}"},
    OBJECT("journal", CF_APART, journal_keys, NULL, "the journal"),
    OBJECT("reconnect", CF_APART, reconnect_keys, conf_check_reconnect,
	"delays between dials"),
    END,
};

static const struct conf_key control_keys[] = {
    STRING("group", CONF(control_group), LIMIT_NAME, 0, conf_form_group,
	"group that may open the control and status sockets"),
    END,
};

static const struct conf_key log_keys[] = {
    WORD("level", CONF(log_level), level_words, 0, "info",
	"least severity that is logged"),
    WORD("format", CONF(log_format), format_words, 0, "logfmt",
	"form of a log line"),
    END,
};

static const struct conf_key limits_keys[] = {
    NUMBER("dials_per_second", CT_UINT, CONF(dials_per_second), 1, 1000, "50",
	"connections begun per second, all gateways together"),
    END,
};

static const struct conf_key root_keys[] = {
    {"gateways", CT_GATEWAYS, 0, CONF(gateway), CONF(ngateway), 0,
	LIMIT_GATEWAYS, NULL, gateway_keys, NULL, NULL, NULL,
	"the gateways, each under a name; required"},
    OBJECT("control", 0, control_keys, NULL, "the operators' sockets"),
    OBJECT("log", 0, log_keys, NULL, "logging"),
    OBJECT("limits", 0, limits_keys, NULL, "limits of the whole relayd"),
    END,
};

const struct conf_key *
conf_schema_root(void)
{
	return root_keys;
}

const struct conf_key *
conf_schema_gateway(void)
{
	return gateway_keys;
}

const struct conf_key *
conf_schema_identity(void)
{
	return identity_keys;
}

const struct conf_key *
conf_schema_find(const struct conf_key *keys, const char *path)
{
	size_t n = strcspn(path, ".");

	for (; keys->name != NULL; keys++) {
		if (strncmp(keys->name, path, n) != 0 || keys->name[n] != '\0')
			continue;
		if (path[n] == '\0')
			return keys;
		return keys->sub == NULL
		    ? NULL
		    : conf_schema_find(keys->sub, path + n + 1);
	}
	return NULL;
}

int
conf_schema_defaults(const struct conf_key *keys, void *base)
{
	struct conf_error why;

	for (; keys->name != NULL; keys++) {
		if (keys->type == CT_OBJECT &&
		    conf_schema_defaults(keys->sub, base) == -1)
			return -1;
		if (keys->def != NULL &&
		    conf_value_set(keys, base, keys->def, &why) == -1)
			return -1;
	}
	return 0;
}

/* Free the structs of a list, then the list. */
static void
free_members(const struct conf_key *k, void *base, size_t size)
{
	char **list = (void *)((char *)base + k->off);
	size_t *n = (void *)((char *)base + k->noff);

	for (size_t i = 0; i < *n; i++)
		conf_schema_free(k->sub, *list + i * size);
	free(*list);
	*list = NULL;
	*n = 0;
}

void
conf_schema_free(const struct conf_key *keys, void *base)
{
	for (; keys->name != NULL; keys++) {
		if (keys->type == CT_OBJECT)
			conf_schema_free(keys->sub, base);
		else if (keys->type == CT_GATEWAYS)
			free_members(keys, base, sizeof(struct conf_gateway));
		else if (keys->type == CT_IDENTITIES)
			free_members(keys, base, sizeof(struct conf_identity));
		else
			conf_value_clear(keys, base);
	}
}

/* Whether two strings, each may be NULL, are the same. */
static int
same_string(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static int
same_list(const struct conf_key *k, const char *a, const char *b)
{
	char *const *la = *(char *const *const *)(const void *)(a + k->off);
	char *const *lb = *(char *const *const *)(const void *)(b + k->off);
	size_t na = *(const size_t *)(const void *)(a + k->noff);
	size_t nb = *(const size_t *)(const void *)(b + k->noff);

	if (na != nb)
		return 0;
	for (size_t i = 0; i < na; i++)
		if (!same_string(la[i], lb[i]))
			return 0;
	return 1;
}

static int
same_identities(
    const struct conf_key *k, const char *a, const char *b, unsigned without)
{
	const struct conf_gateway *ga = (const void *)a;
	const struct conf_gateway *gb = (const void *)b;

	if (ga->nidentity != gb->nidentity)
		return 0;
	for (size_t i = 0; i < ga->nidentity; i++)
		if (!conf_schema_equal(
			k->sub, &ga->identity[i], &gb->identity[i], without))
			return 0;
	return 1;
}

/* Whether one key's value is the same in both. */
static int
same_value(
    const struct conf_key *k, const char *a, const char *b, unsigned without)
{
	if (k->flags & without)
		return 1;
	if (k->type == CT_OBJECT)
		return conf_schema_equal(k->sub, a, b, without);
	if (k->off == CONF_NOWHERE)
		return 1;
	if (k->type == CT_LIST)
		return same_list(k, a, b);
	if (k->type == CT_IDENTITIES)
		return same_identities(k, a, b, without);
	if (k->type == CT_STRING || k->type == CT_MANIFEST)
		return same_string(*(char *const *)(const void *)(a + k->off),
		    *(char *const *)(const void *)(b + k->off));
	return memcmp(a + k->off, b + k->off,
		   k->type == CT_SIZE ? sizeof(uint64_t) : sizeof(uint32_t)) ==
	    0;
}

int
conf_schema_same(const struct conf_key *k, const void *a, const void *b)
{
	return same_value(k, a, b, 0);
}

int
conf_schema_equal(
    const struct conf_key *keys, const void *a, const void *b, unsigned without)
{
	for (; keys->name != NULL; keys++)
		if (!same_value(keys, a, b, without))
			return 0;
	return 1;
}

const char *
conf_schema_joint(const struct conf_key *k)
{
	if (k->type == CT_GATEWAYS)
		return ".<name>.";
	return k->type == CT_IDENTITIES ? "[]." : ".";
}

static void
describe(struct buf *out, const struct conf_key *keys, const char *prefix)
{
	char type[200], below[CONF_KEYPATH];

	for (; keys->name != NULL; keys++) {
		conf_value_type(keys, type, sizeof(type));
		buf_addf(out, "%s%s\t%s\t%s\t%s%s\n", prefix, keys->name, type,
		    keys->def == NULL ? "-" : keys->def, keys->what,
		    keys->flags & CF_UNUSED ? " (no effect in this version)"
					    : "");
		if (keys->sub == NULL)
			continue;
		strlcpy(below, prefix, sizeof(below));
		strlcat(below, keys->name, sizeof(below));
		strlcat(below, conf_schema_joint(keys), sizeof(below));
		describe(out, keys->sub, below);
	}
}

void
conf_describe(struct buf *out)
{
	describe(out, root_keys, "");
}
