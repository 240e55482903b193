/* SPDX-License-Identifier: ISC */
/* Bearer tokens (CONTRACT 2), built on libmd's SHA-256 alone, so that the
 * secrets' holder links no library that parses. */
#ifndef TOKEN_H
#define TOKEN_H

#include <sys/types.h>
#include <sha2.h>
#include <stdint.h>

#include "limit.h"
#include "span.h"

#define TOKEN_TTL 300 /* seconds a minted token holds */
/* Bytes of a gateway id: more than the configuration takes, and what fits into
 * LIMIT_TOKEN with some room. */
#define TOKEN_ID_MAX 256

/* Where all that depends on a secret is computed: in secret memory. */
struct token_work {
	SHA2_CTX sha;
	uint8_t block[SHA256_BLOCK_LENGTH];
	uint8_t mac[SHA256_DIGEST_LENGTH];
	char plain[TOKEN_ID_MAX + 1 + 20 + 1 + 2 * SHA256_DIGEST_LENGTH];
};

/* HMAC-SHA256 (RFC 2104) of text into w->mac.  The rest of w is left as it
 * is: token_wipe. */
void token_hmac(struct token_work *w, struct span key, struct span text);

/*
 * The token of a gateway id that expires at exp (Unix seconds, not negative;
 * 0: never).  Writes at most LIMIT_TOKEN bytes and NUL to out and returns the
 * length, or 0 when the id is longer than TOKEN_ID_MAX; w is wiped.
 */
size_t token_build(struct token_work *w, struct span secret, struct span id,
    int64_t exp, char out[LIMIT_TOKEN + 1]);

/* The token for use now: expires *exp = now + TOKEN_TTL.  Returns the length,
 * or 0 when the id is too long, or the clock before 1970: a token that never
 * expires is never minted. */
size_t token_mint(struct token_work *w, struct span secret, struct span id,
    int64_t now, int64_t *exp, char out[LIMIT_TOKEN + 1]);

/* Cleanse the work space, and what calls may have left on the stack. */
void token_wipe(struct token_work *w);

#endif
