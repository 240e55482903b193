/* SPDX-License-Identifier: ISC */
/*
 * relay-ctl serve: relayd's status over HTTP.
 *
 *   serve.c         the command: begin, tick, end
 *   serve_listen.c  the address, and the listening socket
 *   serve_conn.c    bounds on connections and on the time each has
 *   serve_http.c    which requests are taken, and by whom
 *   serve_user.c    whom it becomes when root started it
 *   serve_page.c    what is answered
 *   serve_feed.c    /events and its clients
 *   serve_line.c    lines from status.sock
 *   serve_ask.c     relayd's status, and its changes
 */
#ifndef SERVE_H
#define SERVE_H

#include <sys/queue.h>
#include <sys/socket.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "buf.h"
#include "ctl.h"
#include "metrics.h"
#include "notify.h"

/* Bytes of a sentence that says why relayd does not answer. */
#define SERVE_WHY 512
/* Changes that are kept for clients of /events that come back. */
#define SERVE_KEPT 256

struct serve;
struct serve_conn;
struct serve_feed;
struct serve_waiter;

/* A connection to status.sock, from which lines are read. */
struct serve_line {
	struct serve *serve;
	const char *cmd;     /* what is asked there */
	size_t max;	     /* bytes of a line */
	struct event *event; /* NULL: closed */
	int fd;
	struct buf in;
	int64_t since; /* client_now() when it was opened */
	/* A line, without its newline; it may close this. */
	void (*line)(struct serve *s, struct span line);
	/* It has ended; why is a sentence. */
	void (*end)(struct serve *s, const char *why);
};

/* What relayd said to `status`. */
struct serve_told {
	int ok;		   /* the status document */
	struct span reply; /* absent: it said nothing */
	const char *why;   /* it is not ok, in a sentence */
};
/* Answers a request by it. */
typedef void serve_answer(
    struct serve *s, struct evhttp_request *req, const struct serve_told *told);

struct serve {
	const struct ctl *ctl;
	struct event_base *base;
	struct evhttp *http;
	struct evconnlistener *listener;
	struct event *tick, *term, *intr;
	struct notify notify;
	/* where it listens */
	struct sockaddr_storage addr;
	socklen_t addrlen;
	int loopback; /* Host headers are looked at */
	/* connections */
	TAILQ_HEAD(, serve_conn) conns;
	unsigned nconn;
	/* relayd */
	int up; /* it answers; -1: not known yet */
	char why[SERVE_WHY];
	char version[32]; /* the last one that was not ours */
	struct serve_line ask, watch;
	int watching;	    /* watch was granted */
	struct event *late; /* ask's deadline */
	TAILQ_HEAD(, serve_waiter) waiters;
	unsigned nwaiter;
	struct buf doc;	  /* the last status … */
	int64_t asked_at; /* … client_now() when it was asked for; 0: none */
	/* clients of /events, and what they may have missed */
	TAILQ_HEAD(, serve_feed) feeds;
	uint64_t epoch, last; /* an event's id: both */
	char *kept[SERVE_KEPT];
	int64_t beat; /* client_now() of the last heartbeat */
	struct metrics_own own;
};

/* serve_listen.c */

/* Take the address from --listen, or the socket from the service manager.
 * Returns a listening socket, or -1 with *status after that was told. */
int serve_listen(struct serve *s, int *status);
/* "http://127.0.0.1:9464" */
#define SERVE_NAME 80
const char *serve_name(const struct serve *s, char name[SERVE_NAME]);
/* Whether a Host header's value names this host's loopback. */
int serve_host_ok(const char *host);

/* serve_user.c */

/* Become nobody, in the group of status.sock, when started as root.  0, or -1
 * after that was told. */
int serve_user_leave_root(const struct ctl *ctl);

/* serve_conn.c */

/* evhttp's callback for a new connection. */
struct bufferevent *serve_conn_new(struct event_base *base, void *arg);
/* Its request is there; a stream is bounded by what waits for it, not by time.
 */
void serve_conn_asked(struct serve *s, struct evhttp_request *req, int streams);
/* End the connection; evhttp learns it from the socket. */
void serve_conn_cut(struct bufferevent *bev);
/* Once a second: end what takes too long, listen again when there is room. */
void serve_conn_tick(struct serve *s);
void serve_conn_free(struct serve *s);

/* serve_http.c */

int serve_http(struct serve *s, int fd);
/* Answer, whoever is there still.  A HEAD gets the head. */
void serve_reply(
    struct evhttp_request *req, int code, const char *type, struct span body);
void serve_text(struct evhttp_request *req, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The headers that every answer has. */
void serve_headers(struct evhttp_request *req, const char *type);

/* serve_page.c */

struct serve_page {
	const char *path;
	/* Answers at once, or else by what relayd says. */
	void (*now)(struct serve *s, struct evhttp_request *req);
	serve_answer *answer;
};
/* NULL: there is none. */
const struct serve_page *serve_page(const char *path);

/* serve_feed.c */

void serve_feed(struct serve *s, struct evhttp_request *req);
/* Tell all clients.  event: [a-z_]; data: one line of JSON. */
void serve_feed_tell(struct serve *s, const char *event, struct span data);
void serve_feed_tick(struct serve *s);
void serve_feed_free(struct serve *s);

/* serve_line.c */

/* Connect and ask.  NULL, or a sentence that says why not. */
const char *serve_line_open(struct serve_line *l);
void serve_line_close(struct serve_line *l);

/* serve_ask.c */

int serve_ask_init(struct serve *s);
/* Have a request answered by relayd's status, now or later. */
void
serve_ask(struct serve *s, struct evhttp_request *req, serve_answer *answer);
/* Once a second: watch, and see whether a silent relayd speaks again. */
void serve_ask_tick(struct serve *s);
/* Ask without anybody waiting, unless relayd is being asked. */
void serve_ask_look(struct serve *s);
/* Whether relayd answers, and why not, as an object. */
void serve_ask_put_up(const struct serve *s, struct buf *b);
void serve_ask_free(struct serve *s);

#endif
