/* SPDX-License-Identifier: ISC */
/* Discord interactions as events; see interaction.h. */
#include <string.h>

#include "base64.h"
#include "interaction.h"
#include "limit.h"

/* Types of an interaction, and of an option that is a command below another. */
#define TYPE_COMMAND   2
#define TYPE_COMPONENT 3
#define OPTION_SUB     1
#define OPTION_GROUP   2
/* A command, a group below it, a command below that, their options: Discord
 * nests no deeper. */
#define OPTION_DEPTH 4
/* Characters of a prompt's and an option's id (CONTRACT 6). */
#define PROMPT_ID 32

void
interaction_init(struct interaction *in)
{
	buf_init(&in->body, LIMIT_LINE);
	buf_init(&in->text, LIMIT_LINE);
}

void
interaction_free(struct interaction *in)
{
	buf_free(&in->body);
	buf_free(&in->text);
}

/* Have the members of an object in the doc: the objects of an interaction are
 * read one after the other, since all of them together may be too many. */
static int
enter(struct interaction *in, struct span object)
{
	return object.p != NULL &&
	    json_parse(&in->doc, object.p, object.len, 1) == 0 &&
	    in->doc.node[JSON_ROOT].type == JSON_OBJECT;
}

static struct span
raw_member(const struct interaction *in, const char *name)
{
	return json_raw(&in->doc, json_get(&in->doc, JSON_ROOT, name));
}

/* A member's text; numbers as they stand, since ids are text to us.  What is
 * neither, or does not fit, is absent. */
static struct span
member(struct interaction *in, const char *name)
{
	int node = json_get(&in->doc, JSON_ROOT, name);
	struct span s;

	if (node != -1 && in->doc.node[node].type == JSON_NUMBER)
		return json_raw(&in->doc, node);
	s = json_str(
	    &in->doc, node, in->room + in->used, sizeof(in->room) - in->used);
	if (s.p == in->room + in->used)
		in->used += s.len;
	return s;
}

static void
add_word(struct buf *text, struct span word)
{
	if (span_trim(word).len == 0)
		return;
	(void)buf_add(text, " ", 1);
	(void)buf_adds(text, word);
}

/* A string, decoded at the end of the text. */
static void
add_string(struct buf *text, struct span raw)
{
	char *p = buf_reserve(text, raw.len + 1);
	ptrdiff_t n;

	if (p == NULL)
		return;
	n = json_unescape(raw, p + 1, raw.len);
	if (n > 0 && span_trim((struct span){p + 1, (size_t)n}).len > 0) {
		p[0] = ' ';
		buf_commit(text, (size_t)n + 1);
	}
}

static void
add_value(struct interaction *in, int node)
{
	const struct json_doc *doc = &in->doc;

	if (node == -1)
		return;
	switch (doc->node[node].type) {
	case JSON_STRING:
		add_string(&in->text, json_str_raw(doc, node));
		break;
	case JSON_NUMBER:
	case JSON_TRUE:
	case JSON_FALSE:
		add_word(&in->text, json_raw(doc, node));
		break;
	default:
		break;
	}
}

/* The options of a command, in their order. */
static void
add_options(struct interaction *in, struct span list, int depth)
{
	const struct json_doc *doc = &in->doc;
	struct span elem, below;
	size_t pos = 0;
	int64_t type;

	while (depth < OPTION_DEPTH && json_each(list, &pos, &elem) == 1) {
		if (!enter(in, elem))
			continue;
		if (json_int(doc, json_get(doc, JSON_ROOT, "type"), OPTION_SUB,
			OPTION_GROUP, &type) == -1) {
			add_value(in, json_get(doc, JSON_ROOT, "value"));
			continue;
		}
		below = raw_member(in, "options");
		add_value(in, json_get(doc, JSON_ROOT, "name"));
		add_options(in, below, depth + 1);
	}
}

static void
read_command(struct interaction *in)
{
	struct span options = raw_member(in, "options");

	add_string(&in->text,
	    json_str_raw(&in->doc, json_get(&in->doc, JSON_ROOT, "name")));
	if (buf_len(&in->text) == 0)
		return;
	in->command = 1;
	in->text.p[in->text.off] = '/'; /* where a space stands */
	add_options(in, options, 0);
}

/* A word of 1 to 32 of [A-Za-z0-9_.-] at *s, ended by `end` or the text's
 * end; absent when there is none.  *s goes on behind it. */
static struct span
take_id(struct span *s, char end)
{
	static const char id[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "abcdefghijklmnopqrstuvwxyz0123456789_.-";
	struct span word = {s->p, 0};

	while (word.len < s->len &&
	    memchr(id, s->p[word.len], sizeof(id) - 1) != NULL)
		word.len++;
	if (word.len == 0 || word.len > PROMPT_ID ||
	    (end == '\0' ? word.len != s->len
			 : word.len == s->len || s->p[word.len] != end))
		return (struct span){NULL, 0};
	s->p += word.len + (end != '\0');
	s->len -= word.len + (end != '\0');
	return word;
}

/* hp1:<prompt_id>:<option_id> */
static int
read_prompt(struct interaction *in, struct span custom)
{
	static const struct span mark = SPAN_LIT("hp1:");

	if (custom.len < mark.len || memcmp(custom.p, mark.p, mark.len) != 0)
		return 0;
	custom.p += mark.len;
	custom.len -= mark.len;
	in->prompt_id = take_id(&custom, ':');
	if (in->prompt_id.p != NULL)
		in->option_id = take_id(&custom, '\0');
	if (in->option_id.p == NULL)
		in->prompt_id = in->option_id;
	return in->prompt_id.p != NULL;
}

static void
read_component(struct interaction *in, struct span message)
{
	struct span custom = member(in, "custom_id");

	if (custom.p == NULL)
		return;
	if (!read_prompt(in, custom)) {
		(void)buf_adds(&in->text, custom);
		return;
	}
	in->command = 1;
	(void)buf_add(&in->text, "/", 1);
	(void)buf_adds(&in->text, in->option_id);
	if (enter(in, message))
		in->prompt_message_id = member(in, "id");
}

/* Who did it: the guild's member, or in a direct chat the user. */
static void
read_user(struct interaction *in, struct span member_of_guild, struct span user)
{
	struct span own = {NULL, 0};

	if (enter(in, member_of_guild))
		own = raw_member(in, "user");
	if (!enter(in, own) && !enter(in, user))
		return;
	in->src.user_id = member(in, "id");
	in->user_name = member(in, "username");
}

static void
forget(struct interaction *in)
{
	static const struct span none = {NULL, 0};

	buf_reset(&in->body);
	buf_reset(&in->text);
	in->used = 0;
	memset(&in->src, 0, sizeof(in->src));
	in->user_name = in->message_id = none;
	in->prompt_id = in->option_id = in->prompt_message_id = none;
	in->command = 0;
}

static const char *
decode(struct interaction *in, struct span b64)
{
	char *p = buf_reserve(&in->body, b64.len / 4 * 3 + 1);
	ptrdiff_t n;

	if (p == NULL)
		return "no memory";
	if (b64.p == NULL || (n = base64_decode(p, b64)) == -1)
		return "bodyB64 is not base64";
	buf_commit(&in->body, (size_t)n);
	return enter(in, buf_span(&in->body)) ? NULL
					      : "the body is no JSON object";
}

const char *
interaction_read(struct interaction *in, struct span b64, struct span profile)
{
	struct span data, message, user, by;
	const char *why;
	int64_t type;

	forget(in);
	if ((why = decode(in, b64)) != NULL)
		return why;
	in->src.platform = SPAN_LIT("discord");
	in->src.profile = profile;
	in->src.chat_id = member(in, "channel_id");
	in->src.scope_id = member(in, "guild_id");
	in->src.chat_type =
	    in->src.scope_id.len > 0 ? SPAN_LIT("group") : SPAN_LIT("dm");
	in->message_id = member(in, "id");
	data = raw_member(in, "data");
	message = raw_member(in, "message");
	by = raw_member(in, "member");
	user = raw_member(in, "user");
	if (json_int(&in->doc, json_get(&in->doc, JSON_ROOT, "type"), 0,
		INT64_MAX, &type) == -1)
		type = 0;
	read_user(in, by, user);
	if (type == TYPE_COMMAND && enter(in, data))
		read_command(in);
	else if (type == TYPE_COMPONENT && enter(in, data))
		read_component(in, message);
	return in->text.failed ? "no memory" : NULL;
}

/* Absent, not empty: null. */
static struct span
told(struct span s)
{
	return s.len > 0 ? s : (struct span){NULL, 0};
}

static void
put_source(const struct interaction *in, struct buf *b)
{
	const struct source *s = &in->src;

	(void)buf_adds(b, SPAN_LIT(",\"source\":{"));
	json_put_member_str(b, "platform", s->platform);
	json_put_member_str(
	    b, "chat_id", s->chat_id.p == NULL ? SPAN_LIT("") : s->chat_id);
	json_put_member_str(b, "chat_type", s->chat_type);
	json_put_member_str(b, "chat_name", told((struct span){NULL, 0}));
	json_put_member_str(b, "chat_topic", told((struct span){NULL, 0}));
	json_put_member_str(b, "thread_id", told((struct span){NULL, 0}));
	json_put_member_str(b, "user_id", told(s->user_id));
	json_put_member_str(b, "user_name", told(in->user_name));
	json_put_member_str(b, "scope_id", told(s->scope_id));
	json_put_member_str(b, "message_id", told(in->message_id));
	if (s->profile.len > 0)
		json_put_member_str(b, "profile", s->profile);
	(void)buf_add(b, "}", 1);
}

void
interaction_put(const struct interaction *in, struct buf *b)
{
	(void)buf_add(b, "{", 1);
	json_put_member_str(b, "text", buf_span(&in->text));
	json_put_member_str(b, "message_type",
	    in->command ? SPAN_LIT("command") : SPAN_LIT("text"));
	put_source(in, b);
	if (in->prompt_id.p != NULL) {
		(void)buf_adds(b, SPAN_LIT(",\"prompt_response\":{"));
		json_put_member_str(b, "prompt_id", in->prompt_id);
		json_put_member_str(b, "option_id", in->option_id);
		json_put_member_str(
		    b, "prompt_message_id", told(in->prompt_message_id));
		(void)buf_add(b, "}", 1);
	}
	(void)buf_add(b, "}", 1);
}

const char *
interaction_line(struct interaction *in, struct span line, struct buf *out)
{
	struct json_doc *doc = &in->doc;
	struct span id, key, profile, body, forward;
	char scratch[LIMIT_SESSION_KEY];
	const char *why;

	if (!enter(in, line))
		return "no JSON object";
	id = raw_member(in, "bufferId");
	key = raw_member(in, "session_key");
	forward = raw_member(in, "forward");
	if (!enter(in, forward))
		return "no forward";
	if (!span_eq(json_str_raw(doc, json_get(doc, JSON_ROOT, "platform")),
		SPAN_LIT("discord")))
		return "it is not of discord";
	body = json_str_raw(doc, json_get(doc, JSON_ROOT, "bodyB64"));
	profile = json_str(
	    doc, json_get(doc, JSON_ROOT, "profile"), scratch, sizeof(scratch));
	if ((why = interaction_read(in, body, profile)) != NULL)
		return why;
	(void)buf_adds(out, SPAN_LIT("{\"type\":\"inbound\",\"event\":"));
	interaction_put(in, out);
	json_put_member_raw(out, "bufferId", id);
	json_put_member_raw(out, "session_key", key);
	(void)buf_add(out, "}", 1);
	return out->failed ? "no memory" : NULL;
}
