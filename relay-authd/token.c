/* SPDX-License-Identifier: ISC */
/* Bearer tokens; see token.h. */
#include <stdio.h>
#include <string.h>

#include "base64.h"
#include "secmem.h"
#include "token.h"

_Static_assert(
    BASE64_LEN(sizeof(((struct token_work *)0)->plain)) <= LIMIT_TOKEN,
    "the longest token fits");

/* Begin a hash with the key, padded to a block, under one of HMAC's masks. */
static void
begin(struct token_work *w, uint8_t mask)
{
	SHA256Init(&w->sha);
	for (size_t i = 0; i < sizeof(w->block); i++)
		w->block[i] ^= mask;
	SHA256Update(&w->sha, w->block, sizeof(w->block));
	for (size_t i = 0; i < sizeof(w->block); i++)
		w->block[i] ^= mask;
}

static void
update(struct token_work *w, struct span s)
{
	SHA256Update(&w->sha, (const uint8_t *)s.p, s.len);
}

void
token_hmac(struct token_work *w, struct span key, struct span text)
{
	memset(w->block, 0, sizeof(w->block));
	if (key.len <= sizeof(w->block)) {
		memcpy(w->block, key.p, key.len);
	} else {
		SHA256Init(&w->sha);
		update(w, key);
		SHA256Final(w->block, &w->sha);
	}
	begin(w, 0x36);
	update(w, text);
	SHA256Final(w->mac, &w->sha);
	begin(w, 0x5c);
	SHA256Update(&w->sha, w->mac, sizeof(w->mac));
	SHA256Final(w->mac, &w->sha);
}

/* A hexadecimal digit, computed: a table's cache lines would tell which. */
static char
hex(unsigned v)
{
	return (char)('0' + v + (((9 - v) >> 8) & ('a' - '0' - 10)));
}

size_t
token_build(struct token_work *w, struct span secret, struct span id,
    int64_t exp, char out[LIMIT_TOKEN + 1])
{
	char *p = w->plain;
	size_t n = id.len, len;

	if (n > TOKEN_ID_MAX)
		return 0;
	memcpy(p, id.p, n);
	n += (size_t)snprintf(p + n, 22, ":%lld", (long long)exp);
	token_hmac(w, secret, (struct span){p, n});
	p[n++] = ':';
	for (size_t i = 0; i < sizeof(w->mac); i++) {
		p[n++] = hex(w->mac[i] >> 4);
		p[n++] = hex(w->mac[i] & 15);
	}
	len = base64url_encode(out, p, n);
	token_wipe(w);
	return len;
}

size_t
token_mint(struct token_work *w, struct span secret, struct span id,
    int64_t now, int64_t *exp, char out[LIMIT_TOKEN + 1])
{
	if (now <= 0)
		return 0;
	*exp = now + TOKEN_TTL;
	return token_build(w, secret, id, *exp, out);
}

void
token_wipe(struct token_work *w)
{
	explicit_bzero(w, sizeof(*w));
	secmem_burn_stack();
}
