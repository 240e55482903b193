/* SPDX-License-Identifier: ISC */
/* Who may do what with relayd's files, directories and sockets. */
#include <sys/stat.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "role.h"
#include "secret_file.h"

#define P STEP_PERMISSIONS

/* Whether we can look at all that relayd's user can. */
static int
is_insider(const struct check *k)
{
	return geteuid() == 0 || geteuid() == k->owner;
}

/* The configuration's file. */
static void
conf_file(struct check *k)
{
	struct conf_error e;
	struct stat st;

	if (k->conf_path[0] == '\0' ||
	    (k->conf != NULL && k->conf->path == NULL))
		return;
	if (stat(k->conf_path, &st) == -1) {
		if (errno == EACCES)
			check_add(k, CHECK_SKIP, P, NULL,
			    "%s: the way to it is not for us", k->conf_path);
		return; /* else that was told */
	}
	if (k->owner == 0) {
		if (conf_check_owner(k->conf_path, &e) == -1)
			check_add(k, CHECK_FAIL, P, NULL,
			    "%s\nhave it and each directory on the way to "
			    "it belong to root, and chmod go-w them: relayd "
			    "does not start as root with what others could "
			    "have written",
			    e.text);
		else
			check_add(k, CHECK_OK, P, NULL,
			    "%s: only root can change it", k->conf_path);
	} else if ((st.st_mode & 022) != 0 ||
	    (st.st_uid != 0 && st.st_uid != k->owner))
		check_add(k, CHECK_WARN, P, NULL,
		    "%s: others can change it (mode %04o, uid %u)\n"
		    "chmod go-w %s, and have it belong to the user relayd "
		    "runs as",
		    k->conf_path, (unsigned)st.st_mode & 07777,
		    (unsigned)st.st_uid, k->conf_path);
	else
		check_add(k, CHECK_OK, P, NULL,
		    "%s: only its owner can change it (mode %04o)",
		    k->conf_path, (unsigned)st.st_mode & 07777);
}

/* A directory of relayd's: whose it is, and that only they write there.
 * Whether it is there. */
static int
directory(struct check *k, const char *path, uid_t owner, mode_t mask)
{
	struct conf_error e;
	struct stat st;

	if (lstat(path, &st) == -1) {
		if (errno == EACCES && !is_insider(k))
			check_add(k, CHECK_SKIP, P, NULL,
			    "%s: the way to it is not for us", path);
		else if (errno == ENOENT)
			check_add(k, CHECK_OK, P, NULL,
			    "%s: not there yet; relayd makes it", path);
		else
			check_add(k, CHECK_FAIL, P, NULL,
			    "%s: %s\nname another directory (-r, -s)", path,
			    strerror(errno));
		return 0;
	}
	if (!S_ISDIR(st.st_mode))
		check_add(k, CHECK_FAIL, P, NULL,
		    "%s: no directory\nremove it, or name another (-r, -s)",
		    path);
	else if (st.st_uid != owner && st.st_uid != k->owner)
		check_add(k, CHECK_FAIL, P, NULL,
		    "%s: belongs to uid %u, not to uid %u\nchown it, or name "
		    "another (-r, -s)",
		    path, (unsigned)st.st_uid, (unsigned)owner);
	else if ((st.st_mode & mask) != 0)
		check_add(k, CHECK_FAIL, P, NULL,
		    "%s: others can use it (mode %04o)\nchmod %s %s", path,
		    (unsigned)st.st_mode & 07777, mask == 022 ? "go-w" : "700",
		    path);
	else if (k->owner == 0 && conf_check_parents(path, &e) == -1)
		check_add(k, CHECK_FAIL, P, NULL,
		    "%s\nhave each directory on the way to it belong to root, "
		    "and chmod go-w them; or name another (-r, -s)",
		    e.text);
	else
		check_add(k, CHECK_OK, P, NULL, "%s (mode %04o, uid %u)", path,
		    (unsigned)st.st_mode & 07777, (unsigned)st.st_uid);
	return S_ISDIR(st.st_mode);
}

/* What relayd makes in its run directory, and with which modes; 0: not. */
static const struct {
	const char *name;
	mode_t as_root, else_mode;
} made[] = {
    {"", 0755, 0700},
    {"/agent", 0755, 0755},
    {"/empty", 0555, 0},
    {"/state.json", 0640, 0640},
    {"/config.json", 0640, 0640},
};

/* What is not as it was made: modes stay as they are found, and with less, some
 * who should do not get through.  Whether there was something to say. */
static int
made_file(struct check *k, const char *path, mode_t want, const struct stat *st)
{
	const mode_t mode = st->st_mode & 0777;
	int shut = k->owner == 0 && S_ISDIR(st->st_mode) && (mode & 011) == 0;

	if (st->st_uid != k->owner)
		check_add(k, CHECK_FAIL, P, NULL,
		    "%s: belongs to uid %u, not to uid %u\nchown %u %s", path,
		    (unsigned)st->st_uid, (unsigned)k->owner,
		    (unsigned)k->owner, path);
	else if (shut || (mode & ~want & 022) != 0)
		check_add(k, CHECK_FAIL, P, NULL,
		    "%s: not as relayd makes it: %s (mode %04o, not %04o)\n"
		    "chmod %o %s",
		    path,
		    shut ? "others who should do not get through"
			 : "others can change it",
		    (unsigned)mode, (unsigned)want, (unsigned)want, path);
	else if ((want & ~mode & (k->owner == 0 ? 0777 : 0700)) != 0)
		check_add(k, CHECK_WARN, P, NULL,
		    "%s: not as relayd makes it: some do not get through "
		    "(mode %04o, not %04o)\nchmod %o %s, unless that is meant",
		    path, (unsigned)mode, (unsigned)want, (unsigned)want, path);
	else
		return 0;
	return 1;
}

static void
made_well(struct check *k, const char *path, const struct stat *st)
{
	if (S_ISDIR(st->st_mode))
		directory(k, path, k->owner, 022);
	else
		check_add(k, CHECK_OK, P, NULL, "%s (mode %04o, uid %u)", path,
		    (unsigned)st->st_mode & 07777, (unsigned)st->st_uid);
}

static void
made_files(struct check *k)
{
	char path[LIMIT_PATH + 16];
	struct stat st;
	mode_t want;
	size_t i;

	for (i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
		want = k->owner == 0 ? made[i].as_root : made[i].else_mode;
		snprintf(
		    path, sizeof(path), "%s%s", k->ctl->rundir, made[i].name);
		if (want == 0)
			continue;
		if (lstat(path, &st) == 0) {
			if (made_file(k, path, want, &st) == 0)
				made_well(k, path, &st);
		} else if (errno == EACCES && !is_insider(k))
			check_add(k, CHECK_SKIP, P, NULL,
			    "%s: the way to it is not for us", path);
		else
			check_add(k, CHECK_FAIL, P, NULL,
			    "%s: %s\nrestart relayd, which makes it", path,
			    strerror(errno));
	}
}

static void
directories(struct check *k)
{
	const char *user = role_row(ROLE_AUTHD)->user;
	char path[LIMIT_PATH + 16];
	const struct passwd *pw = k->owner == 0 ? getpwnam(user) : NULL;

	if (k->alive)
		made_files(k);
	else
		directory(k, k->ctl->rundir, k->owner, 022);
	if (!directory(k, k->state_path, k->owner, 022))
		return;
	snprintf(path, sizeof(path), "%s/authd", k->state_path);
	directory(k, path, pw == NULL ? k->owner : pw->pw_uid, 077);
	snprintf(path, sizeof(path), "%s/journal", k->state_path);
	directory(k, path, k->owner, 077);
}

/* A group that the configuration names; its id, or -1. */
static gid_t
group(struct check *k, const char *gateway, const char *name)
{
	const struct group *gr = name == NULL ? NULL : getgrnam(name);

	if (name == NULL)
		return (gid_t)-1;
	if (gr == NULL) {
		check_add(k, CHECK_FAIL, P, gateway,
		    "no group \"%s\" on this machine\nmake it (groupadd %s) or "
		    "name another",
		    name, name);
		return (gid_t)-1;
	}
	return gr->gr_gid;
}

/* Whether somebody is listed as a member; others may be started with it. */
static int
has_members(gid_t gid)
{
	const struct group *gr = getgrgid(gid);
	const struct passwd *pw;

	if (gr == NULL || gr->gr_mem[0] != NULL)
		return 1;
	setpwent();
	while ((pw = getpwent()) != NULL && pw->pw_gid != gid)
		;
	endpwent();
	return pw != NULL;
}

/* A socket of the running relayd. */
static void
socket_file(struct check *k, const char *gateway, const char *path, mode_t mode,
    const char *name)
{
	const gid_t gid = group(k, gateway, name);
	struct stat st;

	if (!k->alive || (name != NULL && gid == (gid_t)-1))
		return;
	if (lstat(path, &st) == -1) {
		if (errno == EACCES && !is_insider(k))
			check_add(k, CHECK_SKIP, P, gateway,
			    "%s: the way to it is not for us", path);
		else
			check_add(k, CHECK_FAIL, P, gateway,
			    "%s: %s\nrelay-ctl reload, if the configuration "
			    "was changed; else restart relayd",
			    path, strerror(errno));
		return;
	}
	if (!S_ISSOCK(st.st_mode) || (st.st_mode & 07777) != mode ||
	    st.st_uid != k->owner || (gid != (gid_t)-1 && st.st_gid != gid))
		check_add(k, CHECK_FAIL, P, gateway,
		    "%s: not as relayd makes it (mode %04o, uid %u, gid %u)\n"
		    "relay-ctl reload, if the configuration was changed; else "
		    "restart relayd",
		    path, (unsigned)st.st_mode & 07777, (unsigned)st.st_uid,
		    (unsigned)st.st_gid);
	else
		check_add(k, CHECK_OK, P, gateway, "%s (mode %04o, group %s%s)",
		    path, (unsigned)st.st_mode & 07777,
		    name == NULL ? "relayd's own" : name,
		    name == NULL	   ? ""
			: has_members(gid) ? ""
					   : ": no user is listed in it");
}

static void
sockets(struct check *k)
{
	const char *dir = k->ctl->rundir, *name;
	char path[LIMIT_PATH + LIMIT_NAME + 32];
	size_t i;

	name = k->conf->control_group;
	snprintf(path, sizeof(path), "%s/control.sock", dir);
	socket_file(k, NULL, path, 0660, name);
	if (k->alive) {
		snprintf(path, sizeof(path), "%s/status.sock", dir);
		socket_file(k, NULL, path, 0660, name);
		snprintf(path, sizeof(path), "%s/auth.sock", dir);
		socket_file(k, NULL, path, 0600, NULL);
	}
	for (i = 0; i < k->conf->ngateway; i++) {
		name = k->conf->gateway[i].name;
		if (k->only != NULL && strcmp(name, k->only) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/agent/%s.sock", dir, name);
		socket_file(
		    k, name, path, 0660, k->conf->gateway[i].agents.group);
	}
}

/* A file of a secret: looked at, not opened.  One that may come later is no
 * fault while it is not there. */
static void
secret(struct check *k, const char *gateway, const char *path, const char *user,
    mode_t mask, int later)
{
	char why[LIMIT_REASON];
	struct stat st;

	if (path == NULL)
		return;
	switch (
	    secret_file_look(path, k->owner, user, mask, why, sizeof(why))) {
	case SECRET_FILE_GOOD:
		if (stat(path, &st) == 0 && st.st_size == 0)
			check_add(k, later ? CHECK_WARN : CHECK_FAIL, P,
			    gateway,
			    "%s: is empty: nothing is taken from it\nput the "
			    "secret there; what relayd has stays in use until "
			    "it is restarted",
			    path);
		else
			check_add(k, CHECK_OK, P, gateway,
			    "%s: others cannot read it", path);
		break;
	case SECRET_FILE_BAD:
		check_add(k, CHECK_FAIL, P, gateway,
		    "%s: %s\nlet it be a regular file of root's, or of the "
		    "user relayd runs as, with no access for others (mode "
		    "0600); until then nothing is taken from it",
		    path, why);
		break;
	case SECRET_FILE_MISSING:
		check_add(k, later ? CHECK_WARN : CHECK_FAIL, P, gateway,
		    "%s: %s\nwrite it, with mode 0600, or name another in the "
		    "configuration; the gateway waits for it",
		    path, why);
		break;
	case SECRET_FILE_HIDDEN:
		check_add(k, CHECK_SKIP, P, gateway,
		    "%s: the way to it is not for us\nrun relay-ctl check as "
		    "root, or as the user relayd runs as",
		    path);
		break;
	}
}

static void
secrets(struct check *k, const struct conf_gateway *g)
{
	const char *authd = role_row(ROLE_AUTHD)->user;

	secret(k, g->name, g->secret.file, authd, SECRET_FILE_OWN, 0);
	secret(k, g->name, g->token.file, authd, SECRET_FILE_TOKEN, 1);
	secret(k, g->name, g->token.oidc_client_secret_file, authd,
	    SECRET_FILE_OWN, 0);
	secret(k, g->name, g->proxy.credentials_file,
	    role_row(ROLE_DIALER)->user, SECRET_FILE_OWN, 0);
}

void
check_permissions(struct check *k)
{
	const struct conf_gateway *g;
	size_t i;

	conf_file(k);
	directories(k);
	if (k->conf == NULL) {
		check_add(k, CHECK_SKIP, P, NULL,
		    "secrets' files, sockets and groups: which there are, the "
		    "configuration would say");
		return;
	}
	for (i = 0; i < k->conf->ngateway; i++) {
		g = &k->conf->gateway[i];
		if (k->only == NULL || strcmp(g->name, k->only) == 0)
			secrets(k, g);
	}
	sockets(k);
}
