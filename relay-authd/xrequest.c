/* SPDX-License-Identifier: ISC */
/* What is asked in exchanges; see xrequest.h. */
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "xrequest.h"

void
xrequest_connector(struct msg_xrequest *m, const struct msg_conf_provision *p,
    const char *below, char path[XREQUEST_PATH])
{
	int n = snprintf(
	    path, XREQUEST_PATH, "%.*s%s", (int)p->path.len, p->path.p, below);

	m->tls = p->tls;
	m->host = p->host;
	m->server_name = p->server_name;
	m->path = (struct span){path, (size_t)n};
	m->content_type = SPAN_LIT("application/json");
}

static int
is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || (c != '\0' && strchr("-._*", c) != NULL);
}

/* A pair of a form. */
static void
form_put(struct buf *b, const char *key, struct span value)
{
	buf_addf(b, "%s%s=", buf_len(b) > 0 ? "&" : "", key);
	for (size_t i = 0; i < value.len; i++) {
		if (is_plain(value.p[i]))
			buf_add(b, value.p + i, 1);
		else
			buf_addf(b, "%%%02X", (unsigned char)value.p[i]);
	}
}

void
xrequest_token(struct msg_xrequest *m, struct buf *body,
    const struct msg_conf_token *t, struct span client_secret)
{
	m->answer = ANSWER_TOKEN;
	m->tls = t->tls;
	m->host = t->host;
	m->server_name = t->server_name;
	m->path = t->path;
	if (t->source == TOKEN_METADATA)
		return;
	m->content_type = SPAN_LIT("application/x-www-form-urlencoded");
	form_put(body, "grant_type", SPAN_LIT("client_credentials"));
	form_put(body, "client_id", t->client_id);
	form_put(body, "client_secret", client_secret);
	if (t->scope.len > 0)
		form_put(body, "scope", t->scope);
}

static void
put_set(struct buf *b, const char *key, struct span text)
{
	if (text.len > 0)
		json_put_member_str(b, key, text);
}

void
xrequest_put_provision(struct buf *b, const struct msg_conf_provision *p,
    const struct msg_conf_fronted *f, struct span id)
{
	buf_add(b, "{", 1);
	json_put_member_str(b, "gatewayId", id);
	json_put_member_str(b, "platform", f->platform);
	json_put_member_str(b, "botId", f->bot_id);
	json_put_member_str(b, "gatewayEndpoint", p->endpoint);
	json_put_member_raw(b, "routeKeys",
	    p->route_keys.len > 0 ? p->route_keys : SPAN_LIT("[]"));
	put_set(b, "instanceId", p->instance_id);
	put_set(b, "wakeUrl", p->wake_url);
	put_set(b, "displayName", p->display_name);
	buf_add(b, "}", 1);
}

void
xrequest_put_enroll(struct buf *b, struct span enroll_token, struct span id)
{
	buf_add(b, "{", 1);
	json_put_member_str(b, "enrollmentToken", enroll_token);
	json_put_member_str(b, "gatewayId", id);
	buf_add(b, "}", 1);
}
