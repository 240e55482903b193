/* SPDX-License-Identifier: ISC */
/* What a check of the configuration finds beside what keeps it from being
 * loaded. */

#include <errno.h>
#include <unistd.h>

#include "sup_check.h"
#include "sup_conf.h"

/* NULL, or what is wrong with a file that holds a secret of the gateway; key
 * is what names it. */
static const char *
bad_secret(struct sup_cred *c, const struct sup_env *e,
    const struct conf_gateway *g, const char **key)
{
	*key = "secret";
	sup_cred_open(c, e, g);
	sup_cred_close(c);
	if (c->bad)
		return c->label;
	if (g->token.oidc_client_secret_file != NULL) {
		*key = "identity_token.oidc.client_secret_file";
		sup_secret_want(c, e, g, WANT_CLIENT_SECRET);
		sup_cred_close(c);
		if (c->label[0] != '\0')
			return c->label;
	}
	/* It may well come later. */
	if (g->token.file == NULL ||
	    (access(g->token.file, F_OK) == -1 && errno == ENOENT))
		return NULL;
	*key = "identity_token.file";
	sup_secret_want(c, e, g, WANT_IDENTITY);
	sup_cred_close(c);
	return c->label[0] != '\0' ? c->label : NULL;
}

int
sup_check(
    const struct supervisor *s, const struct sup_plan *p, struct conf_error *e)
{
	uint64_t room = 0;
	char text[sizeof(e->text)];
	const struct conf_gateway *g;
	struct sup_cred c;
	const char *key, *why;
	size_t i;

	for (i = 0; i < p->conf->ngateway; i++) {
		g = &p->conf->gateway[i];
		if ((why = bad_secret(&c, &s->env, g, &key)) != NULL)
			return sup_plan_fail(e, p->conf, g, key, "%s", why);
		if (sup_journal_room(
			s->paths.state, g, &room, text, sizeof(text)) == 0)
			continue;
		sup_plan_fail(e, p->conf, g, "journal", "%s", text);
		e->passing = 1;
		return -1;
	}
	return 0;
}
