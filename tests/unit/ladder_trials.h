/* SPDX-License-Identifier: ISC */
/*
 * What children try after they have climbed the ladder; what must come of it
 * says the table in test_ladder.c, which alone includes this.
 */
#ifndef LADDER_TRIALS_H
#define LADDER_TRIALS_H

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "role.h"
#include "secmem.h"

#define PORT 4433 /* the dialer's, with 53 */

/* What a child is to try; 0, or the errno of the refusal. */

static int
result(long r)
{
	return r == -1 ? errno : 0;
}

static int
try_nothing(void)
{
	return 0;
}

static int
try_socket(void)
{
	return result(socket(AF_INET, SOCK_STREAM, 0));
}

static int
try_socketpair(void)
{
	int fd[2];

	return result(socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
}

static int
try_unix_socket(void)
{
	return result(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int
try_raw_socket(void)
{
	return result(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}

static int
try_packet_socket(void)
{
	return result(socket(AF_PACKET, SOCK_DGRAM, 0));
}

static int
try_audit_socket(void)
{
	return result(socket(AF_NETLINK, SOCK_RAW, 9));
}

static int
connect_to(uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd == -1)
		return EDOM;
	in.sin_port = htons(port);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return result(connect(fd, (struct sockaddr *)&in, sizeof(in)));
}

static int
try_connect_listed(void)
{
	return connect_to(PORT);
}

static int
try_connect_dns(void)
{
	return connect_to(53);
}

static int
try_connect_other(void)
{
	return connect_to(PORT + 1);
}

static int
try_connect_pipe(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET};

	return result(
	    connect(FD_SUPERVISOR, (struct sockaddr *)&in, sizeof(in)));
}

static int
try_bind(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET};

	return result(bind(FD_SUPERVISOR, (struct sockaddr *)&in, sizeof(in)));
}

static int
try_listen(void)
{
	return result(listen(FD_SUPERVISOR, 1));
}

static int
try_accept(void)
{
	return result(accept4(FD_SUPERVISOR, NULL, NULL, 0));
}

static int
try_open(void)
{
	return result(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int
try_open_old(void)
{
#ifdef SYS_open
	return result(syscall(SYS_open, "/etc/passwd", O_RDONLY));
#else
	return result(syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY));
#endif
}

static int
try_open_hosts(void)
{
	return result(open("/etc/hosts", O_RDONLY | O_CLOEXEC));
}

static int
try_open_proc(void)
{
	return result(open("/proc/version", O_RDONLY | O_CLOEXEC));
}

static int
try_open_write(void)
{
	return result(open("/etc/hosts", O_WRONLY | O_CLOEXEC));
}

static int
try_open_create(void)
{
	return result(open("/tmp/x", O_CREAT | O_RDONLY, 0600));
}

static int
try_open_truncate(void)
{
	return result(open("/etc/hosts", O_RDONLY | O_TRUNC));
}

static int
try_openat2(void)
{
	return result(syscall(SYS_openat2, AT_FDCWD, "/etc/hosts", NULL, 0));
}

static int
try_unlink(void)
{
	return result(unlink("/none"));
}

static int
try_exec(void)
{
	char *const none[] = {NULL};

	return result(execve("/bin/true", none, none));
}

static int
try_execveat(void)
{
	return result(syscall(SYS_execveat, 0, "", NULL, NULL, AT_EMPTY_PATH));
}

static int
try_ptrace(void)
{
	return result(ptrace(PTRACE_SEIZE, getppid(), 0, 0));
}

static int
try_vm_readv(void)
{
	char c;
	struct iovec v = {&c, 1};

	return result(process_vm_readv(getppid(), &v, 1, &v, 1, 0));
}

static int
try_kill(void)
{
	return result(kill(getppid(), 0));
}

static int
try_kill_parent(void)
{
	return result(kill(getppid(), SIGTERM));
}

static int
try_kill_all(void)
{
	return result(syscall(SYS_kill, -1L, SIGKILL));
}

static int
try_tgkill(void)
{
	return result(syscall(SYS_tgkill, getppid(), getppid(), 0));
}

static int
try_fork(void)
{
	return result(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

static int
try_thread(void)
{
	return result(
	    syscall(SYS_clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, 0));
}

static int
try_new_user(void)
{
	return result(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
}

static int
try_clone3(void)
{
	return result(syscall(SYS_clone3, NULL, 0));
}

static int
try_unshare(void)
{
	return result(unshare(CLONE_NEWUSER));
}

static int
try_mmap_exec(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
	    ? errno
	    : 0;
}

static int
try_mprotect_exec(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return result(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int
try_prctl(void)
{
	return result(prctl(PR_SET_DUMPABLE, 1));
}

static int
try_setuid(void)
{
	return result(setuid(0));
}

static int
try_setrlimit(void)
{
	const struct rlimit some = {1, 1};

	return result(setrlimit(RLIMIT_CORE, &some));
}

static int
try_attach_filter(void)
{
	return result(
	    setsockopt(FD_SUPERVISOR, SOL_SOCKET, SO_ATTACH_FILTER, "", 0));
}

static int
try_mknod(void)
{
	return result(mkfifo("/fifo", 0600));
}

static int
try_symlink(void)
{
	return result(symlink("/etc", "/link"));
}

static int
try_memfd(void)
{
	return result(memfd_create("x", 0));
}

static int
try_io_uring(void)
{
	return result(syscall(SYS_io_uring_setup, 1, NULL));
}

static int
try_stat_path(void)
{
	struct stat st;

	return result(syscall(SYS_newfstatat, AT_FDCWD, "/etc", &st, 0));
}

static int
try_abort(void)
{
	abort();
}

/* What every child does all day. */
static int
try_daily_work(void)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct stat st;
	struct tm tm;
	char text[64], *p;
	time_t now = time(NULL);
	int ep, fd[2];

	if ((ep = epoll_create1(EPOLL_CLOEXEC)) == -1 ||
	    pipe2(fd, O_CLOEXEC) == -1 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], &ev) == -1 ||
	    epoll_wait(ep, &ev, 1, 0) != 0 ||
	    fcntl(fd[0], F_SETFL, O_NONBLOCK) == -1 ||
	    fstat(FD_SUPERVISOR, &st) == -1)
		return errno;
	if ((p = malloc(1 << 22)) == NULL || (p = realloc(p, 1 << 23)) == NULL)
		return ENOMEM;
	p[0] = 0;
	free(p);
	if (localtime_r(&now, &tm) == NULL ||
	    strftime(text, sizeof(text), "%c %Z", &tm) == 0)
		return EDOM;
	arc4random_buf(text, sizeof(text));
	if (sysconf(_SC_PHYS_PAGES) <= 0)
		return EDOM;
	log_debug("test", NULL, "said");
	return 0;
}

static int
try_engine_socket_work(void)
{
	const int on = 1;

	/* The pipe is no TCP socket: refused by it, not by the filter. */
	if (setsockopt(
		FD_SUPERVISOR, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != -1)
		return EDOM;
	return result(shutdown(FD_PEER, SHUT_RDWR));
}

/* Names as the dialer's child resolves them. */
static int
try_resolve(void)
{
	const struct addrinfo hints = {
	    .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *ai;
	char host[256] = "";
	int status;
	pid_t pid;

	if ((pid = fork()) == 0) {
		if (getaddrinfo("localhost", "443", &hints, &ai) != 0)
			_exit(1);
		freeaddrinfo(ai);
		/* Names that lead through each module; there may be nobody
		 * to answer, so that it lives to say so is what counts. */
		gethostname(host, sizeof(host) - 1);
		(void)getaddrinfo(host, "443", &hints, &ai);
		(void)getaddrinfo("_gateway", "443", &hints, &ai);
		(void)getaddrinfo("relayd.local", "443", &hints, &ai);
		(void)getaddrinfo("relayd.invalid", "443", &hints, &ai);
		_exit(0);
	}
	if (pid == -1 || waitpid(pid, &status, 0) != pid)
		return errno;
	return status == 0 ? 0 : EDOM;
}

static int
try_kill_own_child(void)
{
	int status;
	pid_t pid;

	if ((pid = fork()) == 0)
		for (;;)
			poll(NULL, 0, 1000);
	if (pid == -1 || kill(pid, SIGKILL) == -1 ||
	    waitpid(pid, &status, 0) != pid)
		return errno;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 0 : EDOM;
}

static int
try_dlopen(void)
{
	return dlopen("libyaml-0.so.2", RTLD_NOW) == NULL ? EACCES : 0;
}

static int
try_store(void)
{
	const char *dir = getenv("LADDER_DIR");
	char a[256], b[256];
	int fd;

	snprintf(a, sizeof(a), "%s/a", dir);
	snprintf(b, sizeof(b), "%s/b", dir);
	fd = open(a, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1 || write(fd, "x", 1) != 1 || fsync(fd) == -1 ||
	    rename(a, b) == -1)
		return errno;
	close(fd);
	return result(unlink(b));
}

static int
try_secret(void)
{
	char text[] = "x";
	int fd = secmem_seal(text, 1, NULL);
	void *p;

	if (fd == -1 || (p = secmem_map(fd, 5)) == NULL)
		return errno;
	secmem_unmap(p, 5);
	return 0;
}

#endif
