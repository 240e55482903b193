/* SPDX-License-Identifier: ISC */
/* config.json: what is lived by, and what was refused since. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "conf.h"
#include "json.h"
#include "log.h"
#include "msg.h"
#include "pipe.h"
#include "schema.h"
#include "sup_config.h"
#include "sup_state.h"

static void
render(struct buf *b, const struct supervisor *s, const char *refused)
{
	const struct conf *c = s->plan->conf;

	buf_adds(b, SPAN_LIT("{"));
	json_put_member_bool(b, "ok", 1);
	json_put_member_str(b, "schema", SPAN_LIT(SCHEMA_CONFIG));
	json_put_member_str(b, "version", SPAN_LIT(VERSION));
	if (c->path == NULL)
		json_put_member_raw(b, "file", SPAN_LIT("null"));
	else
		json_put_member_str(b, "file", span_str(c->path));
	json_put_member_int(b, "taken", s->conf_taken);
	if (refused == NULL)
		json_put_member_raw(b, "refused", SPAN_LIT("null"));
	else {
		json_put_key(b, "refused");
		buf_adds(b, SPAN_LIT("{"));
		json_put_member_int(b, "at", s->conf_refused);
		json_put_member_str(b, "error", span_str(refused));
		buf_adds(b, SPAN_LIT("}"));
	}
	json_put_key(b, "values");
	conf_dump(b, c);
	buf_adds(b, SPAN_LIT("}\n"));
}

void
sup_config_tell(const struct supervisor *s)
{
	const struct sup_child *engine = &s->child[ROLE_ENGINE];
	const struct msg_conf_taken m = {
	    .at = (uint64_t)s->conf_taken,
	    .refused_at = (uint64_t)s->conf_refused,
	};

	if (engine->state == SUP_RUNNING && engine->pipe != NULL)
		(void)pipe_send(engine->pipe, MSG_CONF_TAKEN, 0, &m, -1);
}

void
sup_config_write(struct supervisor *s, const char *refused)
{
	char path[LIMIT_PATH + 16];
	struct buf b;

	if (refused == NULL)
		s->conf_taken = (int64_t)time(NULL);
	s->conf_refused = refused == NULL ? 0 : (int64_t)time(NULL);
	buf_init(&b, 0);
	render(&b, s, refused);
	(void)snprintf(path, sizeof(path), "%s/config.json", s->paths.run);
	if (b.failed ||
	    sup_state_write(
		path, s->plan->control_gid, buf_span(&b).p, buf_len(&b)) == -1)
		log_warn("state", NULL, "%s cannot be written: %s", path,
		    strerror(errno));
	buf_free(&b);
	sup_config_tell(s);
}
