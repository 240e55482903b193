/* SPDX-License-Identifier: ISC */
/* What the tests of the configuration loader share. */
#ifndef CONF_HELP_H
#define CONF_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "buf.h"
#include "conf.h"
#include "conf_priv.h"

#define ID_LINE	 "    identities: [{platform: discord, bot_id: b}]\n"
#define URL_LINE "    url: https://c.example\n"
#define HEAD	 "gateways:\n  main:\n"
/* A gateway in four lines; what follows begins on line 5, a key of the gateway
 * in column 5. */
#define GOOD HEAD URL_LINE ID_LINE

/* An environment that makes a gateway. */
#define DISCORD "GATEWAY_RELAY_PLATFORM=discord"
#define E_URL	"GATEWAY_RELAY_URL=https://e.example"

struct warnings {
	unsigned n;
	char text[16][1024];
};

static inline void
on_warning(void *arg, const char *text)
{
	struct warnings *w = arg;

	if (w->n < 16)
		strlcpy(w->text[w->n], text, sizeof(w->text[0]));
	w->n++;
}

static inline struct conf *
parse_env(const char *text, char *const env[], struct warnings *w,
    struct conf_error *e)
{
	memset(w, 0, sizeof(*w));
	memset(e, 0, sizeof(*e));
	return text == NULL ? conf_load(NULL, 0, env, "host", on_warning, w, e)
			    : conf_parse("t.yaml", text, strlen(text), env,
				  "host", on_warning, w, e);
}

/* A configuration that must load. */
static inline struct conf *
good_env(const char *text, char *const env[], struct warnings *w)
{
	struct conf_error e;
	struct conf *c = parse_env(text, env, w, &e);

	if (c == NULL)
		fail_msg("refused: %s", e.text);
	return c;
}

static inline struct conf *
good(const char *text)
{
	struct warnings w;
	struct conf *c = good_env(text, NULL, &w);

	if (w.n > 0)
		fail_msg("warned: %s", w.text[0]);
	return c;
}

static inline int
is_printable(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || (unsigned char)*s > 0x7e)
			return 0;
	return 1;
}

#endif
