/* SPDX-License-Identifier: ISC */
/* Counting lines that say the same again. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log_repeat.h"

struct log_repeats *
log_repeats_new(void)
{
	struct log_repeats *t = calloc(1, sizeof(*t));

	if (t != NULL)
		arc4random_buf(&t->key, sizeof(t->key));
	return t;
}

static uint64_t
hash_who(const struct log_repeats *t, const struct log_line *l)
{
	char text[64 + LOG_EVENT_MAX + 4 * LIMIT_NAME];
	int n;

	n = snprintf(text, sizeof(text), "%.32s %.*s %.*s", l->name,
	    LOG_EVENT_MAX, l->event, (int)l->subject.len,
	    l->subject.len > 0 ? l->subject.p : "");
	return hash_64(&t->key,
	    (struct span){
		text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1});
}

/* Where the parenthesis begins that the text ends with; its length: none. */
static size_t
last_parenthesis(struct span s)
{
	size_t i;

	if (s.len == 0 || s.p[s.len - 1] != ')')
		return s.len;
	for (i = s.len - 1; i > 0 && s.p[i] != '('; i--)
		;
	return s.p[i] == '(' ? i : s.len;
}

/* The digits at its end are left out: they count, or measure. */
static uint64_t
hash_text(const struct log_repeats *t, struct span s)
{
	char text[LIMIT_LOG_LINE];
	size_t i, n = 0, from = last_parenthesis(s);

	for (i = 0; i < s.len && n < sizeof(text); i++)
		if (i < from || s.p[i] < '0' || s.p[i] > '9')
			text[n++] = s.p[i];
	return hash_64(&t->key, (struct span){text, n});
}

/* The line that says how often, of a copy of the place. */
static void
sum_up(const struct log_repeat *place, uint64_t now, struct log_repeat *r,
    struct log_line *sum)
{
	*r = *place;
	snprintf(r->last, sizeof(r->last),
	    "repeated %" PRIu32 " time%s in %" PRIu64 " s: %.*s", place->count,
	    place->count == 1 ? "" : "s", (now - place->said_ms) / 1000,
	    LOG_REPEAT_KEPT, place->last);
	*sum = (struct log_line){r->name, r->pid, r->level, r->event,
	    span_str(r->subject), span_str(r->last), r->count};
}

/* What was counted is said; from here on it is counted anew, for longer. */
static void
said(struct log_repeat *r, uint64_t now)
{
	r->count = 0;
	r->said_ms = now;
	r->window_ms *= 2;
	if (r->window_ms > LOG_REPEAT_MAX_MS)
		r->window_ms = LOG_REPEAT_MAX_MS;
}

static void
keep_last(struct log_repeat *r, const struct log_line *l)
{
	r->pid = l->pid;
	/* It was made visible, and is cut at a character or an escape. */
	(void)log_vis_put(r->last, LOG_REPEAT_KEPT, l->text, VIS_KEEP);
}

int
log_repeat_take(struct log_repeats *t, const struct log_line *l, uint64_t now,
    struct log_repeat *r, struct log_line *sum)
{
	uint64_t who = hash_who(t, l), text = hash_text(t, l->text);
	struct log_repeat *place = &t->place[who % LOG_REPEAT_PLACES];
	int same = place->name != NULL && place->who == who &&
	    place->text == text && place->level == l->level;

	sum->event = NULL;
	if (same &&
	    (place->count > 0 || now - place->said_ms < place->window_ms)) {
		keep_last(place, l);
		if (place->count < UINT32_MAX)
			place->count++;
		if (now - place->said_ms >= place->window_ms) {
			sum_up(place, now, r, sum);
			said(place, now);
		}
		return 0;
	}
	if (place->count > 0)
		sum_up(place, now, r, sum);
	place->name = l->name;
	place->level = l->level;
	snprintf(place->event, sizeof(place->event), "%s", l->event);
	span_copy(place->subject, sizeof(place->subject), l->subject);
	place->who = who;
	place->text = text;
	place->said_ms = now;
	place->window_ms = LOG_REPEAT_MS;
	place->count = 0;
	keep_last(place, l);
	return 1;
}

int
log_repeat_due(struct log_repeats *t, uint64_t now, int all, unsigned *from,
    struct log_repeat *r, struct log_line *sum)
{
	struct log_repeat *place;

	for (; *from < LOG_REPEAT_PLACES; ++*from) {
		place = &t->place[*from];
		if (place->name == NULL || place->count == 0 ||
		    (!all && now - place->said_ms < place->window_ms))
			continue;
		sum_up(place, now, r, sum);
		said(place, now);
		return 1;
	}
	return 0;
}
