/* SPDX-License-Identifier: ISC */
/* Pipes between children: made, held, given. */

#include <unistd.h>

#include "msg.h"
#include "pipe.h"
#include "sup_pairs.h"

static void
end_close(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

void
sup_pairs_init(struct supervisor *s)
{
	int a, b;

	for (a = 0; a < ROLE_KEPT; a++)
		for (b = 0; b < ROLE_KEPT; b++)
			s->end[a][b] = -1;
}

int
sup_pairs_make(struct supervisor *s, enum role r)
{
	const struct role_row *row = role_row(r);
	enum role peer;
	int i, fd[2];

	for (i = 0; i < row->npeer; i++) {
		peer = row->peer[i];
		if (s->end[r][peer] != -1)
			continue; /* made when the peer was started */
		if (pipe_pair(fd) == -1)
			return -1;
		end_close(&s->end[peer][r]);
		s->end[r][peer] = fd[0];
		s->end[peer][r] = fd[1];
	}
	return 0;
}

int
sup_pairs_give(struct supervisor *s, enum role r)
{
	struct sup_child *authd = &s->child[ROLE_AUTHD];
	struct msg_peer m = {.role = r};
	int p;

	for (p = ROLE_AUTHD; p < ROLE_KEPT; p++) {
		if (p != ROLE_AUTHD && authd->pipe != NULL &&
		    pipe_queued(authd->pipe) > 0)
			return 0;
		if (s->end[p][r] == -1 || s->child[p].pipe == NULL)
			continue;
		/* A peer that cannot be told is gone, or killed for its
		 * queue: it gets a new pair when it starts again. */
		(void)pipe_send(
		    s->child[p].pipe, MSG_PEER, 0, &m, s->end[p][r]);
		end_close(&s->end[p][r]);
	}
	return authd->pipe == NULL || pipe_queued(authd->pipe) == 0;
}

void
sup_pairs_drop(struct supervisor *s, enum role r)
{
	int p;

	for (p = 0; p < ROLE_KEPT; p++) {
		end_close(&s->end[p][r]);
		end_close(&s->end[r][p]);
	}
}
