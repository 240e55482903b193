/* SPDX-License-Identifier: ISC */
/* Talking to relayd's sockets, with a deadline; and what to say when it does
 * not answer. */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdint.h>

#include "buf.h"
#include "ctl.h"
#include "span.h"

/* Milliseconds until a reply is given up. */
#define CLIENT_WAIT_STATUS 2000	 /* the engine writes it at once */
#define CLIENT_WAIT_RELOAD 30000 /* two phases of 10 s */
#define CLIENT_WAIT_SEND   50000 /* 10 s for the link, 30 s for the result */
#define CLIENT_WAIT_WISH   25000 /* what a link is asked takes 15 s */
/* A stream waits as long as it takes. */
#define CLIENT_WAIT_EVER (-1)
/* Bytes of a reply: twice what the engine lets wait for a client. */
#define CLIENT_REPLY_MAX (16U * 1024 * 1024)

enum client_result {
	CLIENT_OK,
	CLIENT_ABSENT, /* nobody listens there */
	CLIENT_DENIED, /* we may not open it */
	CLIENT_SILENT, /* no reply in time */
	CLIENT_ENDED,  /* closed without a reply */
	CLIENT_WRONG   /* no reply of this protocol; told already */
};

struct client {
	int fd; /* -1: none */
	char path[LIMIT_PATH + 64];
	const char *who; /* the process that answers there */
	struct buf in;
	size_t line; /* bytes of the line handed out last, newline included */
};

/* Connect to a socket of the run directory, e.g. "control.sock". */
enum client_result
client_open(struct client *c, const struct ctl *ctl, const char *name);
void client_close(struct client *c);
/* Write a line (with its newline). */
enum client_result
client_write(struct client *c, struct span line, int wait_ms);
/* The next line without its newline; valid until the next call. */
enum client_result
client_line(struct client *c, struct span *line, int wait_ms);

/* As client_line, for a reply; on a terminal what takes longer than a second
 * is said, with what we are doing. */
enum client_result client_await(
    struct client *c, struct span *reply, int wait_ms, const char *doing);

/* Begin a request: {"cmd":…,"client":VERSION; members follow. */
void client_begin(struct buf *req, const char *cmd);

/* Add the member that names the gateway. */
void client_gateway(struct buf *req, const char *name);

/*
 * Ask on control.sock, or where that is not for us and read_only is set, on
 * status.sock.  Ends the request's object and line.
 */
enum client_result client_ask(struct client *c, const struct ctl *ctl,
    struct buf *req, int read_only, int wait_ms, struct span *reply);

/*
 * As client_ask, and say why when it did not work, or what relayd refused.
 * Returns CTL_OK with a reply that says "ok":true, else the exit status; with
 * --json a refusal was printed.  The client is to be closed in any case.
 */
int client_do(struct client *c, const struct ctl *ctl, struct buf *req,
    int read_only, int wait_ms, struct span *reply);

/* A reply that does not say "ok":true: print it (--json) or its error.
 * Returns the exit status. */
int client_refused(
    const struct client *c, const struct ctl *ctl, struct span reply);

/* Say on standard error why there is no reply, and what to do.  Returns the
 * exit status. */
int client_explain(
    const struct client *c, const struct ctl *ctl, enum client_result r);

/* Whether it is auth.sock's, which is for other people than the others and
 * which another process serves. */
int client_is_auth(const struct client *c);

/* Whether relayd runs, as far as we may know. */
enum client_life { LIFE_NO, LIFE_MAYBE, LIFE_YES };
/* words: " (pid N)" when it is known, else "". */
enum client_life client_life(const struct ctl *ctl, char words[24]);

/* CLOCK_MONOTONIC in milliseconds. */
int64_t client_now(void);

#endif
