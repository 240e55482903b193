/* SPDX-License-Identifier: ISC */
/* The live screen's rows. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "field.h"
#include "gwtext.h"
#include "limit.h"
#include "rows.h"

/* Seconds that a rate is taken over at least: a change of state renews the
 * screen, and would give rates of a few milliseconds. */
#define RATE_S 0.9

static const struct {
	const char *head, *by;
} columns_[ROWS_KEYS] = {
    [ROWS_NAME] = {"NAME", "name"},
    [ROWS_STATE] = {"STATE", "state"},
    [ROWS_AGE] = {"FOR", "age"},
    [ROWS_IN] = {"IN/S", "in/s"},
    [ROWS_OUT] = {"OUT/S", "out/s"},
    [ROWS_UNACKED] = {"UNACKED", "unacknowledged"},
    [ROWS_AGENTS] = {"AGENTS", "agents"},
};

static void
row_free(struct row *r)
{
	free(r->name);
	free(r->reason);
}

static void
list_free(struct row *list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		row_free(&list[i]);
	free(list);
}

static const struct row *
find_row(const struct rows *r, const char *name)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		if (strcmp(r->row[i].name, name) == 0)
			return &r->row[i];
	return NULL;
}

/* Rates since the figures before, if they are of the same run. */
static void
set_rates(struct row *now, const struct row *before)
{
	double s;

	now->in = now->out = -1;
	if (before == NULL || now->at <= before->at || now->nin < before->nin ||
	    now->nout < before->nout)
		return;
	s = now->at - before->at;
	if (s < RATE_S) { /* go on from the same moment */
		now->in = before->in;
		now->out = before->out;
		now->at = before->at;
		now->nin = before->nin;
		now->nout = before->nout;
		return;
	}
	now->in = (double)(now->nin - before->nin) / s;
	now->out = (double)(now->nout - before->nout) / s;
}

/* 0, or -1 without memory. */
static int
read_row(struct row *r, struct obj *g, double at)
{
	struct obj counters;
	struct span s;

	s = field_str(g, "name");
	r->name = out_safe(s.p == NULL ? SPAN_LIT("?") : s);
	s = field_str(g, "reason");
	r->reason = out_safe(s.p == NULL ? SPAN_LIT("") : s);
	r->state = gwtext_index(field_str(g, "state"));
	r->age_s = field_int(g, "for_s", -1);
	r->unacked = field_int(g, "unacknowledged", 0);
	r->agents = field_int(g, "agents", 0);
	obj_sub(&counters, g, "counters");
	r->nin = field_int(&counters, "events_in", 0);
	r->nout = field_int(&counters, "outbound", 0);
	r->at = at;
	return r->name == NULL || r->reason == NULL ? -1 : 0;
}

int
rows_take(struct rows *r, struct span reply)
{
	struct row *list = calloc(LIMIT_GATEWAYS, sizeof(*list));
	struct obj *o = malloc(2 * sizeof(*o));
	struct span elem, all;
	size_t n = 0, pos = 0;
	int bad;
	double at;

	bad = list == NULL || o == NULL || obj_parse(&o[0], reply) == -1 ||
	    !field_true(&o[0], "ok");
	all = bad ? (struct span){NULL, 0} : field_raw(&o[0], "gateways");
	at = bad ? 0 : field_num(&o[0], "now", 0);
	while (!bad && n < LIMIT_GATEWAYS && json_each(all, &pos, &elem) == 1) {
		obj_parse(&o[1], elem);
		bad = read_row(&list[n++], &o[1], at) == -1;
		if (!bad)
			set_rates(&list[n - 1], find_row(r, list[n - 1].name));
	}
	free(o);
	if (bad) {
		list_free(list, n);
		return -1;
	}
	list_free(r->row, r->n);
	r->row = list;
	r->n = n;
	rows_sort(r, r->key);
	return 0;
}

/* The greater, the earlier. */
static int
down(double a, double b)
{
	return (a < b) - (a > b);
}

static int
compare(const void *pa, const void *pb, void *arg)
{
	const struct row *a = pa, *b = pb;
	const enum rows_key *key = arg;
	int c = 0;

	switch (*key) {
	case ROWS_STATE:
		c = down(gwtext_gravity(a->state), gwtext_gravity(b->state));
		break;
	case ROWS_AGE:
		c = -down((double)a->age_s, (double)b->age_s);
		break;
	case ROWS_IN:
		c = down(a->in, b->in);
		break;
	case ROWS_OUT:
		c = down(a->out, b->out);
		break;
	case ROWS_UNACKED:
		c = down((double)a->unacked, (double)b->unacked);
		break;
	case ROWS_AGENTS:
		c = down((double)a->agents, (double)b->agents);
		break;
	case ROWS_NAME:
	case ROWS_KEYS:
		break;
	}
	return c != 0 ? c : strcmp(a->name, b->name);
}

void
rows_sort(struct rows *r, enum rows_key key)
{
	r->key = key;
	if (r->n > 0)
		qsort_r(r->row, r->n, sizeof(*r->row), compare, &key);
}

static void
rate_cell(struct table *t, double rate)
{
	if (rate < 0)
		table_text(t, TINT_NONE, SPAN_LIT("-"));
	else
		table_fmt(t, TINT_NONE, rate < 100 ? "%.1f" : "%.0f", rate);
}

static void
add_row(struct table *t, const struct row *r)
{
	char age[OUT_AGE];
	struct span state =
	    span_str(r->state < 0 ? "?" : gwtext_state(r->state));

	table_text(t, TINT_NONE, span_str(r->name));
	table_text(t, gwtext_tint(state), state);
	table_fmt(t, TINT_NONE, "%s", out_age(age, r->age_s));
	rate_cell(t, r->in);
	rate_cell(t, r->out);
	table_fmt(t, TINT_NONE, "%" PRId64, r->unacked);
	table_fmt(t, TINT_NONE, "%" PRId64, r->agents);
	/* What is well needs no words. */
	table_text(t, TINT_DIM,
	    gwtext_tint(state) == TINT_GOOD ? SPAN_LIT("")
					    : span_str(r->reason));
}

/* The table as text (free); NULL without memory. */
static char *
make_table(const struct rows *r, const struct out *o, size_t n)
{
	const char *head[ROWS_KEYS + 1];
	struct table t;
	char *text = NULL;
	size_t i, len;
	FILE *f;

	for (i = 0; i < ROWS_KEYS; i++)
		head[i] = columns_[i].head;
	head[ROWS_KEYS] = "REASON";
	table_init(&t, o, head, ROWS_KEYS + 1, 0x1fU << ROWS_AGE);
	for (i = 0; i < n; i++)
		add_row(&t, &r->row[i]);
	f = open_memstream(&text, &len);
	table_print(&t, f);
	if (f != NULL)
		fclose(f);
	return text;
}

/* reset: its colours may have been cut. */
static void
put_line(FILE *f, const char *line, size_t columns, int reset)
{
	fprintf(f, "%.*s%s\n", (int)out_cut(line, columns), line,
	    reset ? "\033[0m" : "");
}

void
rows_draw(const struct rows *r, const struct out *o, const char *note,
    size_t lines, size_t columns, FILE *f)
{
	size_t room = lines < 3 ? 0 : lines - 2, shown = r->n, i;
	char head[160], *text;
	const char *p;

	if (shown > room)
		shown = room == 0 ? 0 : room - 1; /* and a line that says so */
	(void)snprintf(head, sizeof(head),
	    "%zu %s, sorted by %s; s sorts otherwise, q quits", r->n,
	    r->n == 1 ? "gateway" : "gateways", columns_[r->key].by);
	put_line(f, note[0] != '\0' ? note : head, columns, 0);
	if (lines < 2 || (text = make_table(r, o, shown)) == NULL)
		return;
	for (i = 0, p = text; i <= shown && *p != '\0'; i++) {
		put_line(f, p, columns, o->colour);
		p += strcspn(p, "\n");
		p += *p == '\n';
	}
	free(text);
	if (shown < r->n && room > 0) {
		(void)snprintf(
		    head, sizeof(head), "... %zu more", r->n - shown);
		put_line(f, head, columns, 0);
	}
}

void
rows_free(struct rows *r)
{
	list_free(r->row, r->n);
	r->row = NULL;
	r->n = 0;
}
