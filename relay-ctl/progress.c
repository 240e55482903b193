/* SPDX-License-Identifier: ISC */
/* The line that says what takes so long. */
#include <sys/ioctl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "client.h"
#include "out.h"
#include "progress.h"

#define SECOND	1000 /* from which on it is said, and how often */
#define COLUMNS 80   /* of a terminal that does not tell */

void
progress_begin(struct progress *p)
{
	p->since = isatty(STDERR_FILENO) ? client_now() : -1;
	p->shown = 0;
}

int
progress_step(const struct progress *p, int most)
{
	int64_t age;
	int step;

	if (p->since == -1)
		return most;
	age = client_now() - p->since;
	step = SECOND - (int)(age % SECOND);
	return most >= 0 && most < step ? most : step;
}

void
progress_show(struct progress *p, const char *doing)
{
	int64_t s = p->since == -1 ? 0 : (client_now() - p->since) / SECOND;
	char text[512], age[OUT_AGE];
	struct winsize ws;
	size_t columns = COLUMNS;

	if (s == 0)
		return;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0)
		columns = ws.ws_col;
	(void)snprintf(
	    text, sizeof(text), "relay-ctl: (%s) %s", out_age(age, s), doing);
	/* The last column is left, that no terminal wraps. */
	dprintf(STDERR_FILENO, "\r%.*s\033[K", (int)out_cut(text, columns - 1),
	    text);
	p->shown = 1;
}

void
progress_end(struct progress *p)
{
	if (p->shown)
		dprintf(STDERR_FILENO, "\r\033[K");
	p->shown = 0;
}
