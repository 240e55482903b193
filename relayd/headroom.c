/* SPDX-License-Identifier: ISC */
/* Descriptors that are kept free of clients. */
#include <sys/resource.h>

#include "headroom.h"
#include "limit.h"
#include "log.h"

/* Milliseconds between two log lines: who is turned away comes again. */
#define SAY_MS 10000

int
headroom_left(const struct engine *e, int fd, unsigned more)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1 || rl.rlim_cur == RLIM_INFINITY)
		return 1;
	return (rlim_t)fd + 1 + LIMIT_FD_RESERVE(e->ngw) + more <= rl.rlim_cur;
}

void
headroom_log(
    const char *event, const char *gateway, const char *why, uint64_t *said)
{
	uint64_t now = engine_clock();

	if (*said != 0 && now - *said < SAY_MS)
		return;
	*said = now;
	log_warn(event, gateway,
	    "a client cannot be served: %s; raise the limit of open files "
	    "(LimitNOFILE= of the service)",
	    why);
}
