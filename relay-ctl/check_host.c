/* SPDX-License-Identifier: ISC */
/* What this machine has to offer: users, and what the kernel can do. */
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "role.h"
#include "sandbox_landlock.h"
#include "secmem.h"

/* The oldest kernel that relayd is made for. */
#define KERNEL_MAJOR 6
#define KERNEL_MINOR 1

/* Users. */

static void
check_user(struct check *k, const struct role_row *row)
{
	const struct passwd *pw = getpwnam(row->user);

	if (pw == NULL)
		check_add(k, CHECK_FAIL, STEP_USERS, NULL,
		    "no user %s, as whom the %s runs\nmake relayd's users: "
		    "systemd-sysusers, or scripts/users of its sources",
		    row->user, row->name);
	else if (pw->pw_uid == 0 || pw->pw_gid == 0)
		check_add(k, CHECK_FAIL, STEP_USERS, NULL,
		    "user %s is root (uid %u, gid %u)\ngive it ids of its own",
		    row->user, (unsigned)pw->pw_uid, (unsigned)pw->pw_gid);
	else
		check_add(k, CHECK_OK, STEP_USERS, NULL, "%s, uid %u: the %s's",
		    row->user, (unsigned)pw->pw_uid, row->name);
}

/* Who runs a gateway's token command. */
static void
check_token_user(struct check *k, const struct conf_gateway *g)
{
	const char *name = g->token.command_user;
	const struct passwd *pw;

	if (g->token.ncommand == 0)
		return;
	pw = name == NULL ? NULL : getpwnam(name);
	if (name == NULL)
		check_add(k, CHECK_FAIL, STEP_USERS, g->name,
		    "identity_token.command has no user to run as\nadd "
		    "identity_token.user, which is not root");
	else if (pw == NULL || pw->pw_uid == 0 || pw->pw_gid == 0)
		check_add(k, CHECK_FAIL, STEP_USERS, g->name,
		    "identity_token.user %s: there is no such user, or it is "
		    "root\nmake one (useradd --system %s), or name another",
		    name, name);
	else
		check_add(k, CHECK_OK, STEP_USERS, g->name,
		    "%s, uid %u: runs the token command", name,
		    (unsigned)pw->pw_uid);
}

void
check_users(struct check *k)
{
	size_t i;
	int r;

	if (k->owner != 0) {
		check_add(k, CHECK_SKIP, STEP_USERS, NULL,
		    "relayd runs as uid %u, and so do all its processes: users "
		    "of their own are for a relayd started as root",
		    (unsigned)k->owner);
		return;
	}
	for (r = 0; r < ROLE_COUNT; r++)
		if (role_row((enum role)r)->user != NULL)
			check_user(k, role_row((enum role)r));
	for (i = 0; k->conf != NULL && i < k->conf->ngateway; i++)
		check_token_user(k, &k->conf->gateway[i]);
}

/* The kernel. */

static void
check_release(struct check *k)
{
	struct utsname u;
	long major, minor;
	char *end;

	if (uname(&u) == -1)
		return;
	major = strtol(u.release, &end, 10);
	minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
	if (major < KERNEL_MAJOR ||
	    (major == KERNEL_MAJOR && minor < KERNEL_MINOR))
		check_add(k, CHECK_WARN, STEP_KERNEL, NULL,
		    "Linux %ld.%ld, older than the %d.%d that relayd is made "
		    "for\nrun a newer one",
		    major, minor, KERNEL_MAJOR, KERNEL_MINOR);
	else
		check_add(k, CHECK_OK, STEP_KERNEL, NULL, "Linux %ld.%ld",
		    major, minor);
}

static void
check_seccomp(struct check *k)
{
	const uint32_t action = SECCOMP_RET_KILL_PROCESS;

	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0)
		check_add(k, CHECK_OK, STEP_KERNEL, NULL,
		    "seccomp: a system call off its list ends a process");
	else
		check_add(k, CHECK_FAIL, STEP_KERNEL, NULL,
		    "no seccomp filters (%s): relayd's processes do not "
		    "start\nrun a kernel with CONFIG_SECCOMP_FILTER, and a "
		    "container that permits it",
		    strerror(errno));
}

static void
check_landlock(struct check *k)
{
	const int abi = sandbox_landlock_abi();

	if (abi >= 6)
		check_add(k, CHECK_OK, STEP_KERNEL, NULL,
		    "Landlock ABI %d: files, TCP ports, signals", abi);
	else if (abi >= 4)
		check_add(k, CHECK_WARN, STEP_KERNEL, NULL,
		    "Landlock ABI %d: a process may signal others of its user "
		    "and reach their abstract sockets\nLinux 6.12 and newer "
		    "have ABI 6",
		    abi);
	else if (abi >= 1)
		check_add(k, CHECK_WARN, STEP_KERNEL, NULL,
		    "Landlock ABI %d: the dialer's TCP ports are not limited, "
		    "nor are signals\nLinux 6.7 and newer have ABI 4, 6.12 "
		    "has ABI 6",
		    abi);
	else
		check_add(k, CHECK_WARN, STEP_KERNEL, NULL,
		    "no Landlock: neither files nor TCP ports nor signals of "
		    "relayd's processes are limited by it\nhave the kernel "
		    "started with landlock among its lsm=");
}

static void
check_secret_memory(struct check *k)
{
	unsigned flags = 0;
	int fd = secmem_fd((size_t)sysconf(_SC_PAGESIZE), &flags);

	if (fd != -1 && (flags & SECMEM_FALLBACK) == 0)
		check_add(k, CHECK_OK, STEP_KERNEL, NULL,
		    "memfd_secret: secrets lie in memory that the kernel "
		    "itself does not map");
	else
		check_add(k, CHECK_WARN, STEP_KERNEL, NULL,
		    "no memfd_secret: secrets lie in locked memory kept out "
		    "of dumps, which root can read\nhave the kernel started "
		    "with secretmem.enable=1 (Linux 6.5 and newer have it on)");
	if (fd != -1)
		close(fd);
}

static void
check_boot_clock(struct check *k)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_BOOTTIME, &ts) == 0)
		check_add(k, CHECK_OK, STEP_KERNEL, NULL,
		    "boot clock: a suspend is noticed at once");
	else
		check_add(k, CHECK_WARN, STEP_KERNEL, NULL,
		    "no boot clock (%s): after a suspend the loss of a link is "
		    "noticed only when no pong comes\nrun a kernel that has it",
		    strerror(errno));
}

void
check_kernel(struct check *k)
{
	check_release(k);
	check_seccomp(k);
	check_landlock(k);
	check_secret_memory(k);
	check_boot_clock(k);
}
