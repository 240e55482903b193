/* SPDX-License-Identifier: ISC */
/* The forms that a reply is shown in. */
#include "metrics.h"
#include "out.h"

int
out_json(struct span line)
{
	fwrite(line.p, 1, line.len, stdout);
	putchar('\n');
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : -1;
}

static int
out_metrics(struct span reply)
{
	struct buf b;
	int r;

	buf_init(&b, 0);
	metrics_write(&b, reply, NULL);
	fwrite(b.p + b.off, 1, buf_len(&b), stdout);
	r = !b.failed && fflush(stdout) == 0 && !ferror(stdout) ? 0 : -1;
	buf_free(&b);
	return r;
}

int
out_show(const struct out *o, struct span reply, out_render *render, void *arg)
{
	int r = render(o, o->json || o->metrics ? NULL : stdout, reply, arg);

	if (o->json)
		return out_json(reply) == 0 ? r : 1;
	if (o->metrics)
		return out_metrics(reply) == 0 ? r : 1;
	return fflush(stdout) == 0 && !ferror(stdout) ? r : 1;
}
