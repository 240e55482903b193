/* SPDX-License-Identifier: ISC */
/* From the status document to samples, by the table of metrics. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "metrics.h"

/* Bytes of a label: a gateway's name or a process', every byte escaped. */
#define WHO_MAX 128
/* Bytes of a number in text. */
#define NUMBER 40

static const struct span no_span;

/* The object each part is within its parent. */
static const char *const part_key[METRIC_PARTS] = {
    [METRIC_CONFIG] = "configuration",
    [METRIC_CREDENTIAL] = "credential",
    [METRIC_CLOSE] = "last_close",
    [METRIC_FAILURE] = "last_failure",
    [METRIC_REVOKED] = "revoked",
    [METRIC_QUEUE] = "queue",
    [METRIC_JOURNAL] = "journal",
    [METRIC_COUNTERS] = "counters",
};

/* Bytes of the control character that stands at i, or 0: a terminal, and who
 * reads the text up to a NUL, would act on it. */
static size_t
control_at(struct span s, size_t i)
{
	unsigned char c = (unsigned char)s.p[i];

	if (c == 0xc2 && i + 1 < s.len &&
	    ((unsigned char)s.p[i + 1] & 0xe0) == 0x80)
		return 2;
	return (c < ' ' && c != '\n') || c == 0x7f;
}

void
metrics_escape(struct buf *out, struct span value)
{
	size_t i, n;

	for (i = 0; i < value.len; i++) {
		if ((n = control_at(value, i)) > 0) {
			buf_adds(out, SPAN_LIT("\xef\xbf\xbd"));
			i += n - 1;
			continue;
		}
		switch (value.p[i]) {
		case '\\':
			buf_adds(out, SPAN_LIT("\\\\"));
			break;
		case '"':
			buf_adds(out, SPAN_LIT("\\\""));
			break;
		case '\n':
			buf_adds(out, SPAN_LIT("\\n"));
			break;
		default:
			buf_add(out, value.p + i, 1);
		}
	}
}

void
metrics_put(struct metric_sample *s, const char *name, struct span value,
    const char *number)
{
	const struct metric *m = s->metric;
	const char *sep = "{";

	buf_adds(s->out, span_str(m->name));
	if (s->who[0] != '\0') {
		buf_addf(s->out, "%s%s", sep, s->who);
		sep = ",";
	}
	if (m->label != NULL) {
		buf_addf(s->out, "%s%s", sep, m->label);
		sep = ",";
	}
	if (name != NULL) {
		buf_addf(s->out, "%s%s=\"", sep, name);
		metrics_escape(s->out, value);
		buf_adds(s->out, SPAN_LIT("\""));
		sep = ",";
	}
	if (sep[0] == ',')
		buf_adds(s->out, SPAN_LIT("}"));
	buf_addf(s->out, " %s\n", number);
}

static void
put_int(struct metric_sample *s, int64_t v)
{
	char number[NUMBER];

	snprintf(number, sizeof(number), "%" PRId64, v);
	metrics_put(s, NULL, no_span, number);
}

static void
put_seconds(struct metric_sample *s, double v)
{
	char number[NUMBER];

	if (!isfinite(v) || fabs(v) > 1e18)
		return;
	snprintf(number, sizeof(number), "%.3f", v);
	metrics_put(s, NULL, no_span, number);
}

/* An array's objects, and a number of each. */
static void
put_array(struct metric_sample *s, struct span array)
{
	const struct metric *m = s->metric;
	struct obj *o = s->part + METRIC_PARTS; /* the one to spare */
	int64_t v, sum = 0, max = INT64_MIN, n = 0;
	struct span elem;
	size_t pos = 0;

	while (json_each(array, &pos, &elem) == 1) {
		n++;
		if (m->how == METRIC_LEN || obj_parse(o, elem) == -1)
			continue;
		v = field_int(o, m->of, INT64_MIN);
		if (v > max)
			max = v;
		if (v > INT64_MIN && __builtin_add_overflow(sum, v, &sum))
			sum = INT64_MAX;
	}
	if (m->how == METRIC_LEN)
		put_int(s, n);
	else if (m->how == METRIC_SUM)
		put_int(s, sum);
	else if (max > INT64_MIN)
		put_int(s, max);
}

/* Numbers: those of them that are there. */
static void
put_number(struct metric_sample *s, struct obj *o)
{
	const struct metric *m = s->metric;
	int64_t v = field_int(o, m->key, INT64_MIN);
	double now;

	if (v == INT64_MIN || v < -INT64_MAX / 1024 || v > INT64_MAX / 1024)
		return;
	switch (m->how) {
	case METRIC_MS:
		put_seconds(s, (double)v / 1000);
		break;
	case METRIC_KIB:
		put_int(s, v * 1024);
		break;
	case METRIC_AGE:
		now = field_num(&s->part[METRIC_TOP], "now", -1);
		if (now > 0 && now < 1e15)
			put_int(s, (int64_t)now - v);
		break;
	default:
		put_int(s, v);
	}
}

static void
put_sample(struct metric_sample *s)
{
	const struct metric *m = s->metric;
	struct obj *o = &s->part[m->part];
	struct span text;

	switch (m->how) {
	case METRIC_PUT:
		m->put(s);
		break;
	case METRIC_BOOL:
		if (field_raw(o, m->key).p != NULL)
			put_int(s, field_true(o, m->key));
		break;
	case METRIC_SECONDS:
		put_seconds(s, field_num(o, m->key, (double)NAN));
		break;
	case METRIC_LEN:
	case METRIC_SUM:
	case METRIC_MAX:
		put_array(s, field_raw(o, m->key));
		break;
	case METRIC_LABEL:
		text = field_str(o, m->key);
		if (text.p != NULL)
			metrics_put(s, m->of, text, "1");
		break;
	default:
		put_number(s, o);
	}
}

/* The samples of one object, each behind those that its metric has. */
static void
put_parts(struct metric_sample *s, struct buf *each, enum metric_part from,
    enum metric_part to)
{
	const struct metric *m = metrics_table;
	size_t i;

	for (i = 0; i < metrics_count; i++)
		if (m[i].part >= from && m[i].part <= to) {
			s->metric = &m[i];
			s->out = &each[i];
			put_sample(s);
		}
}

/* Every object of an array, which has its label from the member `name`. */
static void
put_each(struct metric_sample *s, struct buf *each, const char *array,
    enum metric_part from, enum metric_part to, const char *label,
    const char *name)
{
	struct span elem, whole = field_raw(&s->part[METRIC_TOP], array);
	struct obj *o = &s->part[from];
	struct buf who;
	size_t pos = 0;
	unsigned p;

	buf_init(&who, WHO_MAX);
	while (json_each(whole, &pos, &elem) == 1) {
		if (obj_parse(o, elem) == -1)
			continue;
		for (p = from + 1U; p <= to; p++)
			obj_sub(&s->part[p], o, part_key[p]);
		buf_reset(&who);
		buf_addf(&who, "%s=\"", label);
		metrics_escape(&who, field_str(o, name));
		buf_add(&who, "\"", sizeof("\""));
		if (who.failed)
			continue;
		s->who = buf_span(&who).p;
		put_parts(s, each, from, to);
	}
	buf_free(&who);
	s->who = "";
}

static void
put_own(struct metric_sample *s, struct buf *each)
{
	const struct metric *m = metrics_table;
	size_t i;

	for (i = 0; i < metrics_count; i++)
		if (m[i].part == METRIC_OWN) {
			s->metric = &m[i];
			s->out = &each[i];
			if (m[i].how == METRIC_PUT)
				m[i].put(s);
			else
				put_int(s,
				    (int64_t) *
					(const uint64_t *)(const void
						*)((const char *)s->own +
					    m[i].at));
		}
}

/* All samples of a metric follow each other. */
static void
join(struct buf *out, struct buf *each)
{
	const struct metric *m = metrics_table;
	const char *told = "";
	size_t i;

	for (i = 0; i < metrics_count; i++) {
		if (buf_len(&each[i]) > 0 && strcmp(told, m[i].name) != 0) {
			buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", m[i].name,
			    m[i].help, m[i].name,
			    m[i].counter ? "counter" : "gauge");
			told = m[i].name;
		}
		buf_adds(out, buf_span(&each[i]));
		if (each[i].failed)
			out->failed = 1;
		buf_free(&each[i]);
	}
}

void
metrics_write(
    struct buf *out, struct span status, const struct metrics_own *own)
{
	struct metric_sample s = {.who = "", .text = status, .own = own};
	struct buf *each = calloc(metrics_count, sizeof(*each));
	size_t i;

	s.part = calloc(METRIC_PARTS + 1, sizeof(*s.part));
	if (each == NULL || s.part == NULL) {
		free(each);
		free(s.part);
		out->failed = 1;
		return;
	}
	for (i = 0; i < metrics_count; i++)
		buf_init(&each[i], 0);
	if (own != NULL)
		put_own(&s, each);
	if (status.p != NULL && obj_parse(&s.part[METRIC_TOP], status) == 0) {
		obj_sub(&s.part[METRIC_CONFIG], &s.part[METRIC_TOP],
		    part_key[METRIC_CONFIG]);
		put_parts(&s, each, METRIC_TOP, METRIC_CONFIG);
		put_each(&s, each, "gateways", METRIC_GATEWAY,
		    METRIC_PROCESS - 1, "gateway", "name");
		put_each(&s, each, "processes", METRIC_PROCESS, METRIC_PROCESS,
		    "process", "role");
	}
	join(out, each);
	free(s.part);
	free(each);
}
