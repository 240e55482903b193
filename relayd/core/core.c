/* SPDX-License-Identifier: ISC */
/* The core as a whole: gateways, time, the end of a turn. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "agent.h"
#include "core.h"
#include "place.h"
#include "stage.h"

struct core *
core_new(const struct core_io *io, void *arg, const unsigned char random[32],
    uint64_t now)
{
	struct core *c = calloc(1, sizeof(*c));
	uint64_t r[4];

	if (c == NULL)
		return NULL;
	memcpy(r, random, sizeof(r));
	c->io = io;
	c->arg = arg;
	c->now = now;
	c->key.k[0] = r[0];
	c->key.k[1] = r[1];
	c->rng = r[2] ^ r[3];
	buf_init(&c->text, LIMIT_LINE);
	interaction_init(&c->interaction);
	buf_init(&c->scratch, LIMIT_LINE + LIMIT_SESSION_KEY * 6 + 4096);
	return c;
}

void
core_free(struct core *c)
{
	uint32_t i;

	for (i = 0; i < LIMIT_GATEWAYS; i++)
		if (c->gw[i] != NULL)
			core_gateway_remove(c->gw[i]);
	buf_free(&c->scratch);
	buf_free(&c->text);
	interaction_free(&c->interaction);
	timers_free(&c->timers);
	free(c);
}

void
core_now(struct core *c, uint64_t now)
{
	if (now > c->now)
		c->now = now;
}

void
core_wall(struct core *c, int64_t unix_ms)
{
	c->wall = unix_ms - (int64_t)c->now;
}

int64_t
core_unix_ms(const struct core *c)
{
	return c->wall + (int64_t)c->now;
}

int64_t
core_unix(const struct core *c)
{
	return core_unix_ms(c) / 1000;
}

uint64_t
core_random(struct core *c, uint64_t n)
{
	uint64_t at = c->rng++, r;

	r = hash_64(&c->key, (struct span){(const char *)&at, sizeof(at)});
	return n == 0 ? r : r % n;
}

void
core_remark(
    struct gateway *gw, int level, const char *event, const char *fmt, ...)
{
	char text[LIMIT_REASON * 2];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	gw->core->io->remark(gw->core->arg, gw, level, event, text);
}

int
core_identity(const struct gateway *gw, struct span platform)
{
	uint32_t i;

	for (i = 0; i < gw->conf.nidentity; i++)
		if (span_eq(span_str(gw->conf.identity[i].platform), platform))
			return (int)i;
	return -1;
}

/* Digits of the epoch in an id. */
#define EPOCH_DIGITS 16

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

uint64_t
core_parse_seq(struct span digits)
{
	uint64_t v = 0;
	size_t i;

	/* 18 digits cannot overflow. */
	if (digits.len > 18)
		return 0;
	for (i = 0; i < digits.len; i++) {
		if (digits.p[i] < '0' || digits.p[i] > '9')
			return 0;
		v = v * 10 + (uint64_t)(digits.p[i] - '0');
	}
	return v;
}

int
core_parse_id(struct span id, uint64_t *epoch, uint64_t *seq)
{
	uint64_t e = 0;
	size_t i;
	int digit;

	if (id.len <= EPOCH_DIGITS || id.p[EPOCH_DIGITS] != '-')
		return -1;
	for (i = 0; i < EPOCH_DIGITS; i++) {
		if ((digit = hex_digit(id.p[i])) == -1)
			return -1;
		e = e << 4 | (uint64_t)digit;
	}
	*epoch = e;
	*seq = core_parse_seq(
	    (struct span){id.p + EPOCH_DIGITS + 1, id.len - EPOCH_DIGITS - 1});
	return *seq == 0 ? -1 : 0;
}

void
core_put_epoch(uint64_t epoch, char out[CORE_EPOCH])
{
	static const char hex[] = "0123456789abcdef";
	int i;

	*out++ = '"';
	for (i = 0; i < EPOCH_DIGITS; i++)
		*out++ = hex[epoch >> (60 - 4 * i) & 15];
	*out = '-';
}

size_t
core_put_seq(const char epoch[CORE_EPOCH], uint64_t seq, char out[CORE_ID])
{
	char digits[20], *p = digits + sizeof(digits);
	size_t len;

	do
		*--p = (char)('0' + seq % 10);
	while ((seq /= 10) > 0);
	len = (size_t)(digits + sizeof(digits) - p);
	memcpy(out, epoch, CORE_EPOCH);
	memcpy(out + CORE_EPOCH, p, len);
	out[CORE_EPOCH + len] = '"';
	return CORE_EPOCH + len + 1;
}

size_t
core_put_id(uint64_t epoch, uint64_t seq, char out[CORE_ID])
{
	char begin[CORE_EPOCH];

	core_put_epoch(epoch, begin);
	return core_put_seq(begin, seq, out);
}

void
core_tap(struct gateway *gw, enum tap_dir dir, const struct span *piece, int n)
{
	struct core *c = gw->core;
	struct buf b;
	int i;

	if (n == 1) {
		c->io->tap(c->arg, gw, dir, piece[0]);
		return;
	}
	buf_init(&b, 0);
	for (i = 0; i < n; i++)
		(void)buf_adds(&b, piece[i]);
	if (!b.failed)
		c->io->tap(c->arg, gw, dir, buf_span(&b));
	buf_free(&b);
}

void
core_turn(struct core *c)
{
	struct gateway *gw;

	(void)timers_run(&c->timers, c->now);
	while ((gw = c->dirty) != NULL) {
		c->dirty = gw->next_dirty;
		gw->next_dirty = NULL;
		gw->wire.dirty = 0;
		wire_flush(gw);
	}
}

uint64_t
core_deadline(const struct core *c)
{
	return timers_next(&c->timers);
}

/* Our own copies of what the settings point to.  0, or -1 without memory. */
static int
own_conf(struct gateway_conf *conf)
{
	struct identity *id;
	uint32_t i;
	int bad = 0;

	for (i = 0; i < conf->nidentity; i++) {
		id = &conf->identity[i];
		if (id->manifest != NULL)
			bad |= (id->manifest = strdup(id->manifest)) == NULL;
		memset(&id->descriptor, 0, sizeof(id->descriptor));
	}
	return bad ? -1 : 0;
}

static void
free_conf(struct gateway_conf *conf)
{
	uint32_t i;

	for (i = 0; i < conf->nidentity; i++) {
		free(conf->identity[i].manifest);
		descriptor_free(&conf->identity[i].descriptor);
	}
	conf->nidentity = 0;
}

struct gateway *
core_gateway_add(struct core *c, uint32_t index,
    const struct gateway_conf *conf, const struct journal_memory *memory,
    void *io_arg)
{
	struct gateway *gw = calloc(1, sizeof(*gw));

	if (gw == NULL)
		return NULL;
	gw->core = c;
	gw->index = index;
	gw->io = io_arg;
	gw->conf = *conf;
	TAILQ_INIT(&gw->agents);
	if (own_conf(&gw->conf) == -1) {
		free_conf(&gw->conf);
		free(gw);
		return NULL;
	}
	link_init(gw);
	outbound_init(gw);
	egress_init(&gw->egress, &c->key);
	prompt_init(gw);
	stage_init(gw);
	if (delivery_init(gw, memory) == -1) {
		stage_free(gw);
		free_conf(&gw->conf);
		free(gw);
		return NULL;
	}
	if (journal_is_off(&gw->delivery.journal))
		link_restore_off(gw);
	c->gw[index] = gw;
	return gw;
}

static int
same_platforms(const struct gateway_conf *a, const struct gateway_conf *b)
{
	uint32_t i;

	if (a->nidentity != b->nidentity)
		return 0;
	for (i = 0; i < a->nidentity; i++)
		if (strcmp(a->identity[i].platform, b->identity[i].platform) !=
		    0)
			return 0;
	return 1;
}

/* All agents are sent away at once: none is given what another had. */
static void
refuse_agents(struct gateway *gw, const char *why)
{
	struct agent *a;

	TAILQ_FOREACH (a, &gw->agents, entry)
		a->draining = 1;
	while ((a = TAILQ_FIRST(&gw->agents)) != NULL)
		core_agent_refuse(a, why);
}

void
core_gateway_change(struct gateway *gw, const struct gateway_conf *conf)
{
	struct gateway_conf fresh = *conf;
	uint32_t i;
	int old, same = same_platforms(&gw->conf, conf);

	if (own_conf(&fresh) == -1) {
		free_conf(&fresh);
		return;
	}
	/* Descriptors stay known; what agents serve is told by platform. */
	for (i = 0; i < fresh.nidentity; i++) {
		old = core_identity(gw, span_str(fresh.identity[i].platform));
		if (old == -1)
			continue;
		fresh.identity[i].descriptor =
		    gw->conf.identity[old].descriptor;
		memset(&gw->conf.identity[old].descriptor, 0,
		    sizeof(struct descriptor));
	}
	/* Agents' platforms and sessions refer to identities by index: with
	 * others behind them, agents say hello anew. */
	if (!same) {
		refuse_agents(
		    gw, "the gateway's identities changed: connect again");
		place_forget(gw);
	}
	free_conf(&gw->conf);
	gw->conf = fresh;
	/* Perhaps another connector: relay-authd says how it fared there. */
	gw->link.ever_up = 0;
	refusal_forget(&gw->link);
	link_leave(gw, 1, 0, "settings changed");
}

void
core_gateway_adjust(struct gateway *gw, const struct gateway_conf *conf)
{
	struct gateway_conf *c = &gw->conf;

	c->reconnect_min_ms = conf->reconnect_min_ms;
	c->reconnect_max_ms = conf->reconnect_max_ms;
	c->window = conf->window;
	c->ack_timeout_ms = conf->ack_timeout_ms;
	c->group_per_user = conf->group_per_user;
	c->thread_per_user = conf->thread_per_user;
	c->hold = conf->hold;
	c->idle_after_ms = conf->idle_after_ms;
	c->pass_overlong = conf->pass_overlong;
	link_agents(gw);
}

static void
undirty(struct gateway *gw)
{
	struct gateway **at;

	for (at = &gw->core->dirty; *at != NULL; at = &(*at)->next_dirty)
		if (*at == gw) {
			*at = gw->next_dirty;
			return;
		}
}

void
core_gateway_remove(struct gateway *gw)
{
	struct core *c = gw->core;
	const char *why = c->stopping
	    ? "relayd is stopping"
	    : "the gateway was taken out of the configuration";

	outbound_end(gw, why);
	refuse_agents(gw, why);
	if (gw->wire.open)
		wire_close(gw, WS_CLOSE_NORMAL, "");
	c->io->drop(c->arg, gw);
	link_free(gw);
	wire_free(gw);
	outbound_free(gw);
	delivery_free(gw);
	stage_free(gw);
	egress_free(&gw->egress);
	prompt_free(gw);
	free_conf(&gw->conf);
	undirty(gw);
	c->gw[gw->index] = NULL;
	free(gw);
}

void
core_standing(struct gateway *gw, int worked, int revoked, const char *evidence)
{
	struct link *l = &gw->link;

	l->told_worked = worked != 0;
	l->revoked = 0;
	if (revoked)
		link_mark(l, evidence);
}

void
core_skip(struct gateway *gw, uint32_t skipped)
{
	const struct link *l = &gw->link;
	uint32_t all = (uint32_t)((UINT64_C(1) << gw->conf.nidentity) - 1);

	/* To say hello for nobody is no handshake. */
	gw->skipped = (skipped & all) == all ? 0 : skipped & all;
	if ((l->state == LINK_HELLO || link_serves(gw)) &&
	    (all & ~gw->skipped & ~gw->greeted) != 0)
		link_leave(gw, 1, 0, "an identity was provisioned meanwhile");
}

static void
no_credential(struct gateway *gw, const char *reason)
{
	struct link *l = &gw->link;

	(void)strlcpy(l->lacks, reason[0] != '\0' ? reason : "no credential",
	    sizeof(l->lacks));
	if (l->state == LINK_UNPROVISIONED && !l->revoked) {
		(void)strlcpy(l->reason, reason, sizeof(l->reason));
		gw->core->io->state_changed(gw->core->arg, gw);
	}
}

/* What was learned of the one before says nothing of this. */
static void
credential_changed(struct link *l)
{
	l->ever_up = 0;
	l->other_token = 1;
	refusal_forget(l);
}

void
core_credential(struct gateway *gw, int usable, int fresh, const char *reason)
{
	struct link *l = &gw->link;

	l->usable = usable != 0;
	if (fresh)
		credential_changed(l);
	if (!usable)
		no_credential(gw, reason);
	if (l->revoked) {
		/* A link that is up shows that something else was meant: it
		 * ends when it ends. */
		if (!link_is_up(gw) && l->state != LINK_CLOSE)
			link_event(gw, LE_REVOKED, "%s", l->mark);
	} else if (l->off && l->state == LINK_DISABLED) {
		link_event(gw, LE_OFF, "%s", l->off_why);
	} else if (l->state == LINK_DISABLED) {
		refusal_forget(l);
		l->troubled = 0;
		l->attempt = 0;
		link_event(gw, LE_ENABLED, "no longer disabled: %s", reason);
	} else if (!usable)
		link_event(gw, LE_NO_CREDENTIAL, "%s", reason);
	else
		link_event(gw, fresh ? LE_CREDENTIAL_NEW : LE_CREDENTIAL, "%s",
		    reason);
}

void
core_stop(struct core *c, uint64_t budget_ms)
{
	uint32_t i;

	c->stopping = 1;
	for (i = 0; i < LIMIT_GATEWAYS; i++)
		if (c->gw[i] != NULL)
			link_leave(
			    c->gw[i], 0, budget_ms, "relayd is stopping");
}

int
core_stopped(const struct core *c)
{
	uint32_t i;

	for (i = 0; i < LIMIT_GATEWAYS; i++)
		if (c->gw[i] != NULL && c->gw[i]->link.state != LINK_STOPPED)
			return 0;
	return 1;
}

const char *
core_send(struct gateway *gw, struct span action, uint64_t cookie)
{
	return outbound_operator(gw, action, cookie);
}

const char *
core_wish(
    struct gateway *gw, enum link_wish wish, uint64_t cookie, const char *who)
{
	return link_wish(gw, (int)wish, cookie, who);
}

void
core_stood_still(struct core *c)
{
	struct agent *a;
	uint32_t i;

	for (i = 0; i < LIMIT_GATEWAYS; i++) {
		if (c->gw[i] == NULL)
			continue;
		TAILQ_FOREACH (a, &c->gw[i]->agents, entry)
			agent_stood_still(a);
	}
}

void
core_slept(struct core *c)
{
	uint32_t i;

	core_stood_still(c);
	for (i = 0; i < LIMIT_GATEWAYS; i++)
		if (c->gw[i] != NULL)
			link_slept(c->gw[i]);
}

/* The frame, as the connector would have sent it. */
static void
put_interrupt(struct buf *b, struct span key, const struct session *s)
{
	const struct chat *chat = s == NULL ? NULL : s->chat.chat;

	buf_reset(b);
	(void)buf_adds(b, SPAN_LIT("{\"type\":\"interrupt_inbound\""));
	json_put_key(b, "session_key");
	json_put_str(b, key);
	json_put_key(b, "chat_id");
	if (chat != NULL)
		json_put_str(b, (struct span){chat->id.p, chat->id.len});
	else
		(void)buf_adds(b, SPAN_LIT("null"));
	(void)buf_add(b, "}", 1);
}

const char *
core_interrupt(struct gateway *gw, struct span key, const char *who)
{
	struct buf *b = &gw->core->scratch;
	const struct session *s = session_find(gw, key);
	const struct agent *a;

	TAILQ_FOREACH (a, &gw->agents, entry)
		if (a->state == AGENT_READY)
			break;
	if (a == NULL)
		return "no agent is there";
	/* What was found there before may be forgotten since. */
	if (s != NULL && s->chat.forgotten != gw->egress.forgotten)
		s = NULL;
	put_interrupt(b, key, s);
	if (b->failed)
		return "no memory";
	core_remark(
	    gw, LOG_INFO, "interrupt", "a session is stopped by %s", who);
	delivery_interrupt(gw, buf_span(b), key);
	return NULL;
}
