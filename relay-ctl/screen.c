/* SPDX-License-Identifier: ISC */
/*
 * The live screen.  Counters are asked for each second, and at once when the
 * stream of changes tells of one; whatever is waited for, keys and signals are
 * read all the while.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "field.h"
#include "rows.h"
#include "screen.h"
#include "state.h"
#include "term.h"

/* Milliseconds between two looks. */
#define EVERY_MS 1000
/* After a change: many come at once. */
#define SOON_MS 50
/* An engine that has not answered for so long is said to be silent. */
#define SILENT_MS 2000

struct screen {
	struct ctl *ctl;
	struct term term;
	struct rows rows;
	struct client ask, watch; /* fd -1: not connected */
	int64_t asked;		  /* when, on our clock; 0: nothing is asked */
	int64_t next;		  /* when to look again */
	char note[STATE_TEXT + 64];
	int end; /* the exit status, or -1 */
};

int
screen_fits(void)
{
	const char *term = getenv("TERM");

	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term != NULL &&
	    strcmp(term, "dumb") != 0;
}

static void
hang_up(struct screen *s)
{
	client_close(&s->ask);
	client_close(&s->watch);
	s->asked = 0;
}

/* No answer: say why, from what the supervisor wrote. */
static void
lose(struct screen *s)
{
	char text[STATE_TEXT];
	struct state st;

	if (state_read(&st, s->ctl) == 0 && st.alive) {
		state_describe(&st, "the engine", text);
		(void)snprintf(s->note, sizeof(s->note),
		    "no answer from relayd (pid %d): %s", st.pid, text);
	} else
		(void)strlcpy(
		    s->note, "relayd is not running any more", sizeof(s->note));
	state_free(&st);
	hang_up(s);
	s->next = client_now() + EVERY_MS;
}

/* Connect, and begin the stream of changes.  The first time, who asked is told
 * why it did not work, on the screen as it was. */
static int
connect_both(struct screen *s, int first)
{
	struct span reply;
	struct buf req;
	enum client_result r;
	struct obj o;
	int status;

	client_begin(&req, "watch");
	if (first) {
		status = client_do(&s->watch, s->ctl, &req, 1, 2000, &reply);
		if (status != CTL_OK)
			return status;
	} else {
		r = client_ask(
		    &s->watch, s->ctl, &req, 1, EVERY_MS / 2, &reply);
		if (r != CLIENT_OK || obj_parse(&o, reply) == -1 ||
		    !field_true(&o, "ok"))
			return CTL_FAILED;
	}
	/* The socket that let us in lets us in again. */
	r = client_open(&s->ask, s->ctl, strrchr(s->watch.path, '/') + 1);
	return r == CLIENT_OK ? CTL_OK : CTL_FAILED;
}

/* Ask for the counters. */
static void
look(struct screen *s)
{
	struct buf req;
	enum client_result r = CLIENT_OK;

	if (s->asked != 0) {
		if (client_now() - s->asked >= SILENT_MS)
			lose(s);
		return;
	}
	if (s->ask.fd == -1 && connect_both(s, 0) != CTL_OK) {
		lose(s);
		return;
	}
	client_begin(&req, "counters");
	buf_adds(&req, SPAN_LIT("}\n"));
	r = client_write(&s->ask, buf_span(&req), EVERY_MS / 2);
	buf_free(&req);
	if (r != CLIENT_OK) {
		lose(s);
		return;
	}
	s->asked = client_now();
	s->next = s->asked + EVERY_MS;
}

/* The counters are here. */
static void
told(struct screen *s)
{
	struct span reply;

	s->asked = 0;
	if (client_line(&s->ask, &reply, SILENT_MS) != CLIENT_OK ||
	    rows_take(&s->rows, reply) == -1)
		lose(s);
	else
		s->note[0] = '\0';
}

/* Something changed: look at once, or as soon as what was asked is told. */
static void
changed(struct screen *s)
{
	struct span line;

	enum client_result r = client_line(&s->watch, &line, SILENT_MS);
	int64_t soon = client_now() + SOON_MS;

	while (r == CLIENT_OK) /* which change it was does not matter */
		r = client_line(&s->watch, &line, 0);
	if (r != CLIENT_SILENT)
		lose(s);
	else if (s->next > soon)
		s->next = soon;
}

static void
draw(const struct screen *s)
{
	char *text = NULL, *p;
	size_t len, n;
	FILE *f;

	if ((f = open_memstream(&text, &len)) == NULL)
		return;
	rows_draw(&s->rows, &s->ctl->out, s->note, s->term.rows - 1,
	    s->term.columns, f);
	fclose(f);
	fputs("\033[H", stdout);
	for (p = text; *p != '\0'; p += n + (p[n] != '\0')) {
		n = strcspn(p, "\n");
		printf("%.*s\033[K\r\n", (int)n, p);
	}
	fputs("\033[J", stdout);
	free(text);
}

static void
on_key(struct screen *s)
{
	char key[16];
	ssize_t i, n = read(STDIN_FILENO, key, sizeof(key));

	if (n <= 0)
		s->end = CTL_FAILED; /* the terminal is gone */
	for (i = 0; i < n; i++) {
		if (key[i] == 'q' || key[i] == 'Q')
			s->end = CTL_OK;
		else if (key[i] == 's' || key[i] == 'S')
			rows_sort(&s->rows, (s->rows.key + 1) % ROWS_KEYS);
	}
}

static int
until_next(const struct screen *s)
{
	int64_t ms = s->next - client_now();

	/* What changed meanwhile is looked at when that answer is here. */
	if (s->asked != 0)
		ms = s->asked + SILENT_MS - client_now();
	return ms < 0 ? 0 : ms > EVERY_MS ? EVERY_MS : (int)ms;
}

static void
step(struct screen *s)
{
	struct pollfd p[] = {{STDIN_FILENO, POLLIN, 0},
	    {s->term.sigs, POLLIN, 0}, {s->ask.fd, POLLIN, 0},
	    {s->watch.fd, POLLIN, 0}};

	if (poll(p, 4, until_next(s)) == -1)
		return;
	if (p[1].revents != 0)
		(void)term_signal(&s->term);
	if (p[0].revents != 0)
		on_key(s);
	if (p[2].revents != 0)
		told(s);
	if (p[3].revents != 0 && s->watch.fd != -1)
		changed(s);
	if (until_next(s) == 0)
		look(s);
}

int
screen_run(struct ctl *ctl)
{
	struct screen s = {.ctl = ctl, .ask.fd = -1, .end = -1};

	s.end = connect_both(&s, 1);
	if (s.end == CTL_OK && term_open(&s.term) == -1) {
		ctl_warn("the terminal cannot be used for a screen");
		s.end = CTL_FAILED;
	} else if (s.end == CTL_OK) {
		s.end = -1;
		while (s.end == -1) {
			draw(&s);
			if (fflush(stdout) != 0)
				s.end = CTL_FAILED;
			else
				step(&s);
		}
		term_close(&s.term);
	}
	hang_up(&s);
	rows_free(&s.rows);
	return s.end;
}
