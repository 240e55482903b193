/* SPDX-License-Identifier: ISC */
/*
 * The status document as metrics, in Prometheus' text format 0.0.4.  What
 * there is stands in one table, which makes the output; relay-ctl(8) lists it,
 * and a test holds one against the other.
 */
#ifndef METRICS_H
#define METRICS_H

#include "buf.h"
#include "field.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* What is counted by who writes the metrics. */
struct metrics_own {
	uint64_t up;	   /* relayd answered with its status */
	uint64_t requests; /* of HTTP */
	uint64_t asked;	   /* times relayd was asked for its status … */
	uint64_t failed;   /* … and did not answer with it */
	uint64_t clients;  /* of /events */
	uint64_t dropped;  /* of these, since the start: too slow */
};

/* The object that a metric is read from; from METRIC_GATEWAY to before
 * METRIC_PROCESS, with a sample for each gateway. */
enum metric_part {
	METRIC_OWN, /* struct metrics_own */
	METRIC_TOP, /* the document */
	METRIC_CONFIG,
	METRIC_GATEWAY,
	METRIC_CREDENTIAL,
	METRIC_CLOSE,
	METRIC_FAILURE,
	METRIC_REVOKED,
	METRIC_QUEUE,
	METRIC_JOURNAL,
	METRIC_COUNTERS,
	METRIC_PROCESS, /* a sample for each process */
	METRIC_PARTS
};

/* What becomes of the member. */
enum metric_how {
	METRIC_INT,
	METRIC_SECONDS, /* with its fraction */
	METRIC_MS,	/* milliseconds: seconds */
	METRIC_KIB,	/* KiB: bytes */
	METRIC_BOOL,
	METRIC_AGE, /* whole seconds since then: Unix seconds */
	METRIC_LEN, /* an array: its length */
	METRIC_SUM, /* an array of objects: the sum of their member `of` … */
	METRIC_MAX, /* … or its maximum; absent when none has a number */
	METRIC_LABEL, /* a text: 1, with the label `of` that has it */
	METRIC_PUT    /* by a function */
};

/* One sample in the making. */
struct metric_sample {
	struct buf *out;
	const struct metric *metric;
	const char *who;  /* the label of gateway or process; "": none */
	struct span text; /* the document */
	struct obj *part; /* [METRIC_PARTS]; those that are not there are
			   * empty */
	const struct metrics_own *own;
};

struct metric {
	const char *name;
	const char *help; /* NULL: as the row before, with another label */
	uint8_t counter;  /* or a gauge */
	enum metric_part part;
	enum metric_how how;
	const char *key;
	const char *of;
	const char *label; /* one more, as it stands in the output */
	size_t at;	   /* METRIC_OWN: offset */
	void (*put)(struct metric_sample *s);
};

extern const struct metric metrics_table[];
extern const size_t metrics_count;

/* Append all metrics.  status: the document, or absent when there is none;
 * own: NULL when there is none: then what they would tell is absent, too. */
void metrics_write(
    struct buf *out, struct span status, const struct metrics_own *own);

/* For the table's functions: append a sample.  name and value: one more label
 * (NULL: none), which is escaped. */
void metrics_put(struct metric_sample *s, const char *name, struct span value,
    const char *number);
/* Append a label's value, escaped; controls become U+FFFD. */
void metrics_escape(struct buf *out, struct span value);

#endif
