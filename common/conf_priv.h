/* SPDX-License-Identifier: ISC */
/*
 * What the files of the configuration loader share.  The way of a file:
 * conf_yaml.c makes a tree of nodes with their places, conf_walk.c lays the
 * tree over the tables of conf_schema.c, conf_value.c takes single values,
 * conf_env.c lays the environment over the result, conf_check.c looks at what
 * hangs together.
 */
#ifndef CONF_PRIV_H
#define CONF_PRIV_H

#include "buf.h"
#include "conf.h"

/* Levels of nesting: the deepest we know, choices of sub-commands' options in
 * command_manifest, lie at 16. */
#define CONF_DEPTH 24
/* Nodes of a file: LIMIT_GATEWAYS gateways of 200 keys and values; bounds what
 * a dense file of LIMIT_CONF_FILE can make of memory. */
#define CONF_NODES 262144
/* Keys of one table (the largest, a gateway's, has 20). */
#define CONF_KEYS 32
/* Elements of one list: channels of a large community. */
#define CONF_LIST 1024
/* Bytes of a key's path in a message. */
#define CONF_KEYPATH 200
/* Bytes of foreign text repeated in a message. */
#define CONF_SHOWN 60
/* Bytes of command_manifest as JSON: Discord takes 100 commands; a hello
 * carries it and must stay far below LIMIT_LINE. */
#define CONF_MANIFEST 65536

enum conf_kind { CONF_SCALAR, CONF_LIST_NODE, CONF_MAP };

/* A value in the file, with its place. */
struct conf_node {
	enum conf_kind kind;
	int plain;	       /* scalar without quotes */
	unsigned line, column; /* from 1 */
	char *text;	       /* scalar, NUL-terminated */
	size_t len;	       /* of it; a NUL may stand in it */
	const char *bad;       /* why it is refused whatever the key, or NULL */
	struct conf_node *key; /* in a map: the node of its key */
	struct conf_node *first, *next;
	unsigned n; /* children */
};

/* One load. */
struct conf_ctx {
	const char *name; /* of the file, for messages */
	struct conf *conf;
	const char *hostname;
	conf_warn_fn *warn;
	void *arg;
	struct conf_error *e;
	char path[CONF_KEYPATH];     /* of the key that is looked at */
	int env_url;		     /* the URL came from the environment */
	int env_idp;		     /* so did a part of identity_token */
	const void *told[CONF_KEYS]; /* unused keys that were warned about */
	size_t ntold;
};

enum conf_type {
	CT_STRING, /* char * */
	CT_BOOL,   /* int */
	CT_TRI,	   /* enum conf_tri */
	CT_UINT,   /* uint32_t */
	CT_MS,	   /* uint32_t, milliseconds */
	CT_SEC,	   /* uint32_t, seconds; min and max in milliseconds */
	CT_SIZE,   /* uint64_t, bytes */
	CT_WORD,   /* int or an enum */
	CT_LIST,   /* char **, and size_t at noff */
	CT_OBJECT, /* keys of sub, in the same struct */
	CT_GATEWAYS,
	CT_IDENTITIES,
	CT_MANIFEST, /* char *, JSON text */
	CT_TYPES
};

#define CF_REQUIRED 0x01 /* within its mapping */
#define CF_UNUSED   0x02 /* accepted, without effect in this version */
#define CF_COMMA    0x04 /* list: "a, b" is accepted too */
#define CF_EMPTY    0x08 /* string: may be empty */
#define CF_NONE	    0x10 /* object: the word none is accepted too */
#define CF_SECRET   0x20 /* people write the secret itself here: never echo */
#define CF_APART    0x40 /* a live link does not depend on it */

#define CONF_NOWHERE ((size_t)-1) /* as offset: checked, not stored */

struct conf_word {
	const char *name;
	int value;
	int unused; /* accepted, without effect in this version */
};

struct conf_key {
	const char *name; /* NULL ends a table */
	enum conf_type type;
	unsigned flags; /* CF_* */
	size_t off;
	size_t noff;
	uint64_t min, max; /* numbers: range; strings: max bytes */
	const struct conf_word *words;
	const struct conf_key *sub;
	/* Strings and list elements: NULL when good, else what is wrong, a
	 * static phrase.  May change the text in place. */
	const char *(*check)(char *text, void *base);
	/* Called after the value was stored: 0, or -1 with the error told. */
	int (*done)(struct conf_ctx *x, const struct conf_node *n, void *base);
	const char *def; /* as it would stand in the file; NULL: none */
	const char *what;
};

/* conf_msg.c: messages.  The fail functions fill x->e and return -1. */
int conf_fail(struct conf_ctx *x, const struct conf_node *at, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));
int conf_fail_env(struct conf_ctx *x, const char *var, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int conf_fail_at(struct conf_ctx *x, unsigned line, unsigned column,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
int conf_fail_memory(struct conf_ctx *x);
void conf_warning(struct conf_ctx *x, const struct conf_node *at,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void conf_warning_env(struct conf_ctx *x, const char *var, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Warn, once for a key, that it has no effect yet.  id: the key or word; var
 * NULL: it stands in the file. */
void conf_warn_unused(struct conf_ctx *x, const void *id,
    const struct conf_node *at, const char *var);
/* Foreign text made printable and short. */
void conf_show(char *out, size_t cap, const char *s, size_t len);
/* Append a key or an index to x->path; returns the length to go back to with
 * conf_path_cut. */
size_t conf_path_key(struct conf_ctx *x, const char *key, size_t len);
size_t conf_path_index(struct conf_ctx *x, unsigned i);
void conf_path_cut(struct conf_ctx *x, size_t len);

/* conf_yaml.c: a tree (conf_yaml_free), or NULL with the error told.  *empty
 * is set when there was nothing in the text (and NULL returned). */
struct conf_node *
conf_yaml(struct conf_ctx *x, const char *text, size_t len, int *empty);
void conf_yaml_free(struct conf_node *n);
/* The value of a key in a map, or NULL (also for n NULL or no map). */
const struct conf_node *
conf_yaml_get(const struct conf_node *n, const char *key);

/* conf_schema.c */
const struct conf_key *conf_schema_root(void);
const struct conf_key *conf_schema_gateway(void);
const struct conf_key *conf_schema_identity(void);
/* The key at a dotted path below the table, or NULL. */
const struct conf_key *
conf_schema_find(const struct conf_key *keys, const char *path);
/* What stands in a path between a container's key and its members' keys. */
const char *conf_schema_joint(const struct conf_key *k);
/* Fill in the defaults; 0, or -1 when memory ran out. */
int conf_schema_defaults(const struct conf_key *keys, void *base);
void conf_schema_free(const struct conf_key *keys, void *base);
/* Whether one key's value is the same in both. */
int conf_schema_same(const struct conf_key *k, const void *a, const void *b);
/* Whether the values are the same in both, but for keys with one of the flags
 * without. */
int conf_schema_equal(const struct conf_key *keys, const void *a, const void *b,
    unsigned without);

/* conf_value.c: take a value from text and store it.  0, or -1 with what is
 * wrong in why->text. */
int conf_value_set(const struct conf_key *k, void *base, const char *text,
    struct conf_error *why);
/* Append an element to a list. */
int conf_value_add(const struct conf_key *k, void *base, const char *text,
    struct conf_error *why);
/* A number, a truth or a word as it would stand in the file.  1, or 0 when it
 * is not set. */
int conf_value_text(
    const struct conf_key *k, const void *base, char *out, size_t cap);
void conf_value_clear(const struct conf_key *k, void *base);
/* The type with its range, for people: "duration 10ms to 1m". */
void conf_value_type(const struct conf_key *k, char *out, size_t cap);

/* conf_form.c: forms of strings, as conf_key.check wants them. */
const char *conf_form_url(char *text, void *gateway);
const char *conf_form_proxy(char *text, void *gateway);
const char *conf_form_path(char *text, void *base);
const char *conf_form_http(char *text, void *base);
const char *conf_form_oidc(char *text, void *gateway);
const char *conf_form_platform(char *text, void *base);
const char *conf_form_group(char *text, void *base);
const char *conf_form_user(char *text, void *base);
const char *conf_form_host(char *text, void *base);
const char *conf_form_variable(char *text, void *base);
const char *conf_form_display(char *text, void *base);
/* NULL, or what is wrong with a gateway's name. */
const char *conf_form_name(const char *text);

/* conf_hint.c: the nearest of the names, or NULL when none is near. */
const struct conf_key *
conf_hint_key(const struct conf_key *keys, const char *word);
const char *conf_hint_word(const struct conf_word *words, const char *word);
/* Edits from one word to the other, letter case and - for _ not counted. */
unsigned conf_hint_distance(const char *a, const char *b);
/* The nearest name becomes *best when nearer than before (start: NULL). */
void conf_hint_try(const char **best, const char *name, const char *word);
/* The path of the only key of that name, wherever it stands; 0 when there is
 * none, or are several. */
int conf_hint_elsewhere(const char *word, char *out, size_t cap);

/* conf_walk.c: 0, or -1 with the error told. */
int conf_walk(struct conf_ctx *x, const struct conf_node *n,
    const struct conf_key *keys, void *base);

/* conf_manifest.c: the JSON text of a list of commands. */
int conf_manifest(struct conf_ctx *x, const struct conf_node *n, char **out);

/* conf_env.c: lay the environment over x->conf. */
int conf_env(struct conf_ctx *x, char *const env[]);
/* The value of a variable, blanks around it not counted and *len set; NULL
 * when it is unset or blank. */
const char *conf_env_get(char *const env[], const char *name, size_t *len);

/* conf_check.c: hooks of the tables, and the last look at everything.  root is
 * the file's tree or NULL. */
int
conf_check_reconnect(struct conf_ctx *x, const struct conf_node *n, void *base);
int conf_check_proxy(struct conf_ctx *x, const struct conf_node *n, void *base);
int conf_check_token(struct conf_ctx *x, const struct conf_node *n, void *base);
int conf_check_identities(
    struct conf_ctx *x, const struct conf_node *n, void *base);
int conf_check(struct conf_ctx *x, const struct conf_node *root);

#endif
