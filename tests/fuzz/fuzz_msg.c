/* SPDX-License-Identifier: ISC */
/*
 * Packets between our processes, from each role to each, with and without a
 * descriptor: what is accepted is permitted, within its bounds, and written
 * again gives the same bytes.
 */
#include "fuzz.h"
#include "msg.h"

static void
check_good(const struct msg *m, struct span packet)
{
	char *out = malloc(packet.len);

	CHECK(out != NULL);
	CHECK(m->fd == -1);
	CHECK(msg_encode(out, packet.len, m->type, m->corr, &m->u) ==
	    (int)packet.len);
	CHECK(memcmp(out, packet.p, packet.len) == 0);
	CHECK(msg_encode(out, packet.len - 1, m->type, m->corr, &m->u) == -1);
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span packet = {(const char *)data, size};
	char *copy = exact(packet);
	const char *why, *denied;
	struct msg m;
	int from, to, fd;

	packet.p = copy;
	for (from = 0; from < ROLE_COUNT; from++)
		for (to = 0; to < ROLE_COUNT; to++)
			for (fd = 0; fd <= 1; fd++) {
				why = msg_decode(&m, packet.p, packet.len,
				    (enum role)from, (enum role)to, fd);
				CHECK(why == NULL || why[0] != '\0');
				if (why != NULL)
					continue;
				denied = msg_check(
				    m.type, (enum role)from, (enum role)to, fd);
				CHECK(denied == NULL);
				check_good(&m, packet);
			}
	free(copy);
	return 0;
}
