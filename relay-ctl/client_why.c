/* SPDX-License-Identifier: ISC */
/* What to say when a socket of relayd cannot be connected to. */
#include <sys/stat.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "state.h"

/* Groups of a process that are looked at: more than one has in practice. */
#define GROUPS_MAX 256

/* A user's name, where there is one. */
static const char *
name_of(uid_t uid, char number[16])
{
	const struct passwd *pw = getpwuid(uid);

	snprintf(number, 16, "uid %u", (unsigned)uid);
	return pw == NULL ? number : pw->pw_name;
}

/* Credentials are for root, and for whom relayd was started as. */
static void
denied_auth(const struct client *c, uid_t owner)
{
	char number[16];

	if (owner == 0)
		ctl_warn("%s: permission denied: credentials are root's; run "
			 "relay-ctl as root",
		    c->path);
	else
		ctl_warn("%s: permission denied: credentials are for root and "
			 "for user %s, as whom relayd runs",
		    c->path, name_of(owner, number));
}

/* The setting that says whose group a socket has. */
static void
group_key(const char *path, char *key, size_t cap)
{
	const char *p = strstr(path, "/agent/");
	size_t n = p == NULL ? 0 : strlen(p + 7);

	if (n > 5)
		snprintf(
		    key, cap, "gateways.%.*s.agents.group", (int)n - 5, p + 7);
	else
		snprintf(key, cap, "control.group");
}

static int
in_group(gid_t gid)
{
	gid_t list[GROUPS_MAX];
	int i, n = getgroups(GROUPS_MAX, list);

	for (i = 0; i < n; i++)
		if (list[i] == gid)
			return 1;
	return getegid() == gid;
}

/* The socket itself is not for us. */
static void
denied_socket(const struct client *c, const struct stat *st)
{
	const struct group *gr = getgrgid(st->st_gid);
	char key[LIMIT_NAME + 32];

	group_key(c->path, key, sizeof(key));
	if (in_group(st->st_gid))
		ctl_warn("%s: permission denied: its group is ours, and its "
			 "mode %04o keeps that out; relayd makes it 0660: have "
			 "root set that (chmod 0660)",
		    c->path, (unsigned)st->st_mode & 07777);
	else if (st->st_gid == 0)
		/* Never have anybody join root's group. */
		ctl_warn("%s: permission denied: it is for root alone; ask as "
			 "root, or have root name a group of yours (%s in "
			 "relayd.yaml)",
		    c->path, key);
	else if (gr != NULL)
		ctl_warn("%s: permission denied: it is for group %s (%s in "
			 "relayd.yaml); have root add you to it (usermod -aG "
			 "%s USER), which counts from your next login",
		    c->path, gr->gr_name, key, gr->gr_name);
	else
		ctl_warn("%s: permission denied: it is for group %u (%s in "
			 "relayd.yaml), which has no name here",
		    c->path, (unsigned)st->st_gid, key);
}

/* A directory on the way to it keeps us out: those that relayd makes for
 * others than itself have mode 0755. */
static void
denied_directory(const struct client *c, const struct ctl *ctl, const char *dir,
    const struct stat *st)
{
	size_t run = strlen(ctl->rundir);
	char number[16];
	int ours = strncmp(dir, ctl->rundir, run) == 0 &&
	    (strcmp(dir + run, "/agent") == 0 ||
		(dir[run] == '\0' && st->st_uid == 0));

	if (ours)
		ctl_warn("%s: permission denied: the mode of %s is %04o, and "
			 "relayd makes it 0755; have its owner, %s, set that "
			 "(chmod 0755 %s)",
		    c->path, dir, (unsigned)st->st_mode & 07777,
		    name_of(st->st_uid, number), dir);
	else
		ctl_warn("%s: permission denied: %s has mode %04o and is "
			 "for user %s; run relay-ctl as that user",
		    c->path, dir, (unsigned)st->st_mode & 07777,
		    name_of(st->st_uid, number));
}

static void
denied(const struct client *c, const struct ctl *ctl)
{
	char dir[sizeof(c->path)], *slash;
	struct stat st;

	if (stat(c->path, &st) == 0 && !S_ISDIR(st.st_mode)) {
		if (client_is_auth(c))
			denied_auth(c, st.st_uid);
		else
			denied_socket(c, &st);
		return;
	}
	strlcpy(dir, c->path, sizeof(dir));
	while (stat(dir, &st) == -1) {
		if ((slash = strrchr(dir, '/')) == NULL || slash == dir) {
			ctl_warn("%s: permission denied", c->path);
			return;
		}
		*slash = '\0';
	}
	denied_directory(c, ctl, dir, &st);
}

enum client_life
client_life(const struct ctl *ctl, char words[24])
{
	enum client_life life = LIFE_NO;
	struct client c;
	struct state st;

	words[0] = '\0';
	if (state_read(&st, ctl) == 0 && st.alive) {
		snprintf(words, 24, " (pid %d)", st.pid);
		life = LIFE_YES;
	}
	state_free(&st);
	if (life == LIFE_YES)
		return life;
	/* state.json is for operators. */
	switch (client_open(&c, ctl, "status.sock")) {
	case CLIENT_OK:
	case CLIENT_SILENT:
		life = LIFE_YES;
		break;
	case CLIENT_DENIED:
		life = LIFE_MAYBE;
		break;
	default:
		break;
	}
	client_close(&c);
	return life;
}

/* Somebody removed the socket's file: relayd keeps its sockets while its
 * processes restart. */
static int
is_gone(const struct client *c, const struct ctl *ctl)
{
	const char *slash = strrchr(c->path, '/');
	char words[24];
	struct stat st;

	if (lstat(c->path, &st) == 0 || errno != ENOENT ||
	    state_steady(ctl) == 0 || client_life(ctl, words) != LIFE_YES)
		return 0;
	ctl_warn("%s is gone, though relayd runs%s: somebody removed it; have "
		 "it made anew (%s)",
	    c->path, words,
	    slash != NULL && strcmp(slash, "/control.sock") == 0
		? "systemctl reload relayd, or kill -HUP the supervisor"
		: "relay-ctl reload");
	return 1;
}

int
client_explain(
    const struct client *c, const struct ctl *ctl, enum client_result r)
{
	if (r == CLIENT_WRONG)
		return CTL_FAILED;
	if (r == CLIENT_DENIED) {
		denied(c, ctl);
		return CTL_FAILED;
	}
	if (r == CLIENT_ABSENT && is_gone(c, ctl))
		return CTL_FAILED;
	if (state_warn(ctl, c->who) == 0)
		return CTL_FAILED;
	if (state_strange(ctl))
		return CTL_FAILED;
	if (r == CLIENT_SILENT) {
		ctl_warn("%s: no answer in time, and no %s/state.json that "
			 "says why; look at relayd's log",
		    c->path, ctl->rundir);
		return CTL_FAILED;
	}
	ctl_warn("relayd is not running (%s: nobody answers); start it, or "
		 "name its run directory with -r",
	    c->path);
	return CTL_NOT_RUNNING;
}
