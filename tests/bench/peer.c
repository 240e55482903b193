/* SPDX-License-Identifier: ISC */
/* The connector's end of one link; see peer.h. */
#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "peer.h"

#define OP_TEXT	 1U
#define OP_CLOSE 8U
#define OP_PING	 9U
#define OP_PONG	 10U
#define FIN	 0x80U

/* One read: what a window of acknowledgements makes. */
#define READ_BYTES (256U * 1024)
/* An upgrade request is below this. */
#define HEAD_MAX 16384U
/* A frame of the client: it gathers at most some 64 KiB. */
#define FRAME_MAX (4U * 1024 * 1024)

uint64_t
peer_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

void *
peer_alloc(size_t n)
{
	void *p = calloc(1, n);

	if (p == NULL)
		err(1, "out of memory");
	return p;
}

/* Buffers. */

static char *
room(struct bytes *b, size_t n)
{
	if (b->off == b->end)
		b->off = b->end = 0;
	if (b->cap - b->end < n && b->off > 0) {
		memmove(b->p, b->p + b->off, b->end - b->off);
		b->end -= b->off;
		b->off = 0;
	}
	if (b->cap - b->end < n) {
		b->cap = (b->end + n) * 2;
		if ((b->p = realloc(b->p, b->cap)) == NULL)
			err(1, "out of memory");
	}
	return b->p + b->end;
}

static void
append(struct bytes *b, const void *p, size_t n)
{
	memcpy(room(b, n), p, n);
	b->end += n;
}

void
peer_queue(struct peer *p, const void *data, size_t n)
{
	append(&p->out, data, n);
}

size_t
peer_head(unsigned char *h, unsigned op, size_t len)
{
	unsigned i;

	h[0] = (unsigned char)(FIN | op);
	if (len < 126) {
		h[1] = (unsigned char)len;
		return 2;
	}
	if (len <= UINT16_MAX) {
		h[1] = 126;
		h[2] = (unsigned char)(len >> 8);
		h[3] = (unsigned char)(len & 0xff);
		return 4;
	}
	h[1] = 127;
	for (i = 0; i < 8; i++)
		h[2 + i] = (unsigned char)((uint64_t)len >> (56 - 8 * i));
	return 10;
}

static void
put_frame(struct peer *p, unsigned op, const void *data, size_t n)
{
	unsigned char h[10];

	append(&p->out, h, peer_head(h, op, n));
	append(&p->out, data, n);
}

static void
lose(struct peer *p, const char *why)
{
	if (p->state == PEER_NONE)
		return;
	(void)snprintf(p->why, sizeof(p->why), "%s", why);
	close(p->fd);
	p->fd = -1;
	p->state = PEER_NONE;
	p->lost++;
	p->hellos = 0;
	p->in.off = p->in.end = p->line.off = p->line.end = 0;
	p->out.off = p->out.end = p->blocklen = 0;
}

/* Lines. */

/* After the string that begins at p (behind its quote), or NULL. */
static const char *
string_end(const char *p, const char *end)
{
	for (; p < end; p++) {
		if (*p == '\\')
			p++;
		else if (*p == '"')
			return p;
	}
	return NULL;
}

const char *
peer_member(const char *line, size_t n, const char *name, size_t *len)
{
	const char *p, *q, *end = line + n, *key = NULL;
	size_t want = strlen(name), keylen = 0;
	int depth = 0, value = 0;

	for (p = line; p < end; p++) {
		if (*p == '{' || *p == '[')
			depth++;
		else if (*p == '}' || *p == ']')
			depth--;
		if (*p == ':' || *p == ',' || *p == '{')
			value = *p == ':';
		if (*p != '"')
			continue;
		if ((q = string_end(p + 1, end)) == NULL)
			return NULL;
		if (depth == 1 && !value) {
			key = p + 1;
			keylen = (size_t)(q - key);
		} else if (depth == 1 && keylen == want &&
		    memcmp(key, name, want) == 0) {
			*len = (size_t)(q - p - 1);
			return p + 1;
		}
		p = q;
	}
	return NULL;
}

static int
is(const char *p, size_t n, const char *text)
{
	return p != NULL && strlen(text) == n && memcmp(p, text, n) == 0;
}

static void
answer_hello(struct peer *p, const char *line, size_t n)
{
	char text[512];
	const char *name;
	size_t len = 0;
	int k;

	name = peer_member(line, n, "platform", &len);
	if (name == NULL || len > 64)
		return;
	k = snprintf(text, sizeof(text),
	    "{\"type\":\"descriptor\",\"descriptor\":{\"contract_version\":1,"
	    "\"platform\":\"%.*s\",\"label\":\"Bench\","
	    "\"max_message_length\":2000,\"supports_draft_streaming\":false,"
	    "\"supports_edit\":true,\"supports_threads\":true,"
	    "\"markdown_dialect\":\"discord\",\"len_unit\":\"chars\"}}\n",
	    (int)len, name);
	put_frame(p, OP_TEXT, text, (size_t)k);
	p->hellos++;
}

static void
take_line(struct peer *p, const char *line, size_t n, uint64_t at)
{
	static const char idle[] = "{\"type\":\"going_idle_ack\"}\n";
	const char *type;
	size_t len = 0;

	type = peer_member(line, n, "type", &len);
	if (is(type, len, "hello"))
		answer_hello(p, line, n);
	else if (is(type, len, "going_idle"))
		put_frame(p, OP_TEXT, idle, sizeof(idle) - 1);
	else if (n > 0 && p->on_line != NULL)
		p->on_line(p->arg, line, n, at);
}

static void
take_text(struct peer *p, const char *text, size_t n, uint64_t at)
{
	const char *nl;
	size_t part;

	for (; n > 0; text += part + 1, n -= part + 1) {
		if ((nl = memchr(text, '\n', n)) == NULL) {
			append(&p->line, text, n);
			return;
		}
		part = (size_t)(nl - text);
		if (p->line.end == 0) {
			take_line(p, text, part, at);
			continue;
		}
		append(&p->line, text, part);
		take_line(p, p->line.p, p->line.end, at);
		p->line.end = 0;
	}
}

/* Frames. */

static void
unmask(char *p, size_t n, const char *mask)
{
	uint64_t key, v;
	size_t i;

	memcpy(&key, mask, 4);
	memcpy((char *)&key + 4, mask, 4);
	for (i = 0; i + 8 <= n; i += 8) {
		memcpy(&v, p + i, 8);
		v ^= key;
		memcpy(p + i, &v, 8);
	}
	for (; i < n; i++)
		p[i] = (char)(p[i] ^ mask[i & 3]);
}

/* Bytes of the head at h, and of the payload; 0 when it is not whole. */
static size_t
head_of(const unsigned char *h, size_t have, uint64_t *len)
{
	size_t n = 2, i;

	if (have < 2)
		return 0;
	*len = h[1] & 0x7f;
	if (*len >= 126) {
		n = *len == 126 ? 4 : 10;
		if (have < n)
			return 0;
		for (*len = 0, i = 2; i < n; i++)
			*len = *len << 8 | h[i];
	}
	return n + 4;
}

/* One frame.  Returns 0 when there is no whole one. */
static int
take_frame(struct peer *p, uint64_t at)
{
	unsigned char *h = (unsigned char *)p->in.p + p->in.off;
	size_t have = p->in.end - p->in.off, n;
	uint64_t len = 0;
	char *body;

	n = head_of(h, have, &len);
	if (n == 0 || have < n || have - n < len) {
		if (len > FRAME_MAX)
			lose(p, "a frame of more than 4 MiB");
		return 0;
	}
	if ((h[1] & 0x80) == 0) {
		lose(p, "an unmasked frame");
		return 0;
	}
	body = (char *)h + n;
	unmask(body, (size_t)len, body - 4);
	p->in.off += n + (size_t)len;
	switch (h[0] & 0x0fU) {
	case OP_PING:
		put_frame(p, OP_PONG, body, (size_t)len);
		break;
	case OP_CLOSE:
		put_frame(p, OP_CLOSE, body, len < 2 ? 0 : 2);
		peer_flush(p);
		lose(p, "closed by the client");
		break;
	case OP_PONG:
		break;
	default:
		take_text(p, body, (size_t)len, at);
	}
	return p->state == PEER_OPEN;
}

/* The upgrade. */

static const char *
find_key(const char *head, size_t *len)
{
	static const char name[] = "\r\nsec-websocket-key:";
	const char *k;

	for (k = head; *k != '\0'; k++)
		if (strncasecmp(k, name, sizeof(name) - 1) == 0) {
			k += sizeof(name) - 1;
			k += strspn(k, " \t");
			*len = strcspn(k, " \t\r");
			return *len <= 64 ? k : NULL;
		}
	return NULL;
}

static void
accept_upgrade(struct peer *p, const char *key, size_t len)
{
	unsigned char digest[SHA_DIGEST_LENGTH], text[64];
	char in[128], reply[256];
	int n;

	n = snprintf(in, sizeof(in), "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
	    (int)len, key);
	SHA1((unsigned char *)in, (size_t)n, digest);
	EVP_EncodeBlock(text, digest, sizeof(digest));
	n = snprintf(reply, sizeof(reply),
	    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
	    (char *)text);
	append(&p->out, reply, (size_t)n);
	p->state = PEER_OPEN;
}

static void
take_upgrade(struct peer *p)
{
	static const char bad[] = "HTTP/1.1 400 Bad Request\r\n"
				  "Content-Length: 0\r\n\r\n";
	char *head = p->in.p + p->in.off, *end;
	const char *key;
	size_t len = 0;

	end = memmem(head, p->in.end - p->in.off, "\r\n\r\n", 4);
	if (end == NULL) {
		if (p->in.end - p->in.off > HEAD_MAX)
			lose(p, "an upgrade request of more than 16 KiB");
		return;
	}
	*end = '\0';
	key = find_key(head, &len);
	if (key == NULL || strncmp(head, "GET /relay ", 11) != 0) {
		(void)!write(p->fd, bad, sizeof(bad) - 1);
		lose(p, "no upgrade of /relay");
		return;
	}
	accept_upgrade(p, key, len);
	p->in.off = (size_t)(end + 4 - p->in.p);
}

/* The socket. */

int
peer_accept(struct peer *p, int lfd)
{
	int fd, on = 1;

	fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd == -1)
		return -1;
	if (p == NULL || p->state != PEER_NONE) {
		close(fd); /* one link at a time */
		return -1;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	p->fd = fd;
	p->state = PEER_HTTP;
	return 0;
}

static void
do_read(struct peer *p)
{
	char *to = room(&p->in, READ_BYTES);
	uint64_t at;
	ssize_t n;

	n = read(p->fd, to, p->in.cap - p->in.end);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lose(p, n == 0 ? "end of file" : strerror(errno));
		return;
	}
	at = peer_now();
	p->in.end += (size_t)n;
	if (p->state == PEER_HTTP)
		take_upgrade(p);
	while (p->state == PEER_OPEN && take_frame(p, at))
		;
}

/* Whether all n bytes at *at went; the rest stays.  */
static int
put(struct peer *p, const char **at, size_t *n)
{
	ssize_t w = send(p->fd, *at, *n, MSG_NOSIGNAL);

	if (w == -1) {
		if (errno != EAGAIN && errno != EINTR)
			lose(p, strerror(errno));
		return 0;
	}
	*at += w;
	*n -= (size_t)w;
	return *n == 0;
}

/* At most one block: acknowledgements are read before the next. */
void
peer_flush(struct peer *p)
{
	const char *at;
	size_t n;

	if (p->state == PEER_NONE)
		return;
	if (p->blocklen > 0 && !put(p, &p->block, &p->blocklen))
		return;
	if ((n = p->out.end - p->out.off) > 0) {
		at = p->out.p + p->out.off;
		(void)put(p, &at, &n);
		if (p->state == PEER_NONE)
			return;
		p->out.off = p->out.end - n;
		if (n > 0)
			return;
	}
	if (p->state == PEER_OPEN && p->refill != NULL)
		p->blocklen = p->refill(p->arg, &p->block);
}

int
peer_pending(const struct peer *p)
{
	return p->blocklen > 0 || p->out.end > p->out.off;
}

/* Answers leave at once; a block waits until the socket takes more. */
void
peer_serve(struct peer *p, int readable, int writable)
{
	if (readable)
		do_read(p);
	if (p->state != PEER_NONE &&
	    (writable || (p->blocklen == 0 && p->out.end > p->out.off)))
		peer_flush(p);
}

int
peer_turn(struct peer *p, uint64_t timeout_ns, int other)
{
	struct timespec ts = {(time_t)(timeout_ns / 1000000000U),
	    (long)(timeout_ns % 1000000000U)};
	struct pollfd fd[3] = {
	    {p->lfd, POLLIN, 0}, {p->fd, POLLIN, 0}, {other, POLLIN, 0}};

	if (peer_pending(p))
		fd[1].events |= POLLOUT;
	if (ppoll(fd, 3, &ts, NULL) <= 0)
		return 0;
	peer_serve(p, fd[1].revents & (POLLIN | POLLHUP | POLLERR),
	    fd[1].revents & POLLOUT);
	if (fd[0].revents)
		(void)peer_accept(p, p->lfd);
	return fd[2].revents != 0;
}

int
peer_socket(uint16_t *port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
	    .sin_port = htons(*port),
	    .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(sin);
	int on = 1, fd;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		err(1, "socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    listen(fd, SOMAXCONN) == -1 ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) == -1)
		err(1, "127.0.0.1:%u", *port);
	*port = ntohs(sin.sin_port);
	return fd;
}

uint16_t
peer_listen(struct peer *p, uint16_t port)
{
	memset(p, 0, sizeof(*p));
	p->fd = -1;
	p->lfd = peer_socket(&port);
	return port;
}

void
peer_lose(struct peer *p, const char *why)
{
	lose(p, why);
}

void
peer_end(struct peer *p)
{
	uint64_t end = peer_now() + 200000000U;

	if (p->state == PEER_OPEN) {
		put_frame(p, OP_CLOSE, "\x03\xe8", 2);
		peer_flush(p);
	}
	while (p->state != PEER_NONE && peer_now() < end)
		(void)peer_turn(p, 10000000U, -1);
	lose(p, "the driver ends");
	close(p->lfd);
}
