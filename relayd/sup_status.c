/* SPDX-License-Identifier: ISC */
/* The line that the service manager shows of relayd. */

#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "limit.h"
#include "log.h"
#include "sup_status.h"
#include "utc.h"

/* Bytes of one gateway's part: some of them are to fit. */
#define PART_MAX 200
/* Bytes of a reason in it. */
#define WHY_MAX 96
/* "; and 1024 more" */
#define MORE_MAX 24

static int
is_up(const struct sup_state_gateway *g)
{
	return strcmp(g->state, "connected") == 0;
}

/* " at 10:00:00 UTC": the line stands until the next change, so it says when
 * and not how long. */
static const char *
clock_text(char out[UTC_TEXT], int64_t at)
{
	char *p;

	utc_text(out, at, -1);
	if ((p = strchr(out, 'T')) == NULL)
		return out;
	memmove(out, p + 1, strlen(p));
	if ((p = strchr(out, 'Z')) != NULL)
		*p = '\0';
	return out;
}

static void
part(char out[PART_MAX], const struct sup_state_gateway *g)
{
	char why[WHY_MAX], state[33], when[UTC_TEXT], next[32] = "";

	log_vis(state, sizeof(state), span_str(g->state));
	/* Why it is well need not be said. */
	if (is_up(g)) {
		snprintf(out, PART_MAX, "%.*s %s", LIMIT_NAME, g->name, state);
		return;
	}
	log_vis(why, sizeof(why), span_str(g->reason));
	if (g->next != 0)
		snprintf(next, sizeof(next), ", next try at %.8s UTC",
		    clock_text(when, g->next));
	snprintf(out, PART_MAX, "%.*s %s%s%s%s", LIMIT_NAME, g->name, state,
	    why[0] == '\0' ? "" : ": ", why, next);
}

/* Append the parts; of all gateways, or of those that are
 * not connected.  How many did not fit. */
static unsigned
parts(char *out, const struct sup_state_gateway *g, unsigned n, int all)
{
	char text[PART_MAX];
	size_t len = strlen(out), need;
	unsigned i, left = 0;
	int first = 1;

	for (i = 0; i < n; i++) {
		if (!all && is_up(&g[i]))
			continue;
		part(text, &g[i]);
		need = strlen(text) + (first ? 0 : 2);
		if (left > 0 || len + need + MORE_MAX > SUP_STATUS_MAX) {
			left++;
			continue;
		}
		len += (size_t)snprintf(out + len, SUP_STATUS_MAX - len, "%s%s",
		    first ? "" : "; ", text);
		first = 0;
	}
	return left;
}

void
sup_status_line(
    char out[SUP_STATUS_MAX], const struct sup_state_gateway *g, unsigned n)
{
	unsigned i, up = 0, left;
	size_t len;

	out[0] = '\0';
	if (parts(out, g, n, 1) == 0)
		return;
	for (i = 0; i < n; i++)
		up += (unsigned)is_up(&g[i]);
	snprintf(out, SUP_STATUS_MAX, "%u of %u gateways connected%s", up, n,
	    up < n ? "; " : "");
	if ((left = parts(out, g, n, 0)) == 0)
		return;
	len = strlen(out);
	snprintf(out + len, SUP_STATUS_MAX - len, "; and %u more", left);
}
