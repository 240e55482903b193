/* SPDX-License-Identifier: ISC */
/*
 * The messages between our processes.  Each is declared once in msg.def; its
 * struct, encoder, decoder and documentation come from there.  A packet is one
 * msgpack array [type, correlation, fields…] and at most one descriptor.
 */
#ifndef MSG_H
#define MSG_H

#include <stdint.h>

#include "limit.h"
#include "role.h"
#include "span.h"
#include "url.h"

/* Phases of a dial in which it can fail; also what `status` names. */
enum dial_stage {
	STAGE_NAME,
	STAGE_CONNECT,
	STAGE_PROXY,
	STAGE_BUDGET,
	STAGE_CONF,
	STAGE_LAST = STAGE_CONF
};
/* What a listening socket is for. */
enum listener_kind {
	LISTEN_AGENT,
	LISTEN_CONTROL,
	LISTEN_STATUS,
	LISTEN_AUTH,
	LISTEN_LAST = LISTEN_AUTH
};
/* Where a gateway's secret came from. */
enum cred_source {
	CRED_NONE,
	CRED_FILE,
	CRED_DIRECTORY,
	CRED_ENV,
	CRED_ENROLLED,	  /* relay-authd's own file: enrolled or imported */
	CRED_PROVISIONED, /* in memory only */
	CRED_LAST = CRED_PROVISIONED
};
/* What becomes of the secret that a gateway lives by. */
enum cred_keep {
	KEEP_NOT,
	KEEP_WORKING, /* it stays where the one given cannot be taken */
	KEEP_AS_IS,   /* it stays, also when there is none; without one that is
		       * pinned the message counts */
	KEEP_LAST = KEEP_AS_IS
};
/* What a gateway's dials may go to. */
enum endpoint {
	ENDPOINT_CONNECTOR,
	ENDPOINT_IDP, /* the identity token's URL */
	ENDPOINT_LAST = ENDPOINT_IDP
};
/* How an identity token is had (CONTRACT 2). */
enum token_source {
	TOKEN_NONE,
	TOKEN_FILE,
	TOKEN_ENV,
	TOKEN_COMMAND,
	TOKEN_OAUTH,	/* client credentials */
	TOKEN_METADATA, /* plain GET */
	TOKEN_LAST = TOKEN_METADATA
};
/* Whom an exchange is with, and so what the supervisor lays ready for it. */
enum xchg_kind {
	XCHG_CONNECTOR, /* its CA bundle */
	XCHG_IDP,	/* the system's */
	XCHG_COMMAND,	/* the output of the token command, which it starts;
			 * at its end stand a NUL and a sentence when the
			 * command failed */
	XCHG_LAST = XCHG_COMMAND
};
/* Which secret relay-authd wants opened. */
enum want_secret {
	WANT_IDENTITY,	    /* identity token: file or environment */
	WANT_CLIENT_SECRET, /* OAuth 2: file or environment */
	WANT_ENROLL_TOKEN,  /* GATEWAY_RELAY_ENROLL_TOKEN */
	WANT_DELIVERY_KEY,  /* GATEWAY_RELAY_DELIVERY_KEY */
	WANT_LAST = WANT_DELIVERY_KEY
};
/* WANT_LEVEL: no other level is wanted. */
#define LEVEL_ASK 8
/* What is expected of an exchange's answer. */
enum xchg_answer {
	ANSWER_CREDENTIAL, /* {"secret",…} */
	ANSWER_TOKEN,	   /* {"access_token"}, or bare text */
	ANSWER_STATUS,	   /* the status alone */
	ANSWER_COMMAND,	   /* not HTTP: what the command printed */
	ANSWER_LAST = ANSWER_COMMAND
};
/* How far an exchange came. */
enum xchg_stage {
	XSTAGE_DONE,	/* answered as expected */
	XSTAGE_REFUSED, /* answered: an error status */
	XSTAGE_TLS,
	XSTAGE_IO,	/* cut, or too late */
	XSTAGE_ANSWER,	/* no HTTP, too long, not what was expected */
	XSTAGE_COMMAND, /* the command failed */
	XSTAGE_LAST = XSTAGE_COMMAND
};
/* Why no token was minted. */
enum mint_refusal {
	MINT_NO_CREDENTIAL,
	MINT_RATE,
	MINT_GONE,
	MINT_LAST = MINT_GONE
};

#include "msg.def"

/* MSG_PING, MSG_PONG, … */
#define X(NAME, name, num, from, to, fd, doc) MSG_##NAME = num,
enum msg_type { MSG_LIST(X) };
#undef X

#define MSG_U(name, max, doc) uint64_t name;
#define MSG_S(name, max, doc) struct span name;
#define X(NAME, name, num, from, to, fd, doc)   \
	struct msg_##name {                     \
		MSG_FIELDS_##NAME(MSG_U, MSG_S) \
	};
MSG_LIST(X)
#undef X
#undef MSG_U
#undef MSG_S

/* A decoded message.  Spans point into the packet: valid until the handler
 * returns. */
struct msg {
	enum msg_type type;
	uint32_t corr; /* correlation: an answer carries its question's */
	int fd;	       /* -1, or ours now: the handler closes or keeps it */
	union {
#define X(NAME, name, num, from, to, fd, doc) struct msg_##name name;
		MSG_LIST(X)
#undef X
	} u;
};

enum msg_fd { FD_NONE, FD_MAY, FD_MUST };

/* A message's name, "CONF_GATEWAY", or "?" for a number that is none. */
const char *msg_name(unsigned type);

/* Whether `from` may send this message to `to` with or without a descriptor:
 * NULL, or a static phrase that says why not. */
const char *msg_check(unsigned type, enum role from, enum role to, int has_fd);

/*
 * Encode into out[cap] from the struct msg_* of its type.  Returns the length,
 * or -1 when a field is out of its bounds or cap too small: our own mistake.
 */
int msg_encode(void *out, size_t cap, enum msg_type type, uint32_t corr,
    const void *fields);

/*
 * Decode exactly one message that `from` sent to `to`.  has_fd says whether a
 * descriptor came with it.  Returns NULL, or a static phrase: no such type,
 * not from this sender, wrong number or type of fields, a field out of
 * bounds, trailing bytes, a descriptor missing or too many.  Text fields hold
 * no NUL.
 */
const char *msg_decode(struct msg *m, const void *p, size_t len, enum role from,
    enum role to, int has_fd);

/* A message kept beyond its packet, without descriptor. */
struct msg_kept {
	struct msg m; /* its spans lie behind it */
	size_t len;
	char packet[];
};
/* Keep a copy of a message that `from` sent to `to`, for free(3).  NULL without
 * memory. */
struct msg_kept *msg_keep(const struct msg *m, enum role from, enum role to);
/* Whether both say the same; either may be NULL. */
int msg_same(const struct msg_kept *a, const struct msg_kept *b);

/* The table as a page of Markdown, for docs/pipes.md. */
struct buf;
void msg_describe(struct buf *out);

#endif
