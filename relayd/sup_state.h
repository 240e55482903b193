/* SPDX-License-Identifier: ISC */
/*
 * state.json in the run directory: what is known of processes and links, for
 * when nobody answers on the control socket.
 */
#ifndef SUP_STATE_H
#define SUP_STATE_H

#include <sys/types.h>
#include <stdint.h>

struct buf;

enum sup_phase {
	PHASE_STARTING,
	PHASE_RUNNING,
	PHASE_RELOADING,
	PHASE_STOPPING
};

struct sup_state_process {
	const char *role;
	int pid; /* 0: restarting */
	uint32_t restarts;
	int64_t since;	       /* Unix seconds of its start */
	int64_t next_start_ms; /* -1: none is planned */
};

struct sup_state_gateway {
	const char *name, *state, *reason;
	int64_t since; /* Unix seconds */
	int64_t next;  /* of the next attempt; 0: none is planned */
};

struct sup_state {
	int pid;
	int64_t updated; /* Unix seconds */
	enum sup_phase phase;
	const struct sup_state_process *process;
	unsigned nprocess;
	const struct sup_state_gateway *gateway;
	unsigned ngateway;
	/* Where the configuration is, and what relayd keeps; NULL: nowhere. */
	const char *conf, *state_dir;
};

/* Append the JSON text. */
void sup_state_render(struct buf *out, const struct sup_state *st);

/*
 * Put text in the place of path at once: whole before or whole after.  Mode
 * 0640, group gid ((gid_t)-1: ours).  0 or -1 with errno.
 */
int sup_state_write(const char *path, gid_t gid, const char *text, size_t len);

#endif
