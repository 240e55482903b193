/* SPDX-License-Identifier: ISC */
/* The findings of a check: made, and shown. */
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bundle.h"
#include "check.h"
#include "json.h"

/* Bytes of one text: a path, a reason and what to do. */
#define TEXT_MAX 4096
/* Bytes of one conversion's specification: "%04o". */
#define SPEC_MAX 12

static const char *const result_names[] = {
    [CHECK_OK] = "ok",
    [CHECK_WARN] = "warn",
    [CHECK_FAIL] = "fail",
    [CHECK_SKIP] = "skip",
};

static const char *const step_names[CHECK_STEPS] = {
    [STEP_CONFIGURATION] = "configuration",
    [STEP_PERMISSIONS] = "permissions",
    [STEP_USERS] = "users",
    [STEP_KERNEL] = "kernel",
    [STEP_NAME] = "name",
    [STEP_CONNECT] = "connect",
    [STEP_CERTIFICATE] = "certificate",
    [STEP_CLOCK] = "clock",
    [STEP_CREDENTIAL] = "credential",
};

const char *
check_result_name(enum check_result r)
{
	return result_names[r];
}

const char *
check_step_name(enum check_step s)
{
	return step_names[s];
}

/* Text that was inserted; guarded, what is known of it. */
static void
put_string(struct buf *b, const struct check *k, struct span s)
{
	if (s.p == NULL)
		s = SPAN_LIT("(none)");
	if (k->guarded)
		bundle_phrases(b, s);
	else
		buf_adds(b, s);
}

/* A number, with the flags and width of its specification. */
static void
put_number(struct buf *b, const char *spec, size_t n, va_list *ap)
{
	char digits[40], own[SPEC_MAX + 4];
	const char conv = spec[n - 1];
	size_t head = strspn(spec + 1, "0123456789+- ") + 1;
	int longs =
	    memchr(spec, 'l', n) != NULL || memchr(spec, 'z', n) != NULL;

	/* All as long long: the flags, then the length, then the letter. */
	snprintf(own, sizeof(own), "%.*sll%c", (int)head, spec, conv);
	if (conv == 'd')
		snprintf(digits, sizeof(digits), own,
		    longs ? (long long)va_arg(*ap, long)
			  : (long long)va_arg(*ap, int));
	else
		snprintf(digits, sizeof(digits), own,
		    longs ? (unsigned long long)va_arg(*ap, unsigned long)
			  : (unsigned long long)va_arg(*ap, unsigned));
	buf_adds(b, span_str(digits));
}

/* One conversion; returns what follows it. */
static const char *
put_conversion(
    struct buf *b, const struct check *k, const char *fmt, va_list *ap)
{
	size_t n = strcspn(fmt + 1, "sdoux") + 2;
	const char *s;
	int len;

	if (fmt[1] == '%') {
		buf_adds(b, SPAN_LIT("%"));
		return fmt + 2;
	}
	if (fmt[n - 1] != 's') {
		put_number(b, fmt, n, ap);
	} else if (memchr(fmt, '*', n) != NULL) {
		len = va_arg(*ap, int);
		s = va_arg(*ap, const char *);
		put_string(b, k, (struct span){s, (size_t)len});
	} else {
		put_string(b, k, span_str(va_arg(*ap, const char *)));
	}
	return fmt + n;
}

/* What was gathered, as text that may stand in a terminal. */
static char *
finish(struct buf *b)
{
	char *text = out_safe(buf_span(b));

	buf_reset(b);
	return text;
}

static struct check_finding *
more(struct check *k)
{
	struct check_finding *grown;
	size_t cap;

	if (k->n == k->cap) {
		cap = k->cap == 0 ? 32 : 2 * k->cap;
		grown = reallocarray(k->finding, cap, sizeof(*grown));
		if (grown == NULL)
			return NULL;
		k->finding = grown;
		k->cap = cap;
	}
	memset(&k->finding[k->n], 0, sizeof(k->finding[0]));
	return &k->finding[k->n++];
}

void
check_add(struct check *k, enum check_result r, enum check_step s,
    const char *gateway, const char *fmt, ...)
{
	struct check_finding *f = more(k);
	struct buf b;
	va_list ap;

	if (f == NULL) {
		k->failed = 1;
		return;
	}
	f->result = r;
	f->step = s;
	f->gateway = gateway;
	buf_init(&b, TEXT_MAX);
	va_start(ap, fmt);
	while (*fmt != '\0') {
		if (*fmt == '%') {
			fmt = put_conversion(&b, k, fmt, &ap);
		} else if (*fmt == '\n') {
			f->what = finish(&b);
			fmt++;
		} else {
			buf_add(&b, fmt++, 1);
		}
	}
	va_end(ap);
	if (f->what == NULL)
		f->what = finish(&b);
	else
		f->todo = finish(&b);
	if (f->what == NULL)
		k->failed = 1;
	buf_free(&b);
}

void
check_copy(struct check *k, size_t i, const char *gateway)
{
	struct check_finding *f = more(k), *from;

	if (f == NULL) {
		k->failed = 1;
		return;
	}
	from = &k->finding[i];
	f->result = from->result;
	f->step = from->step;
	f->gateway = gateway;
	f->what = strdup(from->what == NULL ? "" : from->what);
	f->todo = from->todo == NULL ? NULL : strdup(from->todo);
	if (f->what == NULL)
		k->failed = 1;
}

void
check_free(struct check *k)
{
	size_t i;

	for (i = 0; i < k->n; i++) {
		free(k->finding[i].what);
		free(k->finding[i].todo);
	}
	free(k->finding);
	k->finding = NULL;
	k->n = k->cap = 0;
	if (k->conf != NULL)
		conf_free(k->conf);
	k->conf = NULL;
}

static int
count(const struct check *k, enum check_result r)
{
	int n = 0;
	size_t i;

	for (i = 0; i < k->n; i++)
		n += k->finding[i].result == r;
	return n;
}

static void
put_table(const struct check *k, FILE *f)
{
	static const char *const head[] = {
	    "RESULT", "CHECK", "GATEWAY", "WHAT WAS LOOKED AT"};
	static const enum tint tints[] = {
	    [CHECK_OK] = TINT_GOOD,
	    [CHECK_WARN] = TINT_WARN,
	    [CHECK_FAIL] = TINT_BAD,
	    [CHECK_SKIP] = TINT_DIM,
	};
	const struct check_finding *at;
	struct table t;
	size_t i;

	table_init(&t, &k->ctl->out, head, 4, 0);
	for (i = 0; i < k->n; i++) {
		at = &k->finding[i];
		table_text(
		    &t, tints[at->result], span_str(result_names[at->result]));
		table_text(&t, TINT_NONE, span_str(step_names[at->step]));
		table_text(&t, TINT_NONE, span_str(at->gateway));
		table_text(&t, TINT_NONE, span_str(at->what));
		if (at->todo != NULL)
			table_note(&t, TINT_NONE, "you can: %s", at->todo);
	}
	table_print(&t, f);
	fprintf(f, "%d failed, %d to look at, %d not looked at\n",
	    count(k, CHECK_FAIL), count(k, CHECK_WARN), count(k, CHECK_SKIP));
}

static void
put_json(const struct check *k, FILE *f)
{
	const struct check_finding *at;
	struct buf b;
	size_t i;

	buf_init(&b, 0);
	buf_adds(&b, SPAN_LIT("{"));
	json_put_member_bool(&b, "ok", count(k, CHECK_FAIL) == 0);
	json_put_member_str(&b, "schema", SPAN_LIT("relayctl.check/1"));
	json_put_member_str(&b, "file",
	    span_str(k->conf_path[0] == '\0' ? NULL : k->conf_path));
	json_put_member_bool(&b, "running", k->alive);
	json_put_key(&b, "checks");
	buf_adds(&b, SPAN_LIT("["));
	for (i = 0; i < k->n; i++) {
		at = &k->finding[i];
		buf_adds(&b, i == 0 ? SPAN_LIT("{") : SPAN_LIT(",{"));
		json_put_member_str(
		    &b, "result", span_str(result_names[at->result]));
		json_put_member_str(
		    &b, "check", span_str(step_names[at->step]));
		json_put_member_str(&b, "gateway", span_str(at->gateway));
		json_put_member_str(&b, "what", span_str(at->what));
		json_put_member_str(&b, "todo", span_str(at->todo));
		buf_adds(&b, SPAN_LIT("}"));
	}
	buf_adds(&b, SPAN_LIT("]}\n"));
	fwrite(buf_span(&b).p, 1, buf_len(&b), f);
	buf_free(&b);
}

int
check_put(const struct check *k, FILE *f)
{
	if (k->failed) {
		ctl_warn("no memory");
		return CTL_FAILED;
	}
	if (k->ctl->out.json)
		put_json(k, f);
	else
		put_table(k, f);
	return count(k, CHECK_FAIL) == 0 ? CTL_OK : CTL_FAILED;
}
