/* SPDX-License-Identifier: ISC */
/*
 * The listening sockets at their places in the run directory.  One whose file
 * is gone is made anew at a reload; those that the service manager passed are
 * its own to make (sup_passed.h).
 */
#ifndef SUP_SOCK_H
#define SUP_SOCK_H

#include <sys/types.h>
#include <unistd.h>

struct conf_error;
struct sup_plan;
struct supervisor;

/* A listening socket, and the file that it has while we made that. */
struct sup_sock_bound {
	int fd; /* -1: none */
	dev_t dev;
	ino_t ino;
};

struct sup_sock {
	struct sup_sock_bound now;
	/* Made anew by a reload under way: the one before, until it is known
	 * how that ends. */
	struct sup_sock_bound old;
};

/* Those that are there once; status.sock has the group of control.sock. */
enum { SUP_SOCK_CONTROL, SUP_SOCK_STATUS, SUP_SOCK_AUTH, SUP_SOCKS };

/* Room for a list of sockets, and what is said of those that do not fit. */
#define SUP_SOCK_NAMES 224

/* Which sockets a reload touched, by their names in the run directory. */
struct sup_sock_list {
	char text[SUP_SOCK_NAMES];
	unsigned more; /* that have no room there */
};

static inline void
sup_sock_init(struct sup_sock *k)
{
	k->now = k->old = (struct sup_sock_bound){.fd = -1};
}

/* Close its descriptors; the file stays. */
static inline void
sup_sock_close(struct sup_sock *k)
{
	if (k->now.fd != -1)
		close(k->now.fd);
	if (k->old.fd != -1)
		close(k->old.fd);
	sup_sock_init(k);
}

/* Find or make the sockets of operators, dashboards and credentials, or that
 * of the agents of the gateway with that place; gid (gid_t)-1: no group.  0,
 * or -1 with e filled: something is in the way, or none can be made. */
int sup_sock_common(struct supervisor *s, gid_t gid, struct conf_error *e);
int sup_sock_agents(
    struct supervisor *s, unsigned slot, gid_t gid, struct conf_error *e);
/* Remove the files of those, or of that, which we made and are still there. */
void sup_sock_common_remove(struct supervisor *s);
void sup_sock_agents_remove(struct supervisor *s, unsigned slot);

/* The reload is lived by: sockets get the groups that the plan says, those
 * that others took the place of are closed, and that is logged. */
void sup_sock_commit(struct supervisor *s, const struct sup_plan *p);
/* The reload is given up: those before are what there is. */
void sup_sock_undo(struct supervisor *s);
/* Append what the last commit touched to a sentence, or nothing. */
void sup_sock_say(const struct supervisor *s, char *text, size_t cap);

#endif
