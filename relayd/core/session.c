/* SPDX-License-Identifier: ISC */
/* Session keys (CONTRACT 5): which conversation an event belongs to. */
#include <string.h>

#include "session.h"

#define MEMBERS(X)     \
	X(platform)    \
	X(chat_id)     \
	X(chat_type)   \
	X(user_id)     \
	X(thread_id)   \
	X(scope_id)    \
	X(user_id_alt) \
	X(profile)     \
	X(prospective_thread_id)

#define X(name) JSON_WANT(#name, JSON_ANY, 0),
static const struct json_want wants[] = {MEMBERS(X)};
#undef X
#define X(name) offsetof(struct source, name),
static const size_t offsets[] = {MEMBERS(X)};
#undef X

#define NPARTS (sizeof(wants) / sizeof(wants[0]))

static struct span *
member(struct source *src, size_t i)
{
	return (struct span *)(void *)((char *)src + offsets[i]);
}

const char *
session_source(const struct json_doc *doc, int node, struct source *src,
    char *scratch, size_t cap)
{
	int at[NPARTS];
	const char *why;
	struct span s;
	size_t i;

	if ((why = json_members(doc, node, wants, NPARTS, at, NULL)) != NULL)
		return why;
	for (i = 0; i < NPARTS; i++) {
		/* A value that is no string counts as absent: it decides
		 * placement alone, the agent sees the event as it came. */
		s = json_str(doc, at[i], scratch, cap);
		if (s.p == NULL && json_str_raw(doc, at[i]).p != NULL)
			return "a member of source is too long";
		if (s.p == scratch && s.len > 0) {
			scratch += s.len;
			cap -= s.len;
		}
		*member(src, i) = s;
	}
	return NULL;
}

/* A growing key: parts joined by colons. */
struct key {
	char *out;
	size_t len, cap;
	int over;
};

static void
key_part(struct key *k, struct span part)
{
	size_t need = part.len + (k->len > 0);

	if (k->over || part.len == 0)
		return;
	if (need > k->cap - k->len) {
		k->over = 1;
		return;
	}
	if (k->len > 0)
		k->out[k->len++] = ':';
	memcpy(k->out + k->len, part.p, part.len);
	k->len += part.len;
}

/* The first that is not empty. */
static struct span
either(struct span a, struct span b)
{
	return a.len > 0 ? a : b;
}

/* WhatsApp's ids name one person in several spellings: +N, N:device@server,
 * N@server. */
static struct span
plain_id(struct span id)
{
	size_t i;

	if (id.len > 0 && id.p[0] == '+') {
		id.p++;
		id.len--;
	}
	for (i = 0; i < id.len; i++)
		if (id.p[i] == ':' || id.p[i] == '@')
			break;
	id.len = i;
	return id;
}

static void
key_dm(struct key *k, const struct source *src, int slack, int whatsapp)
{
	struct span chat = src->chat_id;

	if (chat.len == 0)
		chat = either(src->user_id_alt, src->user_id);
	key_part(k, SPAN_LIT("dm"));
	if (slack)
		key_part(k, src->scope_id);
	key_part(k, whatsapp ? plain_id(chat) : chat);
	key_part(k, src->thread_id);
}

static void
key_group(struct key *k, const struct source *src, int slack, int whatsapp,
    int group_per_user, int thread_per_user)
{
	struct span thread, who;
	int prospective =
	    src->thread_id.len == 0 && src->prospective_thread_id.len > 0;

	thread = either(src->thread_id, src->prospective_thread_id);
	who = either(src->user_id_alt, src->user_id);
	key_part(k, prospective ? SPAN_LIT("thread") : src->chat_type);
	if (slack)
		key_part(k, src->scope_id);
	key_part(k, src->chat_id);
	key_part(k, thread);
	if (thread.len > 0 ? thread_per_user : group_per_user)
		key_part(k, whatsapp ? plain_id(who) : who);
}

ptrdiff_t
session_key(const struct source *src, int group_per_user, int thread_per_user,
    char *out, size_t cap)
{
	struct key k = {out, 0, cap, 0};
	int slack = span_eq(src->platform, SPAN_LIT("slack"));
	int whatsapp = span_eq(src->platform, SPAN_LIT("whatsapp"));

	key_part(&k, SPAN_LIT("agent"));
	key_part(&k,
	    src->profile.len == 0 || span_eq(src->profile, SPAN_LIT("default"))
		? SPAN_LIT("main")
		: src->profile);
	key_part(&k, src->platform);
	if (src->chat_type.len == 0 || span_eq(src->chat_type, SPAN_LIT("dm")))
		key_dm(&k, src, slack, whatsapp);
	else
		key_group(
		    &k, src, slack, whatsapp, group_per_user, thread_per_user);
	return k.over ? -1 : (ptrdiff_t)k.len;
}
