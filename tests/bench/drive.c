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

#include "peer.h"
#include "usage.h"

/* Digits of the counter in each event. */
#define DIGITS 10
/* Places where it stands: twice message_id, once bufferId. */
#define PLACES 3
/* Events go round this many chats: more than one session, few enough that
 * each has several events open. */
#define CHATS 32
/* One write while pushing. */
#define BLOCK (256U * 1024)
/* A run that makes no progress for this long has failed. */
#define STALL_NS   (20ULL * 1000000000ULL)
#define MAX_EVENTS 100000000ULL

struct tmpl {
	char *frame;
	size_t len, headlen;
	size_t place[PLACES];
	size_t chat;	  /* place of two digits */
	size_t id, idlen; /* bufferId */
};

struct run {
	uint64_t first, n; /* counters of its events */
	uint64_t next;	   /* to be encoded */
	uint64_t acked, dups,
	    wrong; /* in order; again; out of order or alien */
	uint64_t *due, *sent, *seen; /* nanoseconds; latency only */
};

struct drive {
	struct peer peer;
	struct tmpl tmpl;
	char *block;
	size_t block_events;
	uint64_t used; /* counters below were given out */
	struct run run;
	struct usage usage;
};

/* What a run cost. */
struct cost {
	uint64_t t, self;
	double busy_ms, stolen_ms;
	struct usage usage;
};

/* Events. */

/* Chat text: words, and in every 190 bytes or so a newline and two quotes,
 * escaped, and two characters beyond ASCII. */
static void
fill_text(char *to, size_t n)
{
	static const char *const words[] = {"the", " build", " on", " node",
	    " 17", " stopped", " again", ",", " log", " says", " \\\"",
	    "no space", " left", "\\\"", ".", "\\n", "can", " somebody",
	    " free", " the", " old", " caches", " na\xc3\xafvely", " or",
	    " move", " them", " to", " the", " other", " disk", "?", " thanks",
	    " \xf0\x9f\x99\x8f", " I", " look", " after", " lunch", " too",
	    ". "};
	size_t i, len;

	for (i = 0;; i = (i + 1) % (sizeof(words) / sizeof(words[0]))) {
		len = strlen(words[i]);
		if (len > n)
			break;
		memcpy(to, words[i], len);
		to += len;
		n -= len;
	}
	memset(to, '.', n);
}

/* Find the next run of n '@' from *at on; they become zeros. */
static size_t
take_place(char *line, size_t n, size_t *at)
{
	const char *p = strchr(line + *at, '@');
	size_t found = p == NULL ? 0 : (size_t)(p - line);

	memset(line + found, '0', n);
	*at = found + n;
	return found;
}

static void
tmpl_places(struct tmpl *t, char *line, size_t headlen)
{
	size_t at = 0, i;

	t->chat = headlen + take_place(line, 2, &at);
	for (i = 0; i < PLACES; i++)
		t->place[i] = headlen + take_place(line, DIGITS, &at);
	t->idlen = strlen("b00000000-") + DIGITS;
	t->id = t->place[PLACES - 1] + DIGITS - t->idlen;
}

/* epoch makes ids differ from those of another driver at the same client. */
static void
tmpl_build(struct tmpl *t, size_t size, uint32_t epoch)
{
	static const char before[] =
	    "{\"type\":\"inbound\",\"event\":{\"text\":\"";
	static const char fmt[] =
	    "\",\"message_type\":\"text\",\"source\":{\"platform\":\"discord\","
	    "\"chat_id\":\"11876543210987654@@\",\"chat_type\":\"group\","
	    "\"user_id\":\"273645546372819000\",\"user_name\":\"ada.lovelace\","
	    "\"thread_id\":null,\"chat_name\":\"Engines / #general\","
	    "\"chat_topic\":null,\"scope_id\":\"998877665544332211\","
	    "\"message_id\":\"12890@@@@@@@@@@\",\"is_bot\":false,"
	    "\"message_is_edit\":false},\"message_id\":\"12890@@@@@@@@@@\"},"
	    "\"bufferId\":\"b%08x-@@@@@@@@@@\"}\n";
	char after[sizeof(fmt) + 8], *line;
	unsigned char head[10];
	size_t a, text;

	a = (size_t)snprintf(after, sizeof(after), fmt, epoch);
	if (size < sizeof(before) - 1 + a + 1)
		errx(2, "an event has at least %zu bytes", sizeof(before) + a);
	text = size - (sizeof(before) - 1) - a;
	t->headlen = peer_head(head, 1, size);
	t->len = t->headlen + size;
	t->frame = peer_alloc(t->len + 1);
	memcpy(t->frame, head, t->headlen);
	line = t->frame + t->headlen;
	memcpy(line, before, sizeof(before) - 1);
	fill_text(line + sizeof(before) - 1, text);
	memcpy(line + sizeof(before) - 1 + text, after, a);
	tmpl_places(t, line, t->headlen);
}

static void
stamp(const struct tmpl *t, char *frame, uint64_t n)
{
	char digits[DIGITS];
	unsigned chat = (unsigned)(n % CHATS);
	size_t i;

	frame[t->chat] = (char)('0' + chat / 10);
	frame[t->chat + 1] = (char)('0' + chat % 10);
	for (i = DIGITS; i-- > 0; n /= 10)
		digits[i] = (char)('0' + n % 10);
	for (i = 0; i < PLACES; i++)
		memcpy(frame + t->place[i], digits, DIGITS);
}

static size_t
refill(void *arg, const char **p)
{
	struct drive *d = arg;
	struct run *r = &d->run;
	uint64_t i, left = r->first + r->n - r->next;

	if (left > d->block_events)
		left = d->block_events;
	for (i = 0; i < left; i++)
		stamp(&d->tmpl, d->block + i * d->tmpl.len, r->next++);
	*p = d->block;
	return left * d->tmpl.len;
}

/* The counter in a bufferId of ours, or UINT64_MAX. */
static uint64_t
parse_id(const struct tmpl *t, const char *id, size_t len)
{
	size_t i, fixed = t->idlen - DIGITS;
	uint64_t v = 0;

	if (id == NULL || len != t->idlen ||
	    memcmp(id, t->frame + t->id, fixed) != 0)
		return UINT64_MAX;
	for (i = fixed; i < len; i++) {
		if (id[i] < '0' || id[i] > '9')
			return UINT64_MAX;
		v = v * 10 + (uint64_t)(id[i] - '0');
	}
	return v;
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
	v = parse_id(&d->tmpl, id, len);
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

static int
cost_begin(struct drive *d, struct cost *c)
{
	const char *who;

	if (usage_sample(&d->usage, &who) == -1) {
		fail("gone before the run: ", who);
		return -1;
	}
	c->usage = d->usage;
	usage_machine(&c->busy_ms, &c->stolen_ms);
	c->self = usage_self_ns();
	c->t = peer_now();
	return 0;
}

/* Print what it took, as members of an open object, and close it. */
static void
cost_end(struct drive *d, const struct cost *c)
{
	const struct run *r = &d->run;
	uint64_t t = peer_now() - c->t, self = usage_self_ns() - c->self, sum;
	double wall_ms = (double)t / 1e6, busy, stolen, other;
	const char *who;
	unsigned i;

	if (usage_sample(&d->usage, &who) == -1)
		warnx("%s ended during the run", who);
	usage_machine(&busy, &stolen);
	for (sum = self, i = 0; i < d->usage.n; i++)
		sum += d->usage.role[i].cpu_ns - c->usage.role[i].cpu_ns;
	/* Of both, in per cent of one CPU. */
	other = busy - c->busy_ms - (double)sum / 1e6;
	printf("\"events\":%" PRIu64 ",\"dups\":%" PRIu64 ",\"wrong\":%" PRIu64
	       ",\"wall_s\":%.6f,\"events_per_s\":%.0f,\"driver_us\":%.3f,"
	       "\"driver_busy\":%.2f,\"other_pct\":%.1f,\"steal_pct\":%.1f,"
	       "\"cpu_us\":{",
	    r->acked, r->dups, r->wrong, wall_ms / 1e3,
	    (double)r->acked / wall_ms * 1e3, (double)self / 1e3 / (double)r->n,
	    (double)self / (double)t, other < 0 ? 0 : 100 * other / wall_ms,
	    100 * (stolen - c->stolen_ms) / wall_ms);
	for (i = 0; i < d->usage.n; i++)
		printf("%s\"%s\":%.3f", i > 0 ? "," : "", d->usage.role[i].name,
		    (double)(d->usage.role[i].cpu_ns -
			c->usage.role[i].cpu_ns) /
			1e3 / (double)r->n);
	printf("}}\n");
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
	struct cost c;

	(void)unused;
	run_begin(d, n);
	if (cost_begin(d, &c) == -1)
		return;
	d->peer.refill = refill;
	peer_flush(&d->peer);
	while (d->run.acked < n && alive(d, &acked, &since))
		(void)peer_turn(&d->peer, 100000000U, -1);
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
		stamp(&d->tmpl, d->block, r->next++);
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
	struct cost c;

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
	tmpl_build(&d->tmpl, size, (uint32_t)(peer_now() >> 10));
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
