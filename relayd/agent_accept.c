/* SPDX-License-Identifier: ISC */
/* The agents' listening sockets: who is let in. */
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <event2/event.h>

#include "agent_sock_priv.h"
#include "headroom.h"

/* Connections accepted in one go, for the same reason. */
#define ACCEPTS 16
/* Agents of one gateway that one user may attach: half of them. */
#define PER_UID 32
/* Bytes the kernel holds for an agent, which doubles it for its own needs and
 * may grant less: what one turn of the link commonly brings goes in one write,
 * and wakes the agent once. */
#define SEND_BYTES (256 * 1024)
/* Seconds to leave a listener alone when descriptors ran out. */
#define PAUSE_S 1

/* Why there is no place for one more of that user; NULL. */
static const char *
too_many(const struct listener *l, uint32_t uid)
{
	const struct agent_sock *s;
	unsigned n = 0;

	if (l->set->n >= LIMIT_AGENTS_ALL)
		return "relayd serves as many agents as it can";
	TAILQ_FOREACH (s, &l->socks, entry)
		n += s->uid == uid;
	return n >= PER_UID ? "this user has 32 agents here" : NULL;
}

/* Tell someone who is not served why. */
static void
turn_away(struct listener *l, int fd, const char *why)
{
	char text[256];
	int n;

	n = snprintf(
	    text, sizeof(text), "{\"type\":\"error\",\"error\":\"%s\"}\n", why);
	(void)send(fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
	core_remark(l->eg->gw, LOG_WARNING, "agent",
	    "an agent was turned away: %s", why);
}

static void
welcome(struct listener *l, int fd)
{
	struct ucred peer = {.pid = 0, .uid = UINT32_MAX, .gid = UINT32_MAX};
	socklen_t len = sizeof(peer);
	struct agent_sock *s;
	const char *why;

	/* However many there are, they do not lock the operators out. */
	if (!headroom_left(l->set->e, fd, LIMIT_CONTROL)) {
		headroom_log("agent", l->eg->name,
		    "descriptors for links and operators would run out",
		    &l->set->said);
		turn_away(l, fd, HEADROOM_LACK);
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == -1) {
		turn_away(l, fd, "who you are cannot be told");
		return;
	}
	if ((why = too_many(l, peer.uid)) != NULL) {
		turn_away(l, fd, why);
		return;
	}
	if ((s = agent_sock_new(l, fd, peer.uid)) == NULL) {
		turn_away(l, fd, "relayd is out of memory");
		return;
	}
	s->agent = core_agent_new(l->eg->gw, peer.uid, peer.gid, peer.pid, s);
	if (s->agent != NULL)
		return;
	s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	agent_sock_free(s);
	turn_away(l, fd, "this gateway has as many agents as it can");
}

/* No descriptor for one who waits: take him with the one in reserve and send
 * him away, instead of leaving him to wait. */
static void
exhausted(struct listener *l, int err)
{
	struct agent_socks *set = l->set;
	const struct timeval tv = {PAUSE_S, 0};
	int fd = -1;

	headroom_log("agent", l->eg->name, strerror(err), &set->said);
	if (set->reserve != -1) {
		close(set->reserve);
		fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd != -1)
			turn_away(l, fd, HEADROOM_LACK);
		set->reserve = fcntl(l->fd, F_DUPFD_CLOEXEC, 0);
	}
	if (fd != -1)
		return;
	event_del(l->ev);
	event_add(l->resume, &tv);
}

static void
on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd;
	(void)what;
	if (l->set->reserve == -1)
		l->set->reserve = fcntl(l->fd, F_DUPFD_CLOEXEC, 0);
	event_add(l->ev, NULL);
}

static void
on_accept(evutil_socket_t lfd, short what, void *arg)
{
	struct listener *l = arg;
	const int room = SEND_BYTES;
	int i, fd;

	(void)what;
	engine_now(l->set->e);
	for (i = 0; i < ACCEPTS; i++) {
		fd =
		    accept4((int)lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd != -1) {
			(void)setsockopt(
			    fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
			welcome(l, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM)
			exhausted(l, errno);
		return;
	}
}

/* Listeners. */

static int
listen_on(struct listener *l, int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct event *ev;

	if (flags != -1)
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	ev = event_new(l->set->e->base, fd, EV_READ | EV_PERSIST, on_accept, l);
	if (ev == NULL || event_add(ev, NULL) == -1) {
		if (ev != NULL)
			event_free(ev);
		close(fd);
		return -1;
	}
	if (l->ev != NULL) {
		event_free(l->ev);
		close(l->fd);
	}
	l->ev = ev;
	l->fd = fd;
	return 0;
}

struct listener *
agent_sock_listen(struct engine_gw *eg, int fd)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (l == NULL) {
		close(fd);
		return NULL;
	}
	l->set = eg->e->agents;
	l->eg = eg;
	TAILQ_INIT(&l->socks);
	l->resume = event_new(eg->e->base, -1, 0, on_resume, l);
	if (l->resume == NULL)
		close(fd);
	if (l->resume == NULL || listen_on(l, fd) == -1) {
		if (l->resume != NULL)
			event_free(l->resume);
		free(l);
		return NULL;
	}
	return l;
}

void
agent_sock_replace(struct listener *l, int fd)
{
	(void)listen_on(l, fd); /* without memory the old one stays */
}

void
agent_sock_close(struct listener *l)
{
	struct agent_sock *s;

	if (l == NULL)
		return;
	while ((s = TAILQ_FIRST(&l->socks)) != NULL) {
		TAILQ_REMOVE(&l->socks, s, entry);
		s->listener = NULL;
		TAILQ_INSERT_TAIL(&l->set->orphans, s, entry);
	}
	event_free(l->ev);
	event_free(l->resume);
	close(l->fd);
	free(l);
}
