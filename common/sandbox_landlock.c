/* SPDX-License-Identifier: ISC */
/*
 * Landlock by its system calls: the structures and numbers of its interface
 * stand here, because Debian 12's headers know them up to ABI 2 only.
 */
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "sandbox_landlock.h"

/* The same on every architecture. */
#define NR_CREATE   444
#define NR_ADD_RULE 445
#define NR_RESTRICT 446

#define CREATE_VERSION 0x1U

/* Access to files.  The first 13 are ABI 1. */
#define FS_WRITE_FILE  (1ULL << 1)
#define FS_READ_FILE   (1ULL << 2)
#define FS_READ_DIR    (1ULL << 3)
#define FS_REMOVE_FILE (1ULL << 5)
#define FS_MAKE_REG    (1ULL << 8)
#define FS_ABI_1       ((1ULL << 13) - 1)
#define FS_REFER       (1ULL << 13) /* ABI 2 */
#define FS_TRUNCATE    (1ULL << 14) /* ABI 3 */
#define FS_IOCTL_DEV   (1ULL << 15) /* ABI 5 */

#define NET_BIND_TCP	(1ULL << 0) /* ABI 4 */
#define NET_CONNECT_TCP (1ULL << 1)

#define SCOPE_ABSTRACT_SOCKET (1ULL << 0) /* ABI 6 */
#define SCOPE_SIGNAL	      (1ULL << 1)

enum { RULE_PATH = 1, RULE_PORT = 2 };

struct ruleset {
	uint64_t fs;
	uint64_t net;	/* ABI 4 */
	uint64_t scope; /* ABI 6 */
};

struct path_rule {
	uint64_t allowed;
	int32_t parent;
} __attribute__((packed));

struct port_rule {
	uint64_t allowed;
	uint64_t port; /* host order */
};

#define READABLE (FS_READ_FILE | FS_READ_DIR)
#define WRITABLE \
	(READABLE | FS_WRITE_FILE | FS_REMOVE_FILE | FS_MAKE_REG | FS_TRUNCATE)

int
sandbox_landlock_abi(void)
{
	long r = syscall(NR_CREATE, NULL, 0, CREATE_VERSION);

	return r < 0 ? 0 : (int)r;
}

/* All that an ABI can restrict is restricted.  A size that the kernel does
 * not know is an error, so it follows the ABI. */
static size_t
ruleset_for(struct ruleset *rs, int abi)
{
	rs->fs = FS_ABI_1 | (abi >= 2 ? FS_REFER : 0) |
	    (abi >= 3 ? FS_TRUNCATE : 0) | (abi >= 5 ? FS_IOCTL_DEV : 0);
	rs->net = NET_BIND_TCP | NET_CONNECT_TCP;
	rs->scope = SCOPE_ABSTRACT_SOCKET | SCOPE_SIGNAL;
	if (abi >= 6)
		return sizeof(*rs);
	return abi >= 4 ? offsetof(struct ruleset, scope)
			: offsetof(struct ruleset, net);
}

static int
allow_path(int fd, const char *path, uint64_t access)
{
	struct path_rule r = {.allowed = access};
	int rc, saved;

	r.parent = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r.parent == -1)
		return -1;
	rc = (int)syscall(NR_ADD_RULE, fd, RULE_PATH, &r, 0);
	saved = errno;
	close(r.parent);
	errno = saved;
	return rc;
}

static int
allow_port(int fd, uint16_t port)
{
	struct port_rule r = {NET_CONNECT_TCP, port};

	return (int)syscall(NR_ADD_RULE, fd, RULE_PORT, &r, 0);
}

static int
add_rules(int fd, const struct sandbox_landlock *s, uint64_t handled, int abi)
{
	const char *const *dir;
	size_t i;

	if (s->writable != NULL &&
	    allow_path(fd, s->writable, WRITABLE & handled) == -1)
		return -1;
	for (dir = s->readable; dir != NULL && *dir != NULL; dir++)
		if (allow_path(fd, *dir, READABLE) == -1 && errno != ENOENT)
			return -1;
	for (i = 0; abi >= 4 && i < s->nport; i++)
		if (allow_port(fd, s->port[i]) == -1)
			return -1;
	return 0;
}

int
sandbox_landlock(const struct sandbox_landlock *s, int abi)
{
	struct ruleset rs;
	size_t size = ruleset_for(&rs, abi);
	int fd, r, saved;

	if ((fd = (int)syscall(NR_CREATE, &rs, size, 0)) == -1)
		return -1;
	if ((r = add_rules(fd, s, rs.fs, abi)) == 0)
		r = (int)syscall(NR_RESTRICT, fd, 0);
	saved = errno;
	close(fd);
	errno = saved;
	return r;
}
