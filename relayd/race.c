/* SPDX-License-Identifier: ISC */
/* Happy eyeballs; see race.h. */
#include <sys/socket.h>
#include <errno.h>
#include <string.h>

#include "race.h"

/* The next address from *pos on that is (or is not) of this family; n when
 * there is none. */
static size_t
next_of(const int *family, size_t n, size_t *pos, int first, int same)
{
	while (*pos < n && (family[*pos] == first) != same)
		(*pos)++;
	return *pos < n ? (*pos)++ : n;
}

void
race_init(struct race *r, const int *family, size_t n, uint64_t now_ms)
{
	size_t pos[2] = {0, 0}, i;
	int same = 1, dry = 0;

	memset(r, 0, sizeof(*r));
	r->next_ms = now_ms;
	r->deadline_ms = now_ms + RACE_TOTAL_MS;
	/* In turns; when one side has no more, the other side alone. */
	while (r->n < RACE_MAX && dry < 2) {
		i = next_of(family, n, &pos[same], family[0], same);
		if (i < n && i <= UINT8_MAX) {
			r->order[r->n++] = (uint8_t)i;
			dry = 0;
		} else
			dry++;
		same = !same;
	}
}

enum race_what
race_next(struct race *r, uint64_t now_ms, unsigned *index, uint64_t *until_ms)
{
	if (now_ms >= r->deadline_ms ||
	    (r->started == r->n && r->failed == r->n))
		return RACE_GIVE_UP;
	if (r->started < r->n && now_ms >= r->next_ms) {
		*index = r->order[r->started++];
		r->next_ms = now_ms + RACE_STEP_MS;
		return RACE_START;
	}
	*until_ms = r->deadline_ms;
	if (r->started < r->n && r->next_ms < *until_ms)
		*until_ms = r->next_ms;
	return RACE_WAIT;
}

void
race_failed(struct race *r, unsigned index, int err, uint64_t now_ms)
{
	for (unsigned i = 0; i < r->started; i++) {
		if (r->order[i] != index || r->err[i] != 0)
			continue;
		r->err[i] = err;
		r->failed++;
		r->next_ms = now_ms;
		return;
	}
}

/* How much an error says: the peer's own answer most, then that we may not,
 * then silence, then what the way there says. */
static int
rank(int err)
{
	static const struct {
		int err, rank;
	} ranks[] = {
	    {ECONNREFUSED, 5},
	    {ECONNRESET, 5},
	    {EACCES, 4},
	    {EPERM, 4},
	    {ETIMEDOUT, 3},
	    {EHOSTUNREACH, 2},
	    {ENETUNREACH, 1},
	    {EADDRNOTAVAIL, 1},
	    {EAFNOSUPPORT, 1},
	};

	if (err == 0)
		return 0;
	for (size_t i = 0; i < sizeof(ranks) / sizeof(ranks[0]); i++)
		if (ranks[i].err == err)
			return ranks[i].rank;
	return 2;
}

int
race_error(const struct race *r, unsigned *index)
{
	unsigned best = 0;

	for (unsigned i = 1; i < r->started; i++)
		if (rank(r->err[i]) > rank(r->err[best]))
			best = i;
	*index = r->order[best];
	return r->err[best] != 0 ? r->err[best] : ETIMEDOUT;
}
