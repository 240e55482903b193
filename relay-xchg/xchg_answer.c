/* SPDX-License-Identifier: ISC */
/* What an answer says; see xchg_answer.h. */
#include <stdio.h>
#include <string.h>

#include "hex.h"
#include "hide.h"
#include "json.h"
#include "utf8.h"
#include "xchg_answer.h"

/* Bytes of a Location that are shown. */
#define LOCATION_SHOWN 160

/* Words. */

/* Copy text that is foreign: what is no UTF-8 or a control character becomes
 * a question mark; cut where it does not fit. */
static void
safe(char *out, size_t cap, struct span s)
{
	size_t n = 0, i = 0;
	unsigned len;
	int control;

	while (i < s.len) {
		len = utf8_seq(s.p + i, s.len - i);
		control = len == 0 || (unsigned char)s.p[i] < 0x20 ||
		    s.p[i] == 0x7f ||
		    (len == 2 && (unsigned char)s.p[i] == 0xc2 &&
			(unsigned char)s.p[i + 1] < 0xa0);
		if (n + (control ? 1 : len) >= cap)
			break;
		if (control)
			out[n++] = '?';
		else {
			memcpy(out + n, s.p + i, len);
			n += len;
		}
		i += len == 0 ? 1 : len;
	}
	out[n] = '\0';
}

static void
settle(struct xchg_result *a, enum xchg_stage stage)
{
	a->m.stage = stage;
	a->m.reason = span_str(a->reason);
}

void
xchg_answer_fail(struct xchg_result *a, enum xchg_stage stage, const char *why)
{
	safe(a->reason, sizeof(a->reason), span_str(why));
	settle(a, stage);
}

/* Checks. */

/* What can be a bearer. */
static const char *
check_token(struct span s)
{
	size_t i;

	if (s.len == 0)
		return "is empty";
	if (s.len > LIMIT_BEARER)
		return "is longer than 16 KiB";
	for (i = 0; i < s.len; i++)
		if (s.p[i] < '!' || s.p[i] > '~')
			return "holds white space, or characters that are not "
			       "ASCII: it is no token";
	return NULL;
}

/* What can be kept in a line of text: white space around it would be lost. */
static const char *
check_text(struct span s, size_t max)
{
	size_t i;

	if (s.len > max)
		return "is too long";
	for (i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return "holds control characters";
	if (span_trim(s).len != s.len)
		return "has white space around it";
	return NULL;
}

/* JSON. */

/* Read the object that the answer's body is.  NULL, or what is wrong. */
static const char *
parse(struct json_doc *doc, struct span body)
{
	if (body.len == 0)
		return "the answer is empty";
	if (json_parse(doc, body.p, body.len, 1) == -1)
		return "the answer is not JSON";
	if (doc->node[JSON_ROOT].type != JSON_OBJECT)
		return "the answer is not a JSON object";
	if (doc->full)
		return "the answer has too many members";
	if (json_twice(doc, JSON_ROOT))
		return "the answer has a key twice";
	return NULL;
}

/* A member's text, decoded; empty when it is absent or null.  NULL, or a
 * phrase: it is something else. */
static const char *
member(struct xchg_result *a, const struct json_doc *doc, const char *name,
    struct span *out)
{
	int node = json_get(doc, JSON_ROOT, name);

	*out = (struct span){"", 0};
	if (node == -1 || doc->node[node].type == JSON_NULL)
		return NULL;
	if (doc->node[node].type != JSON_STRING)
		return "is not a string";
	*out =
	    json_str(doc, node, a->text + a->used, sizeof(a->text) - a->used);
	if (out->p == NULL)
		return "is too long";
	if (out->p == a->text + a->used)
		a->used += out->len;
	return NULL;
}

/* As member, of what must be the connector's to the byte. */
static const char *
exact_member(struct xchg_result *a, const struct json_doc *doc,
    const char *name, struct span *out)
{
	const char *why = member(a, doc, name, out);

	if (why == NULL &&
	    json_lone_surrogate(
		json_str_raw(doc, json_get(doc, JSON_ROOT, name))))
		why = "holds half a character (a lone surrogate)";
	return why;
}

/* Answers. */

/* What was answered is not what was expected. */
static void
unexpected(struct xchg_result *a, const char *name, const char *why)
{
	snprintf(a->reason, sizeof(a->reason), "%s%s%s", name,
	    name[0] == '\0' ? "" : " in the answer ", why);
	settle(a, XSTAGE_ANSWER);
}

static void
take_credential(struct xchg_result *a, struct span body)
{
	const struct {
		const char *name;
		size_t max;
		struct span *to;
	} wanted[] = {
	    {"secret", LIMIT_SECRET, &a->m.secret},
	    {"deliveryKey", LIMIT_SECRET, &a->m.delivery_key},
	    {"tenant", LIMIT_ID, &a->m.tenant},
	    {"gatewayId", LIMIT_ID, &a->m.gateway_id},
	};
	struct span got[4];
	struct json_doc doc;
	const char *why;
	size_t i;

	if ((why = parse(&doc, body)) != NULL) {
		unexpected(a, "", why);
		return;
	}
	for (i = 0; i < 4; i++)
		if ((why = exact_member(a, &doc, wanted[i].name, &got[i])) !=
			NULL ||
		    (why = check_text(got[i], wanted[i].max)) != NULL) {
			unexpected(a, wanted[i].name, why);
			return;
		}
	if (got[0].len == 0) {
		unexpected(a, "", "there is no secret in the answer");
		return;
	}
	for (i = 0; i < 4; i++)
		*wanted[i].to = got[i];
	settle(a, XSTAGE_DONE);
}

static void
take_token(struct xchg_result *a, struct span body)
{
	struct span token = span_trim(body);
	struct json_doc doc;
	const char *why;

	if (token.len > 0 && token.p[0] == '{') {
		if ((why = parse(&doc, token)) != NULL) {
			unexpected(a, "", why);
			return;
		}
		if ((why = exact_member(a, &doc, "access_token", &token)) !=
		    NULL) {
			unexpected(a, "access_token", why);
			return;
		}
		if (token.len == 0) {
			unexpected(
			    a, "", "there is no access_token in the answer");
			return;
		}
	}
	if ((why = check_token(token)) != NULL) {
		unexpected(a, "the token", why);
		return;
	}
	a->m.token = token;
	settle(a, XSTAGE_DONE);
}

/* The body of an error status may say more than the status does; RFC 6749 5.2
 * has a second text.  1 when it does. */
static int
error_words(struct xchg_result *a, const struct xchg_reader *r)
{
	struct span body = {r->content, r->body.len}, text, more;
	char both[2 * LIMIT_REASON];
	struct json_doc doc;

	if (r->state != READER_DONE || parse(&doc, body) != NULL ||
	    member(a, &doc, "error", &text) != NULL || text.len == 0)
		return 0;
	if (member(a, &doc, "error_description", &more) != NULL)
		more.len = 0;
	snprintf(both, sizeof(both), "%.*s%s%.*s",
	    (int)(text.len < LIMIT_REASON ? text.len : LIMIT_REASON), text.p,
	    more.len > 0 ? ": " : "",
	    (int)(more.len < LIMIT_REASON ? more.len : LIMIT_REASON), more.p);
	safe(a->reason, sizeof(a->reason), span_str(both));
	return 1;
}

static void
take_refusal(struct xchg_result *a, const struct xchg_reader *r)
{
	struct span location = http_header(&r->parsed, "Location", NULL);
	char to[LOCATION_SHOWN + 1] = "";

	if (r->status < 400) {
		safe(to, sizeof(to), location);
		snprintf(a->reason, sizeof(a->reason),
		    to[0] == '\0' ? "the answer is a redirection to nowhere"
				  : "redirected to %s, which is not followed",
		    to);
	} else if (!error_words(a, r))
		safe(a->reason, sizeof(a->reason), r->parsed.reason);
	settle(a, XSTAGE_REFUSED);
}

/* A body that we could read, were it not for its coding. */
static int
is_encoded(const struct http_head *head)
{
	int several;
	struct span s = http_header(head, "Content-Encoding", &several);

	return several || (s.p != NULL && !span_eq(s, SPAN_LIT("identity")));
}

static void
take_success(
    struct xchg_result *a, enum xchg_answer kind, const struct xchg_reader *r)
{
	struct span body = {r->content, r->body.len};

	if (r->state != READER_DONE)
		unexpected(a, "", r->err != NULL ? r->err : "body cut short");
	else if (kind == ANSWER_STATUS)
		settle(a, XSTAGE_DONE);
	else if (is_encoded(&r->parsed))
		unexpected(
		    a, "", "the answer is encoded, which was not asked for");
	else if (kind == ANSWER_CREDENTIAL)
		take_credential(a, body);
	else
		take_token(a, body);
}

void
xchg_answer_http(
    struct xchg_result *a, enum xchg_answer kind, const struct xchg_reader *r)
{
	struct span date = http_header(&r->parsed, "Date", NULL);
	long long t = date.p == NULL ? -1 : http_date(date);

	a->m.status = (uint64_t)r->status;
	a->m.date = t < 0 ? 0 : (uint64_t)t;
	if (r->status >= 300)
		take_refusal(a, r);
	else
		take_success(a, kind, r);
}

void
xchg_answer_command(struct xchg_result *a, struct span printed)
{
	struct span token = span_trim(printed);
	const char *why;

	if (printed.len > XCHG_PRINTED_MAX)
		why = "printed more than a token";
	else if (token.len == 0)
		why = "printed nothing";
	else
		why = check_token(token);
	if (why != NULL) {
		snprintf(a->reason, sizeof(a->reason), "%s %s",
		    printed.len > XCHG_PRINTED_MAX || token.len == 0
			? "the token command"
			: "what the token command printed",
		    why);
		settle(a, XSTAGE_COMMAND);
		return;
	}
	a->m.token = token;
	settle(a, XSTAGE_DONE);
}

/* What stands in the body between a beginning and the next such character. */
static struct span
within_body(const struct msg_xrequest *q, struct span begin, char end)
{
	struct span s = q->body;
	const char *p;

	p = s.len == 0 ? NULL : memmem(s.p, s.len, begin.p, begin.len);
	if (p == NULL)
		return (struct span){NULL, 0};
	p += begin.len;
	s.len -= (size_t)(p - s.p);
	s.p = p;
	p = memchr(s.p, end, s.len);
	if (p != NULL)
		s.len = (size_t)(p - s.p);
	return s;
}

/* A form's value as it was before it became part of one, in our memory for
 * texts: it is a secret. */
static struct span
decoded(struct xchg_result *a, struct span s)
{
	char *out = a->text + a->used;
	size_t i, n = 0;
	int hi, lo;

	if (s.len > sizeof(a->text) - a->used)
		return s;
	for (i = 0; i < s.len; i++) {
		out[n++] = s.p[i];
		if (s.p[i] != '%' || s.len - i <= 2)
			continue;
		hi = hex_value(s.p[i + 1]);
		lo = hex_value(s.p[i + 2]);
		if (hi == -1 || lo == -1)
			continue;
		out[n - 1] = (char)(hi << 4 | lo);
		i += 2;
	}
	return (struct span){out, n};
}

void
xchg_answer_hide(struct xchg_result *a, const struct msg_xrequest *q)
{
	const struct span client =
	    within_body(q, SPAN_LIT("client_secret="), '&');

	hide_echo(a->reason, q->bearer);
	hide_echo(
	    a->reason, within_body(q, SPAN_LIT("\"enrollmentToken\":\""), '"'));
	/* The form that stands there whole goes first: of the other one a part
	 * would be left. */
	if (client.len > 0 &&
	    memmem(a->reason, strlen(a->reason), client.p, client.len) != NULL)
		hide_echo(a->reason, client);
	hide_echo(a->reason, decoded(a, client));
	hide_echo(a->reason, client);
	a->m.reason = span_str(a->reason);
}
