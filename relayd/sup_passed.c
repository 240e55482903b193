/* SPDX-License-Identifier: ISC */
/* Sockets that the service manager passed. */

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "sup_passed.h"
#include "sup_sockets.h"

#define FD_FIRST 3 /* as the protocol has it */
/* One for each gateway, control.sock, status.sock, and some that a unit passes
 * by mistake and are to be told of. */
#define PASSED_MAX (LIMIT_GATEWAYS + 16)
/* Bytes of a descriptor's name: systemd allows 255. */
#define FDNAME_MAX 255
/* Bytes of a name or path as it is shown: both come from elsewhere. */
#define SHOWN_MAX 160

/* What a socket must be called that is called one of our names. */
#define NAME_AGENT "agent/"

struct sup_passed_fd {
	int fd;
	char name[FDNAME_MAX + 1];
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
	char gateway[LIMIT_NAME + 1]; /* "": not an agents' socket */
};

__attribute__((format(printf, 3, 4))) static int
wrong(struct conf_error *e, const struct sup_passed_fd *d, const char *fmt, ...)
{
	char name[SHOWN_MAX], text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_vis(name, sizeof(name), span_str(d->name));
	e->mistake = !e->passing;
	snprintf(e->text, sizeof(e->text),
	    "descriptor %d%s%s%s that the service manager passed %s", d->fd,
	    name[0] == '\0' ? "" : " (", name, name[0] == '\0' ? "" : ")",
	    text);
	return -1;
}

static const char *
env_value(char *const env[], const char *name)
{
	size_t n = strlen(name);

	for (; *env != NULL; env++)
		if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
			return *env + n + 1;
	return NULL;
}

int
sup_passed_count(char *const env[])
{
	const char *pid = env_value(env, "LISTEN_PID"), *bad = NULL;
	const char *fds = env_value(env, "LISTEN_FDS");
	int n;

	/* Another's, whose environment we have. */
	if (pid == NULL || fds == NULL ||
	    strtonum(pid, 1, INT32_MAX, &bad) != getpid())
		return 0;
	n = (int)strtonum(fds, 0, PASSED_MAX, &bad);
	return bad == NULL ? n : -1;
}

/* The next of "name:name:…" */
static void
next_name(const char **list, char *name, size_t cap)
{
	size_t n;

	name[0] = '\0';
	if (*list == NULL)
		return;
	n = strcspn(*list, ":");
	snprintf(name, cap, "%.*s", (int)(n < cap ? n : cap - 1), *list);
	*list = (*list)[n] == ':' ? *list + n + 1 : NULL;
}

static int
option(int fd, int name)
{
	socklen_t len = sizeof(int);
	int v = -1;

	return getsockopt(fd, SOL_SOCKET, name, &v, &len) == -1 ? -1 : v;
}

/* What it is, beyond all doubt: a listening stream socket of the file system.
 */
static int
look(struct sup_passed_fd *d, struct conf_error *e)
{
	struct sockaddr_un a;
	socklen_t len = sizeof(a);
	int flags;

	memset(&a, 0, sizeof(a));
	if ((flags = fcntl(d->fd, F_GETFL)) == -1)
		return wrong(e, d,
		    "is not open: LISTEN_FDS promises more than there are");
	if (getsockname(d->fd, (struct sockaddr *)&a, &len) == -1)
		return wrong(e, d, "is not a socket: pass sockets alone");
	if (a.sun_family != AF_UNIX)
		return wrong(e, d,
		    "is no UNIX-domain socket: give ListenStream= a path");
	if (option(d->fd, SO_TYPE) != SOCK_STREAM)
		return wrong(e, d, "is not of type stream: use ListenStream=");
	if (option(d->fd, SO_ACCEPTCONN) != 1)
		return wrong(e, d,
		    "does not listen: pass the listening socket (Accept=no)");
	if (len <= offsetof(struct sockaddr_un, sun_path) ||
	    a.sun_path[0] != '/')
		return wrong(e, d,
		    "has no place in the file system: give ListenStream= a "
		    "path");
	snprintf(d->path, sizeof(d->path), "%.*s",
	    (int)(len - offsetof(struct sockaddr_un, sun_path)), a.sun_path);
	if (fcntl(d->fd, F_SETFL, flags | O_NONBLOCK) == -1 ||
	    fcntl(d->fd, F_SETFD, FD_CLOEXEC) == -1)
		return wrong(e, d, "cannot be set up: %s", strerror(errno));
	return 0;
}

/* "main" of "agent/main.sock"; 0, or -1: it is another file's name. */
static int
agent_of(const char *file, char gateway[LIMIT_NAME + 1])
{
	const size_t head = strlen(NAME_AGENT);
	size_t n = strlen(file);

	if (strncmp(file, NAME_AGENT, head) != 0 || n <= head + 5 ||
	    n > head + 5 + LIMIT_NAME || strcmp(file + n - 5, ".sock") != 0 ||
	    strchr(file + head, '/') != NULL)
		return -1;
	snprintf(
	    gateway, LIMIT_NAME + 1, "%.*s", (int)(n - head - 5), file + head);
	return 0;
}

/* Its file within the run directory, or NULL. */
static const char *
file_of(const struct sup_passed_fd *d, const char *run)
{
	size_t n = strlen(run);

	return strncmp(d->path, run, n) == 0 && d->path[n] == '/'
	    ? d->path + n + 1
	    : NULL;
}

/* The file that a name of ours means; "": it is none. */
static void
meant(const char *name, char *file, size_t cap)
{
	file[0] = '\0';
	if (strcmp(name, "control") == 0 || strcmp(name, "status") == 0 ||
	    strncmp(name, NAME_AGENT, strlen(NAME_AGENT)) == 0)
		snprintf(file, cap, "%s.sock", name);
}

/* Whether we have a use for it: 1, 0, or -1: it contradicts itself. */
static int
place(struct sup_passed_fd *d, const char *run, struct conf_error *e)
{
	char file[FDNAME_MAX + 8], path[SHOWN_MAX], want[SHOWN_MAX];
	const char *is = file_of(d, run);

	log_vis(path, sizeof(path), span_str(d->path));
	meant(d->name, file, sizeof(file));
	log_vis(want, sizeof(want), span_str(file));
	if (file[0] != '\0' && (is == NULL || strcmp(is, file) != 0))
		return wrong(e, d,
		    "is at %s: with that name ListenStream= must be "
		    "%.160s/%s",
		    path, run, want);
	if (is != NULL &&
	    (strcmp(is, "control.sock") == 0 ||
		strcmp(is, "status.sock") == 0 ||
		agent_of(is, d->gateway) == 0))
		return 1;
	if (is != NULL && strcmp(is, "auth.sock") == 0)
		return wrong(e, d,
		    "is at %s: relayd makes that one itself; take it out of "
		    "the socket unit",
		    path);
	log_vis(want, sizeof(want), span_str(d->name));
	log_warn("listen", NULL,
	    "descriptor %d (%s) that the service manager passed is closed: %s "
	    "is no socket of relayd's; control.sock, status.sock and "
	    "agent/GATEWAY.sock in %s are",
	    d->fd, want, path, run);
	return 0;
}

static int
take(struct sup_passed *p, int fd, const char *name, const char *run,
    struct conf_error *e)
{
	struct sup_passed_fd *d = &p->fd[p->n];
	size_t i;
	int r;

	memset(d, 0, sizeof(*d));
	d->fd = fd;
	strlcpy(d->name, name, sizeof(d->name));
	if (look(d, e) == -1 || (r = place(d, run, e)) == -1)
		return -1;
	for (i = 0; r == 1 && i < p->n; i++)
		if (strcmp(p->fd[i].path, d->path) == 0)
			return wrong(e, d,
			    "is at the same place as another: name each "
			    "socket in one unit alone");
	if (r == 1)
		p->n++;
	else
		close(fd);
	return 0;
}

int
sup_passed_init(struct sup_passed *p, const struct sup_env *env,
    const char *run, struct conf_error *e)
{
	const char *names = sup_env_get(env, "LISTEN_FDNAMES");
	char name[FDNAME_MAX + 1];
	int i, n = sup_passed_count(env->var);

	p->n = 0;
	if (n == -1) {
		snprintf(e->text, sizeof(e->text),
		    "LISTEN_FDS is no number from 0 to %d: pass fewer sockets",
		    PASSED_MAX);
		return -1;
	}
	if (n == 0)
		return 0;
	if ((p->fd = calloc((size_t)n, sizeof(*p->fd))) == NULL) {
		e->passing = 1;
		strlcpy(e->text, "out of memory", sizeof(e->text));
		return -1;
	}
	for (i = 0; i < n; i++) {
		next_name(&names, name, sizeof(name));
		if (take(p, FD_FIRST + i, name, run, e) == -1)
			return -1;
	}
	return 0;
}

static const struct sup_passed_fd *
find(const struct sup_passed *p, const char *path)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (strcmp(p->fd[i].path, path) == 0)
			return &p->fd[i];
	return NULL;
}

/* Its file says who may connect, and the manager has made it: it must agree
 * with what the configuration says, and never be for everybody. */
static int
check_access(const struct sup_passed_fd *d, gid_t gid, struct conf_error *e)
{
	struct stat st;

	if (lstat(d->path, &st) == -1)
		return wrong(e, d,
		    "has lost its place %s: %s: restart its socket unit",
		    d->path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return wrong(e, d,
		    "has lost its place: %s is no socket; restart its socket "
		    "unit",
		    d->path);
	if ((st.st_mode & 002) != 0)
		return wrong(e, d,
		    "is open to everybody: %s has mode %04o; set "
		    "SocketMode=0660 in its unit",
		    d->path, (unsigned)st.st_mode & 07777);
	if (gid != (gid_t)-1 && st.st_gid != gid && (st.st_mode & 020) != 0)
		return wrong(e, d,
		    "is open to group %u, and the configuration names group "
		    "%u for %s: set SocketGroup= in its unit, or leave the "
		    "group out of the configuration",
		    (unsigned)st.st_gid, (unsigned)gid, d->path);
	return 0;
}

int
sup_passed_listen(const struct sup_passed *p, const char *path, gid_t gid,
    int *fd, struct conf_error *e)
{
	const struct sup_passed_fd *d = find(p, path);

	if (d == NULL)
		return 1;
	if (check_access(d, gid, e) == -1)
		return -1;
	/* The one that was passed stays for a gateway that comes back. */
	if (*fd == -1 && (*fd = fcntl(d->fd, F_DUPFD_CLOEXEC, 0)) == -1) {
		e->passing = 1;
		return wrong(e, d, "cannot be duplicated: %s", strerror(errno));
	}
	return 0;
}

int
sup_passed_group(const struct sup_passed *p, const char *path, gid_t gid,
    struct conf_error *e)
{
	return find(p, path) != NULL ? 0 : sup_listen_group(path, gid, e);
}

void
sup_passed_say(const struct sup_passed *p, const struct conf *c)
{
	size_t i, j;

	for (i = 0; i < p->n; i++) {
		const struct sup_passed_fd *d = &p->fd[i];

		if (d->gateway[0] == '\0')
			continue;
		for (j = 0; j < c->ngateway; j++)
			if (strcmp(c->gateway[j].name, d->gateway) == 0)
				break;
		if (j == c->ngateway)
			log_warn("listen", NULL,
			    "%s, which the service manager passed, is for a "
			    "gateway that is not configured: it is not "
			    "answered until one is",
			    d->path);
	}
}

void
sup_passed_free(struct sup_passed *p)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		close(p->fd[i].fd);
	free(p->fd);
	p->fd = NULL;
	p->n = 0;
}
