/* SPDX-License-Identifier: ISC */
/*
 * Configuration: command_manifest, from a YAML list to the JSON text that
 * Discord's hello carries.  A command's own keys are checked; what stands in
 * its options is the platform's business and is passed on.
 */
#include <stdlib.h>
#include <string.h>

#include "conf_priv.h"
#include "json.h"

static int
put_value(struct conf_ctx *x, const struct conf_node *n, struct buf *b);

/* JSON's own words and numbers stay what they are when not quoted. */
static int
is_json_word(const struct conf_node *n)
{
	struct json_doc doc;

	if (!n->plain || json_parse(&doc, n->text, n->len, 0) == -1)
		return 0;
	return doc.node[JSON_ROOT].type != JSON_STRING;
}

/* The members of a mapping, those before c looked at for the same key. */
static int
put_member(struct conf_ctx *x, const struct conf_node *map,
    const struct conf_node *c, struct buf *b)
{
	const struct conf_node *key = c->key, *o;
	size_t old = conf_path_key(x, key->text, key->len);

	if (key->bad != NULL)
		return conf_fail(x, key, "%s", key->bad);
	for (o = map->first; o != c; o = o->next)
		if (strcmp(o->key->text, key->text) == 0)
			return conf_fail(x, key,
			    "the key stands twice, first on line %u; remove "
			    "one",
			    o->key->line);
	if (o != map->first)
		buf_add(b, ",", 1);
	json_put_str(b, (struct span){key->text, key->len});
	buf_add(b, ":", 1);
	if (put_value(x, c, b) == -1)
		return -1;
	conf_path_cut(x, old);
	return 0;
}

static int
put_container(struct conf_ctx *x, const struct conf_node *n, struct buf *b)
{
	const struct conf_node *c;
	unsigned i = 0;
	size_t old;

	buf_add(b, n->kind == CONF_MAP ? "{" : "[", 1);
	for (c = n->first; c != NULL; c = c->next) {
		if (n->kind == CONF_MAP) {
			if (put_member(x, n, c, b) == -1)
				return -1;
			continue;
		}
		old = conf_path_index(x, i++);
		if (i > 1)
			buf_add(b, ",", 1);
		if (put_value(x, c, b) == -1)
			return -1;
		conf_path_cut(x, old);
	}
	buf_add(b, n->kind == CONF_MAP ? "}" : "]", 1);
	return 0;
}

/* Any value as JSON.  Its depth is bounded by CONF_DEPTH. */
static int
put_value(struct conf_ctx *x, const struct conf_node *n, struct buf *b)
{
	if (b->failed)
		return conf_fail(x, n,
		    "command_manifest is longer than %d bytes as JSON; shorten "
		    "it",
		    CONF_MANIFEST);
	if (n->bad != NULL)
		return conf_fail(x, n, "%s", n->bad);
	if (n->kind != CONF_SCALAR)
		return put_container(x, n, b);
	if (n->plain && (n->len == 0 || strcmp(n->text, "~") == 0))
		buf_add(b, "null", 4);
	else if (is_json_word(n))
		buf_add(b, n->text, n->len);
	else
		json_put_str(b, (struct span){n->text, n->len});
	return 0;
}

/* A required text of a command. */
static int
put_text(struct conf_ctx *x, const struct conf_node *cmd, const char *key,
    struct buf *b)
{
	const struct conf_node *n = conf_yaml_get(cmd, key);
	size_t old = conf_path_key(x, key, strlen(key));

	if (n == NULL)
		return conf_fail(x, cmd,
		    "is missing; a command has name, description and perhaps "
		    "options");
	if (n->bad != NULL)
		return conf_fail(x, n, "%s", n->bad);
	if (n->kind != CONF_SCALAR || n->len == 0)
		return conf_fail(
		    x, n->kind == CONF_SCALAR ? n->key : n, "expected a text");
	json_put_key(b, key);
	json_put_str(b, (struct span){n->text, n->len});
	conf_path_cut(x, old);
	return 0;
}

/* Whether the keys of a command are the known ones, each once. */
static int
check_keys(struct conf_ctx *x, const struct conf_node *cmd)
{
	static const char *const names[] = {"name", "description", "options"};
	const struct conf_node *c, *seen[3] = {0};

	for (c = cmd->first; c != NULL; c = c->next) {
		const struct conf_node *key = c->key;
		size_t old = conf_path_key(x, key->text, key->len), i = 0;
		const char *near = NULL;

		if (key->bad != NULL)
			return conf_fail(x, key, "%s", key->bad);
		for (; i < 3 && strcmp(names[i], key->text) != 0; i++)
			conf_hint_try(&near, names[i], key->text);
		if (i == 3 && near != NULL)
			return conf_fail(
			    x, key, "unknown key; did you mean %s?", near);
		if (i == 3)
			return conf_fail(x, key,
			    "unknown key; here may stand: name, description, "
			    "options");
		if (seen[i] != NULL)
			return conf_fail(x, key,
			    "the key stands twice, first on line %u; remove "
			    "one",
			    seen[i]->line);
		seen[i] = key;
		conf_path_cut(x, old);
	}
	return 0;
}

static int
put_command(struct conf_ctx *x, const struct conf_node *n, struct buf *b)
{
	const struct conf_node *options;

	if (n->bad != NULL)
		return conf_fail(x, n, "%s", n->bad);
	if (n->kind != CONF_MAP)
		return conf_fail(x, n,
		    "expected a mapping, such as {name: ping, description: Is "
		    "it there}");
	if (check_keys(x, n) == -1)
		return -1;
	buf_add(b, "{", 1);
	if (put_text(x, n, "name", b) == -1 ||
	    put_text(x, n, "description", b) == -1)
		return -1;
	if ((options = conf_yaml_get(n, "options")) != NULL) {
		size_t old = conf_path_key(x, "options", 7);

		if (options->kind != CONF_LIST_NODE)
			return conf_fail(x, options, "expected a list");
		json_put_key(b, "options");
		if (put_value(x, options, b) == -1)
			return -1;
		conf_path_cut(x, old);
	}
	buf_add(b, "}", 1);
	return 0;
}

static int
put_commands(struct conf_ctx *x, const struct conf_node *n, struct buf *b)
{
	const struct conf_node *c;
	unsigned i = 0;

	buf_add(b, "[", 1);
	for (c = n->first; c != NULL; c = c->next) {
		size_t old = conf_path_index(x, i++);

		if (i > 1)
			buf_add(b, ",", 1);
		if (put_command(x, c, b) == -1)
			return -1;
		conf_path_cut(x, old);
		if (b->failed)
			break;
	}
	buf_add(b, "]", 1);
	if (!b->failed)
		return 0;
	return conf_fail(
	    x, n, "is longer than %d bytes as JSON; shorten it", CONF_MANIFEST);
}

int
conf_manifest(struct conf_ctx *x, const struct conf_node *n, char **out)
{
	struct buf b;
	int r;

	if (n->kind != CONF_LIST_NODE)
		return conf_fail(x, n,
		    "expected a list of commands, such as - {name: ping, "
		    "description: Is it there}");
	buf_init(&b, CONF_MANIFEST);
	r = put_commands(x, n, &b);
	if (r == 0) {
		struct span s = buf_span(&b);

		if ((*out = strndup(s.p, s.len)) == NULL)
			r = conf_fail_memory(x);
	}
	buf_free(&b);
	return r;
}
