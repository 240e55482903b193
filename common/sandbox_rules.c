/* SPDX-License-Identifier: ISC */
/* Which system calls each role may make. */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>

#include "sandbox_rules.h"

/*
 * Arguments that the kernel takes as int are compared by their lower half:
 * the upper one is whatever the caller's register held.
 */
/* clang-format off */
#define IS(n, v)	{n, SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint32_t)(v)}
#define LACKS(n, bits)	{n, SCMP_CMP_MASKED_EQ, (uint32_t)(bits), 0}
#define HAS(n, bits) \
	{n, SCMP_CMP_MASKED_EQ, (uint32_t)(bits), (uint32_t)(bits)}
#define NONE(n)		{n, SCMP_CMP_EQ, 0, 0}
#define ISNT(n, v)	{n, SCMP_CMP_NE, (uint32_t)(v), 0}
/* A socket's type, without the flags that may come with it. */
#define TYPE_IS(t) \
	{1, SCMP_CMP_MASKED_EQ, \
	    UINT32_MAX & ~(uint32_t)(SOCK_CLOEXEC | SOCK_NONBLOCK), t}
/* A fork of glibc's: a signal at the end, and bookkeeping of thread ids. */
#define IS_FORK(n) \
	{n, SCMP_CMP_MASKED_EQ, UINT64_MAX & ~(uint64_t)(CLONE_CHILD_SETTID | \
	    CLONE_CHILD_CLEARTID | SIGCHLD), 0}
/* Nothing that changes a file. */
#define READ_ONLY(n) \
	LACKS(n, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND | \
	    (O_TMPFILE & ~O_DIRECTORY))

#define ALLOW1(name, a)		{SCMP_SYS(name), 0, 1, {a}}
#define ALLOW2(name, a, b)	{SCMP_SYS(name), 0, 2, {a, b}}
#define ALLOW3(name, a, b, c)	{SCMP_SYS(name), 0, 3, {a, b, c}}
#define FAIL0(name, err)	{SCMP_SYS(name), err, 0, {{0}}}
#define FAIL1(name, err, a)	{SCMP_SYS(name), err, 1, {a}}
#define FAIL2(name, err, a, b)	{SCMP_SYS(name), err, 2, {a, b}}
#define OPTION(level, name)	ALLOW2(setsockopt, IS(1, level), IS(2, name))
#define END			{-1, 0, 0, {{0}}}
/* clang-format on */

const int sandbox_calls_common[] = {
    /* descriptors at hand */
    SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write),
    SCMP_SYS(writev), SCMP_SYS(close), SCMP_SYS(dup), SCMP_SYS(dup3),
    SCMP_SYS(close_range), SCMP_SYS(lseek), SCMP_SYS(fstat), SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg), SCMP_SYS(pipe2),
    /* memory; mmap and mprotect by rule */
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
    SCMP_SYS(futex),
    /* the event loop */
    SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(poll),
    SCMP_SYS(ppoll), SCMP_SYS(eventfd2), SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    /* time and signals */
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time),
    SCMP_SYS(restart_syscall), SCMP_SYS(sched_yield), SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
    /* what it is; sysinfo for qsort */
    SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(gettid), SCMP_SYS(getuid),
    SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getrusage),
    SCMP_SYS(sysinfo), SCMP_SYS(sched_getaffinity), SCMP_SYS(getrandom),
    /* the end */
    SCMP_SYS(exit), SCMP_SYS(exit_group), -1};

const struct sandbox_rule sandbox_rules_common[] = {
    /* data never becomes code; mmap is each role's */
    ALLOW1(mprotect, LACKS(2, PROT_EXEC)), ALLOW1(fcntl, IS(1, F_GETFL)),
    ALLOW1(fcntl, IS(1, F_SETFL)), ALLOW1(fcntl, IS(1, F_GETFD)),
    ALLOW1(fcntl, IS(1, F_SETFD)), ALLOW1(fcntl, IS(1, F_DUPFD_CLOEXEC)),
    ALLOW1(fcntl, IS(1, F_GET_SEALS)), ALLOW1(ioctl, IS(1, FIONREAD)),
    /* limits are asked for, not set */
    ALLOW2(prlimit64, IS(0, 0), NONE(2)), END};

/*
 * The engine: talks on descriptors it is handed.  It neither makes nor
 * connects sockets, nor opens anything.  newfstatat is how fstat is spelt.
 */
const int sandbox_calls_engine[] = {SCMP_SYS(accept4), SCMP_SYS(shutdown),
    SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(getsockopt),
    SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(msync),
    SCMP_SYS(fsync), SCMP_SYS(fdatasync), -1};

const struct sandbox_rule sandbox_rules_engine[] = {
    ALLOW1(mmap, LACKS(2, PROT_EXEC)),
    ALLOW1(newfstatat, HAS(3, AT_EMPTY_PATH)), OPTION(SOL_SOCKET, SO_KEEPALIVE),
    OPTION(SOL_SOCKET, SO_SNDBUF), OPTION(SOL_SOCKET, SO_RCVBUF),
    OPTION(IPPROTO_TCP, TCP_NODELAY), OPTION(IPPROTO_TCP, TCP_KEEPIDLE),
    OPTION(IPPROTO_TCP, TCP_KEEPINTVL), OPTION(IPPROTO_TCP, TCP_KEEPCNT),
    OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT), OPTION(IPPROTO_TCP, TCP_QUICKACK),
    OPTION(IPPROTO_TCP, TCP_NOTSENT_LOWAT), END};

/*
 * relay-authd: files of its state directory (chroot and Landlock say which),
 * secret memory; it makes and connects no socket, but has auth.sock's clients.
 */
const int sandbox_calls_authd[] = {SCMP_SYS(openat), SCMP_SYS(newfstatat),
    SCMP_SYS(getdents64), SCMP_SYS(renameat), SCMP_SYS(renameat2),
    SCMP_SYS(unlinkat), SCMP_SYS(rename), SCMP_SYS(unlink), SCMP_SYS(fsync),
    SCMP_SYS(fdatasync), SCMP_SYS(ftruncate), SCMP_SYS(flock),
    SCMP_SYS(pwrite64), SCMP_SYS(memfd_secret), SCMP_SYS(memfd_create),
    SCMP_SYS(mlock), SCMP_SYS(mlock2), SCMP_SYS(munlock), SCMP_SYS(accept4),
    -1};

const struct sandbox_rule sandbox_rules_authd[] = {
    ALLOW1(mmap, LACKS(2, PROT_EXEC)),
    ALLOW2(getsockopt, IS(1, SOL_SOCKET), IS(2, SO_PEERCRED)), END};

/*
 * An exchange: reads and writes on the descriptors it is handed, and that is
 * all.  Its secret memory it has from before.
 */
const int sandbox_calls_xchg[] = {-1};

const struct sandbox_rule sandbox_rules_xchg[] = {
    ALLOW1(mmap, LACKS(2, PROT_EXEC)),
    ALLOW1(newfstatat, HAS(3, AT_EMPTY_PATH)), END};

/*
 * relay-ctl serve: takes connections on the socket it has, and makes others to
 * relayd's.  getnameinfo, which evhttp calls for every client, may look for an
 * interface's name and for files: it gets a refusal instead of death.
 */
const int sandbox_calls_serve[] = {SCMP_SYS(accept4), SCMP_SYS(connect),
    SCMP_SYS(shutdown), SCMP_SYS(recvfrom), SCMP_SYS(sendto),
    SCMP_SYS(getsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername), -1};

const struct sandbox_rule sandbox_rules_serve[] = {
    ALLOW1(mmap, LACKS(2, PROT_EXEC)),
    ALLOW1(newfstatat, HAS(3, AT_EMPTY_PATH)),
    ALLOW2(socket, IS(0, AF_UNIX), TYPE_IS(SOCK_STREAM)),
    FAIL2(socket, EACCES, IS(0, AF_UNIX), TYPE_IS(SOCK_DGRAM)),
    FAIL1(socket, EACCES, ISNT(0, AF_UNIX)), FAIL0(openat, EACCES),
    FAIL0(faccessat, EACCES), FAIL0(faccessat2, EACCES),
    FAIL0(readlinkat, EACCES),
#ifdef __NR_open
    FAIL0(open, EACCES), FAIL0(access, EACCES), FAIL0(readlink, EACCES),
#endif
    END};

/*
 * The dialer: connects, and forks a child that resolves names.  That child
 * has the same filter: wherever the resolver takes a refusal calmly, it gets
 * one instead of death.
 */
const int sandbox_calls_dialer[] = {SCMP_SYS(connect), SCMP_SYS(recvfrom),
    SCMP_SYS(sendto), SCMP_SYS(sendmmsg), SCMP_SYS(getsockopt),
    SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(shutdown),
    SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(newfstatat), SCMP_SYS(stat),
    SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(access), SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
    SCMP_SYS(uname), SCMP_SYS(wait4), SCMP_SYS(waitid),
    SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(alarm),
    SCMP_SYS(setitimer), -1};

const struct sandbox_rule sandbox_rules_dialer[] = {
    ALLOW2(socket, IS(0, AF_INET), TYPE_IS(SOCK_STREAM)),
    ALLOW2(socket, IS(0, AF_INET), TYPE_IS(SOCK_DGRAM)),
    ALLOW2(socket, IS(0, AF_INET6), TYPE_IS(SOCK_STREAM)),
    ALLOW2(socket, IS(0, AF_INET6), TYPE_IS(SOCK_DGRAM)),
    /* getaddrinfo asks which addresses the host has, to sort its answers */
    ALLOW3(socket, IS(0, AF_NETLINK), TYPE_IS(SOCK_RAW), IS(2, NETLINK_ROUTE)),
    /* by its length, which is too short for any other family */
    ALLOW1(bind, IS(2, sizeof(struct sockaddr_nl))),
    /* glibc tries nscd, its modules their daemons, before they go on */
    FAIL1(socket, EACCES, IS(0, AF_UNIX)), ALLOW1(openat, READ_ONLY(2)),
#ifdef __NR_open
    ALLOW1(open, READ_ONLY(1)),
#endif
    /* what nss_load did not load is a module that cannot be had */
    ALLOW1(mmap, LACKS(2, PROT_EXEC)), FAIL1(mmap, EACCES, HAS(2, PROT_EXEC)),
    ALLOW1(clone, IS_FORK(0)),
    /* its flags lie in memory, out of a filter's sight: glibc falls back */
    FAIL0(clone3, ENOSYS),
    /* to processes, one each; Landlock limits it to its own children */
    ALLOW2(kill, LACKS(0, 0x80000000U), IS(1, SIGKILL)),
    ALLOW2(kill, LACKS(0, 0x80000000U), IS(1, SIGTERM)),
    OPTION(SOL_SOCKET, SO_KEEPALIVE), OPTION(SOL_SOCKET, SO_SNDBUF),
    OPTION(SOL_SOCKET, SO_RCVBUF), OPTION(IPPROTO_TCP, TCP_NODELAY),
    OPTION(IPPROTO_IP, IP_RECVERR), OPTION(IPPROTO_IPV6, IPV6_RECVERR),
    OPTION(IPPROTO_IP, IP_MTU_DISCOVER),
    OPTION(IPPROTO_IPV6, IPV6_MTU_DISCOVER), OPTION(IPPROTO_IPV6, IPV6_V6ONLY),
    /* what name service modules try and can do without */
    FAIL1(setsockopt, EACCES, IS(1, SOL_NETLINK)),
    FAIL2(setsockopt, EACCES, IS(1, SOL_SOCKET), IS(2, SO_RCVBUFFORCE)),
    FAIL2(setsockopt, EACCES, IS(1, SOL_SOCKET), IS(2, SO_SNDBUFFORCE)),
    FAIL2(setsockopt, EACCES, IS(1, SOL_SOCKET), IS(2, SO_PASSCRED)),
    /* the resolving child must not outlive the dialer */
    ALLOW1(prctl, IS(0, PR_SET_PDEATHSIG)),
    FAIL1(prctl, EACCES, IS(0, PR_SET_NAME)), END};
