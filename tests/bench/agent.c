/* SPDX-License-Identifier: ISC */
/*
 * Local agents that do nothing but acknowledge, as fast as they can, so that
 * what is measured through them is relayd:
 *
 *	agent [-n AGENTS] [-w WINDOW] SOCKET ...
 *
 * So many for each socket, 1 if not said.  They wait for the sockets to
 * appear, say hello, print "ready" when each has its descriptor, and end when
 * a connection does.
 */
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* One read, and the longest line: the contract's limit and our additions. */
#define READ_BYTES (2U * 1024 * 1024)
/* A line of ours: the id is relayd's, about 30 bytes. */
#define ACK_BYTES 128U
#define ID_BYTES  64U
/* Gathered acknowledgements of one write. */
#define OUT_BYTES (256U * 1024)
/* Seconds to wait for the socket. */
#define PATIENCE_S 30

struct agent {
	int fd;
	char *in; /* the beginning of a line, or NULL */
	size_t have;
	int ready;
};

/* What all share: one is served at a time. */
struct crew {
	struct agent *agent;
	size_t n, nready;
	char *in;
	char *out;
	size_t outlen;
	int fd; /* that out goes to */
};

static int
dial(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	const struct timespec tick = {0, 5000000};
	int fd, left = PATIENCE_S * 200;

	if (strlen(path) >= sizeof(sun.sun_path))
		errx(2, "%s: too long for a socket's path", path);
	memcpy(sun.sun_path, path, strlen(path));
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) == -1)
		err(1, "socket");
	while (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1) {
		if (left-- == 0)
			err(1, "%s", path);
		nanosleep(&tick, NULL);
	}
	return fd;
}

static void
write_all(struct crew *c)
{
	size_t off = 0;
	ssize_t n;

	for (; off < c->outlen; off += (size_t)n)
		if ((n = write(c->fd, c->out + off, c->outlen - off)) == -1)
			err(1, "write");
	c->outlen = 0;
}

static void
acknowledge(struct crew *c, const char *id, size_t len)
{
	static const char head[] = "{\"type\":\"inbound_ack\",\"bufferId\":\"";
	char *p;

	if (c->outlen + ACK_BYTES > OUT_BYTES)
		write_all(c);
	p = c->out + c->outlen;
	memcpy(p, head, sizeof(head) - 1);
	p += sizeof(head) - 1;
	memcpy(p, id, len);
	p += len;
	memcpy(p, "\"}\n", 3);
	c->outlen = (size_t)(p + 3 - c->out);
}

/* What is no event. */
static void
take_other(struct crew *c, struct agent *a, const char *line, size_t n)
{
	if (memmem(line, n, "\"error\"", 7) != NULL)
		warnx("%.*s", (int)n, line);
	if (a->ready || memmem(line, n, "\"descriptor\"", 12) == NULL)
		return;
	a->ready = 1;
	if (++c->nready == c->n)
		(void)!write(STDOUT_FILENO, "ready\n", 6);
}

/* Our bufferId is the last of a line's: a string within it has its quotes
 * escaped. */
static void
take_line(struct crew *c, struct agent *a, const char *line, size_t n)
{
	static const char key[] = "\"bufferId\":\"";
	static const char inbound[] = "{\"type\":\"inbound\"";
	const char *p, *end = line + n, *q;

	if (n < sizeof(inbound) - 1 ||
	    memcmp(line, inbound, sizeof(inbound) - 1) != 0) {
		take_other(c, a, line, n);
		return;
	}
	/* It stands near the end: look there first. */
	p = n > 256 ? end - 256 : line;
	if ((p = memmem(p, (size_t)(end - p), key, sizeof(key) - 1)) == NULL)
		p = memmem(line, n, key, sizeof(key) - 1);
	if (p == NULL)
		errx(1, "an event without bufferId");
	p += sizeof(key) - 1;
	q = memchr(p, '"', (size_t)(end - p));
	if (q == NULL || (size_t)(q - p) > ID_BYTES)
		errx(1, "a bufferId that is too long");
	acknowledge(c, p, (size_t)(q - p));
}

/* Keep what is no whole line yet. */
static void
keep(struct agent *a, const char *p, size_t n)
{
	if (n == READ_BYTES)
		errx(1, "a line of more than 2 MiB");
	free(a->in);
	a->in = NULL;
	if ((a->have = n) == 0)
		return;
	if ((a->in = malloc(n)) == NULL)
		err(1, "out of memory");
	memcpy(a->in, p, n);
}

static void
serve(struct crew *c, struct agent *a)
{
	char *p = c->in, *end, *nl;
	ssize_t n;

	if (a->have > 0)
		memcpy(c->in, a->in, a->have);
	n = read(a->fd, c->in + a->have, READ_BYTES - a->have);
	if (n == -1)
		err(1, "read");
	if (n == 0)
		exit(0);
	end = c->in + a->have + n;
	c->fd = a->fd;
	while ((nl = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		take_line(c, a, p, (size_t)(nl - p));
		p = nl + 1;
	}
	keep(a, p, (size_t)(end - p));
	write_all(c);
}

static void
greet(struct crew *c, struct agent *a, const char *path, int window)
{
	a->fd = c->fd = dial(path);
	c->outlen = (size_t)snprintf(c->out, OUT_BYTES,
	    "{\"type\":\"hello\",\"agent\":\"bench\",\"window\":%d}\n", window);
	write_all(c);
}

static void
serve_all(struct crew *c)
{
	struct epoll_event ev[64];
	int ep = epoll_create1(EPOLL_CLOEXEC), n;
	size_t i;

	if (ep == -1)
		err(1, "epoll");
	for (i = 0; i < c->n; i++) {
		ev[0].events = EPOLLIN;
		ev[0].data.ptr = &c->agent[i];
		if (epoll_ctl(ep, EPOLL_CTL_ADD, c->agent[i].fd, ev) == -1)
			err(1, "epoll");
	}
	while ((n = epoll_wait(ep, ev, 64, -1)) >= 0)
		while (n-- > 0)
			serve(c, ev[n].data.ptr);
	err(1, "epoll");
}

int
main(int argc, char *argv[])
{
	struct crew c = {.nready = 0};
	int window = 1024, each = 1, ch;
	size_t i;

	while ((ch = getopt(argc, argv, "n:w:")) != -1) {
		if (ch == 'n')
			each = atoi(optarg);
		else if (ch == 'w')
			window = atoi(optarg);
		else
			each = 0;
	}
	if (optind == argc || each < 1)
		errx(2, "usage: agent [-n AGENTS] [-w WINDOW] SOCKET ...");
	(void)prctl(PR_SET_PDEATHSIG, 15UL);
	c.n = (size_t)(argc - optind) * (size_t)each;
	c.agent = calloc(c.n, sizeof(*c.agent));
	c.in = malloc(READ_BYTES);
	c.out = malloc(OUT_BYTES);
	if (c.agent == NULL || c.in == NULL || c.out == NULL)
		err(1, "out of memory");
	for (i = 0; i < c.n; i++)
		greet(&c, &c.agent[i], argv[optind + (int)(i / (size_t)each)],
		    window);
	serve_all(&c);
	return 0;
}
