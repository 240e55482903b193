/* SPDX-License-Identifier: ISC */
/* The line that says what takes so long. */
#include <sys/ioctl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
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
	char text[512], age[OUT_AGE], took[OUT_AGE + 4];
	struct winsize ws;
	size_t columns = COLUMNS;
	int width;

	if (s == 0)
		return;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0)
		columns = ws.ws_col;
	if (s < 60)
		(void)snprintf(took, sizeof(took), " (%" PRId64 " s)", s);
	else
		(void)snprintf(took, sizeof(took), " (%s)", out_age(age, s));
	(void)snprintf(text, sizeof(text), "relay-ctl: %s", doing);
	/* The last columns are left, that no terminal wraps. */
	columns = columns > strlen(took) + 2 ? columns - strlen(took) - 2 : 0;
	text[out_cut(text, columns)] = '\0';
	strlcat(text, took, sizeof(text));
	/* Blanks over what stood there: a terminal may know no more. */
	width = (int)out_width(text);
	dprintf(STDERR_FILENO, "\r%s%*s", text,
	    p->shown > width ? p->shown - width : 1, "");
	p->shown = width;
}

void
progress_end(struct progress *p)
{
	if (p->shown > 0)
		dprintf(STDERR_FILENO, "\r%*s\r", p->shown + 1, "");
	p->shown = 0;
}
