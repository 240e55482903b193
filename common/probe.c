/* SPDX-License-Identifier: ISC */
/* Self-probes: try the forbidden, expect the refusal. */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "probe.h"
#include "sandbox_seccomp.h"

/* Seconds after which a helper process ends by itself. */
#define HELPER_LIFE 10

int
probe_outside(struct probe *p)
{
	p->abstract = p->other_end = -1;
	p->outside = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return p->outside == -1 ? -1 : 0;
}

/* Listen on an abstract name that the kernel chooses. */
static int
listen_abstract(struct probe *p)
{
	const struct sockaddr_un any = {.sun_family = AF_UNIX};

	p->abstract = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	p->namelen = sizeof(p->name);
	if (p->abstract == -1 ||
	    bind(p->abstract, (const struct sockaddr *)&any,
		sizeof(any.sun_family)) == -1 ||
	    listen(p->abstract, 1) == -1)
		return -1;
	return getsockname(
	    p->abstract, (struct sockaddr *)&p->name, &p->namelen);
}

/* A process that does nothing until the other end is closed. */
static int
start_other(struct probe *p)
{
	const pid_t me = getpid();
	int end[2];
	char c;

	if (pipe2(end, O_CLOEXEC) == -1)
		return -1;
	if ((p->other = fork()) == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(HELPER_LIFE);
		close(end[1]);
		if (getppid() == me)
			(void)!read(end[0], &c, 1);
		_exit(0);
	}
	close(end[0]);
	if (p->other == -1) {
		close(end[1]);
		p->other = 0;
		return -1;
	}
	p->other_end = end[1];
	return 0;
}

int
probe_bystander(struct probe *p)
{
	if (listen_abstract(p) == -1)
		return -1;
	return start_other(p);
}

/* All ids are the same and not root's, and there is no way back. */
static int
user_holds(const struct probe *p)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	(void)p;
	if (getresuid(&r, &e, &s) == -1 || getresgid(&rg, &eg, &sg) == -1)
		return 0;
	if (r == 0 || r != e || r != s || rg == 0 || rg != eg || rg != sg ||
	    getgroups(0, NULL) != 0)
		return 0;
	return setresuid(0, 0, 0) == -1 && setuid(0) == -1 &&
	    setresgid(0, 0, 0) == -1;
}

/* The root directory is another than the real one, and a plain one. */
static int
chroot_holds(const struct probe *p)
{
	struct stat real, here;

	if (fstat(p->outside, &real) == -1 || stat("/..", &here) == -1)
		return 0;
	if (real.st_dev == here.st_dev && real.st_ino == here.st_ino)
		return 0;
	return access("/proc", F_OK) == -1 && access("/dev", F_OK) == -1;
}

static int
nnp_holds(const struct probe *p)
{
	(void)p;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

static int
nodump_holds(const struct probe *p)
{
	struct rlimit core;

	(void)p;
	return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 &&
	    getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0;
}

static __attribute__((noreturn)) void
try_filter(enum role role)
{
	alarm(HELPER_LIFE);
	if (sandbox_seccomp(role) == -1)
		_exit(1);
	/* Without a filter it fails (EFAULT) and harms nobody. */
	syscall(SYS_execve, NULL, NULL, NULL);
	_exit(2);
}

static int
seccomp_holds(const struct probe *p)
{
	pid_t pid;
	int status;

	if ((pid = fork()) == 0)
		try_filter(p->role);
	if (pid == -1)
		return 0;
	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR)
			return 0;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

/* The real root directory is there for everybody to read but for Landlock:
 * no role has it on its list. */
static int
files_holds(const struct probe *p)
{
	int fd;

	fd = openat(p->outside, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return errno == EACCES;
	close(fd);
	return 0;
}

/* A port that is on no list of ours. */
static uint16_t
other_port(const struct probe *p)
{
	uint16_t port = 1;
	size_t i;

	for (i = 0; i < p->nport; i++)
		if (p->port[i] == port) {
			port++;
			i = (size_t)-1;
		}
	return port;
}

static int
tcp_refused(int family, const struct sockaddr *sa, socklen_t len, int binds)
{
	int fd, r, saved;

	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return 0;
	r = binds ? bind(fd, sa, len) : connect(fd, sa, len);
	saved = errno;
	close(fd);
	return r == -1 && saved == EACCES;
}

/* Neither connects to a port that is not listed nor gets one to listen on. */
static int
tcp_holds(const struct probe *p)
{
	struct sockaddr_in in = {.sin_family = AF_INET};

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!tcp_refused(AF_INET, (const struct sockaddr *)&in, sizeof(in), 1))
		return 0;
	in.sin_port = htons(other_port(p));
	return tcp_refused(
	    AF_INET, (const struct sockaddr *)&in, sizeof(in), 0);
}

/* The same user's process takes no signal, its abstract socket no caller. */
static int
scope_holds(const struct probe *p)
{
	int fd, r, saved;

	if (p->other <= 0 || kill(p->other, 0) != -1 || errno != EPERM)
		return 0;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return 0;
	r = connect(fd, (const struct sockaddr *)&p->name, p->namelen);
	saved = errno;
	close(fd);
	return r == -1 && (saved == EPERM || saved == EACCES);
}

int
probe_holds(const struct probe *p, enum layer l)
{
	static int (*const probes[LAYER_COUNT])(const struct probe *) = {
	    [LAYER_USER] = user_holds,
	    [LAYER_CHROOT] = chroot_holds,
	    [LAYER_NNP] = nnp_holds,
	    [LAYER_NODUMP] = nodump_holds,
	    [LAYER_SECCOMP] = seccomp_holds,
	    [LAYER_FILES] = files_holds,
	    [LAYER_TCP] = tcp_holds,
	    [LAYER_SCOPE] = scope_holds,
	};

	return probes[l] != NULL && probes[l](p);
}

static void
close_end(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

void
probe_end(struct probe *p)
{
	close_end(&p->outside);
	close_end(&p->abstract);
	close_end(&p->other_end);
	if (p->other > 0)
		while (waitpid(p->other, NULL, 0) == -1 && errno == EINTR)
			;
	p->other = 0;
}
