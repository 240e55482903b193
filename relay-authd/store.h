/* SPDX-License-Identifier: ISC */
/*
 * What relay-authd keeps: credentials that were enrolled, imported or
 * provisioned, and how credentials fared.  Both are records (record.h).
 */
#ifndef STORE_H
#define STORE_H

#include <stdint.h>

#include "limit.h"
#include "record.h"
#include "token.h"

#define STANDING_SALT 32 /* hex digits of 16 random bytes */
#define STANDING_SEAL (STANDING_SALT + 2 * SHA256_DIGEST_LENGTH)

enum cred_field {
	CRED_URL,   /* connector it is for */
	CRED_ASKED, /* gateway id that was asked for */
	CRED_ID,    /* gateway id that tokens carry */
	CRED_TENANT,
	CRED_HOW,   /* "enrolled", "imported", "provisioned" */
	CRED_SINCE, /* Unix seconds */
	CRED_WAKE_URL,
	CRED_SECRET,
	CRED_DELIVERY_KEY,
	CRED_FIELDS
};

struct cred {
	struct record r; /* r.map NULL: there is none */
	struct span f[CRED_FIELDS];
};

struct standing {
	uint8_t worked;			   /* it completed a handshake once */
	int64_t revoked_at;		   /* Unix seconds; 0: no mark stands */
	char evidence[LIMIT_EVIDENCE + 1]; /* printable */
	/*
	 * Of the secret that was revoked: a salt and an HMAC, kept with the
	 * mark alone.  After a restart it tells whether a pinned secret is
	 * another one, and it must never be shown, logged or sent: guesses
	 * can be tried against it.  On disk only who could read an enrolled
	 * secret beside it can read it.
	 */
	char seal[STANDING_SEAL + 1];
};

/* Compose a credential; *c was none, and is none again with an error.  NULL,
 * or a phrase without subject. */
const char *cred_make(struct cred *c, const struct span f[CRED_FIELDS]);
/* Take what cred_make composed elsewhere; fd is ours in any case.  NULL, or a
 * phrase. */
const char *cred_adopt(struct cred *c, int fd);
/* Cleanse it wherever its memory is kept; it is none then. */
void cred_free(struct cred *c);

/*
 * The file of a gateway.  Load: 1, 0 when there is none, -1 with why: a
 * sentence that names the file, which stays.  Save, forget: 0, or -1 with
 * why; the file is the old one or the new one then.
 */
int
cred_load(struct cred *c, int dir, const char *gateway, char *why, size_t cap);
int cred_save(
    const struct cred *c, int dir, const char *gateway, char *why, size_t cap);
int cred_forget(int dir, const char *gateway, char *why, size_t cap);

/* How a gateway id fared at a connector; as above. */
int standing_load(struct standing *s, int dir, struct span url, struct span id,
    char *why, size_t cap);
int standing_save(const struct standing *s, int dir, struct span url,
    struct span id, char *why, size_t cap);

/* Seal the secret that is marked; whether the seal is another secret's, which
 * it is not when there is none.  w is in secret memory, and wiped. */
void
standing_seal(struct standing *s, struct token_work *w, struct span secret);
int standing_other(
    const struct standing *s, struct token_work *w, struct span secret);

/* A number field; 0 when it is none. */
int64_t store_number(struct span s);

#endif
