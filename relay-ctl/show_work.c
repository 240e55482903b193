/* SPDX-License-Identifier: ISC */
/* relay-ctl show sessions, counters and quarantine: what waits, and what came
 * of all that came. */
#include <inttypes.h>
#include <stdlib.h>

#include "field.h"
#include "gwtext.h"
#include "json.h"
#include "show.h"

/* Rows that the reply had no room for. */
static void
tell_left_out(FILE *f, const struct obj *root, const char *what)
{
	int64_t n = field_int(root, "left_out", 0);

	if (f != NULL && n > 0)
		fprintf(f, "%" PRId64 " more %s are not shown%s\n", n, what,
		    "; name a gateway for its own");
}

static void
session_row(struct table *t, struct span elem)
{
	char age[OUT_AGE];
	struct obj o;

	obj_parse(&o, elem);
	table_text(t, TINT_NONE, field_str(&o, "gateway"));
	table_text(t, TINT_NONE, field_str(&o, "session_key"));
	if (field_int(&o, "agent", 0) == 0)
		table_text(t, TINT_NONE, SPAN_LIT("-"));
	else
		table_fmt(t, TINT_NONE, "#%" PRId64, field_int(&o, "agent", 0));
	table_text(t, TINT_NONE, field_str(&o, "agent_name"));
	table_fmt(t, TINT_NONE, "%" PRId64, field_int(&o, "open", 0));
	if (field_int(&o, "open", 0) == 0)
		table_text(t, TINT_NONE, SPAN_LIT("-"));
	else
		table_fmt(t, TINT_NONE, "%s",
		    out_age(age, field_int(&o, "oldest_s", -1)));
	table_fmt(
	    t, TINT_NONE, "%s", out_age(age, field_int(&o, "last_s", -1)));
	if (field_true(&o, "blocked"))
		table_note(t, TINT_BAD,
		    "blocked by an event that agents do not survive, and for "
		    "which there is no room aside: requeue or drop some "
		    "(relay-ctl show quarantine)");
}

int
show_sessions(const struct out *o, FILE *f, struct span reply, void *arg)
{
	static const char *const head[] = {
	    "GATEWAY", "SESSION", "AGENT", "NAME", "OPEN", "OLDEST", "LAST"};
	struct show *s = arg;
	struct span elem;
	struct obj root;
	size_t pos = 0;

	obj_parse(&root, reply);
	table_init(&s->table, o, head, sizeof(head) / sizeof(head[0]),
	    1U << 4 | 1U << 5 | 1U << 6);
	while (json_each(field_raw(&root, "sessions"), &pos, &elem) == 1) {
		session_row(&s->table, elem);
		s->rows++;
	}
	table_print(&s->table, s->rows > 0 ? f : NULL);
	if (s->rows == 0 && f != NULL)
		fprintf(f, "no sessions\n");
	tell_left_out(f, &root, "sessions");
	return CTL_OK;
}

/* "events_in" as people read it. */
static void
put_counter(FILE *f, struct span key, struct span value)
{
	size_t i;

	fprintf(f, "  %-20.*s ", (int)key.len, key.p);
	for (i = value.len; i < 12; i++)
		putc(' ', f);
	fprintf(f, "%.*s\n", (int)value.len, value.p);
}

static void
counters_of(struct obj *g, void *arg)
{
	struct show *s = arg;
	struct obj counters;
	struct span key;
	char *name;
	int n;

	s->rows++;
	if (s->f == NULL || (name = out_safe(field_str(g, "name"))) == NULL)
		return;
	fprintf(s->f, "%s\n", name);
	free(name);
	obj_sub(&counters, g, "counters");
	for (n = json_first(&counters.doc, JSON_ROOT); n != -1;
	     n = json_next(&counters.doc, n)) {
		if (counters.doc.node[n].type != JSON_NUMBER)
			continue;
		key.p = counters.doc.text + counters.doc.node[n].key;
		key.len = counters.doc.node[n].keylen;
		put_counter(s->f, key, json_raw(&counters.doc, n));
	}
}

int
show_counters(const struct out *o, FILE *f, struct span reply, void *arg)
{
	struct show *s = arg;

	(void)o;
	s->f = f;
	gwtext_each(reply, s->name, counters_of, s);
	if (s->rows == 0 && f != NULL)
		fprintf(f, "no gateways\n");
	return CTL_OK;
}

static void
aside_row(struct table *t, struct span elem, double now)
{
	char text[OUT_AGE], when[OUT_TIME];
	double aside;
	struct obj o;
	char *line;

	obj_parse(&o, elem);
	table_text(t, TINT_NONE, field_str(&o, "gateway"));
	table_text(t, TINT_NONE, field_str(&o, "bufferId"));
	table_text(t, TINT_NONE, field_str(&o, "session_key"));
	table_text(t, TINT_NONE, field_str(&o, "platform"));
	table_fmt(
	    t, TINT_NONE, "%s", out_time(when, field_num(&o, "arrived", -1)));
	aside = field_num(&o, "aside_at", -1);
	table_fmt(t, TINT_NONE, "%s",
	    out_age(text, aside < 0 ? -1 : (int64_t)(now - aside)));
	table_fmt(t, TINT_NONE, "%" PRId64, field_int(&o, "attempts", 0));
	table_fmt(
	    t, TINT_NONE, "%s", out_size(text, field_int(&o, "bytes", 0)));
	if (field_raw(&o, "line").p != NULL &&
	    (line = out_safe(field_raw(&o, "line"))) != NULL) {
		table_note(t, TINT_DIM, "%s", line);
		free(line);
	}
}

int
show_quarantine(const struct out *o, FILE *f, struct span reply, void *arg)
{
	static const char *const head[] = {"GATEWAY", "BUFFERID", "SESSION",
	    "PLATFORM", "ARRIVED", "ASIDE", "TRIES", "SIZE"};
	struct show *s = arg;
	struct span elem;
	struct obj root;
	size_t pos = 0;

	obj_parse(&root, reply);
	table_init(&s->table, o, head, sizeof(head) / sizeof(head[0]),
	    1U << 5 | 1U << 6 | 1U << 7);
	while (json_each(field_raw(&root, "events"), &pos, &elem) == 1) {
		aside_row(&s->table, elem, field_num(&root, "now", 0));
		s->rows++;
	}
	table_print(&s->table, s->rows > 0 ? f : NULL);
	if (s->rows == 0 && f != NULL)
		fprintf(f, "nothing was put aside\n");
	tell_left_out(f, &root, "events");
	return CTL_OK;
}
