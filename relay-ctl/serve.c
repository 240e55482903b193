/* SPDX-License-Identifier: ISC */
/* relay-ctl serve: what relayd's status socket says, over HTTP. */
#include <sys/un.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "env_wipe.h"
#include "ladder.h"
#include "log.h"
#include "serve.h"

static void
every_second(evutil_socket_t fd, short what, void *arg)
{
	struct serve *s = arg;

	(void)fd;
	(void)what;
	serve_conn_tick(s);
	serve_ask_tick(s);
	serve_feed_tick(s);
	if (s->notify.watchdog_ms > 0)
		notify_send(&s->notify, "WATCHDOG=1");
}

static void
told_to_end(evutil_socket_t fd, short what, void *arg)
{
	struct serve *s = arg;

	(void)fd;
	(void)what;
	event_base_loopbreak(s->base);
}

/* libevent's own words; none of them is expected. */
static void
libevent_says(int severity, const char *text)
{
	log_say(severity >= EVENT_LOG_ERR ? LOG_ERR : LOG_DEBUG, "libevent",
	    NULL, "%s", text);
}

static int
make_events(struct serve *s)
{
	const struct timeval second = {1, 0};

	if ((s->base = event_base_new()) == NULL)
		return -1;
	s->tick = event_new(s->base, -1, EV_PERSIST, every_second, s);
	s->term = evsignal_new(s->base, SIGTERM, told_to_end, s);
	s->intr = evsignal_new(s->base, SIGINT, told_to_end, s);
	if (s->tick == NULL || s->term == NULL || s->intr == NULL ||
	    event_add(s->tick, &second) == -1 ||
	    event_add(s->term, NULL) == -1 || event_add(s->intr, NULL) == -1)
		return -1;
	return serve_ask_init(s);
}

static void
open_notify(struct serve *s)
{
	const char *why = notify_init(&s->notify, getenv("NOTIFY_SOCKET"),
	    getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));

	if (why != NULL)
		log_warn("notify", NULL, "NOTIFY_SOCKET: %s", why);
	unsetenv("NOTIFY_SOCKET");
}

/* From here on there are no files, no other sockets and no way back. */
static void
shut_in(void)
{
	struct ladder l = {.role = ROLE_SERVE};

	env_wipe();
	ladder_confine(&l);
	if (l.lacking[0] != '\0')
		log_warn("sandbox", NULL, "layers are lacking: %s", l.lacking);
}

static void
free_all(struct serve *s)
{
	serve_ask_free(s);
	serve_feed_free(s);
	evhttp_free(s->http);
	serve_conn_free(s);
	event_free(s->tick);
	event_free(s->term);
	event_free(s->intr);
	event_base_free(s->base);
	notify_free(&s->notify);
}

static int
run(struct serve *s, int fd)
{
	char name[SERVE_NAME];

	open_notify(s);
	if (make_events(s) == -1 || serve_http(s, fd) == -1) {
		ctl_warn("no memory");
		return CTL_FAILED;
	}
	if (serve_user_leave_root(s->ctl) == -1)
		return CTL_FAILED;
	shut_in();
	log_info("listening", NULL, "%s: %s", serve_name(s, name),
	    s->loopback ? "for this host alone" : "for whoever reaches it");
	serve_ask_tick(s);
	notify_send(&s->notify, "READY=1");
	event_base_dispatch(s->base);
	notify_send(&s->notify, "STOPPING=1");
	log_info("stopping", NULL, "told to end");
	free_all(s);
	return CTL_OK;
}

int
cmd_serve(struct ctl *ctl)
{
	struct serve *s;
	struct sockaddr_un sun;
	int fd, status = CTL_FAILED;

	log_init(LOG_TO_PEOPLE, "serve", LOG_INFO);
	event_set_log_callback(libevent_says);
	signal(SIGPIPE, SIG_IGN);
	if (strlen(ctl->rundir) + sizeof("/status.sock") >
	    sizeof(sun.sun_path)) {
		ctl_warn("%s: too long for a socket's path", ctl->rundir);
		return CTL_FAILED;
	}
	if ((s = calloc(1, sizeof(*s))) == NULL) {
		ctl_warn("no memory");
		return CTL_FAILED;
	}
	s->ctl = ctl;
	s->epoch = (uint64_t)time(NULL);
	s->beat = client_now();
	TAILQ_INIT(&s->conns);
	TAILQ_INIT(&s->feeds);
	if ((fd = serve_listen(s, &status)) != -1)
		status = run(s, fd);
	free(s);
	return status;
}
