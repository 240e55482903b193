/* SPDX-License-Identifier: ISC */
/* relay-ctl show sessions, counters and quarantine: what waits, and what came
 * of all that came. */
#include <inttypes.h>
#include <stdlib.h>

#include "json.h"
#include "show.h"

void
show_session(struct show *s, struct obj *o)
{
	struct table *t = &s->table;
	char age[OUT_AGE];

	table_text(t, TINT_NONE, field_str(o, "gateway"));
	table_text(t, TINT_NONE, field_str(o, "session_key"));
	if (field_int(o, "agent", 0) == 0)
		table_text(t, TINT_NONE, SPAN_LIT("-"));
	else
		table_fmt(t, TINT_NONE, "#%" PRId64, field_int(o, "agent", 0));
	table_text(t, TINT_NONE, field_str(o, "agent_name"));
	table_fmt(t, TINT_NONE, "%" PRId64, field_int(o, "open", 0));
	if (field_int(o, "open", 0) == 0)
		table_text(t, TINT_NONE, SPAN_LIT("-"));
	else
		table_fmt(t, TINT_NONE, "%s",
		    out_age(age, field_int(o, "oldest_s", -1)));
	table_fmt(t, TINT_NONE, "%s", out_age(age, field_int(o, "last_s", -1)));
	if (field_true(o, "blocked"))
		table_note(t, TINT_BAD,
		    "blocked by an event that agents do not survive, and for "
		    "which there is no room aside: requeue or drop some "
		    "(relay-ctl show quarantine)");
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

void
show_counters(struct show *s, struct obj *g)
{
	struct obj counters;
	struct span key;
	char *name;
	int n;

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

void
show_aside(struct show *s, struct obj *o)
{
	struct table *t = &s->table;
	char text[OUT_AGE], when[OUT_TIME];
	double aside;
	char *line;

	table_text(t, TINT_NONE, field_str(o, "gateway"));
	table_text(t, TINT_NONE, field_str(o, "bufferId"));
	table_text(t, TINT_NONE, field_str(o, "session_key"));
	table_text(t, TINT_NONE, field_str(o, "platform"));
	table_fmt(
	    t, TINT_NONE, "%s", out_time(when, field_num(o, "arrived", -1)));
	aside = field_num(o, "aside_at", -1);
	table_fmt(t, TINT_NONE, "%s",
	    out_age(text, aside < 0 ? -1 : (int64_t)(s->now - aside)));
	table_fmt(t, TINT_NONE, "%" PRId64, field_int(o, "attempts", 0));
	table_fmt(t, TINT_NONE, "%s", out_size(text, field_int(o, "bytes", 0)));
	if (field_raw(o, "line").p != NULL &&
	    (line = out_safe(field_raw(o, "line"))) != NULL) {
		table_note(t, TINT_DIM, "%s", line);
		free(line);
	}
}
