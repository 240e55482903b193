/* SPDX-License-Identifier: ISC */
/* Environment files: what is read lies within the text, stands on lines that
 * follow each other, and written in single quotes is read as the same. */
#include "fuzz.h"

#include "../../relay-ctl/envfile.c"

/* NAME='VALUE', a quote as '\''. */
static size_t
write_out(const struct envfile_var *v, char *out)
{
	size_t n = 0, i;

	memcpy(out, v->name.p, v->name.len);
	n += v->name.len;
	out[n++] = '=';
	out[n++] = '\'';
	for (i = 0; i < v->value.len; i++) {
		if (v->value.p[i] == '\'') {
			memcpy(out + n, "'\\'", 3);
			n += 3;
		}
		out[n++] = v->value.p[i];
	}
	out[n++] = '\'';
	return n;
}

static void
check_again(const struct envfile_var *v)
{
	char *text = malloc(v->name.len + 4 * v->value.len + 3), *tight;
	struct envfile_var again;
	struct envfile e;
	size_t n;

	CHECK(text != NULL);
	n = write_out(v, text);
	tight = exact((struct span){text, n});
	envfile_init(&e, tight, n);
	CHECK(envfile_next(&e, &again) == 1);
	CHECK(span_eq(again.name, v->name) && span_eq(again.value, v->value));
	CHECK(again.first == 1 && again.expands == 0);
	CHECK(envfile_next(&e, &again) == 0);
	free(tight);
	free(text);
}

static void
check_var(const struct envfile_var *v, struct span text, unsigned after)
{
	CHECK(within(v->name, text) && within(v->value, text));
	CHECK(v->name.len > 0 && v->value.p > v->name.p);
	CHECK(v->first >= after && v->last >= v->first);
	CHECK(v->expands == 0 ||
	    (v->expands >= v->first && v->expands <= v->last));
	CHECK(memchr(v->value.p, '\0', v->value.len) == NULL);
	check_again(v);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = {(const char *)data, size};
	char *copy = exact(text);
	unsigned after = 1;
	struct envfile_var v;
	struct envfile e;
	int r;

	text.p = copy;
	envfile_init(&e, copy, size);
	while ((r = envfile_next(&e, &v)) == 1) {
		check_var(&v, text, after);
		after = v.last;
	}
	CHECK((r == -1) == (e.why != NULL));
	CHECK(r == -1 ? e.line >= 1 : e.at == size);
	free(copy);
	return 0;
}
