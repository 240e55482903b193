/* SPDX-License-Identifier: ISC */
/* Listening sockets at their places. */

#include <sys/stat.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sup_conf.h"
#include "sup_sock.h"
#include "sup_sockets.h"

#define NONE ((struct sup_sock_bound){.fd = -1})

static const struct {
	const char *name;
	mode_t mode;
	int grouped; /* for control.group */
} common[SUP_SOCKS] = {
    [SUP_SOCK_CONTROL] = {"control.sock", 0660, 1},
    [SUP_SOCK_STATUS] = {"status.sock", 0660, 1},
    /* Secrets pass here: for who started us alone. */
    [SUP_SOCK_AUTH] = {"auth.sock", 0600, 0},
};

/* A socket with its name in the run directory and its path. */
struct at {
	struct sup_sock *k;
	const char *gateway; /* NULL: none's */
	char name[LIMIT_NAME + 16];
	char path[LIMIT_PATH + LIMIT_NAME + 32];
};

static void
at_common(struct supervisor *s, int i, struct at *at)
{
	at->k = &s->sock[i];
	at->gateway = NULL;
	snprintf(at->name, sizeof(at->name), "%s", common[i].name);
	snprintf(at->path, sizeof(at->path), "%s/%s", s->paths.run, at->name);
}

static void
at_agents(struct supervisor *s, unsigned slot, struct at *at)
{
	at->k = &s->slots.slot[slot].sock;
	at->gateway = s->slots.slot[slot].name;
	snprintf(at->name, sizeof(at->name), "agent/%s.sock", at->gateway);
	snprintf(at->path, sizeof(at->path), "%s/%s", s->paths.run, at->name);
}

/* Whether what is at the path is the file that we made for it: while the
 * socket is open, no other file has its number. */
static int
is_ours(const struct sup_sock_bound *b, const char *path)
{
	struct stat st;

	return b->fd != -1 && b->ino != 0 && lstat(path, &st) == 0 &&
	    st.st_dev == b->dev && st.st_ino == b->ino;
}

static void
remove_ours(const struct at *at)
{
	if (is_ours(&at->k->now, at->path))
		unlink(at->path);
}

/* The directories, too, may be gone. */
static int
has_directory(const struct supervisor *s, struct conf_error *e)
{
	char path[LIMIT_PATH + 16];

	snprintf(path, sizeof(path), "%s/agent", s->paths.run);
	if (access(path, F_OK) == 0 || errno != ENOENT)
		return 0;
	return sup_dir_run(NULL, s->paths.run, e);
}

static int
have(struct supervisor *s, struct at *at, mode_t mode, gid_t gid,
    struct conf_error *e)
{
	struct sup_sock *k = at->k;
	struct sup_sock_bound new = NONE;
	struct stat st;
	int r = sup_passed_listen(&s->passed, at->path, gid, &k->now.fd, e);

	if (r <= 0)
		return r;
	if (is_ours(&k->now, at->path))
		return 0;
	if (has_directory(s, e) == -1)
		return -1;
	if ((new.fd = sup_listen(at->path, mode, gid, e)) == -1)
		return -1;
	if (lstat(at->path, &st) == 0) {
		new.dev = st.st_dev;
		new.ino = st.st_ino;
	}
	k->old = k->now;
	k->now = new;
	return 0;
}

int
sup_sock_common(struct supervisor *s, gid_t gid, struct conf_error *e)
{
	struct at at;
	int i;

	for (i = 0; i < SUP_SOCKS; i++) {
		at_common(s, i, &at);
		if (have(s, &at, common[i].mode,
			common[i].grouped ? gid : (gid_t)-1, e) == -1)
			return -1;
	}
	return 0;
}

int
sup_sock_agents(
    struct supervisor *s, unsigned slot, gid_t gid, struct conf_error *e)
{
	struct at at;

	at_agents(s, slot, &at);
	return have(s, &at, 0660, gid, e);
}

void
sup_sock_common_remove(struct supervisor *s)
{
	struct at at;
	int i;

	for (i = 0; i < SUP_SOCKS; i++) {
		at_common(s, i, &at);
		remove_ours(&at);
	}
}

void
sup_sock_agents_remove(struct supervisor *s, unsigned slot)
{
	struct at at;

	at_agents(s, slot, &at);
	remove_ours(&at);
}

static void
note(struct sup_sock_list *list, const char *name)
{
	size_t n = strlen(list->text);

	if (list->more > 0 || n + strlen(name) + 3 > sizeof(list->text))
		list->more++;
	else
		snprintf(list->text + n, sizeof(list->text) - n, "%s%s",
		    n == 0 ? "" : ", ", name);
}

/* Its group, where it is ours to give. */
static void
regroup(struct supervisor *s, const struct at *at, const char *group)
{
	struct conf_error e;
	gid_t gid;
	int r;

	if (sup_group(group, &gid) == -1) {
		log_warn("conf", at->gateway,
		    "%s keeps its group: there is no group \"%s\" any more",
		    at->path, group);
		return;
	}
	r = sup_passed_group(&s->passed, at->path, gid, &e);
	if (r == -1)
		log_warn("conf", at->gateway, "%s", e.text);
	else if (r == 1)
		note(&s->reload.regrouped, at->name);
}

static void
settle(struct supervisor *s, const struct at *at)
{
	if (at->k->old.fd == -1)
		return;
	close(at->k->old.fd);
	at->k->old = NONE;
	note(&s->reload.anew, at->name);
	log_warn("listen", at->gateway,
	    "%s was gone: it is made anew; who is connected stays", at->path);
}

void
sup_sock_commit(struct supervisor *s, const struct sup_plan *p)
{
	const struct conf_gateway *g;
	struct at at;
	size_t n;
	int i;

	memset(&s->reload.anew, 0, sizeof(s->reload.anew));
	memset(&s->reload.regrouped, 0, sizeof(s->reload.regrouped));
	for (i = 0; i < SUP_SOCKS; i++) {
		at_common(s, i, &at);
		settle(s, &at);
		if (common[i].grouped)
			regroup(s, &at, p->conf->control_group);
	}
	for (n = 0; n < p->conf->ngateway; n++) {
		g = &p->conf->gateway[n];
		at_agents(s, p->slot[n], &at);
		settle(s, &at);
		regroup(s, &at, g->agents.group);
	}
}

static void
undo(const struct at *at)
{
	if (at->k->old.fd == -1)
		return;
	remove_ours(at);
	close(at->k->now.fd);
	at->k->now = at->k->old;
	at->k->old = NONE;
}

void
sup_sock_undo(struct supervisor *s)
{
	struct at at;
	unsigned slot;
	int i;

	for (i = 0; i < SUP_SOCKS; i++) {
		at_common(s, i, &at);
		undo(&at);
	}
	for (slot = 0; slot < LIMIT_GATEWAYS; slot++)
		if (sup_slot_used(&s->slots, slot)) {
			at_agents(s, slot, &at);
			undo(&at);
		}
}

static void
say(const struct sup_sock_list *list, const char *what, char *text, size_t cap)
{
	char more[32] = "";
	size_t n = strlen(text);

	if (list->text[0] == '\0')
		return;
	if (list->more > 0)
		snprintf(more, sizeof(more), " and %u more", list->more);
	snprintf(text + n, cap - n, "; %s: %s%s", what, list->text, more);
}

void
sup_sock_say(const struct supervisor *s, char *text, size_t cap)
{
	say(&s->reload.anew, "made anew", text, cap);
	say(&s->reload.regrouped, "other group", text, cap);
}
