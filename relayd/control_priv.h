/* SPDX-License-Identifier: ISC */
/*
 * What control.c (sockets and clients), control_*.c (requests) and tap.c
 * (streams) share.  Nobody else includes it.
 */
#ifndef CONTROL_PRIV_H
#define CONTROL_PRIV_H

#include <sys/queue.h>
#include <stdint.h>

#include "buf.h"
#include "control.h"
#include "engine.h"
#include "json.h"

struct event;
struct listing;

/* Clients of one uid: a dashboard, a few shells, and their scripts. */
#define CONTROL_PER_UID 16
/* Places that only root gets: the operator is let in when all are taken. */
#define CONTROL_RESERVED 4
/*
 * Bytes that wait for one client.  The greatest reply is the status document:
 * a gateway with one identity and an agent takes 2 to 3 KiB of it, so that
 * LIMIT_GATEWAYS of them take some 3 MiB; twice that, and rounded up.
 */
#define CONTROL_OUT_MAX (8U * 1024 * 1024)
/* Bytes that wait for all clients together: eight such documents. */
#define CONTROL_OUT_ALL (64U * 1024 * 1024)
/* Above this, what a stream would add is left out (tap) or the client is cut
 * off (watch).  The line that reaches over it is still whole. */
#define CONTROL_STREAM_HIGH (1024U * 1024)
/* Seconds a client may leave what we wrote unread. */
#define CONTROL_STALL 30
/* Seconds without a request after which a client that streams nothing is
 * closed: longer than any dashboard's interval. */
#define CONTROL_IDLE 300

struct control;

/* The event that a client follows. */
struct follow {
	struct engine_gw *eg;
	struct stage_id id;
	struct stage_sum sum;
};

struct client {
	TAILQ_ENTRY(client) entry;
	struct control *control;
	int fd;
	struct event *rd, *wr, *timer;
	enum listener_kind kind; /* LISTEN_CONTROL or LISTEN_STATUS */
	uint32_t uid;
	int32_t pid;
	struct buf in, out;
	uint64_t cookie; /* of the answer waited for; 0: none */
	uint8_t wait_s;	 /* how long it may take, seconds */
	uint8_t closing; /* close once out is written */
	uint8_t doomed;	 /* to be freed by the reaper */
	uint8_t eof;	 /* it will send no more */
	uint8_t watching, tapping, following;
	uint8_t content, no_lines; /* of a tap */
	struct engine_gw *tap_gw;  /* NULL: all */
	uint64_t lost; /* tap lines left out since the last {"tap":"lost"} */
	struct follow follow;
	struct listing *listing; /* of sessions, under way; NULL: none */
};
TAILQ_HEAD(client_list, client);

struct control {
	struct engine *e;
	int fd[LISTEN_LAST + 1]; /* listening; -1: none */
	struct event *ev[LISTEN_LAST + 1];
	struct event *reap;  /* frees doomed clients from the loop */
	struct event *again; /* listens again after descriptors ran out */
	uint64_t said;	     /* when it was last logged that they did */
	struct client_list clients;
	uint32_t nclient, ntap, nwatch;
	uint64_t next_cookie;
	struct buf scratch;  /* a line being put together */
	struct json_doc doc; /* of a request, or of a tapped line */
};

/* control.c */

/* What is in out is to be written; call after adding to it.  A client whose
 * out overflowed is cut off. */
void client_flush(struct client *c);
/* Free it from the loop: safe within any walk over the clients. */
void client_doom(struct client *c);
/* Close it once its output is written. */
void client_close(struct client *c);
/* Its answer will come later, within wait_s seconds: returns the cookie. */
uint64_t client_wait(struct client *c, uint8_t wait_s);
/* Who waits for that cookie, no longer waiting; NULL. */
struct client *client_answered(struct control *ct, uint64_t cookie);
/* The same of a message's correlation, which is the cookie's lower half. */
struct client *client_asked(struct control *ct, uint32_t corr);

/* Members that requests have. */
enum {
	M_CMD,
	M_CLIENT,
	M_SCHEMA,
	M_GATEWAY,
	M_ACTION,
	M_CONTENT,
	M_SESSION_KEY,
	M_BUFFER_ID,
	M_LEVEL,
	M_LINES,
	M_FOLLOW,
	M_COUNT
};

/* A request under way. */
struct request {
	struct client *c;
	const struct json_doc *doc;
	int at[M_COUNT];
	struct engine_gw *eg; /* the named one, or the only one, or NULL */
};

/* Whether lines come to it without being asked for one by one. */
static inline int
client_streams(const struct client *c)
{
	return c->watching || c->tapping || c->following;
}

/* control_cmd.c */

/* Handle one request line. */
void control_request(struct client *c, struct span line);
/* Begin a reply: {"ok":…,"schema":…,"version":…  Members and } follow. */
void control_begin(struct client *c, int ok);
/* {"ok":false,…,"code":…,"error":…} */
void control_refuse(struct client *c, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* {"ok":true,…} */
void control_ok(struct client *c);
/* Find the gateway that the request names, or the only one there is.  0; -1
 * when there is none such: refused. */
int control_gateway(struct request *r);
/* The same, or none (r->eg NULL) when the request names none. */
int control_named(struct request *r);
/* Whether a member is there, and of that type (JSON_TRUE, JSON_FALSE). */
int control_is(const struct request *r, int member, enum json_type type);
/* Whether there is room for a large reply.  0; -1: refused. */
int control_room(struct request *r);
/* The end of a large reply: refused when it did not fit.  small: what the
 * client may do about it. */
void control_reply(struct client *c, const char *small);

/* control_show.c: every gateway's counters. */
void show_counters(struct request *r);

/* control_sessions.c: what waits, and for whom. */
void show_sessions(struct request *r);
/* The client waits for them no longer. */
void sessions_end(struct client *c);

/* control_aside.c: what was put aside. */
void aside_show(struct request *r);
void aside_requeue(struct request *r);
void aside_drop(struct request *r);

/* control_log.c: the level of the log. */
void log_run(struct request *r);
/* control_trace.c: one event. */
void trace_run(struct request *r);
/* A stage, as the object that streams carry ("tap" or "trace": kind), open at
 * its end. */
void trace_put(struct buf *b, const char *kind, const struct engine_gw *eg,
    const struct stage_step *step);
/* A gateway's event went a stage on: the client follows one of its events. */
void trace_step(struct client *c, const struct stage_step *step);

/* control_wish.c: what operators ask of a link. */
void wish_enable(struct request *r);
void wish_disable(struct request *r);
void wish_idle(struct request *r);
void wish_wake(struct request *r);
void wish_dormant(struct request *r);
void wish_reconnect(struct request *r);
void wish_interrupt(struct request *r);

/* tap.c */

/* Begin to stream; c->content and c->no_lines are set. */
void tap_start(struct client *c, struct engine_gw *eg);
void watch_start(struct client *c);
/* The client is going: it streams no more. */
void tap_end(struct client *c);
/* Tell every gateway how many are told of its lines and stages; gone: leave
 * that one alone. */
void tap_count(struct control *ct, const struct engine_gw *gone);
/* There is room again: say what was left out. */
void tap_resume(struct client *c);

#endif
