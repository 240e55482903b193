/* SPDX-License-Identifier: ISC */
/* Configuration: forms that strings must have, as phrases about what is not
 * right. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_priv.h"
#include "utf8.h"

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* Whether text holds nothing but these characters. */
static int
only(const char *text, const char *set)
{
	return text[strspn(text, set)] == '\0';
}

const char *
conf_form_url(char *text, void *gateway)
{
	struct conf_gateway *g = gateway;

	return url_parse(&g->url, span_str(text));
}

/* Whether a port stands in host[:port][/]. */
static int
has_port(const char *authority)
{
	const char *end = strchr(authority, ']');

	return strchr(end == NULL ? authority : end, ':') != NULL;
}

const char *
conf_form_proxy(char *text, void *gateway)
{
	static const char form[] =
	    "must be http://HOST:PORT, without a path (proxies are spoken to "
	    "by HTTP CONNECT)";
	struct conf_gateway *g = gateway;
	const char *rest, *path;

	if (strchr(text, '@') != NULL)
		return "holds credentials; they belong into a file, so that "
		       "relayd's supervisor keeps no secret: set credentials: "
		       "{file: /path} with user:password in it, and write "
		       "http://HOST:PORT here";
	if (strncasecmp(text, "http://", 7) != 0)
		return form;
	rest = text + 7;
	path = strchr(rest, '/');
	if ((path != NULL && path[1] != '\0') || !has_port(rest))
		return form;
	return url_parse(&g->proxy.url, span_str(text));
}

const char *
conf_form_path(char *text, void *base)
{
	(void)base;
	return text[0] == '/'
	    ? NULL
	    : "must be an absolute path, one that begins with /";
}

const char *
conf_form_http(char *text, void *base)
{
	size_t n;

	(void)base;
	n = strncasecmp(text, "https://", 8) == 0  ? 8
	    : strncasecmp(text, "http://", 7) == 0 ? 7
						   : 0;
	if (n == 0)
		return "must be a URL that begins with https:// or http://";
	if (text[n] == '\0' || text[n] == '/' || strchr(text, ' ') != NULL)
		return "is not a URL: it needs a host and no blanks";
	if (memchr(text + n, '@', strcspn(text + n, "/?#")) != NULL)
		return "holds credentials; remove what stands before the @";
	return NULL;
}

/* Where oidc_target will point is known when the text stands in its place:
 * conf_check.c. */
const char *
conf_form_oidc(char *text, void *gateway)
{
	struct conf_gateway *g = gateway;
	const char *why, *target;

	if ((why = conf_form_http(text, g)) != NULL)
		return why;
	return url_parse_target(&g->token.oidc, text, &target);
}

const char *
conf_form_platform(char *text, void *base)
{
	(void)base;
	return only(text, LOWER DIGITS "_-")
	    ? NULL
	    : "must consist of lower-case letters, digits, - and _, such as "
	      "discord";
}

const char *
conf_form_group(char *text, void *base)
{
	(void)base;
	return text[0] != '-' && only(text, LOWER UPPER DIGITS "_.-")
	    ? NULL
	    : "must be the name of a group: letters, digits, . _ and -";
}

const char *
conf_form_user(char *text, void *base)
{
	(void)base;
	if (text[0] == '-' || !only(text, LOWER UPPER DIGITS "_.-"))
		return "must be the name of a user: letters, digits, . _ and -";
	if (strcmp(text, "root") == 0 || only(text, "0"))
		return "must not be root: the command needs no privilege; name "
		       "another user";
	return NULL;
}

const char *
conf_form_host(char *text, void *base)
{
	(void)base;
	return only(text, LOWER UPPER DIGITS ".:_-")
	    ? NULL
	    : "must be a host name or an address, without scheme, port or "
	      "path";
}

const char *
conf_form_variable(char *text, void *base)
{
	(void)base;
	if (strchr(DIGITS, text[0]) != NULL ||
	    !only(text, LOWER UPPER DIGITS "_"))
		return "must be the name of an environment variable: letters, "
		       "digits and _";
	if (strncmp(text, "GATEWAY_RELAY_", 14) == 0)
		return "is a variable with a meaning of its own; put the "
		       "identity token into another";
	return NULL;
}

const char *
conf_form_display(char *text, void *base)
{
	size_t from = strspn(text, " "), len = strlen(text + from);

	(void)base;
	memmove(text, text + from, len + 1);
	while (len > 0 && text[len - 1] == ' ')
		text[--len] = '\0';
	if (len == 0)
		return "is blank; give a name or remove the key";
	return utf8_chars(span_str(text)) <= 64
	    ? NULL
	    : "is longer than 64 characters; shorten it";
}

const char *
conf_form_name(const char *text)
{
	if (text[0] == '\0' || text[0] == '-' || text[0] == '_' ||
	    !only(text, LOWER DIGITS "_-"))
		return "is no name for a gateway: use lower-case letters, "
		       "digits, - and _, and begin with a letter or digit (it "
		       "names a socket)";
	return strlen(text) <= LIMIT_NAME
	    ? NULL
	    : "is too long for a gateway's name: at most 32 characters (it "
	      "names a socket)";
}
