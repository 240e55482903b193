/* SPDX-License-Identifier: ISC */
/*
 * Configuration: from YAML text to a tree of nodes with their places.  libyaml
 * gives events; what could expand or change the meaning of a value (anchors,
 * aliases, tags, further documents) is not taken.
 */
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "conf_priv.h"

struct builder {
	struct conf_ctx *x;
	yaml_parser_t parser;
	const char *text;
	size_t len;
	struct conf_node *root;
	struct conf_node *open[CONF_DEPTH]; /* containers, outermost first */
	struct conf_node *last[CONF_DEPTH]; /* their last children */
	unsigned depth;
	struct conf_node *key; /* waits for its value */
	unsigned nodes;
	int done; /* the stream's end was seen */
};

/* libyaml's phrases, and what to tell instead. */
static const struct {
	const char *problem, *text;
} phrases[] = {
    {"found character that cannot start any token",
	"a value cannot begin with this character; put the value in "
	"quotes"},
    {"did not find expected key",
	"a key was expected here; check the indentation of this line and "
	"of the ones above it"},
    {"mapping values are not allowed in this context",
	"a \":\" stands where none can; check the indentation, or put a "
	"value that contains \": \" in quotes"},
    {"could not find expected ':'",
	"a key is not followed by \":\" and a space; add it"},
    {"did not find expected ',' or '}'",
	"a \"{\" is not closed; add \"}\", or a comma between two keys"},
    {"did not find expected ',' or ']'",
	"a \"[\" is not closed; add \"]\", or a comma between two values"},
    {"found unexpected end of stream",
	"a quoted value is not closed; add the quote at its end"},
    {"did not find expected '-' indicator",
	"an element of the list was expected here; begin it with \"- \" "
	"in the same column as the others"},
    {"block sequence entries are not allowed in this context",
	"a list cannot begin here; begin it on a line of its own"},
    {"found unknown escape character",
	"an unknown backslash sequence in double quotes; write \\\\ for a "
	"backslash, or use single quotes"},
    {"found undefined tag handle", "tags (!...) are not supported; remove it"},
    {"did not find expected <document start>",
	"text after the end of the configuration; check the indentation, "
	"or put the whole value in one pair of quotes"},
    {"found unknown directive name",
	"a line cannot begin with %; put the value in quotes"},
    {"control characters are not allowed", "a control character; remove it"},
    {"invalid leading UTF-8 octet",
	"the text is not UTF-8; save the file as UTF-8"},
    {"invalid trailing UTF-8 octet",
	"the text is not UTF-8; save the file as UTF-8"},
    {"incomplete UTF-8 octet sequence",
	"the text is not UTF-8; save the file as UTF-8"},
};

/* Line and column of a byte. */
static void
place(const char *text, size_t off, unsigned *line, unsigned *column)
{
	size_t i;

	*line = *column = 1;
	for (i = 0; i < off; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\n') {
			(*line)++;
			*column = 1;
		} else if ((c & 0xc0) != 0x80)
			(*column)++;
	}
}

/* Tell why libyaml stopped. */
static int
syntax_error(struct builder *b)
{
	const yaml_parser_t *p = &b->parser;
	const char *problem = p->problem == NULL ? "not YAML" : p->problem;
	unsigned line = (unsigned)p->problem_mark.line + 1;
	unsigned column = (unsigned)p->problem_mark.column + 1;
	size_t i;

	if (p->error == YAML_MEMORY_ERROR)
		return conf_fail_memory(b->x);
	if (p->error == YAML_READER_ERROR)
		place(b->text,
		    p->problem_offset < b->len ? p->problem_offset : b->len,
		    &line, &column);
	else if (p->problem_mark.index < b->len &&
	    b->text[p->problem_mark.index] == '\t')
		return conf_fail_at(b->x, line, column,
		    "a tab where only spaces may stand; indent with spaces");
	for (i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
		if (strcmp(problem, phrases[i].problem) == 0)
			return conf_fail_at(
			    b->x, line, column, "%s", phrases[i].text);
	return conf_fail_at(
	    b->x, line, column, "not valid YAML: %s; correct it", problem);
}

/* A node for the event, not yet in the tree. */
static struct conf_node *
new_node(struct builder *b, const yaml_event_t *ev, enum conf_kind kind)
{
	struct conf_node *n;

	if (b->nodes++ == CONF_NODES) {
		conf_fail_at(b->x, (unsigned)ev->start_mark.line + 1,
		    (unsigned)ev->start_mark.column + 1,
		    "more than %d keys and values in one file; divide the "
		    "gateways among several relayd",
		    CONF_NODES);
		return NULL;
	}
	if ((n = calloc(1, sizeof(*n))) == NULL) {
		conf_fail_memory(b->x);
		return NULL;
	}
	n->kind = kind;
	n->line = (unsigned)ev->start_mark.line + 1;
	n->column = (unsigned)ev->start_mark.column + 1;
	return n;
}

/* Put a node into the open container, or make it the root. */
static int
attach(struct builder *b, struct conf_node *n)
{
	struct conf_node *top, **link;

	if (b->depth == 0) {
		b->root = n;
		return 0;
	}
	top = b->open[b->depth - 1];
	if (top->kind == CONF_MAP && b->key == NULL) {
		b->key = n;
		if (n->kind == CONF_SCALAR)
			return 0;
		return conf_fail(b->x, n,
		    "a key must be a word, not a list or a mapping; put a "
		    "value that begins with { or [ in quotes");
	}
	n->key = b->key;
	b->key = NULL;
	link = top->first == NULL ? &top->first : &b->last[b->depth - 1]->next;
	*link = n;
	b->last[b->depth - 1] = n;
	top->n++;
	return 0;
}

/* Begin a list or a mapping. */
static int
begin(struct builder *b, const yaml_event_t *ev, enum conf_kind kind,
    const yaml_char_t *anchor, const yaml_char_t *tag)
{
	struct conf_node *n;

	if ((n = new_node(b, ev, kind)) == NULL)
		return -1;
	if (anchor != NULL)
		n->bad = "anchors (&) are not supported; write the value out";
	else if (tag != NULL)
		n->bad = "tags (!) are not supported; remove it";
	if (attach(b, n) == -1)
		return -1;
	if (b->depth == CONF_DEPTH)
		return conf_fail(b->x, n,
		    "nested deeper than %d levels; no key needs that",
		    CONF_DEPTH);
	b->last[b->depth] = NULL;
	b->open[b->depth++] = n;
	return 0;
}

static int
scalar(struct builder *b, const yaml_event_t *ev)
{
	struct conf_node *n;
	size_t len = ev->data.scalar.length;

	if ((n = new_node(b, ev, CONF_SCALAR)) == NULL)
		return -1;
	n->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	if ((n->text = malloc(len + 1)) == NULL) {
		free(n);
		return conf_fail_memory(b->x);
	}
	memcpy(n->text, ev->data.scalar.value, len);
	n->text[len] = '\0';
	n->len = len;
	if (ev->data.scalar.anchor != NULL)
		n->bad = "anchors (&) are not supported; write the value out";
	else if (ev->data.scalar.tag != NULL)
		n->bad = "tags (!) are not supported; remove it";
	else if (strlen(n->text) != len)
		n->bad = "a NUL byte (\\0); remove it";
	return attach(b, n);
}

static int
alias(struct builder *b, const yaml_event_t *ev)
{
	struct conf_node *n;

	if ((n = new_node(b, ev, CONF_SCALAR)) == NULL)
		return -1;
	n->bad = "aliases (*) are not supported; write the value out, or put "
		 "text that begins with * in quotes";
	if ((n->text = calloc(1, 1)) == NULL) {
		free(n);
		return conf_fail_memory(b->x);
	}
	return attach(b, n);
}

static int
take(struct builder *b, const yaml_event_t *ev)
{
	switch (ev->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (b->root == NULL)
			return 0;
		return conf_fail_at(b->x, (unsigned)ev->start_mark.line + 1,
		    (unsigned)ev->start_mark.column + 1,
		    "a second document begins here; a file holds one: remove "
		    "the \"---\"");
	case YAML_ALIAS_EVENT:
		return alias(b, ev);
	case YAML_SCALAR_EVENT:
		return scalar(b, ev);
	case YAML_SEQUENCE_START_EVENT:
		return begin(b, ev, CONF_LIST_NODE,
		    ev->data.sequence_start.anchor,
		    ev->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return begin(b, ev, CONF_MAP, ev->data.mapping_start.anchor,
		    ev->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return 0;
	case YAML_STREAM_END_EVENT:
		b->done = 1;
		return 0;
	default:
		return 0;
	}
}

static int
build(struct builder *b)
{
	yaml_event_t ev;
	int r;

	while (!b->done) {
		if (!yaml_parser_parse(&b->parser, &ev))
			return syntax_error(b);
		r = take(b, &ev);
		yaml_event_delete(&ev);
		if (r == -1)
			return -1;
	}
	return 0;
}

/* Whether the document says nothing: absent, or null. */
static int
is_empty(const struct conf_node *n)
{
	return n == NULL ||
	    (n->kind == CONF_SCALAR && n->plain && n->len == 0 &&
		n->bad == NULL);
}

struct conf_node *
conf_yaml(struct conf_ctx *x, const char *text, size_t len, int *empty)
{
	struct builder b = {.x = x, .text = text, .len = len};
	unsigned line, column;
	const char *nul;
	int r;

	*empty = 0;
	if ((nul = memchr(text, '\0', len)) != NULL) {
		place(text, (size_t)(nul - text), &line, &column);
		conf_fail_at(x, line, column,
		    "a NUL byte; a configuration is text: save it as UTF-8");
		return NULL;
	}
	if (!yaml_parser_initialize(&b.parser)) {
		conf_fail_memory(x);
		return NULL;
	}
	yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(
	    &b.parser, (const unsigned char *)text, len);
	r = build(&b);
	yaml_parser_delete(&b.parser);
	conf_yaml_free(b.key);
	if (r == 0 && is_empty(b.root))
		*empty = 1;
	if (r == -1 || *empty) {
		conf_yaml_free(b.root);
		return NULL;
	}
	return b.root;
}

void
conf_yaml_free(struct conf_node *n)
{
	struct conf_node *next, *c;

	if (n == NULL)
		return;
	for (c = n->first; c != NULL; c = next) {
		next = c->next;
		conf_yaml_free(c);
	}
	conf_yaml_free(n->key);
	free(n->text);
	free(n);
}

const struct conf_node *
conf_yaml_get(const struct conf_node *n, const char *key)
{
	const struct conf_node *c;

	if (n == NULL || n->kind != CONF_MAP)
		return NULL;
	for (c = n->first; c != NULL; c = c->next)
		if (strcmp(c->key->text, key) == 0)
			return c;
	return NULL;
}
