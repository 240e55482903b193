/* SPDX-License-Identifier: ISC */
/* relay-ctl show config: the configuration that relayd lives by, as the
 * supervisor wrote it down when it took it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "json.h"
#include "show.h"
#include "state.h"

int
show_config_read(const struct ctl *ctl, struct buf *text)
{
	struct client none = {.fd = -1, .who = "the engine"};
	struct state st;
	struct obj o;
	int r, alive, error;

	r = state_file(text, ctl, "config.json");
	error = errno;
	if (r == -1 && (error == EACCES || error == EPERM)) {
		(void)snprintf(none.path, sizeof(none.path), "%s/config.json",
		    ctl->rundir);
		return client_explain(&none, ctl, CLIENT_DENIED);
	}
	alive = state_read(&st, ctl) == 0 && st.alive;
	state_free(&st);
	if (!alive) {
		(void)snprintf(none.path, sizeof(none.path), "%s/control.sock",
		    ctl->rundir);
		return client_explain(&none, ctl, CLIENT_ABSENT);
	}
	if (r == -1) {
		ctl_warn("%s/config.json: %s", ctl->rundir, strerror(error));
		return CTL_FAILED;
	}
	if (buf_len(text) > 0 && text->p[text->end - 1] == '\n')
		text->end--;
	if (obj_parse(&o, buf_span(text)) == 0 && field_true(&o, "ok"))
		return CTL_OK;
	ctl_warn("%s/config.json is not relayd's", ctl->rundir);
	return CTL_FAILED;
}

void
show_value(struct show *s, struct obj *o)
{
	struct span value, from;

	table_text(&s->table, TINT_NONE, field_str(o, "key"));
	from = field_str(o, "from");
	table_text(&s->table,
	    span_eq(from, SPAN_LIT("default")) ? TINT_DIM : TINT_NONE, from);
	value = field_str(o, "value");
	table_text(&s->table, TINT_NONE,
	    value.p != NULL ? value : field_raw(o, "value"));
}

void
show_refused(struct show *s, struct obj *root)
{
	char at[OUT_TIME], *text;
	struct obj refused;

	text = out_safe(field_str(root, "file"));
	out_second(at, field_num(root, "taken", -1));
	fprintf(s->f, "taken %s from %s\n", at,
	    text == NULL || text[0] == '\0' ? "the environment" : text);
	free(text);
	if (obj_sub(&refused, root, "refused") == -1)
		return;
	text = out_safe(field_str(&refused, "error"));
	out_second(at, field_num(&refused, "at", -1));
	fprintf(s->f, "%s a new one was refused, and this one stays: %s\n", at,
	    text == NULL ? "" : text);
	free(text);
}
