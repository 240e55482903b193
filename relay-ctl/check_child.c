/* SPDX-License-Identifier: ISC */
/* Processes that touch the network for a check: started, shut in, heard. */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "check_child.h"
#include "client.h"
#include "env_wipe.h"
#include "nss_load.h"
#include "sandbox_landlock.h"
#include "sandbox_seccomp.h"

/* A person is told after so many milliseconds. */
#define TELL_AFTER 1000
#define INPUTS	   3

/* What a terminal shows comes from us alone. */
static int
leave_terminal(void)
{
#ifdef RELAYD_SANITIZE
	const int last = STDOUT_FILENO; /* reports go to standard error */
#else
	const int last = STDERR_FILENO;
#endif
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), fd;

	for (fd = 0; null != -1 && fd <= last; fd++)
		if (dup2(null, fd) == -1)
			return -1;
	return null == -1 ? -1 : 0;
}

/* The child's descriptors in their places, and no others. */
static int
place(int fd, const int *input, int n)
{
	const int spare = CHECK_INPUT + INPUTS;
	int moved[1 + INPUTS], i;

	if (leave_terminal() == -1)
		return -1;
	/* Out of the way first. */
	moved[0] = fcntl(fd, F_DUPFD, spare);
	for (i = 0; i < n; i++)
		moved[1 + i] =
		    input[i] == -1 ? -1 : fcntl(input[i], F_DUPFD, spare);
	for (i = 0; i <= INPUTS; i++)
		close(CHECK_FD + i);
	for (i = 0; i <= n; i++)
		if (moved[i] != -1 && dup2(moved[i], CHECK_FD + i) == -1)
			return -1;
	closefrom(spare);
	return 0;
}

int
check_child_start(struct check_child *c, void (*run)(const void *arg),
    const void *arg, const int *input, int n)
{
	const pid_t me = getpid();
	int pair[2];

	c->fd = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1)
		return -1;
	if ((c->pid = fork()) == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(CHECK_LIFE);
		signal(SIGPIPE, SIG_IGN);
		if (getppid() != me || place(pair[1], input, n) == -1)
			_exit(1);
		env_wipe();
		run(arg);
		_exit(0);
	}
	close(pair[1]);
	if (c->pid == -1) {
		close(pair[0]);
		return -1;
	}
	c->fd = pair[0];
	return 0;
}

/* Wait until something comes.  Whether it did. */
static int
wait_for(int fd, int ms)
{
	const int64_t until = client_now() + ms;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int64_t left;
	int n;

	do {
		left = until - client_now();
		n = left <= 0 ? 0 : poll(&p, 1, (int)left);
	} while (n == -1 && errno == EINTR);
	return n > 0;
}

static int
wait_aloud(int fd, int ms, const char *doing)
{
	if (!isatty(STDERR_FILENO))
		return wait_for(fd, ms);
	if (wait_for(fd, TELL_AFTER))
		return 1;
	ctl_warn("%s, up to %d s", doing, ms / 1000);
	return wait_for(fd, ms - TELL_AFTER);
}

int
check_child_recv(struct check_child *c, void *p, size_t len, int *fd, int ms,
    const char *doing)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {p, len};
	struct msghdr m = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.room,
	    /* one descriptor: the room is padded to that of two */
	    .msg_controllen = fd == NULL ? 0 : CMSG_LEN(sizeof(int))};
	const struct cmsghdr *cm;
	ssize_t n;

	if (fd != NULL)
		*fd = -1;
	if (!wait_aloud(c->fd, ms, doing))
		return 0;
	n = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC);
	cm = n > 0 && fd != NULL ? CMSG_FIRSTHDR(&m) : NULL;
	if (cm != NULL && cm->cmsg_level == SOL_SOCKET &&
	    cm->cmsg_type == SCM_RIGHTS &&
	    cm->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(cm), sizeof(int));
	if (n == (ssize_t)len && (m.msg_flags & MSG_TRUNC) == 0)
		return 1;
	if (fd != NULL && *fd != -1) {
		close(*fd);
		*fd = -1;
	}
	return -1;
}

void
check_child_end(struct check_child *c)
{
	if (c->fd == -1)
		return;
	close(c->fd);
	c->fd = -1;
	kill(c->pid, SIGKILL);
	while (waitpid(c->pid, NULL, 0) == -1 && errno == EINTR)
		;
}

/* The child. */

/* Root is left for the role's user; for nobody where that is not there. */
static int
leave_root(const char *user)
{
	const struct passwd *pw;

	if (geteuid() != 0)
		return 0;
	if (((pw = getpwnam(user)) == NULL || pw->pw_uid == 0) &&
	    (pw = getpwnam("nobody")) == NULL)
		return -1;
	return setgroups(0, NULL) == -1 ||
		setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) == -1 ||
		setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) == -1 ||
		setuid(0) != -1
	    ? -1
	    : 0;
}

void
check_child_confine(enum role r, const uint16_t *port, size_t nport)
{
	const struct role_row *row = role_row(r);
	const struct sandbox_landlock s = {NULL, row->readable, port, nport};
	const struct rlimit none = {0, 0};
	const int abi = sandbox_landlock_abi();

	if (row->resolves)
		nss_load();
	if (leave_root(row->user) == -1 || chdir("/") == -1 ||
	    setrlimit(RLIMIT_CORE, &none) == -1 ||
	    setrlimit(RLIMIT_FSIZE, &none) == -1 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		_exit(1);
	/* A change of user has taken it away. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if ((abi > 0 && sandbox_landlock(&s, abi) == -1) ||
	    sandbox_seccomp(r) == -1)
		_exit(1);
}

void
check_child_tell(const void *p, size_t len, int fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {.iov_len = len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *cm;

	memcpy(&iov.iov_base, &p, sizeof(p)); /* it is only read */
	if (fd != -1) {
		memset(&control, 0, sizeof(control));
		m.msg_control = control.room;
		m.msg_controllen = sizeof(control.room);
		cm = CMSG_FIRSTHDR(&m);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cm), &fd, sizeof(int));
	}
	if (sendmsg(CHECK_FD, &m, MSG_NOSIGNAL) != (ssize_t)len)
		_exit(1);
}
