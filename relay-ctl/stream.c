/* SPDX-License-Identifier: ISC */
/* Streams: relayd tells, line by line, until one of us ends. */
#include <stdlib.h>

#include "client.h"
#include "pulse.h"
#include "stream.h"

void
stream_field(struct obj *o, const char *key, const char *label)
{
	struct span s = field_str(o, key);
	char *safe;

	if (s.p == NULL)
		s = field_raw(o, key); /* an id may be a number */
	if (s.p == NULL || (safe = out_safe(s)) == NULL)
		return;
	printf(" %s%s", label, safe);
	free(safe);
}

int
stream_follow(struct ctl *ctl, struct buf *req, int read_only,
    void (*show)(struct obj *o))
{
	enum client_result r = CLIENT_OK;
	struct client c;
	struct pulse pulse;
	struct span line;
	struct obj o;
	int status;

	status = client_do(&c, ctl, req, read_only, CLIENT_WAIT_STATUS, &line);
	if (status != CTL_OK) {
		client_close(&c);
		return status;
	}
	pulse_begin(&pulse, ctl, &c);
	while (status == CTL_OK) {
		r = pulse_line(&pulse, &c, &line, CLIENT_WAIT_EVER);
		if (r != CLIENT_OK)
			break;
		if (obj_parse(&o, line) == -1 || field_raw(&o, "ok").p != NULL)
			status = client_refused(&c, ctl, line);
		else if (ctl->out.json)
			(void)out_json(line);
		else
			show(&o);
		if (fflush(stdout) != 0)
			status = CTL_FAILED;
	}
	pulse_end(&pulse);
	client_close(&c);
	if (r != CLIENT_OK) {
		if (r == CLIENT_ENDED)
			ctl_warn("relayd ended the stream");
		return CTL_FAILED;
	}
	return status;
}
