/* SPDX-License-Identifier: ISC */
/* state.json: rendering, and the atomic write. */

#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "buf.h"
#include "json.h"
#include "limit.h"
#include "schema.h"
#include "sup_own.h"
#include "sup_state.h"

static const char *const phases[] = {
    [PHASE_STARTING] = "starting",
    [PHASE_RUNNING] = "running",
    [PHASE_RELOADING] = "reloading",
    [PHASE_STOPPING] = "stopping",
};

static void
put_process(struct buf *b, const struct sup_state_process *p)
{
	buf_add(b, "{", 1);
	json_put_member_str(b, "role", span_str(p->role));
	json_put_member_int(b, "pid", p->pid);
	json_put_member_str(
	    b, "state", span_str(p->pid != 0 ? "running" : "restarting"));
	json_put_member_int(b, "restarts", p->restarts);
	json_put_member_int(b, "since", p->since);
	if (p->next_start_ms >= 0)
		json_put_member_int(b, "next_start_in_ms", p->next_start_ms);
	buf_add(b, "}", 1);
}

static void
put_gateway(struct buf *b, const struct sup_state_gateway *g)
{
	buf_add(b, "{", 1);
	json_put_member_str(b, "name", span_str(g->name));
	json_put_member_str(b, "state", span_str(g->state));
	json_put_member_str(b, "reason", span_str(g->reason));
	json_put_member_int(b, "since", g->since);
	buf_add(b, "}", 1);
}

void
sup_state_render(struct buf *b, const struct sup_state *st)
{
	unsigned i;

	buf_add(b, "{", 1);
	json_put_member_str(b, "schema", SPAN_LIT(SCHEMA_STATE));
	json_put_member_str(b, "version", SPAN_LIT(VERSION));
	json_put_member_int(b, "pid", st->pid);
	json_put_member_int(b, "updated", st->updated);
	json_put_member_str(b, "phase", span_str(phases[st->phase]));
	json_put_member_str(b, "configuration", span_str(st->conf));
	json_put_member_str(b, "state_directory", span_str(st->state_dir));
	json_put_key(b, "processes");
	buf_add(b, "[", 1);
	for (i = 0; i < st->nprocess; i++) {
		if (i > 0)
			buf_add(b, ",", 1);
		put_process(b, &st->process[i]);
	}
	buf_add(b, "]", 1);
	json_put_key(b, "gateways");
	buf_add(b, "[", 1);
	for (i = 0; i < st->ngateway; i++) {
		if (i > 0)
			buf_add(b, ",", 1);
		put_gateway(b, &st->gateway[i]);
	}
	buf_add(b, "]}\n", 3);
}

static int
write_all(int fd, const char *p, size_t len)
{
	ssize_t n;

	while (len > 0) {
		if ((n = write(fd, p, len)) == -1)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int
sup_state_write(const char *path, gid_t gid, const char *text, size_t len)
{
	char tmp[LIMIT_PATH + 32];
	int fd, n, saved;

	n = snprintf(tmp, sizeof(tmp), "%s.tmp", path);
	if (n < 0 || (size_t)n >= sizeof(tmp)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (unlink(tmp) == -1 && errno != ENOENT)
		return -1;
	fd = open(
	    tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		return -1;
	if ((gid != (gid_t)-1 && sup_own_group_fd(fd, gid) == -1) ||
	    fchmod(fd, 0640) == -1 || write_all(fd, text, len) == -1 ||
	    rename(tmp, path) == -1) {
		saved = errno;
		close(fd);
		unlink(tmp);
		errno = saved;
		return -1;
	}
	close(fd);
	return 0;
}
