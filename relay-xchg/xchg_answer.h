/* SPDX-License-Identifier: ISC */
/* What an answer says, as the few fields relay-authd gets of it.  Without
 * I/O. */
#ifndef XCHG_ANSWER_H
#define XCHG_ANSWER_H

#include "msg.h"
#include "xchg_http.h"

/* Bytes a token command may print: a token, and white space around it. */
#define XCHG_PRINTED_MAX (LIMIT_BEARER + 4096)

struct xchg_result {
	struct msg_xanswer m; /* points into the reader's memory and ours */
	char reason[LIMIT_REASON + 1];
	/* private */
	size_t used; /* of text */
	char text[XCHG_BODY_MAX];
};

/* It came no further than this, and why: foreign text is made safe. */
void
xchg_answer_fail(struct xchg_result *a, enum xchg_stage stage, const char *why);

/* An answer of which at least the head is whole; the reader's state may be
 * any that it ended in. */
void xchg_answer_http(
    struct xchg_result *a, enum xchg_answer kind, const struct xchg_reader *r);

/* What a token command printed, to its end or XCHG_PRINTED_MAX + 1 bytes. */
void xchg_answer_command(struct xchg_result *a, struct span printed);

/* What the answer's words repeat of the request's secrets is taken out: they go
 * into the log, and to operators. */
void xchg_answer_hide(struct xchg_result *a, const struct msg_xrequest *q);

#endif
