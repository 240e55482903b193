/* SPDX-License-Identifier: ISC */
/*
 * The supervisor: the process that starts, watches, restarts and stops the
 * others, and hands each its slice of the configuration (DESIGN 1).  It reads
 * nothing from network, agents or control clients.
 *
 *   supervisor.c   start, loop, signals, stop
 *   sup_msg.c      what children say
 *   sup_child.c    one child: fork and exec, end, heartbeat
 *   sup_pairs.c    pipes between children
 *   sup_restart.c  when a dead child is started again
 *   sup_conf.c     a configuration and what is made for it
 *   sup_check.c    what a check finds beside
 *   sup_slice.c    a child's part of it
 *   sup_reload.c   two phases
 *   sup_slot.c     the places of gateways
 *   sup_journal.c  their journals
 *   sup_sockets.c  directories, lock, how a socket is made
 *   sup_sock.c     the sockets, kept at their places
 *   sup_made.c     directories to take away again
 *   sup_env.c, sup_secret.c, sup_proxy.c  what came by environment; secrets
 *   sup_watch.c    secrets' files that change
 *   sup_xchg.c, sup_command.c  exchanges and token commands
 *   sup_spawn.c, sup_log.c  starting a program, and its standard error
 *   sup_level.c    what is logged, and how
 *   sup_state.c    state.json
 *   sup_notify.c, sup_status.c, sup_passed.c
 *                  the service manager: what it is told, its status line, what
 *                  it passes
 *   sup_own.c      files of other users and groups
 */
#ifndef SUPERVISOR_H
#define SUPERVISOR_H

#include <sys/types.h>
#include <stdint.h>

#include "conf.h"
#include "log.h"
#include "notify.h"
#include "role.h"
#include "sup_log.h"
#include "sup_made.h"
#include "sup_passed.h"
#include "sup_restart.h"
#include "sup_secret.h"
#include "sup_slot.h"
#include "sup_state.h"
#include "sup_status.h"

struct event;
struct event_base;
struct pipe;
struct sup_user;
struct sup_xchgs;
struct supervisor;

/* Exit statuses, as sysexits has them. */
#define EXIT_USAGE 64
#define EXIT_CONF  78

/* Every step a child has to take in answer to us: time enough for a loaded
 * machine to read a thousand gateways. */
#define STEP_MS 10000
/* Heartbeats: one this often, killed when one is unanswered for so long. */
#define PING_MS	     5000
#define PING_DEAD_MS 10000
/* Stop, in milliseconds after the signal, however late each step is: the
 * engine's part (what it overruns is slack), the others', the kernel's after
 * SIGKILL.  What is left to STOP_ALL_MS is for a log that nobody reads, which
 * is waited for once. */
#define STOP_ENGINE_MS 3900
#define STOP_SLACK_MS  100
#define STOP_OTHERS_MS 4300
#define STOP_REAP_MS   4450
#define STOP_ALL_MS    5000

/* Where things are, from the command line and the defaults. */
struct sup_paths {
	char conf[LIMIT_PATH + 1];  /* relayd.yaml; "": none */
	int conf_given;		    /* -f: it must exist */
	char run[LIMIT_PATH + 1];   /* run directory, absolute */
	char state[LIMIT_PATH + 1]; /* state directory, absolute */
	char bin[LIMIT_PATH + 1];   /* where the programs are */
	struct sup_made made;	    /* of these by this start */
};

/* A configuration, and the places its gateways have. */
struct sup_plan {
	struct conf *conf;
	uint32_t generation;
	uint16_t slot[LIMIT_GATEWAYS]; /* of conf->gateway[i] */
	/* What a link depends on, since the plan before. */
	uint8_t changed[LIMIT_GATEWAYS];
	unsigned nadded, nchanged, nremoved; /* by any setting */
	uint16_t *port; /* what the dialer must be able to reach, sorted */
	size_t nport;
	gid_t control_gid; /* of control.group, found once: a directory of
			    * users may be slow to answer */
	/* As root: who runs conf->gateway[i]'s token command; NULL: none. */
	struct sup_user *user[LIMIT_GATEWAYS];
};

enum sup_child_state {
	SUP_DOWN,     /* waits for its next start */
	SUP_PAIRING,  /* its peers are being given their new pipes */
	SUP_STARTING, /* runs, has not said STARTED */
	SUP_RUNNING
};

enum sup_slice { SLICE_NONE, SLICE_SENT, SLICE_READY };

struct sup_child {
	struct supervisor *sup;
	enum role role;
	enum sup_child_state state;
	pid_t pid; /* 0: none */
	struct pipe *pipe;
	struct sup_log log;
	struct event *timer; /* next start, or the deadline of a step … */
	const char *deadline_why; /* … and what it is killed for then */
	struct restart restart;
	uint32_t restarts;
	int64_t since;	     /* Unix seconds of its start */
	uint64_t next_start; /* ms; while SUP_DOWN */
	int orderly;	     /* told to end for a successor */
	enum sup_slice slice;
	uint32_t slice_generation;
	uint32_t aborted_generation; /* the last one given up; 0: none */
	int committed;		     /* lives by a configuration */
	uint32_t ping_sent, ping_answered;
	uint64_t ping_since; /* ms of the oldest unanswered one */
	uint32_t wanted, held;
	char lacking[LIMIT_REASON + 1];
	/* The ports a dialer was started with. */
	uint16_t *port;
	size_t nport;
};

/* A reload under way. */
struct sup_reload {
	enum { RELOAD_NONE, RELOAD_PREPARE, RELOAD_COMMIT } phase;
	struct sup_plan *plan; /* the new one while RELOAD_PREPARE */
	int asked;	       /* the engine waits for RELOAD_DONE … */
	uint32_t corr;	       /* … with this correlation */
	pid_t asked_pid;       /* … and this engine it was */
	char text[640];
	struct sup_sock_list anew, regrouped; /* by the last one lived by */
	struct event *deadline;
	int wanted; /* SIGHUP while a child was down or during a reload */
};

struct supervisor {
	struct event_base *base;
	struct sup_paths paths;
	struct sup_env env;
	int64_t conf_taken;   /* Unix seconds, when the plan was */
	int64_t conf_refused; /* when a newer one was not; 0: none */
	int debug;     /* -d: the configuration does not lower the level */
	int level;     /* what an operator asked for; -1: nothing */
	int logged_at; /* what all were told; -1: nothing yet */
	struct rate level_wishes;
	struct log_repeats *repeats;
	enum sup_phase phase;
	struct sup_child child[ROLE_KEPT]; /* [ROLE_SUPERVISOR] is ourselves */
	int end[ROLE_KEPT][ROLE_KEPT];	   /* [a][b]: what a is to get to talk
					    * with b; -1: nothing held */
	struct sup_plan *plan;		   /* lived by */
	uint32_t generation;		   /* the last one given */
	struct sup_slots slots;
	struct sup_reload reload;
	struct sup_xchgs *xchg;
	int lock_fd, state_fd;		 /* which keep another relayd away */
	struct sup_sock sock[SUP_SOCKS]; /* those that are there once */
	struct sup_passed passed;	 /* by the service manager */
	struct notify notify;
	uint64_t told_ms; /* when it was told something last */
	struct event *ev_term, *ev_int, *ev_hup, *ev_chld;
	struct event *ev_ping, *ev_stop, *ev_state, *ev_watchdog, *ev_watch,
	    *ev_notify;
	uint64_t stop_ms; /* sup_now() of the signal */
	enum { STOP_NOT, STOP_ENGINE, STOP_OTHERS, STOP_KILL } stopping;
	char status[SUP_STATUS_MAX]; /* as the service manager knows it */
	int exit_code;		     /* of the whole */
};

/* Run until stopped; the exit status.  Takes env and paths over. */
int
supervisor_run(const struct sup_paths *paths, struct sup_env *env, int debug);
/* Check the configuration, for -n; the exit status. */
int supervisor_check(const struct sup_paths *paths, struct sup_env *env);

/* Monotonic milliseconds. */
uint64_t sup_now(void);
/* Something that state.json or the service manager shows has changed. */
void sup_changed(struct supervisor *s);
/* Begin to stop; code becomes the exit status. */
void sup_stop(struct supervisor *s, int code);
/* A child is gone while stopping. */
void sup_stop_progress(struct supervisor *s);
/* All children live by the configuration (first start, reload). */
void sup_ready(struct supervisor *s);

#endif
