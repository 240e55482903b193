/* SPDX-License-Identifier: ISC */
/* What `show processes` shows: told to the engine at changes and heartbeats. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "msg.h"
#include "pipe.h"
#include "sup_child.h"

/* A small file of /proc as text.  0 or -1. */
static int
read_proc(pid_t pid, const char *name, char *out, size_t cap)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return -1;
	n = read(fd, out, cap - 1);
	close(fd);
	if (n <= 0)
		return -1;
	out[n] = '\0';
	return 0;
}

/* KiB of memory: the proportional share where it can be read (a process that
 * is not dumpable shows it to root alone), else what is resident; 0: unknown.
 */
static uint32_t
memory_kb(pid_t pid)
{
	char text[2048], *p;
	unsigned long pages;

	if (read_proc(pid, "smaps_rollup", text, sizeof(text)) == 0 &&
	    (p = strstr(text, "\nPss:")) != NULL)
		return (uint32_t)strtoul(p + 5, NULL, 10);
	/* Its second number: pages that are resident. */
	if (read_proc(pid, "statm", text, sizeof(text)) == 0 &&
	    (p = strchr(text, ' ')) != NULL) {
		pages = strtoul(p + 1, NULL, 10);
		return (uint32_t)(pages * (unsigned long)sysconf(_SC_PAGESIZE) /
		    1024);
	}
	return 0;
}

void
sup_proc_tell(struct supervisor *s, enum role r)
{
	const struct sup_child *c = &s->child[r];
	const struct sup_child *engine = &s->child[ROLE_ENGINE];
	struct msg_process m = {.role = r};

	if (engine->state != SUP_RUNNING || engine->pipe == NULL)
		return;
	m.pid = (uint64_t)c->pid;
	m.restarts = c->restarts;
	m.since = (uint64_t)c->since;
	m.pss_kb = c->pid == 0 ? 0 : memory_kb(c->pid);
	m.wanted = c->wanted;
	m.held = c->held;
	m.lacking = span_str(c->lacking);
	(void)pipe_send(engine->pipe, MSG_PROCESS, 0, &m, -1);
}

void
sup_proc_tell_all(struct supervisor *s)
{
	int r;

	for (r = 0; r < ROLE_KEPT; r++)
		sup_proc_tell(s, (enum role)r);
}
