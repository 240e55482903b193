/* SPDX-License-Identifier: ISC */
/*
 * Load driver: plays the connector for one client on 127.0.0.1, over plain
 * WebSocket, and measures what the client makes of it.  Orders come on
 * standard input, one per line; each is answered by one line of JSON:
 *
 *	watch NAME=PID ...	the processes to measure from now on
 *	ready SECONDS		wait until the client has said hello
 *	inbound N		push N events as fast as the socket takes them,
 *				until each is acknowledged
 *	latency N RATE		send N events at RATE per second whatever the
 *				client does; each is timed from when it was due
 *	memory			proportional set size of each process
 *
 * and the end of standard input ends it.  Acknowledgements must come in the
 * order of the events, each once: what does not is counted.
 */
#include <sys/prctl.h>

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event.h"
#include "peer.h"
#include "usage.h"

/* Events go round this many chats: more than one session, few enough that
 * each has several events open. */
#define CHATS 32
/* Events that wait for acknowledgements: a quarter of the default journal.
 * At a half of it relayd asks that it be spared. */
#define OPEN 4096
/* One write while pushing. */
#define BLOCK (256U * 1024)
/* A run that makes no progress for this long has failed. */
#define STALL_NS   (20ULL * 1000000000ULL)
#define MAX_EVENTS 100000000ULL

struct run {
	uint64_t first, n; /* counters of its events */
	uint64_t next;	   /* to be encoded */
	uint64_t acked, dups,
	    wrong; /* in order; again; out of order or alien */
	uint64_t *due, *sent, *seen; /* nanoseconds; latency only */
};

struct drive {
	struct peer peer;
	struct event tmpl;
	char *block;
	size_t block_events;
	uint64_t used; /* counters below were given out */
	struct run run;
	struct usage usage;
};

/* Events. */

static size_t
refill(void *arg, const char **p)
{
	struct drive *d = arg;
	struct run *r = &d->run;
	uint64_t i, left = r->first + r->n - r->next;
	uint64_t room = r->first + r->acked + OPEN - r->next;

	if (left > room)
		left = room;
	if (left > d->block_events)
		left = d->block_events;
	for (i = 0; i < left; i++)
		event_stamp(
		    &d->tmpl, d->block + i * d->tmpl.len, r->next++, CHATS);
	*p = d->block;
	return left * d->tmpl.len;
}

static void
on_line(void *arg, const char *p, size_t n, uint64_t at)
{
	struct drive *d = arg;
	struct run *r = &d->run;
	const char *id;
	size_t len = 0;
	uint64_t v;

	id = peer_member(p, n, "bufferId", &len);
	v = event_number(&d->tmpl, id, len);
	if (v == UINT64_MAX)
		return; /* no acknowledgement */
	if (v != r->first + r->acked) {
		if (v < r->first + r->acked)
			r->dups++;
		else
			r->wrong++;
		return;
	}
	if (r->seen != NULL)
		r->seen[r->acked] = at;
	r->acked++;
}

/* Runs. */

static void
fail(const char *why, const char *what)
{
	printf("{\"error\":\"%s%s\"}\n", why, what);
}

/* 0, or -1: it cannot be measured, and that was said. */
static int
cost_begin(struct drive *d, struct usage_cost *c)
{
	const char *who;

	if (usage_begin(&d->usage, c, peer_now(), &who) == 0)
		return 0;
	fail("gone before the run: ", who);
	return -1;
}

/* Print what it took, as members of an open object, and close it. */
static void
cost_end(struct drive *d, const struct usage_cost *c)
{
	const struct run *r = &d->run;

	printf("\"events\":%" PRIu64 ",\"dups\":%" PRIu64 ",\"wrong\":%" PRIu64
	       ",",
	    r->acked, r->dups, r->wrong);
	usage_end(&d->usage, c, peer_now(), r->n);
	printf("}\n");
}

/* Whether the run may go on; says why not. */
static int
alive(struct drive *d, uint64_t *acked, uint64_t *since)
{
	if (d->peer.state != PEER_OPEN) {
		fail("the client left: ", d->peer.why);
		return 0;
	}
	if (d->run.acked != *acked) {
		*acked = d->run.acked;
		*since = peer_now();
	} else if (peer_now() - *since > STALL_NS) {
		printf("{\"error\":\"no acknowledgement for 20 "
		       "s\",\"acked\":%" PRIu64 ",\"of\":%" PRIu64 "}\n",
		    d->run.acked, d->run.n);
		return 0;
	}
	return 1;
}

static void
run_begin(struct drive *d, uint64_t n)
{
	struct run *r = &d->run;

	free(r->due);
	free(r->sent);
	free(r->seen);
	memset(r, 0, sizeof(*r));
	r->first = r->next = d->used;
	r->n = n;
	d->used += n;
}

static void
do_inbound(struct drive *d, uint64_t n, uint64_t unused)
{
	uint64_t acked = 0, since = peer_now();
	struct usage_cost c;

	(void)unused;
	run_begin(d, n);
	if (cost_begin(d, &c) == -1)
		return;
	d->peer.refill = refill;
	peer_flush(&d->peer);
	while (d->run.acked < n && alive(d, &acked, &since)) {
		(void)peer_turn(&d->peer, 100000000U, -1);
		/* Acknowledgements made room. */
		if (d->peer.blocklen == 0)
			peer_flush(&d->peer);
	}
	d->peer.refill = NULL;
	if (d->run.acked < n)
		return;
	printf("{\"mode\":\"inbound\",");
	cost_end(d, &c);
}

static int
by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Quantiles of to[i] - from[i], as one object. */
static void
print_quantiles(
    const char *name, const uint64_t *from, const uint64_t *to, uint64_t n)
{
	static const struct {
		const char *name;
		double q;
	} quantile[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99},
	    {"p999", 0.999}, {"max", 1}};
	uint64_t *v = peer_alloc(n * sizeof(*v)), at;
	size_t i;

	for (i = 0; i < n; i++)
		v[i] = to[i] - from[i];
	qsort(v, n, sizeof(*v), by_size);
	printf("\"%s\":{", name);
	for (i = 0; i < sizeof(quantile) / sizeof(quantile[0]); i++) {
		at = (uint64_t)(quantile[i].q * (double)n);
		printf("%s\"%s\":%.1f", i > 0 ? "," : "", quantile[i].name,
		    (double)v[at < n ? at : n - 1] / 1e3);
	}
	printf("},");
	free(v);
}

/* Send what is due by now; returns nanoseconds until the next. */
static uint64_t
send_due(struct drive *d, uint64_t *sent)
{
	struct run *r = &d->run;
	uint64_t now = peer_now();

	for (; *sent < r->n && r->due[*sent] <= now; now = peer_now()) {
		event_stamp(&d->tmpl, d->block, r->next++, CHATS);
		r->sent[*sent] = now;
		peer_queue(&d->peer, d->block, d->tmpl.len);
		peer_flush(&d->peer);
		(*sent)++;
	}
	return *sent < r->n ? r->due[*sent] - now : 1000000;
}

/* Sleeping between events, not spinning: on two cores a spinning driver would
 * leave one for a client of several processes. */
static void
do_latency(struct drive *d, uint64_t n, uint64_t rate)
{
	uint64_t acked = 0, since, sent = 0, i, wait;
	struct run *r = &d->run;
	struct usage_cost c;

	run_begin(d, n);
	r->due = peer_alloc(n * sizeof(*r->due));
	r->sent = peer_alloc(n * sizeof(*r->sent));
	r->seen = peer_alloc(n * sizeof(*r->seen));
	if (cost_begin(d, &c) == -1)
		return;
	since = peer_now();
	for (i = 0; i < n; i++)
		r->due[i] = since + 1000000 + i * 1000000000U / rate;
	while (r->acked < n && alive(d, &acked, &since)) {
		wait = send_due(d, &sent);
		(void)peer_turn(&d->peer, wait, -1);
	}
	if (r->acked < n)
		return;
	printf("{\"mode\":\"latency\",\"rate\":%" PRIu64 ",", rate);
	print_quantiles("ack_us", r->due, r->seen, n);
	print_quantiles("ack_from_send_us", r->sent, r->seen, n);
	print_quantiles("driver_late_us", r->due, r->sent, n);
	cost_end(d, &c);
}

/* Orders. */

static void
do_ready(struct drive *d, uint64_t seconds, uint64_t unused)
{
	uint64_t t = peer_now(), end = t + seconds * 1000000000U;

	(void)unused;
	while (d->peer.hellos == 0 && peer_now() < end)
		(void)peer_turn(&d->peer, 10000000U, -1);
	if (d->peer.hellos == 0) {
		fail("no hello in time", "");
		return;
	}
	/* The descriptor leaves before anything else. */
	while (d->peer.out.end > d->peer.out.off && peer_now() < end)
		(void)peer_turn(&d->peer, 10000000U, -1);
	printf("{\"ready_ms\":%.1f}\n", (double)(peer_now() - t) / 1e6);
}

static void
do_memory(struct drive *d, uint64_t unused, uint64_t unused2)
{
	unsigned i;

	(void)unused;
	(void)unused2;
	printf("{\"pss_kb\":{");
	for (i = 0; i < d->usage.n; i++)
		printf("%s\"%s\":%ld", i > 0 ? "," : "", d->usage.role[i].name,
		    usage_pss_kb(d->usage.role[i].pid));
	printf("}}\n");
}

static void
do_watch(struct drive *d, char *words)
{
	const char *w;

	d->usage.n = 0;
	for (; (w = strsep(&words, " ")) != NULL;)
		if (*w != '\0' && usage_add(&d->usage, w) == -1) {
			fail("watch takes NAME=PID, not ", w);
			return;
		}
	printf("{\"watching\":%u}\n", d->usage.n);
}

static void
obey(struct drive *d, char *line)
{
	static const struct {
		const char *name;
		void (*fn)(struct drive *, uint64_t, uint64_t);
		uint64_t max1, max2; /* of the arguments, which are numbers */
	} orders[] = {
	    {"ready", do_ready, 3600, 0},
	    {"inbound", do_inbound, MAX_EVENTS, 0},
	    {"latency", do_latency, MAX_EVENTS, 1000000},
	    {"memory", do_memory, 0, 0},
	};
	char *name = strsep(&line, " ");
	uint64_t a = 0, b = 0;
	size_t i;

	if (strcmp(name, "watch") == 0) {
		do_watch(d, line);
		return;
	}
	if (line != NULL)
		a = strtoull(line, &line, 10);
	if (line != NULL)
		b = strtoull(line, NULL, 10);
	for (i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		if (strcmp(name, orders[i].name) != 0)
			continue;
		if (a > orders[i].max1 || (orders[i].max1 > 0 && a == 0) ||
		    b > orders[i].max2 || (orders[i].max2 > 0 && b == 0))
			break;
		orders[i].fn(d, a, b);
		return;
	}
	fail("an order that is not understood", "");
}

/* Serve orders until their end.  Lines are short and come one at a time. */
static void
serve(struct drive *d)
{
	char line[1024];
	size_t have = 0;
	ssize_t n;
	char *nl;

	for (;;) {
		if (!peer_turn(&d->peer, 1000000000U, STDIN_FILENO))
			continue;
		n = read(STDIN_FILENO, line + have, sizeof(line) - 1 - have);
		if (n <= 0)
			return;
		have += (size_t)n;
		line[have] = '\0';
		while ((nl = strchr(line, '\n')) != NULL) {
			*nl++ = '\0';
			obey(d, line);
			fflush(stdout);
			have -= (size_t)(nl - line);
			memmove(line, nl, have + 1);
		}
		if (have == sizeof(line) - 1)
			errx(2, "an order of more than a thousand characters");
	}
}

int
main(int argc, char *argv[])
{
	struct drive *d = peer_alloc(sizeof(*d));
	unsigned long port = 0, size = 700;
	size_t i;
	int ch;

	while ((ch = getopt(argc, argv, "p:s:")) != -1) {
		if (ch == 'p')
			port = strtoul(optarg, NULL, 10);
		else if (ch == 's')
			size = strtoul(optarg, NULL, 10);
		else
			errx(2, "usage: drive [-p port] [-s event-bytes]");
	}
	if (port > UINT16_MAX || size > 1000000)
		errx(2, "a port or size that is too large");
	(void)prctl(PR_SET_PDEATHSIG, 15UL);
	(void)prctl(PR_SET_TIMERSLACK, 1UL);
	port = peer_listen(&d->peer, (uint16_t)port);
	d->peer.arg = d;
	d->peer.on_line = on_line;
	d->used = 1;
	event_build(&d->tmpl, size, (uint32_t)(peer_now() >> 10));
	d->block_events = BLOCK / d->tmpl.len + 1;
	d->block = peer_alloc(d->block_events * d->tmpl.len);
	for (i = 0; i < d->block_events; i++)
		memcpy(d->block + i * d->tmpl.len, d->tmpl.frame, d->tmpl.len);
	printf("{\"port\":%lu,\"event_bytes\":%lu}\n", port, size);
	fflush(stdout);
	serve(d);
	peer_end(&d->peer);
	return 0;
}
