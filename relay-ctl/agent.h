/* SPDX-License-Identifier: ISC */
/*
 * relay-ctl agent: an agent that runs a program for every event.
 *
 *   agent.c       the command: loop, signals, attaching
 *   agent_link.c  the agent protocol: lines in and out
 *   agent_turn.c  an event's way from its arrival to its acknowledgement
 *   agent_job.c   one run of the program
 */
#ifndef AGENT_H
#define AGENT_H

#include <sys/queue.h>
#include <sys/types.h>
#include <stdint.h>

#include "buf.h"
#include "client.h"
#include "ctl.h"
#include "field.h"

struct pollfd;

/* Programs at once at most: one person's machine. */
#define AGENT_JOBS_MAX 32
/* Events held at most: the window relayd is told, and runs that began before
 * a reattachment. */
#define AGENT_TURNS_MAX (3 * AGENT_JOBS_MAX)
/* Bytes a program may print: more than any platform takes as one message. */
#define AGENT_REPLY_MAX (64U * 1024)
/* Bytes of a line from relayd: an event of LIMIT_LINE and what is added. */
#define AGENT_LINE_MAX (LIMIT_LINE + 64U * 1024)
/* Bytes that wait for relayd: a reply of every turn, escaped. */
#define AGENT_OUT_MAX (48U * 1024 * 1024)
/* Milliseconds for the result of a reply: relayd answers after 40 s at the
 * latest. */
#define AGENT_RESULT_MS 45000
/* Milliseconds a program has to end after SIGTERM. */
#define AGENT_KILL_MS 2000
/* Milliseconds that running programs have when we are to stop. */
#define AGENT_STOP_MS 10000
/* Milliseconds between tries to attach, doubling. */
#define AGENT_ATTACH_MIN_MS 100
#define AGENT_ATTACH_MAX_MS 5000
/* Milliseconds before an event is tried again whose program failed, doubling.
 */
#define AGENT_FAIL_MIN_MS 1000
#define AGENT_FAIL_MAX_MS 30000
/* Events remembered that are done with, to know them when they come again. */
#define AGENT_DONE 256

/* One run of the program. */
struct job {
	pid_t pid;   /* 0: does not run; its own process group */
	int in, out; /* our ends of its standard input and output; -1: closed */
	size_t written;	  /* bytes of the event */
	struct buf text;  /* what it printed */
	int64_t deadline; /* then it is told to end, then killed */
	uint8_t told, killed, late, overflow;
};

enum turn_state {
	TURN_QUEUED,
	TURN_RUNNING,
	TURN_REPLY, /* it has printed an answer, which has not left */
	TURN_SENT   /* the answer left, its result is waited for */
};

/* An event. */
struct turn {
	TAILQ_ENTRY(turn) entry;
	enum turn_state state;
	uint32_t serial; /* of the attachment that delivered it last */
	char *buffer_id; /* JSON, as it goes back */
	char *id;	 /* the same decoded */
	char *session;
	char *event; /* JSON and a newline */
	size_t eventlen;
	char *chat_id, *reply_to, *thread_id;	 /* JSON, or NULL */
	unsigned char by_id[32], by_message[32]; /* what it is known by */
	uint8_t has_message;
	uint8_t interrupted;
	struct job job;
	uint64_t request; /* TURN_SENT: number of its outbound */
	uint64_t left_at; /* stream position behind that line */
	int64_t deadline; /* TURN_SENT */
};
TAILQ_HEAD(turn_list, turn);

struct done {
	unsigned char by_id[32], by_message[32];
	uint8_t has_message;
	uint32_t serial;
};

struct agent {
	struct ctl *ctl;
	char gateway[LIMIT_NAME + 1];
	char **argv; /* the program */
	long jobs, timeout_s;
	struct client link; /* fd -1: not attached */
	struct buf out;
	uint64_t written; /* bytes of out that left on this attachment */
	uint32_t serial;
	uint8_t heard;	/* something came on this attachment */
	uint8_t lost;	/* was said */
	uint8_t detach; /* a program failed: leave when no result is due */
	uint8_t stopping, killed, forwarded;
	char state[32]; /* the link's, as told last */
	struct turn_list turns;
	unsigned nturn;
	uint64_t requests;
	int64_t attach_at; /* when not attached */
	int attach_delay, fail_delay;
	int64_t stop_at;
	struct done done[AGENT_DONE];
	unsigned ndone; /* ever */
	int fatal;	/* exit status, once there is no going on */
	int signals;	/* signalfd */
};

/* agent.c */
/* Whether relayd runs and the gateway has no socket there, which is then told:
 * the name is wrong, or somebody removed it. */
int agent_unknown(const struct agent *a);

/* agent_link.c */
void link_attach(struct agent *a);
/* Drop the connection; it is tried again after delay_ms. */
void link_detach(struct agent *a, int delay_ms);
void link_readable(struct agent *a);
void link_writable(struct agent *a);
void link_ack(struct agent *a, const char *buffer_id);
void link_reply(struct agent *a, struct turn *t);
void link_going_idle(struct agent *a);

/* agent_turn.c */
/* An inbound line, taken apart. */
void turn_event(struct agent *a, struct obj *line);
/* A result for one of our requests. */
void turn_result(struct agent *a, struct obj *line);
/* A session's turn is to be stopped. */
void turn_interrupt(struct agent *a, struct obj *line);
/* The program of a turn ended with that wait status. */
void turn_ended(struct agent *a, struct turn *t, int status);
/* The connection is gone. */
void turn_link_lost(struct agent *a);
/* What can go on now: programs to start, replies to send. */
void turn_advance(struct agent *a);
/* Deadlines that have passed. */
void turn_overdue(struct agent *a, int64_t now);
/* The earliest deadline, or -1. */
int64_t turn_deadline(const struct agent *a);
/* Whether a turn is in that state. */
int turn_any(const struct agent *a, enum turn_state s);
void turn_free(struct agent *a, struct turn *t);

/* agent_job.c */
int job_start(struct job *j, const struct agent *a, const struct turn *t);
void job_readable(struct job *j);
void job_writable(struct job *j, const struct turn *t);
/* Signal its process group. */
void job_signal(const struct job *j, int sig);
/* Tell it to end, and kill it when it does not. */
void job_end(struct job *j);
/* Whether it ended: 1 with *status, and all it printed in text. */
int job_reap(struct job *j, int *status);
void job_free(struct job *j);

#endif
