/* SPDX-License-Identifier: ISC */
/* The gateways' credentials; see secret.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "secret.h"

/* Bytes of all secrets together: LIMIT_GATEWAYS of 64 hex digits, and four
 * times that.  Locked memory is scarce for who is not root (8 MiB). */
#define SECRET_SPACE ((size_t)LIMIT_GATEWAYS * 256)

int
secret_open(struct secrets *s, size_t work, unsigned *flags)
{
	memset(s, 0, sizeof(*s));
	s->live = calloc(LIMIT_GATEWAYS, sizeof(*s->live));
	s->stage = calloc(LIMIT_GATEWAYS, sizeof(*s->stage));
	if (s->live == NULL || s->stage == NULL ||
	    vault_open(&s->vault, SECRET_SPACE, work, flags) == -1) {
		free(s->live);
		free(s->stage);
		return -1;
	}
	return 0;
}

void
secret_close(struct secrets *s)
{
	vault_close(&s->vault);
	free(s->live);
	free(s->stage);
}

/* Untouched entries stay untouched: their pages were never used. */
static void
clear(struct secret *table)
{
	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
		if (table[g].present)
			memset(&table[g], 0, sizeof(table[g]));
}

void
secret_stage(struct secrets *s)
{
	vault_abort(&s->vault);
	clear(s->stage);
}

const char *
secret_add(struct secrets *s, const struct msg_conf_credential *m, int fd)
{
	struct secret *c = &s->stage[m->gateway];
	const struct secret *now = &s->live[m->gateway];
	/* The phrase must not be cut off. */
	const struct span label = span_tail(m->label, 90);
	const char *why;

	if (c->present)
		return "two credentials for one gateway";
	if (m->name.len == 0 || m->id.len == 0)
		return "a credential without a gateway's name and id";
	/* One that is named, and cannot be opened, has a source alone. */
	if (fd != -1 && m->source == CRED_NONE)
		return "a credential's source and its descriptor disagree";
	c->present = 1;
	c->pinned = m->source != CRED_NONE;
	c->delivery_key = m->delivery_key == 1;
	span_copy(c->name, sizeof(c->name), m->name);
	span_copy(c->id, sizeof(c->id), m->id);
	c->source = (enum cred_source)m->source;
	if (fd == -1)
		span_copy(c->reason, sizeof(c->reason), m->label);
	else if ((c->text = vault_read(&s->vault, fd, LIMIT_SECRET, &why)).p ==
	    NULL)
		snprintf(c->reason, sizeof(c->reason), "%.*s: %s",
		    (int)label.len, label.p, why);
	if (c->text.p != NULL || m->keep == KEEP_NOT ||
	    (m->keep == KEEP_WORKING && now->text.p == NULL))
		return NULL;
	if (fd != -1)
		log_warn("credential", c->name,
		    "%s: put a good one there; what was taken stays in use",
		    c->reason);
	c->pinned = 0; /* then it is lent again */
	if (now->pinned) {
		*c = *now;
		c->text = vault_carry(&s->vault, now->text, &why);
		if (why != NULL)
			strlcpy(c->reason, why, sizeof(c->reason));
	}
	return NULL;
}

static int
same_credential(const struct secret *a, const struct secret *b)
{
	if (strcmp(a->id, b->id) != 0 ||
	    (a->text.p == NULL) != (b->text.p == NULL))
		return 0;
	return a->text.p == NULL || vault_same(a->text, b->text);
}

int
secret_other(const struct secrets *s, uint32_t gateway)
{
	const struct secret *was = &s->live[gateway], *is = &s->stage[gateway];

	return was->present &&
	    (!is->present || strcmp(was->name, is->name) != 0 ||
		!same_credential(was, is));
}

const char *
secret_check(const struct secrets *s, char *why, size_t cap)
{
	const struct secret *c, *now;

	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++) {
		c = &s->stage[g];
		now = &s->live[g];
		/* One that has none already loses nothing. */
		if (!c->present || !c->pinned || c->text.p != NULL ||
		    (now->present && now->text.p == NULL))
			continue;
		snprintf(why, cap, "the secret of gateway %s: %s", c->name,
		    c->reason);
		return why;
	}
	return NULL;
}

static void
settle(struct secrets *s, uint32_t gateway, int64_t now, uint64_t now_ms)
{
	const struct secret *was = &s->live[gateway];
	struct secret *is = &s->stage[gateway];

	if (!is->present) {
		if (was->present)
			s->history[gateway].removed_ms = now_ms;
		return;
	}
	if (was->present)
		is->rate = was->rate;
	else
		rate_init(&is->rate, SECRET_RATE, SECRET_RATE, now_ms);
	if (was->present && same_credential(was, is)) {
		is->since = was->since;
		is->minted = was->minted;
		return;
	}
	if (is->pinned)
		is->since = now;
	if (is->pinned && was->present && is->text.p != NULL)
		log_info("credential", is->name,
		    "another pinned secret was taken: the next dial uses it");
	s->history[gateway].generation++;
}

void
secret_commit(struct secrets *s, int64_t now, uint64_t now_ms)
{
	struct secret *old = s->live;

	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
		settle(s, g, now, now_ms);
	vault_commit(&s->vault);
	s->live = s->stage;
	s->stage = old;
	clear(s->stage);
}

struct secret *
secret_get(struct secrets *s, uint32_t gateway)
{
	return s->live[gateway].present ? &s->live[gateway] : NULL;
}

int
secret_just_removed(
    const struct secrets *s, uint32_t gateway, uint64_t now_ms, uint64_t within)
{
	uint64_t at = s->history[gateway].removed_ms;

	return !s->live[gateway].present && at != 0 && now_ms - at < within;
}
