/* SPDX-License-Identifier: ISC */
/* A gateway's dials, tokens and connections. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "conn.h"
#include "engine_cred.h"
#include "engine_link.h"
#include "log.h"
#include "upgrade.h"

/* Bytes of events that agents have not acknowledged, above which no more are
 * read at once: half of a common second-level cache. */
#define SATED_BYTES (512U * 1024)

/* A connection whose upgrade is done: the core's wire. */

static size_t
wire_on_input(void *arg, char *p, size_t len, size_t room)
{
	struct engine_gw *eg = arg;

	engine_now(eg->e);
	return wire_input(eg->gw, p, len, room);
}

static struct span
wire_on_output(void *arg)
{
	struct engine_gw *eg = arg;

	return wire_output(eg->gw);
}

static void
wire_on_written(void *arg, size_t n)
{
	struct engine_gw *eg = arg;

	wire_written(eg->gw, n);
}

/* Agents that keep up are given events as fast as they take them; for those
 * that do not, events gather at the pace that conn.c allows. */
static int
wire_is_sated(void *arg)
{
	const struct engine_gw *eg = arg;

	return eg->gw->delivery.bytes > SATED_BYTES;
}

static void
wire_on_ended(void *arg, const char *why)
{
	struct engine_gw *eg = arg;

	engine_now(eg->e);
	link_event(eg->gw, LE_LOST, "%s", why);
}

static const struct conn_ops wire_ops = {
    .input = wire_on_input,
    .output = wire_on_output,
    .written = wire_on_written,
    .sated = wire_is_sated,
    .ended = wire_on_ended,
};

/* A connection before its upgrade: TLS comes up, nothing else is said. */

static void
early_up(void *arg)
{
	struct engine_gw *eg = arg;

	engine_now(eg->e);
	link_event(eg->gw, LE_TLS_UP, "%s", conn_tls_text(eg->conn));
}

static size_t
early_input(void *arg, char *p, size_t len, size_t room)
{
	struct engine_gw *eg = arg;

	(void)p;
	(void)room;
	engine_now(eg->e);
	link_event(
	    eg->gw, LE_LOST, "the peer spoke before the upgrade was asked for");
	return len;
}

static struct span
early_output(void *arg)
{
	(void)arg;
	return (struct span){NULL, 0};
}

static void
early_written(void *arg, size_t n)
{
	(void)arg;
	(void)n;
}

static void
early_ended(void *arg, const char *why)
{
	struct engine_gw *eg = arg;
	int tls = eg->gw->link.state == LINK_TLS;

	engine_now(eg->e);
	link_event(eg->gw, tls ? LE_TLS_FAILED : LE_LOST, "%s", why);
}

static const struct conn_ops early_ops = {
    .up = early_up,
    .input = early_input,
    .output = early_output,
    .written = early_written,
    .ended = early_ended,
};

/* What the core asks for. */

/* A dialer that is being restarted gets no message: its successor's pipe
 * voids the dial. */
void
engine_link_dial(void *arg, struct gateway *gw)
{
	struct engine *e = arg;
	struct engine_gw *eg = gw->io;
	struct msg_dial m = {.gateway = eg->index};

	if (++e->corr == 0)
		e->corr = 1;
	eg->dial_corr = e->corr;
	(void)child_send(e->child, ROLE_DIALER, MSG_DIAL, e->corr, &m, -1);
}

void
engine_link_tls(void *arg, struct gateway *gw)
{
	struct engine_gw *eg = gw->io;
	const char *name = eg->server_name;

	(void)arg;
	if (name[0] == '\0')
		name = eg->url.host;
	(void)conn_tls(eg->conn, eg->ca, name);
}

/* Without relay-authd nothing is asked: when it is back the dial is void, and
 * the state's deadline stands behind. */
void
engine_link_mint(void *arg, struct gateway *gw)
{
	struct engine *e = arg;
	struct engine_gw *eg = gw->io;
	struct msg_mint m = {.gateway = eg->index, .conn = eg->conn_id};

	if (eg->nmint == ENGINE_MINTS) {
		conn_fail(eg->conn, "relay-authd does not answer");
		return;
	}
	if (child_send(e->child, ROLE_AUTHD, MSG_MINT, 0, &m, -1) == 0)
		eg->mint[eg->nmint++] = eg->conn_id;
}

void
engine_link_upgrade(void *arg, struct gateway *gw)
{
	struct engine_gw *eg = gw->io;

	(void)arg;
	if (upgrade_begin(eg, eg->token, &wire_ops) == -1)
		conn_fail(eg->conn,
		    "the upgrade request cannot be made: out "
		    "of memory, or a token that is none");
}

void
engine_link_ask(void *arg, struct gateway *gw)
{
	struct engine_gw *eg = gw->io;

	(void)arg;
	if (upgrade_ask(eg) == -1)
		conn_fail(eg->conn, "the time cannot be asked for: no memory");
}

void
engine_link_drop(void *arg, struct gateway *gw)
{
	struct engine *e = arg;
	struct engine_gw *eg = gw->io;
	struct msg_dial_cancel m = {.gateway = eg->index};

	if (eg->dial_corr != 0)
		(void)child_send(e->child, ROLE_DIALER, MSG_DIAL_CANCEL,
		    eg->dial_corr, &m, -1);
	eg->dial_corr = 0;
	upgrade_end(eg);
	conn_free(eg->conn);
	eg->conn = NULL;
	eg->conn_id = 0;
}

/* A close frame is the last word: the link may be dropped before the turn
 * ends. */
void
engine_link_output(void *arg, struct gateway *gw)
{
	struct engine_gw *eg = gw->io;

	(void)arg;
	if (eg->conn == NULL)
		return;
	if (gw->wire.close_sent)
		conn_push(eg->conn);
	conn_want_write(eg->conn);
}

void
engine_link_read(void *arg, struct gateway *gw, int on)
{
	struct engine_gw *eg = gw->io;

	(void)arg;
	if (eg->conn != NULL)
		conn_read(eg->conn, on);
}

/* What the dialer answers. */

/* Whether we ever gave out this number. */
static int
was_issued(const struct engine *e, uint32_t corr)
{
	return corr != 0 && (int32_t)(e->corr - corr) >= 0;
}

static const char *
on_connected(struct engine *e, struct engine_gw *eg, struct msg *m)
{
	struct gateway *gw;

	if (!was_issued(e, m->corr)) {
		close(m->fd);
		return "a connection that nobody asked for";
	}
	/* It may cross our DIAL_CANCEL. */
	if (eg == NULL || eg->dial_corr != m->corr) {
		close(m->fd);
		return NULL;
	}
	gw = eg->gw;
	eg->dial_corr = 0;
	eg->conn = conn_new(e, m->fd, &early_ops, eg);
	if (eg->conn == NULL) {
		link_event(gw, LE_DIAL_FAILED, "out of memory");
		return NULL;
	}
	eg->conn_id = m->u.connected.conn;
	span_copy(
	    gw->link.address, sizeof(gw->link.address), m->u.connected.address);
	log_debug("connected", eg->name, "to %s in %u ms", gw->link.address,
	    (unsigned)m->u.connected.took_ms);
	link_event(gw, eg->url.tls ? LE_DIALED : LE_DIALED_PLAIN,
	    "connected to %s", gw->link.address);
	return NULL;
}

/* As `status` names it. */
static const char *const stage_name[] = {
    [STAGE_NAME] = "name",
    [STAGE_CONNECT] = "connect",
    [STAGE_PROXY] = "proxy",
    [STAGE_BUDGET] = "dialling",
    [STAGE_CONF] = "configuration",
};

static const char *
on_dial_failed(struct engine *e, struct engine_gw *eg, struct msg *m)
{
	char why[LIMIT_REASON + 1];

	if (!was_issued(e, m->corr))
		return "an answer to a dial that nobody asked for";
	if (eg == NULL || eg->dial_corr != m->corr)
		return NULL;
	eg->dial_corr = 0;
	span_copy(why, sizeof(why), m->u.dial_failed.reason);
	eg->gw->link.stage = stage_name[m->u.dial_failed.stage];
	link_event(eg->gw, LE_DIAL_FAILED, "%s", why);
	return NULL;
}

/* What relay-authd answers. */

/* Take a question off the list of those without an answer. */
static int
was_asked(struct engine_gw *eg, uint64_t conn)
{
	uint8_t i;

	for (i = 0; i < eg->nmint; i++)
		if (eg->mint[i] == conn)
			break;
	if (i == eg->nmint)
		return 0;
	eg->mint[i] = eg->mint[--eg->nmint];
	return 1;
}

static const char *
on_token(struct engine *e, struct engine_gw *eg, struct msg *m)
{
	(void)e;
	if (eg == NULL) /* removed meanwhile */
		return NULL;
	if (!was_asked(eg, m->u.token.conn))
		return "a token that nobody asked for";
	/* relay-authd tells its count at commits alone. */
	eg->cred.minted++;
	if (eg->conn_id != m->u.token.conn)
		return NULL;
	eg->token_conn = eg->conn_id;
	/* The core asks for the upgrade at once; the pipe wipes its packet. */
	eg->token = m->u.token.token;
	span_copy(
	    eg->gw->link.bearer, sizeof(eg->gw->link.bearer), m->u.token.token);
	link_event(eg->gw, LE_TOKEN, "token minted");
	eg->token = (struct span){NULL, 0};
	return NULL;
}

static const char *
on_mint_refused(struct engine *e, struct engine_gw *eg, struct msg *m)
{
	char why[LIMIT_REASON + 1];

	(void)e;
	if (eg == NULL)
		return NULL;
	if (!was_asked(eg, m->u.mint_refused.conn))
		return "the refusal of a token that nobody asked for";
	if (eg->conn_id != m->u.mint_refused.conn)
		return NULL;
	span_copy(why, sizeof(why), m->u.mint_refused.reason);
	link_event(eg->gw, LE_TOKEN_REFUSED, "no token: %s", why);
	return NULL;
}

/* Peers. */

/* All these messages begin with the gateway's index. */
#define GATEWAY_OF(m) ((m)->u.credential.gateway)

static const struct {
	enum msg_type type;
	const char *(*fn)(struct engine *, struct engine_gw *, struct msg *);
} peer_table[] = {
    {MSG_CONNECTED, on_connected},
    {MSG_DIAL_FAILED, on_dial_failed},
    {MSG_TOKEN, on_token},
    {MSG_MINT_REFUSED, on_mint_refused},
    {MSG_CREDENTIAL, engine_cred_told},
    {MSG_STANDING, engine_cred_standing},
};

const char *
engine_link_message(enum role peer, struct msg *m, void *arg)
{
	struct engine *e = arg;
	size_t i;

	(void)peer; /* msg_decode saw to it that the sender may */
	engine_now(e);
	for (i = 0; i < sizeof(peer_table) / sizeof(peer_table[0]); i++)
		if (peer_table[i].type == m->type)
			return peer_table[i].fn(e, e->gw[GATEWAY_OF(m)], m);
	if (m->fd != -1)
		close(m->fd);
	return "a message that the engine has no use for";
}

/* A connection was made and could not be received: it is gone, and the dial
 * has failed. */
const char *
engine_link_lacking(enum role peer, struct msg *m, void *arg)
{
	struct engine *e = arg;
	struct engine_gw *eg = e->gw[GATEWAY_OF(m)];

	(void)peer;
	engine_now(e);
	if (m->type != MSG_CONNECTED || !was_issued(e, m->corr))
		return "a connection that nobody asked for";
	if (eg == NULL || eg->dial_corr != m->corr)
		return NULL;
	eg->dial_corr = 0;
	link_event(eg->gw, LE_DIAL_FAILED,
	    "no descriptor was left to take the connection with: raise "
	    "relayd's limit of open files");
	return NULL;
}

/* The successor of a dialer knows of no dial. */
static void
dialer_new(struct engine_gw *eg)
{
	if (eg->dial_corr == 0)
		return;
	eg->dial_corr = 0;
	link_event(eg->gw, LE_DIAL_FAILED, "the dialer was restarted");
}

/* The successor of relay-authd knows of no connection: a dial without its
 * token is void, and no question is answered any more. */
static void
authd_new(struct engine_gw *eg)
{
	eg->nmint = 0;
	eg->cred_first = 1;
	if (eg->gw->link.state <= LINK_TOKEN)
		link_event(eg->gw, LE_AUTHD_GONE, "relay-authd was restarted");
}

void
engine_link_peer_new(enum role peer, void *arg)
{
	struct engine *e = arg;
	unsigned i;

	engine_now(e);
	if (peer == ROLE_AUTHD)
		engine_cred_forget(e);
	for (i = 0; i < LIMIT_GATEWAYS; i++) {
		if (e->gw[i] == NULL)
			continue;
		if (peer == ROLE_DIALER)
			dialer_new(e->gw[i]);
		else
			authd_new(e->gw[i]);
	}
}
