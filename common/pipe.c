/* SPDX-License-Identifier: ISC */
/* Pipes between our processes: SOCK_SEQPACKET on the event loop. */
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "log.h"
#include "pipe.h"
#include "secmem.h"

/* Packets handled or sent in one turn of the loop: the others wait no longer
 * than those take. */
#define TURN 64
/* Packets one pipe_drain handles: more than the kernel holds in a socket's
 * buffer, so that a peer that never stops sending cannot keep us there. */
#define DRAIN 4096
/* Descriptors that wait in a queue: CA bundle, listener and ids for each
 * gateway, and some of our own. */
#define QUEUE_FDS (3 * LIMIT_GATEWAYS + 64)
/* How long to wait when the kernel has no room that a writable socket would
 * announce: descriptors in flight, memory.  Microseconds. */
#define AGAIN_US 10000
/* Bytes asked for as the send buffer: some packets at their longest. */
#define SNDBUF (4 * LIMIT_PACKET)

struct packet {
	STAILQ_ENTRY(packet) entry;
	int fd; /* ours, or -1 */
	size_t len;
	char data[];
};

struct pipe {
	struct event_base *base;
	struct event *rd, *wr;
	struct event *later; /* a timer: try again, or report `why` */
	int fd;
	enum role self, peer;
	const struct pipe_ops *ops;
	void *arg;
	STAILQ_HEAD(, packet) queue;
	size_t queued; /* bytes */
	unsigned queued_fds;
	const char *why; /* an offence not reported yet */
	unsigned busy;	 /* inside callbacks of ours */
	uint8_t stopped; /* bad or gone was said */
	uint8_t broken;	 /* sending failed: the peer is gone */
	uint8_t freed;	 /* pipe_free was called while busy */
	char in[LIMIT_PACKET];
	char out[LIMIT_PACKET];
};

static void
close_fd(int fd)
{
	if (fd != -1)
		close(fd);
}

static void
packet_free(struct pipe *p, struct packet *k)
{
	p->queued -= k->len;
	p->queued_fds -= k->fd != -1;
	close_fd(k->fd);
	freezero(k, sizeof(*k) + k->len);
}

static void
forget_queue(struct pipe *p)
{
	struct packet *k;

	while ((k = STAILQ_FIRST(&p->queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&p->queue, entry);
		packet_free(p, k);
	}
}

static void
enter(struct pipe *p)
{
	p->busy++;
}

/* What goes between relay-authd and an exchange holds secrets, both ways: its
 * packets are composed and taken apart in secret memory. */
static int
is_secret(enum role self, enum role peer)
{
	return (self == ROLE_AUTHD && peer == ROLE_XCHG) ||
	    (self == ROLE_XCHG && peer == ROLE_AUTHD);
}

static void
release(struct pipe *p)
{
	if (is_secret(p->self, p->peer))
		secmem_unmap(p, sizeof(*p));
	else
		freezero(p, sizeof(*p));
}

/* Leave a callback; the pipe may be no more afterwards. */
static void
leave(struct pipe *p)
{
	if (--p->busy == 0 && p->freed)
		release(p);
}

/* Read no more, and say why: an offence, or (NULL) the end. */
static void
stop(struct pipe *p, const char *why)
{
	if (p->stopped || p->freed)
		return;
	p->stopped = 1;
	if (p->rd != NULL)
		event_del(p->rd);
	if (why != NULL)
		p->ops->bad(p, why, p->arg);
	else
		p->ops->gone(p, p->arg);
}

/* Receiving. */

/* Collect the descriptors of a message: *fd gets one; of several all are
 * closed.  Returns how many there were. */
static unsigned
take_fds(struct msghdr *mh, int *fd)
{
	struct cmsghdr *c;
	unsigned n = 0;
	size_t i, len;
	int got;

	*fd = -1;
	for (c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		len = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < len; i++, n++) {
			memcpy(
			    &got, CMSG_DATA(c) + i * sizeof(int), sizeof(got));
			if (n == 0)
				*fd = got;
			else
				close(got);
		}
	}
	if (n > 1) {
		close(*fd);
		*fd = -1;
	}
	return n;
}

/* What came with a packet. */
struct got {
	int fd; /* -1: none */
	/* One was sent, and there was no room for it among ours. */
	int lacking;
	const char *why; /* the packet is an offence in itself, and has none */
};

/* Receive one packet.  Returns its length, 0 at the end, or -1 with errno
 * (EAGAIN: nothing there). */
static ssize_t
receive(struct pipe *p, struct got *g)
{
	/* With its padding this holds two: enough to see one too many. */
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} ctl;
	struct iovec iov = {p->in, sizeof(p->in)};
	struct msghdr mh = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &ctl,
	    .msg_controllen = sizeof(ctl)};
	unsigned nfd;
	ssize_t n;

	*g = (struct got){.fd = -1};
	/* ECONNRESET is told once; what the peer sent before it ended, and
	 * then the end, can still be read. */
	do
		n = recvmsg(p->fd, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n == -1 && (errno == EINTR || errno == ECONNRESET));
	if (n == -1)
		return -1;
	nfd = take_fds(&mh, &g->fd);
	g->lacking = nfd == 0 && (mh.msg_flags & MSG_CTRUNC) != 0;
	/* When one came and not all did, there were more. */
	if (nfd > 1 || (nfd == 1 && (mh.msg_flags & MSG_CTRUNC) != 0))
		g->why = "more than one descriptor";
	else if (mh.msg_flags & MSG_TRUNC)
		g->why = "packet too long";
	if (g->why != NULL) {
		close_fd(g->fd);
		g->fd = -1;
	}
	return n;
}

/* Nothing was received: the end, or a packet without a byte?  At the end the
 * kernel says that no more can come. */
static int
at_end(const struct pipe *p)
{
	struct pollfd pfd = {.fd = p->fd, .events = POLLRDHUP};

	return poll(&pfd, 1, 0) != 0;
}

static const char *
handle_lacking(struct pipe *p, struct msg *m)
{
	log_err("descriptors", NULL,
	    "%s from %s came without its descriptor: the kernel had no room "
	    "for it below the limit of open files (RLIMIT_NOFILE)",
	    msg_name(m->type), role_row(p->peer)->name);
	if (p->ops->lacking == NULL)
		return NULL;
	return p->ops->lacking(p, m, p->arg);
}

/* Decode and hand out the packet of n bytes.  NULL, or the offence.  Form is
 * judged by what was sent, also when we could not receive all of it. */
static const char *
handle(struct pipe *p, size_t n, const struct got *g)
{
	struct msg m;
	const char *why;

	why = msg_decode(
	    &m, p->in, n, p->peer, p->self, g->fd != -1 || g->lacking);
	if (why != NULL) {
		close_fd(g->fd);
		return why;
	}
	if (g->lacking)
		return handle_lacking(p, &m);
	m.fd = g->fd;
	return p->ops->message(p, &m, p->arg);
}

/* Read and handle at most max packets.  The caller holds the pipe busy. */
static void
read_packets(struct pipe *p, unsigned max)
{
	const char *why;
	struct got g;
	ssize_t n;

	for (; max > 0 && !p->stopped && !p->freed; max--) {
		if ((n = receive(p, &g)) == -1) {
			if (errno != EAGAIN)
				stop(p, NULL);
			return;
		}
		why = g.why;
		if (n == 0 && g.fd == -1 && !g.lacking && why == NULL) {
			stop(p, at_end(p) ? NULL : "an empty packet");
			return;
		}
		if (why == NULL)
			why = handle(p, (size_t)n, &g);
		explicit_bzero(p->in, (size_t)n);
		if (why != NULL)
			stop(p, why);
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct pipe *p = arg;

	(void)fd;
	(void)what;
	if (p->busy > 0)
		return;
	enter(p);
	read_packets(p, TURN);
	leave(p);
}

void
pipe_drain(struct pipe *p)
{
	if (p->busy > 0)
		return;
	enter(p);
	read_packets(p, DRAIN);
	leave(p);
}

/* Sending. */

enum sent { SENT, SENT_NOT_YET, SENT_LATER, SENT_NEVER };

static enum sent
send_packet(struct pipe *p, const char *data, size_t len, int fd)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} ctl;
	struct iovec iov = {.iov_len = len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;
	ssize_t n;

	memcpy(&iov.iov_base, &data, sizeof(data));
	if (fd != -1) {
		memset(&ctl, 0, sizeof(ctl));
		mh.msg_control = &ctl;
		mh.msg_controllen = sizeof(ctl);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	do
		n = sendmsg(p->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	if (n != -1)
		return SENT;
	if (errno == EAGAIN)
		return SENT_NOT_YET;
	if (errno == ETOOMANYREFS || errno == ENOBUFS || errno == ENOMEM)
		return SENT_LATER;
	return SENT_NEVER;
}

/* Nobody will read: what waits is of no use.  That the peer is gone is told
 * by the reading side, after its last words. */
static void
give_up(struct pipe *p)
{
	p->broken = 1;
	forget_queue(p);
	if (p->wr != NULL)
		event_del(p->wr);
}

static void
arm(struct pipe *p, enum sent how)
{
	const struct timeval again = {0, AGAIN_US};

	if (how == SENT_NOT_YET)
		event_add(p->wr, NULL);
	else
		event_add(p->later, &again);
}

static void
flush(struct pipe *p)
{
	struct packet *k;
	enum sent how;
	unsigned n = 0;

	while ((k = STAILQ_FIRST(&p->queue)) != NULL) {
		how = n++ < TURN ? send_packet(p, k->data, k->len, k->fd)
				 : SENT_NOT_YET;
		if (how == SENT_NEVER) {
			give_up(p);
			return;
		}
		if (how != SENT) {
			arm(p, how);
			return;
		}
		STAILQ_REMOVE_HEAD(&p->queue, entry);
		packet_free(p, k);
	}
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	flush(arg);
}

static void
on_later(evutil_socket_t fd, short what, void *arg)
{
	struct pipe *p = arg;

	(void)fd;
	(void)what;
	enter(p);
	if (p->why != NULL)
		stop(p, p->why);
	else
		flush(p);
	leave(p);
}

/* The peer does not read: an offence, reported from the loop. */
static int
run_over(struct pipe *p)
{
	const struct timeval now = {0, 0};

	p->why = "its queue ran over: it does not read";
	give_up(p);
	event_add(p->later, &now);
	return -1;
}

static int
enqueue(struct pipe *p, size_t len, int fd, enum sent how)
{
	struct packet *k;

	if (p->base == NULL)
		return -1;
	if (p->queued + len > LIMIT_PIPE_QUEUE ||
	    (fd != -1 && p->queued_fds >= QUEUE_FDS))
		return run_over(p);
	if ((k = malloc(sizeof(*k) + len)) == NULL)
		return -1;
	k->fd = -1;
	if (fd != -1 && (k->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)) == -1) {
		log_err("pipe", NULL, "to %s: descriptor cannot be kept: %s",
		    role_row(p->peer)->name, strerror(errno));
		free(k);
		return -1;
	}
	k->len = len;
	memcpy(k->data, p->out, len);
	if (STAILQ_EMPTY(&p->queue))
		arm(p, how);
	STAILQ_INSERT_TAIL(&p->queue, k, entry);
	p->queued += len;
	p->queued_fds += fd != -1;
	return 0;
}

/* Our own mistake: what was to be sent must not be. */
static int
refuse(const struct pipe *p, enum msg_type type, const char *why)
{
	log_err("pipe", NULL, "%s to %s not sent: %s", msg_name(type),
	    role_row(p->peer)->name, why);
	return -1;
}

int
pipe_send(struct pipe *p, enum msg_type type, uint32_t corr, const void *fields,
    int fd)
{
	const char *why;
	enum sent how = SENT_NOT_YET;
	int n, r = 0;

	if (p->freed || p->broken)
		return -1;
	if ((why = msg_check(type, p->self, p->peer, fd != -1)) != NULL)
		return refuse(p, type, why);
	n = msg_encode(p->out, sizeof(p->out), type, corr, fields);
	if (n == -1)
		return refuse(p, type, "a field is out of bounds");
	if (STAILQ_EMPTY(&p->queue))
		how = send_packet(p, p->out, (size_t)n, fd);
	if (how == SENT_NEVER) {
		give_up(p);
		r = -1;
	} else if (how != SENT)
		r = enqueue(p, (size_t)n, fd, how);
	explicit_bzero(p->out, (size_t)n);
	return r;
}

/* Life. */

static void
free_events(struct pipe *p)
{
	if (p->rd != NULL)
		event_free(p->rd);
	if (p->wr != NULL)
		event_free(p->wr);
	if (p->later != NULL)
		event_free(p->later);
	p->rd = p->wr = p->later = NULL;
}

static int
make_events(struct pipe *p)
{
	p->rd = event_new(p->base, p->fd, EV_READ | EV_PERSIST, on_readable, p);
	p->wr = event_new(p->base, p->fd, EV_WRITE, on_writable, p);
	p->later = event_new(p->base, -1, 0, on_later, p);
	if (p->rd == NULL || p->wr == NULL || p->later == NULL)
		return -1;
	return event_add(p->rd, NULL);
}

struct pipe *
pipe_new(struct event_base *base, int fd, enum role self, enum role peer,
    const struct pipe_ops *ops, void *arg)
{
	struct pipe *p;
	int fl;

	p = is_secret(self, peer) ? secmem_new(sizeof(*p), NULL)
				  : calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	p->base = base;
	p->fd = fd;
	p->self = self;
	p->peer = peer;
	p->ops = ops;
	p->arg = arg;
	STAILQ_INIT(&p->queue);
	if ((fl = fcntl(fd, F_GETFL)) == -1 ||
	    fcntl(fd, F_SETFL, fl | O_NONBLOCK) == -1 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) == -1 ||
	    (base != NULL && make_events(p) == -1)) {
		free_events(p);
		release(p);
		return NULL;
	}
	return p;
}

void
pipe_free(struct pipe *p)
{
	if (p == NULL || p->freed)
		return;
	p->freed = 1;
	free_events(p);
	forget_queue(p);
	close(p->fd);
	p->fd = -1;
	enter(p);
	leave(p);
}

int
pipe_fd(const struct pipe *p)
{
	return p->fd;
}

enum role
pipe_peer(const struct pipe *p)
{
	return p->peer;
}

size_t
pipe_queued(const struct pipe *p)
{
	return p->queued;
}

int
pipe_pair(int fd[2])
{
	const int size = SNDBUF;
	int i;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) == -1)
		return -1;
	/* Best effort: the system's default holds a few long packets, too.
	 * What waits to be received counts against the sender's buffer. */
	for (i = 0; i < 2; i++)
		(void)setsockopt(
		    fd[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}
