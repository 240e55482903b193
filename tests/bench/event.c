/* SPDX-License-Identifier: ISC */
/* Events for load; see event.h. */
#include <err.h>
#include <stdio.h>
#include <string.h>

#include "event.h"
#include "peer.h"

/* Digits of the counter in each event, and of the chat's. */
#define DIGITS	    EVENT_DIGITS
#define CHAT_DIGITS 7
#define PLACES	    EVENT_PLACES

/* Chat text: words, and in every 190 bytes or so a newline and two quotes,
 * escaped, and two characters beyond ASCII. */
static void
fill_text(char *to, size_t n)
{
	static const char *const words[] = {"the", " build", " on", " node",
	    " 17", " stopped", " again", ",", " log", " says", " \\\"",
	    "no space", " left", "\\\"", ".", "\\n", "can", " somebody",
	    " free", " the", " old", " caches", " na\xc3\xafvely", " or",
	    " move", " them", " to", " the", " other", " disk", "?", " thanks",
	    " \xf0\x9f\x99\x8f", " I", " look", " after", " lunch", " too",
	    ". "};
	size_t i, len;

	for (i = 0;; i = (i + 1) % (sizeof(words) / sizeof(words[0]))) {
		len = strlen(words[i]);
		if (len > n)
			break;
		memcpy(to, words[i], len);
		to += len;
		n -= len;
	}
	memset(to, '.', n);
}

/* Find the next run of n '@' from *at on; they become zeros. */
static size_t
take_place(char *line, size_t n, size_t *at)
{
	const char *p = strchr(line + *at, '@');
	size_t found = p == NULL ? 0 : (size_t)(p - line);

	memset(line + found, '0', n);
	*at = found + n;
	return found;
}

static void
tmpl_places(struct event *t, char *line, size_t headlen)
{
	size_t at = 0, i;

	t->chat = headlen + take_place(line, CHAT_DIGITS, &at);
	for (i = 0; i < PLACES; i++)
		t->place[i] = headlen + take_place(line, DIGITS, &at);
	t->idlen = strlen("b00000000-") + DIGITS;
	t->id = t->place[PLACES - 1] + DIGITS - t->idlen;
}

void
event_build(struct event *t, size_t size, uint32_t epoch)
{
	static const char before[] =
	    "{\"type\":\"inbound\",\"event\":{\"text\":\"";
	static const char fmt[] =
	    "\",\"message_type\":\"text\",\"source\":{\"platform\":\"discord\","
	    "\"chat_id\":\"118765432109@@@@@@@\",\"chat_type\":\"group\","
	    "\"user_id\":\"273645546372819000\",\"user_name\":\"ada.lovelace\","
	    "\"thread_id\":null,\"chat_name\":\"Engines / #general\","
	    "\"chat_topic\":null,\"scope_id\":\"998877665544332211\","
	    "\"message_id\":\"12890@@@@@@@@@@\",\"is_bot\":false,"
	    "\"message_is_edit\":false},\"message_id\":\"12890@@@@@@@@@@\"},"
	    "\"bufferId\":\"b%08x-@@@@@@@@@@\"}\n";
	char after[sizeof(fmt) + 8], *line;
	unsigned char head[10];
	size_t a, text;

	a = (size_t)snprintf(after, sizeof(after), fmt, epoch);
	if (size < sizeof(before) - 1 + a + 1)
		errx(2, "an event has at least %zu bytes", sizeof(before) + a);
	text = size - (sizeof(before) - 1) - a;
	t->headlen = peer_head(head, 1, size);
	t->len = t->headlen + size;
	t->frame = peer_alloc(t->len + 1);
	memcpy(t->frame, head, t->headlen);
	line = t->frame + t->headlen;
	memcpy(line, before, sizeof(before) - 1);
	fill_text(line + sizeof(before) - 1, text);
	memcpy(line + sizeof(before) - 1 + text, after, a);
	tmpl_places(t, line, t->headlen);
}

void
event_stamp(const struct event *t, char *frame, uint64_t n, unsigned chats)
{
	char digits[DIGITS];
	unsigned chat = (unsigned)(n % chats);
	size_t i;

	for (i = CHAT_DIGITS; i-- > 0; chat /= 10)
		frame[t->chat + i] = (char)('0' + chat % 10);
	for (i = DIGITS; i-- > 0; n /= 10)
		digits[i] = (char)('0' + n % 10);
	for (i = 0; i < PLACES; i++)
		memcpy(frame + t->place[i], digits, DIGITS);
}

uint64_t
event_number(const struct event *t, const char *id, size_t len)
{
	size_t i, fixed = t->idlen - DIGITS;
	uint64_t v = 0;

	if (id == NULL || len != t->idlen ||
	    memcmp(id, t->frame + t->id, fixed) != 0)
		return UINT64_MAX;
	for (i = fixed; i < len; i++) {
		if (id[i] < '0' || id[i] > '9')
			return UINT64_MAX;
		v = v * 10 + (uint64_t)(id[i] - '0');
	}
	return v;
}
