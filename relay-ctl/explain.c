/* SPDX-License-Identifier: ISC */
/*
 * relay-ctl explain: which layer of a gateway's link fails, the evidence, what
 * comes next, and what a person can do; of a healthy one, why that may be
 * believed.
 */
#include <sys/stat.h>
#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "explain.h"
#include "gwtext.h"

#define HTTP_UNAUTHORIZED 401
/* A process that was started anew so lately is told of; relayd itself looks
 * at half of that. */
#define RESTART_S 600

static const char *const layer_name[LAYERS] = {
    [AT_CONFIGURATION] = "configuration",
    [AT_CREDENTIAL] = "credential",
    [AT_NAME] = "name",
    [AT_CONNECT] = "connect",
    [AT_TLS] = "TLS",
    [AT_UPGRADE] = "upgrade",
    [AT_HANDSHAKE] = "handshake",
    [AT_LINK] = "link",
    [AT_AGENTS] = "agents",
};

struct explain {
	const struct ctl *ctl;
	const char *only; /* the gateway asked for; NULL: all */
	FILE *f;
	int n;
	int asks; /* what else the run directory tells is told, too */
};

void
explain_label(FILE *f, const char *label)
{
	fprintf(f, "  %-9s ", label);
}

static void
put_renewal(const struct explain *e, const struct facts *f)
{
	struct buf b;

	buf_init(&b, 0);
	gwtext_renew(&b, span_str(f->name), span_str(f->credential));
	fprintf(e->f, "%.*s", (int)buf_len(&b), buf_span(&b).p);
	buf_free(&b);
}

/* Print words with what stands for the gateway's own; see struct finding. */
static void
put_words(const struct explain *e, const struct facts *f, const char *words)
{
	for (; *words != '\0'; words++) {
		if (*words != '$')
			putc(*words, e->f);
		else if (*++words == 'g')
			fputs(f->name, e->f);
		else if (*words == 'u')
			fputs(f->url, e->f);
		else if (*words == 'h')
			fputs(f->host, e->f);
		else if (*words == 'a')
			fputs(f->slow, e->f);
		else if (*words == 'r')
			put_renewal(e, f);
		else
			fprintf(
			    e->f, "%s/agent/%s.sock", e->ctl->rundir, f->name);
	}
	putc('\n', e->f);
}

static int
is_connected(const struct facts *f)
{
	return strcmp(f->state, "connected") == 0;
}

/* The credential may be the reason, or not. */
static int
is_unauthorized(const struct facts *f)
{
	return (f->is & F_DIALS) != 0 && f->http == HTTP_UNAUTHORIZED;
}

/*
 * The highest layer that is known to hold.  All below the failing one do; who
 * refuses a credential was reached, and a first dial is somewhere.
 */
static enum layer
reached(const struct facts *f, enum layer at)
{
	static const struct {
		const char *phase;
		enum layer to;
	} phases[] = {
	    {"dialling", AT_CREDENTIAL},
	    {"tls", AT_CONNECT},
	    {"token", AT_TLS},
	    {"upgrade", AT_TLS},
	    {"asking the time", AT_UPGRADE},
	    {"handshake", AT_UPGRADE},
	    {"connected", AT_UPGRADE},
	};
	const char *phase = at == AT_NOTHING ? f->phase : f->failed_phase;
	size_t i;

	if (is_connected(f))
		return LAYERS - 1;
	if ((f->is & F_DIALS) == 0 || at > AT_CREDENTIAL)
		return at;
	for (i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
		if (strcmp(phases[i].phase, phase) == 0)
			return phases[i].to;
	return at;
}

/* What ends a link that was up is no fault of how it came up. */
static enum layer
layer_of(const struct facts *f, const struct finding *found)
{
	if ((f->is & F_WAS_UP) != 0 && (f->is & F_DIALS) != 0 &&
	    found->layer == AT_HANDSHAKE)
		return AT_LINK;
	return found->layer;
}

/* What is above the highest that holds cannot be told. */
static void
put_layers(const struct explain *e, const struct facts *f, enum layer at)
{
	int i, dials = (f->is & F_DIALS) != 0;
	int top = (int)reached(f, at);
	const char *how;

	if (!is_connected(f) && !dials && at != AT_CREDENTIAL)
		return; /* it is not meant to be up */
	explain_label(e->f, "layers");
	for (i = AT_NOTHING + 1; i < LAYERS; i++) {
		how = i > top ? "-" : "ok";
		if (i == AT_LINK && i != (int)at)
			continue; /* told of when it was up, and ended */
		if (i == AT_TLS && (f->is & F_PLAIN) != 0)
			how = "none"; /* the url asks for none */
		if (i == AT_LINK)
			how = "ended";
		else if (i == (int)at)
			how =
			    dials || at == AT_CREDENTIAL ? "FAILS" : "wanting";
		else if (i == AT_CREDENTIAL && is_unauthorized(f))
			how = "in doubt";
		fprintf(e->f, "%s%s %s", i > 1 ? ", " : "", layer_name[i], how);
	}
	putc('\n', e->f);
}

/* Further lines of the evidence have no label. */
static void
put_label(const struct explain *e, int *n, const char *label)
{
	explain_label(e->f, (*n)++ == 0 ? label : "");
}

static void
put_failure(
    const struct explain *e, const struct facts *f, int *n, const char *which)
{
	char at[OUT_TIME], age[OUT_AGE];

	if ((f->is & F_FAILED) == 0)
		return;
	put_label(e, n, "evidence");
	fprintf(e->f, "%s%s (%s ago), %s: %s\n", which,
	    out_second(at, (double)f->failed_at), out_age(age, f->failed_ago),
	    f->failed_phase, f->failed);
}

static void
put_history(const struct explain *e, const struct facts *f, int *n)
{
	char age[OUT_AGE];

	put_label(e, n, "evidence");
	if (f->shaken_s < 0)
		fprintf(e->f, "never connected since relayd's engine started");
	else
		fprintf(e->f, "the last handshake was %s ago%s",
		    out_age(age, f->shaken_s),
		    (f->is & F_OTHER) != 0 ? ", with the credential before "
					     "this one"
					   : "");
	if (f->up_s >= 0)
		fprintf(e->f, ", and the connection was up for %s",
		    out_age(age, f->up_s));
	/* relayd forgives what was before a link that held. */
	fprintf(e->f, "; %" PRId64 " %s%s\n", f->attempt,
	    f->attempt == 1 ? "attempt" : "attempts",
	    f->shaken_s < 0 ? "" : " since it was last up for a minute");
}

/* How it fared, as far as it was tried. */
static void
put_fared(const struct explain *e, const struct facts *f)
{
	char age[OUT_AGE];

	if ((f->is & F_WORKED) != 0)
		fprintf(e->f, "%s\n",
		    (f->is & F_UNUSABLE) != 0 ? "one has worked"
					      : "it has worked");
	else if ((f->is & (F_OTHER | F_UNUSABLE)) != F_OTHER)
		fprintf(e->f, "it never worked yet\n");
	else if ((f->is & F_DIALS) != 0)
		fprintf(e->f,
		    "it never worked yet: the handshake %s ago was made with "
		    "the one before it\n",
		    out_age(age, f->shaken_s));
	else
		fprintf(e->f,
		    "not tried yet: the handshake %s ago was made with the "
		    "one before it; relay-ctl reconnect %s tries it\n",
		    out_age(age, f->shaken_s), f->name);
}

static void
put_credential(const struct explain *e, const struct facts *f, int *n)
{
	char age[OUT_AGE];

	put_label(e, n, "evidence");
	fprintf(e->f, "credential: %s", f->credential);
	if ((f->is & F_UNUSABLE) != 0)
		fprintf(e->f, ", none that can be used");
	else if (f->cred_age_s >= 0)
		fprintf(e->f, ", taken %s ago", out_age(age, f->cred_age_s));
	fprintf(e->f, ", ");
	put_fared(e, f);
	if (f->lacks[0] != '\0' && strcmp(f->lacks, f->reason) != 0) {
		put_label(e, n, "evidence");
		fprintf(e->f, "%s\n", f->lacks);
	}
}

static void
put_skew(const struct explain *e, const struct facts *f, int *n)
{
	char age[OUT_AGE];

	if ((f->is & F_SKEWED) == 0)
		return;
	put_label(e, n, "evidence");
	fprintf(e->f, "the connector's clock is %s %s ours\n",
	    out_age(age, f->skew_s < 0 ? -f->skew_s : f->skew_s),
	    f->skew_s < 0 ? "behind" : "ahead of");
}

static void
put_waiting(const struct explain *e, const struct facts *f, int *n)
{
	char age[OUT_AGE];

	if (f->waiting == 0)
		return;
	put_label(e, n, "evidence");
	fprintf(e->f,
	    "%" PRId64 " wait here to be acknowledged, the oldest for %s; "
	    "agents: %" PRId64 "\n",
	    f->waiting, out_delay(age, f->oldest_s), f->agents);
}

/* Why one may believe that it is up. */
static void
put_health(const struct explain *e, const struct facts *f, int *n)
{
	char age[OUT_AGE], room[OUT_AGE];

	put_label(e, n, "evidence");
	fprintf(e->f, "connected to %s%s%s\n", f->address,
	    f->tls[0] != '\0' ? ", " : ", without TLS", f->tls);
	put_label(e, n, "evidence");
	/* One of a link before this says nothing of it. */
	if (f->pong_s >= 0 && (f->shaken_s < 0 || f->pong_s <= f->shaken_s))
		fprintf(e->f,
		    "the last pong came %s ago, after %" PRId64 " ms; ",
		    out_age(age, f->pong_s), f->rtt_ms);
	else
		fprintf(e->f, "no ping was due yet; ");
	fprintf(e->f, "the last byte %s%s\n", out_age(age, f->heard_s),
	    f->heard_s < 0 ? "" : " ago");
	put_label(e, n, "evidence");
	fprintf(e->f, "the last event came: %s%s\n", out_age(age, f->event_s),
	    f->event_s < 0 ? "" : " ago");
	put_label(e, n, "evidence");
	if (f->waiting == 0)
		fprintf(e->f, "nothing waits to be acknowledged; ");
	else
		fprintf(e->f,
		    "%" PRId64 " wait to be acknowledged, the oldest for %s; ",
		    f->waiting, out_delay(age, f->oldest_s));
	fprintf(e->f, "agents: %" PRId64 "\n", f->agents);
	if ((f->is & F_FULL) != 0) {
		put_label(e, n, "evidence");
		fprintf(e->f, "the journal: %s of %s in use\n",
		    out_size(age, f->used), out_size(room, f->room));
	}
	put_failure(e, f, n, "the last failure: ");
}

static void
put_evidence(const struct explain *e, const struct facts *f, enum layer at)
{
	int n = 0;

	if (is_connected(f)) {
		put_health(e, f, &n);
	} else if ((f->is & F_DIALS) != 0) {
		put_failure(e, f, &n, "");
		put_history(e, f, &n);
	} else if (f->reason[0] != '\0') {
		put_label(e, &n, "evidence");
		fprintf(e->f, "%s\n", f->reason);
	}
	if (at == AT_CREDENTIAL || is_unauthorized(f) || (f->is & F_OTHER) != 0)
		put_credential(e, f, &n);
	put_skew(e, f, &n);
	if (!is_connected(f))
		put_waiting(e, f, &n);
	if (f->aside > 0) {
		put_label(e, &n, "evidence");
		fprintf(e->f,
		    "%" PRId64 " put aside, since agents do not survive them "
		    "(relay-ctl show quarantine); relay-ctl requeue or drop "
		    "decides\n",
		    f->aside);
	}
	if (f->bad_lines > 0) {
		put_label(e, &n, "evidence");
		fprintf(e->f,
		    "%" PRId64 " of the connector's lines could not be read "
		    "and were left out (relayd's log has why)\n",
		    f->bad_lines);
	}
	if (f->skipped[0] != '\0') {
		put_label(e, &n, "evidence");
		fprintf(e->f, "not fronted: %s\n", f->skipped);
	}
}

static void
put_next(
    const struct explain *e, const struct facts *f, const struct finding *found)
{
	char when[OUT_AGE];

	if (found->next == NULL && f->next_s < 0 && (f->is & F_DIALS) == 0 &&
	    f->idle_in_s < 0)
		return;
	explain_label(e->f, "next");
	if (found->next != NULL)
		put_words(e, f, found->next);
	else if (f->next_s >= 0 && (f->is & F_DIALS) != 0)
		fprintf(e->f,
		    "dials by itself in %s; the pauses grow, up to "
		    "reconnect.max; relay-ctl reconnect %s dials at once, "
		    "when the cause is mended\n",
		    out_delay(when, f->next_s), f->name);
	else if (f->next_s >= 0)
		fprintf(e->f, "dials by itself in %s\n",
		    out_delay(when, f->next_s));
	else if ((f->is & F_DIALS) != 0)
		fprintf(e->f, "a dial is under way now: %s\n", f->phase);
	else
		fprintf(e->f,
		    "goes idle in %s unless an agent comes: then the "
		    "connector keeps what comes\n",
		    out_delay(when, f->idle_in_s));
}

/* Who may use the agents' socket, where that is not root alone: who was told
 * to start an agent may be refused. */
static void
put_who(const struct explain *e, const struct facts *f)
{
	char path[LIMIT_PATH + LIMIT_NAME + 32];
	const struct group *gr;
	struct stat st;

	snprintf(
	    path, sizeof(path), "%s/agent/%s.sock", e->ctl->rundir, f->name);
	if (!e->asks || lstat(path, &st) == -1 || !S_ISSOCK(st.st_mode) ||
	    (gr = getgrgid(st.st_gid)) == NULL)
		return;
	explain_label(e->f, "");
	/* Of a common user's relayd, the run directory lets in nobody else. */
	if (st.st_uid != 0 || (st.st_mode & 060) != 060)
		fprintf(e->f, "that is for uid %u alone (mode %04o)\n",
		    (unsigned)st.st_uid, (unsigned)st.st_mode & 07777);
	else if (st.st_gid == 0)
		fprintf(e->f,
		    "that is for root alone: agents.group gives it to others, "
		    "too\n");
	else
		fprintf(e->f,
		    "that is for root and for who runs with group %s "
		    "(usermod -aG %s USER, from the next login)\n",
		    gr->gr_name, gr->gr_name);
}

static void
explain_one(struct obj *g, void *arg)
{
	struct explain *e = arg;
	const struct finding *found;
	char age[OUT_AGE];
	struct facts f;
	enum layer at;

	if (facts_read(&f, g) == -1) {
		ctl_warn("no memory");
		facts_free(&f);
		return;
	}
	found = explain_find(&f);
	at = layer_of(&f, found);
	fprintf(e->f, "%s%s: %s for %s\n", e->n++ > 0 ? "\n" : "", f.name,
	    f.state, out_age(age, f.for_s));
	put_layers(e, &f, at);
	explain_label(e->f, "trouble");
	if (at != AT_NOTHING)
		fprintf(e->f, "%s: ", layer_name[at]);
	put_words(e, &f, found->what);
	put_evidence(e, &f, at);
	put_next(e, &f, found);
	if (found->todo != NULL) {
		explain_label(e->f, "you can");
		put_words(e, &f, found->todo);
		if (strstr(found->todo, "$s") != NULL)
			put_who(e, &f);
	}
	facts_free(&f);
}

/* The processes that have died lately; 1 when there was something to say. */
static int
put_restarts(const struct explain *e, struct span reply)
{
	struct obj o, p;
	struct span all, elem;
	size_t pos = 0;
	char age[OUT_AGE], *role;
	int64_t since;
	double now;
	int n = 0;

	obj_parse(&o, reply);
	now = field_num(&o, "now", 0);
	all = field_raw(&o, "processes");
	while (json_each(all, &pos, &elem) == 1) {
		if (obj_parse(&p, elem) == -1 ||
		    field_int(&p, "restarts", 0) == 0)
			continue;
		since = (int64_t)(now - field_num(&p, "since", 0));
		if (since > RESTART_S ||
		    (role = out_safe(field_str(&p, "role"))) == NULL)
			continue;
		if (n == 0)
			fprintf(e->f, "%srelayd: a process died lately\n",
			    e->n > 0 ? "\n" : "");
		put_label(e, &n, "evidence");
		fprintf(e->f, "%s: restarts: %" PRId64 ", the last %s ago\n",
		    role, field_int(&p, "restarts", 0), out_age(age, since));
		free(role);
	}
	if (n == 0)
		return 0;
	explain_label(e->f, "next");
	fprintf(e->f,
	    "it was started again; when one dies ten times within "
	    "five minutes, relayd ends\n");
	explain_label(e->f, "you can");
	fprintf(e->f, "relayd's log tells how it ended (event=exit)\n");
	return 1;
}

static int
render(const struct out *o, FILE *f, struct span reply, void *arg)
{
	struct explain *e = arg;

	(void)o;
	if (f == NULL)
		return CTL_OK;
	e->f = f;
	if (e->asks)
		e->n = explain_refused(e->ctl, f);
	e->n += put_restarts(e, reply);
	if (gwtext_each(reply, e->only, explain_one, e) == 0)
		fprintf(f, "no gateways\n");
	return CTL_OK;
}

void
explain_put(const struct ctl *ctl, FILE *f, struct span reply)
{
	struct explain e = {.ctl = ctl};

	(void)render(&ctl->out, f, reply, &e);
}

int
cmd_explain(struct ctl *ctl)
{
	struct explain e = {
	    .ctl = ctl, .only = ctl->narg > 0 ? ctl->arg[0] : NULL, .asks = 1};
	struct client c;
	struct span reply;
	enum client_result r;
	struct buf req;
	struct obj o;
	int status;

	client_begin(&req, "status");
	client_gateway(&req, e.only);
	r = client_ask(&c, ctl, &req, 1, CLIENT_WAIT_STATUS, &reply);
	if (r != CLIENT_OK)
		status = explain_absent(ctl, &c, r);
	else if (obj_parse(&o, reply) == 0 && field_true(&o, "ok"))
		status = out_show(&ctl->out, reply, render, &e);
	else
		status = client_refused(&c, ctl, reply);
	client_close(&c);
	return status;
}
