/* SPDX-License-Identifier: ISC */
/*
 * Load driver for many gateways: plays the connector for all links that come,
 * on 127.0.0.1, over plain WebSocket.  Orders come on standard input, one per
 * line; each is answered by one line of JSON:
 *
 *	watch NAME=PID ...	the processes to measure from now on
 *	links N SECONDS		wait until N links have said hello
 *	inbound N CHATS		push N events, spread over the links and over
 *				so many chats, until each is acknowledged
 *	drop SECONDS		end all links at once, and see them come back
 *	bounce DOWN GAP		let each listener in turn vanish with its link
 *				for DOWN ms, the next GAP ms later
 *	memory			proportional set size of each process
 *
 * and the end of standard input ends it.  Acknowledgements must come in the
 * order of a link's events, each once: what does not is counted.
 */
#include <sys/epoll.h>
#include <sys/prctl.h>

#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event.h"
#include "peer.h"
#include "usage.h"

/* What relayd can have, and some that it has not closed yet. */
#define LINKS	  2048
#define LISTENERS 256
/* Written before another link has its turn: of one link, of each of many. */
#define BLOCK	    (256U * 1024)
#define BLOCK_LEAST (16U * 1024)
#define SECOND	    1000000000ULL
/* Events of a link that wait for acknowledgements: a quarter of a journal of
 * 4 MiB.  At a half of it relayd asks that it be spared. */
#define OPEN 1024
/* A run that makes no progress for this long has failed. */
#define STALL_NS   (20 * SECOND)
#define MAX_EVENTS 100000000ULL
/* Seconds of the histogram. */
#define SECONDS 120

struct crowd;

struct link {
	struct peer peer;
	struct crowd *c;
	int up;	   /* said hello */
	int armed; /* waits until it can write */
	unsigned listener;
	char *block;
	size_t blockcap; /* events that it holds */
	uint64_t first, n, next, acked;
};

struct listener {
	int fd;
	uint16_t port;
	struct link *link; /* the last that came there */
	uint64_t gone, again, back;
};

struct crowd {
	int ep;
	struct link *link[LINKS]; /* made when first needed */
	struct listener listener[LISTENERS];
	unsigned nlistener, up;
	int orders; /* something on standard input */
	struct event event;
	unsigned chats;
	size_t block;
	uint64_t used, acked, wrong;
	uint64_t *came; /* when links came, while it is asked for */
	size_t ncame, maxcame;
	struct usage usage;
};

static void
fail(const char *why, const char *what)
{
	printf("{\"error\":\"%s%s\"}\n", why, what);
}

/* Events. */

static size_t
refill(void *arg, const char **p)
{
	struct link *l = arg;
	struct crowd *c = l->c;
	uint64_t i, left = l->first + l->n - l->next;
	uint64_t room = l->first + l->acked + OPEN - l->next;

	if (left > room)
		left = room;
	if (left > l->blockcap)
		left = l->blockcap;
	for (i = 0; i < left; i++)
		event_stamp(&c->event, l->block + i * c->event.len, l->next++,
		    c->chats);
	*p = l->block;
	return left * c->event.len;
}

static void
on_line(void *arg, const char *p, size_t n, uint64_t at)
{
	struct link *l = arg;
	size_t len = 0;
	const char *id = peer_member(p, n, "bufferId", &len);
	uint64_t v = event_number(&l->c->event, id, len);

	(void)at;
	if (v == UINT64_MAX)
		return; /* no acknowledgement */
	if (v != l->first + l->acked) {
		l->c->wrong++;
		return;
	}
	l->acked++;
	l->c->acked++;
}

/* Give the link n events to send. */
static void
begin(struct link *l, uint64_t n)
{
	struct crowd *c = l->c;
	size_t i, cap = c->block / c->event.len + 1;

	if (l->blockcap < cap) {
		free(l->block);
		l->block = peer_alloc(cap * c->event.len);
		for (i = 0; i < cap; i++)
			memcpy(l->block + i * c->event.len, c->event.frame,
			    c->event.len);
	}
	l->blockcap = cap;
	l->first = l->next = c->used;
	l->acked = 0;
	l->n = n;
	c->used += n;
	l->peer.refill = refill;
}

/* Links. */

static void
arm(struct link *l)
{
	struct epoll_event ev = {.data.ptr = l};
	int want = peer_pending(&l->peer);

	if (want == l->armed)
		return;
	l->armed = want;
	ev.events = EPOLLIN | (want ? EPOLLOUT : 0U);
	if (epoll_ctl(l->c->ep, EPOLL_CTL_MOD, l->peer.fd, &ev) == -1)
		err(1, "epoll");
}

/* After whatever happened to it. */
static void
look(struct link *l)
{
	struct crowd *c = l->c;
	struct listener *lis = &c->listener[l->listener];
	int up = l->peer.state == PEER_OPEN && l->peer.hellos > 0;

	if (up && !l->up && lis->again != 0 && lis->back == 0)
		lis->back = peer_now();
	c->up += (unsigned)up - (unsigned)l->up;
	l->up = up;
	if (l->peer.state != PEER_NONE)
		arm(l);
}

static void
serve(struct link *l, uint32_t events)
{
	peer_serve(&l->peer, (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0,
	    (events & EPOLLOUT) != 0);
	/* Acknowledgements made room. */
	if (l->peer.state == PEER_OPEN && l->peer.blocklen == 0)
		peer_flush(&l->peer);
	look(l);
}

/* One that has no link now, or NULL. */
static struct link *
free_link(struct crowd *c)
{
	size_t i;

	for (i = 0; i < LINKS; i++) {
		if (c->link[i] == NULL) {
			c->link[i] = peer_alloc(sizeof(*c->link[i]));
			c->link[i]->c = c;
			c->link[i]->peer.fd = -1;
			c->link[i]->peer.arg = c->link[i];
			c->link[i]->peer.on_line = on_line;
		}
		if (c->link[i]->peer.state == PEER_NONE)
			return c->link[i];
	}
	return NULL;
}

static void
take(struct crowd *c, struct listener *lis)
{
	struct link *l = free_link(c);
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = l};

	if (peer_accept(l == NULL ? NULL : &l->peer, lis->fd) == -1)
		return;
	l->listener = (unsigned)(lis - c->listener);
	l->armed = 0;
	l->peer.refill = NULL;
	lis->link = l;
	if (epoll_ctl(c->ep, EPOLL_CTL_ADD, l->peer.fd, &ev) == -1)
		err(1, "epoll");
	if (c->ncame < c->maxcame)
		c->came[c->ncame++] = peer_now();
}

static void
lose(struct link *l)
{
	if (l == NULL || l->peer.state == PEER_NONE)
		return;
	peer_lose(&l->peer, "dropped");
	look(l);
}

static void
listen_at(struct crowd *c, struct listener *lis)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = lis};

	lis->fd = peer_socket(&lis->port);
	if (epoll_ctl(c->ep, EPOLL_CTL_ADD, lis->fd, &ev) == -1)
		err(1, "epoll");
}

/* Wait and serve. */
static void
turn(struct crowd *c, int timeout_ms)
{
	struct epoll_event ev[128];
	int n = epoll_wait(c->ep, ev, 128, timeout_ms), i;
	void *p;

	for (i = 0; i < n; i++) {
		p = ev[i].data.ptr;
		if (p == NULL)
			c->orders = 1;
		else if (p >= (void *)c->listener &&
		    p < (void *)(c->listener + LISTENERS))
			take(c, p);
		else
			serve(p, ev[i].events);
	}
}

/* Orders. */

static void
do_links(struct crowd *c, uint64_t n, uint64_t seconds)
{
	uint64_t t = peer_now(), end = t + seconds * SECOND;

	while (c->up < n && peer_now() < end)
		turn(c, 100);
	if (c->up < n)
		printf(
		    "{\"error\":\"%u of %" PRIu64 " links came\"}\n", c->up, n);
	else
		printf("{\"links\":%u,\"ms\":%.1f}\n", c->up,
		    (double)(peer_now() - t) / 1e6);
}

static int
run(struct crowd *c, uint64_t n)
{
	uint64_t acked = 0, since = peer_now();

	while (c->acked < n) {
		turn(c, 100);
		if (c->acked != acked) {
			acked = c->acked;
			since = peer_now();
		} else if (peer_now() - since > STALL_NS) {
			printf(
			    "{\"error\":\"no acknowledgement for 20 s: %" PRIu64
			    " of %" PRIu64 ", %u links\"}\n",
			    acked, n, c->up);
			return -1;
		}
	}
	return 0;
}

static void
do_inbound(struct crowd *c, uint64_t n, uint64_t chats)
{
	uint64_t each, left = c->up;
	struct usage_cost cost;
	const char *who;
	size_t i;

	if (c->up == 0 || chats == 0) {
		fail("no links or no chats", "");
		return;
	}
	c->chats = (unsigned)chats;
	c->acked = c->wrong = 0;
	c->block = BLOCK / c->up > BLOCK_LEAST ? BLOCK / c->up : BLOCK_LEAST;
	if (usage_begin(&c->usage, &cost, peer_now(), &who) == -1) {
		fail("gone before the run: ", who);
		return;
	}
	each = (n + left - 1) / left;
	n = each * left;
	for (i = 0; i < LINKS && c->link[i] != NULL; i++)
		if (c->link[i]->up) {
			begin(c->link[i], each);
			serve(c->link[i], EPOLLOUT);
		}
	if (run(c, n) == -1)
		return;
	printf("{\"links\":%u,\"events\":%" PRIu64
	       ",\"dups\":0,\"wrong\":%" PRIu64 ",",
	    c->up, c->acked, c->wrong);
	usage_end(&c->usage, &cost, peer_now(), n);
	printf("}\n");
}

/* The most that came within any second. */
static unsigned
most(const struct crowd *c)
{
	size_t i, from = 0, max = 0;

	for (i = 0; i < c->ncame; i++) {
		while (c->came[i] - c->came[from] >= SECOND)
			from++;
		if (i + 1 - from > max)
			max = i + 1 - from;
	}
	return (unsigned)max;
}

static void
do_drop(struct crowd *c, uint64_t seconds, uint64_t unused)
{
	unsigned want = c->up, per[SECONDS] = {0}, last = 0, s;
	uint64_t t = peer_now(), end = t + seconds * SECOND;
	size_t i;

	(void)unused;
	c->ncame = 0;
	c->maxcame = LINKS * 8;
	c->came = peer_alloc(c->maxcame * sizeof(*c->came));
	for (i = 0; i < LINKS && c->link[i] != NULL; i++)
		lose(c->link[i]);
	while (c->up < want && peer_now() < end)
		turn(c, 100);
	for (i = 0; i < c->ncame; i++) {
		s = (unsigned)((c->came[i] - t) / SECOND);
		last = s < SECONDS ? s : SECONDS - 1;
		per[last]++;
	}
	printf("{\"links\":%u,\"back\":%u,\"all_back_s\":%.1f,\"dials\":%zu,"
	       "\"most_in_a_second\":%u,\"per_second\":[",
	    want, c->up, (double)(peer_now() - t) / 1e9, c->ncame, most(c));
	for (s = 0; s <= last; s++)
		printf("%s%u", s > 0 ? "," : "", per[s]);
	printf("]}\n");
	c->maxcame = 0;
	free(c->came);
	c->came = NULL;
}

static void
vanish(struct listener *lis, uint64_t now)
{
	close(lis->fd);
	lis->fd = -1;
	lose(lis->link);
	lis->gone = now;
}

static void
print_back(const struct crowd *c)
{
	const struct listener *lis;
	unsigned i;

	printf("{\"ms\":[");
	for (i = 0; i < c->nlistener; i++) {
		lis = &c->listener[i];
		printf("%s%.1f", i > 0 ? "," : "",
		    lis->back == 0 ? -1
				   : (double)(lis->back - lis->again) / 1e6);
	}
	printf("]}\n");
}

static void
do_bounce(struct crowd *c, uint64_t down_ms, uint64_t gap_ms)
{
	uint64_t t = peer_now(), now = t, end;
	unsigned i, next = 0, back = 0;
	struct listener *lis;

	for (i = 0; i < c->nlistener; i++)
		c->listener[i].gone = c->listener[i].again =
		    c->listener[i].back = 0;
	end = t + (c->nlistener * gap_ms + down_ms) * 1000000 + 60 * SECOND;
	for (; back < c->nlistener && now < end; now = peer_now()) {
		if (next < c->nlistener && now >= t + next * gap_ms * 1000000)
			vanish(&c->listener[next++], now);
		for (back = i = 0; i < next; i++) {
			lis = &c->listener[i];
			back += lis->back != 0;
			if (lis->again == 0 &&
			    now >= lis->gone + down_ms * 1000000) {
				listen_at(c, lis);
				lis->again = peer_now();
			}
		}
		turn(c, 1);
	}
	print_back(c);
}

static void
do_memory(struct crowd *c, uint64_t unused, uint64_t unused2)
{
	unsigned i;

	(void)unused;
	(void)unused2;
	printf("{\"pss_kb\":{");
	for (i = 0; i < c->usage.n; i++)
		printf("%s\"%s\":%ld", i > 0 ? "," : "", c->usage.role[i].name,
		    usage_pss_kb(c->usage.role[i].pid));
	printf("}}\n");
}

static void
do_watch(struct crowd *c, char *words)
{
	const char *w;

	c->usage.n = 0;
	for (; (w = strsep(&words, " ")) != NULL;)
		if (*w != '\0' && usage_add(&c->usage, w) == -1) {
			fail("watch takes NAME=PID, not ", w);
			return;
		}
	printf("{\"watching\":%u}\n", c->usage.n);
}

static void
obey(struct crowd *c, char *line)
{
	static const struct {
		const char *name;
		void (*fn)(struct crowd *, uint64_t, uint64_t);
		uint64_t max1, max2; /* of the arguments, which are numbers */
	} orders[] = {
	    {"links", do_links, LINKS, 3600},
	    {"inbound", do_inbound, MAX_EVENTS, 1000000},
	    {"drop", do_drop, 3600, 0},
	    {"bounce", do_bounce, 60000, 60000},
	    {"memory", do_memory, 0, 0},
	};
	char *name = strsep(&line, " ");
	uint64_t a = 0, b = 0;
	size_t i;

	if (strcmp(name, "watch") == 0) {
		do_watch(c, line);
		return;
	}
	if (line != NULL)
		a = strtoull(line, &line, 10);
	if (line != NULL)
		b = strtoull(line, NULL, 10);
	for (i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		if (strcmp(name, orders[i].name) == 0 && a <= orders[i].max1 &&
		    b <= orders[i].max2) {
			orders[i].fn(c, a, b);
			return;
		}
	fail("an order that is not understood", "");
}

/* Serve links and orders until these end: lines that come one at a time. */
static void
loop(struct crowd *c)
{
	char line[1024];
	ssize_t n;

	for (;;) {
		turn(c, 1000);
		if (!c->orders)
			continue;
		c->orders = 0;
		n = read(STDIN_FILENO, line, sizeof(line) - 1);
		if (n <= 0)
			return;
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
		obey(c, line);
		fflush(stdout);
	}
}

int
main(int argc, char *argv[])
{
	struct crowd *c = peer_alloc(sizeof(*c));
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
	unsigned long size = 700, n = 1, i;
	int ch;

	while ((ch = getopt(argc, argv, "l:s:")) != -1) {
		if (ch == 'l')
			n = strtoul(optarg, NULL, 10);
		else if (ch == 's')
			size = strtoul(optarg, NULL, 10);
		else
			n = 0;
	}
	if (n < 1 || n > LISTENERS || size > 1000000)
		errx(2, "usage: crowd [-l listeners] [-s event-bytes]");
	(void)prctl(PR_SET_PDEATHSIG, 15UL);
	if ((c->ep = epoll_create1(EPOLL_CLOEXEC)) == -1 ||
	    epoll_ctl(c->ep, EPOLL_CTL_ADD, STDIN_FILENO, &ev) == -1)
		err(1, "epoll");
	c->used = 1;
	event_build(&c->event, size, (uint32_t)(peer_now() >> 10));
	c->nlistener = (unsigned)n;
	printf("{\"ports\":[");
	for (i = 0; i < n; i++) {
		listen_at(c, &c->listener[i]);
		printf("%s%u", i > 0 ? "," : "", c->listener[i].port);
	}
	printf("]}\n");
	fflush(stdout);
	loop(c);
	return 0;
}
