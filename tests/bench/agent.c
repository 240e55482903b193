/* SPDX-License-Identifier: ISC */
/*
 * A local agent that does nothing but acknowledge, as fast as it can, so that
 * what is measured through it is relayd:
 *
 *	agent SOCKET [WINDOW]
 *
 * It waits for the socket to appear, says hello, prints "ready" when the
 * descriptor came, and ends when the connection does.
 */
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
	char *in;
	size_t have;
	char *out;
	size_t outlen;
	int ready;
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
write_all(struct agent *a)
{
	size_t off = 0;
	ssize_t n;

	for (; off < a->outlen; off += (size_t)n)
		if ((n = write(a->fd, a->out + off, a->outlen - off)) == -1)
			err(1, "write");
	a->outlen = 0;
}

static void
acknowledge(struct agent *a, const char *id, size_t len)
{
	static const char head[] = "{\"type\":\"inbound_ack\",\"bufferId\":\"";
	char *p;

	if (a->outlen + ACK_BYTES > OUT_BYTES)
		write_all(a);
	p = a->out + a->outlen;
	memcpy(p, head, sizeof(head) - 1);
	p += sizeof(head) - 1;
	memcpy(p, id, len);
	p += len;
	memcpy(p, "\"}\n", 3);
	a->outlen = (size_t)(p + 3 - a->out);
}

/* Our bufferId is the last of a line's: a string within it has its quotes
 * escaped. */
static void
take_line(struct agent *a, const char *line, size_t n)
{
	static const char key[] = "\"bufferId\":\"";
	static const char inbound[] = "{\"type\":\"inbound\"";
	const char *p, *end = line + n, *q;

	if (n < sizeof(inbound) - 1 ||
	    memcmp(line, inbound, sizeof(inbound) - 1) != 0) {
		if (!a->ready &&
		    memmem(line, n, "\"descriptor\"", 12) != NULL) {
			a->ready = 1;
			(void)!write(STDOUT_FILENO, "ready\n", 6);
		}
		if (memmem(line, n, "\"error\"", 7) != NULL)
			warnx("%.*s", (int)n, line);
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
	acknowledge(a, p, (size_t)(q - p));
}

static void
take_lines(struct agent *a)
{
	char *p = a->in, *end = a->in + a->have, *nl;

	while ((nl = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		take_line(a, p, (size_t)(nl - p));
		p = nl + 1;
	}
	a->have = (size_t)(end - p);
	if (a->have == READ_BYTES)
		errx(1, "a line of more than 2 MiB");
	memmove(a->in, p, a->have);
}

int
main(int argc, char *argv[])
{
	struct agent a = {.ready = 0};
	ssize_t n;
	int window = 1024;

	if (argc < 2 || argc > 3)
		errx(2, "usage: agent SOCKET [WINDOW]");
	if (argc == 3)
		window = atoi(argv[2]);
	(void)prctl(PR_SET_PDEATHSIG, 15UL);
	a.in = malloc(READ_BYTES);
	a.out = malloc(OUT_BYTES);
	if (a.in == NULL || a.out == NULL)
		err(1, "out of memory");
	a.fd = dial(argv[1]);
	a.outlen = (size_t)snprintf(a.out, OUT_BYTES,
	    "{\"type\":\"hello\",\"agent\":\"bench\",\"window\":%d}\n", window);
	write_all(&a);
	while ((n = read(a.fd, a.in + a.have, READ_BYTES - a.have)) > 0) {
		a.have += (size_t)n;
		take_lines(&a);
		write_all(&a);
	}
	if (n == -1)
		err(1, "read");
	return 0;
}
