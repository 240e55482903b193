/* SPDX-License-Identifier: ISC */
/* Credentials and standings kept; see store.h. */
#include <sys/random.h>
#include <sha2.h>
#include <stdio.h>
#include <string.h>

#include "store.h"
#include "url.h"

#define URL_MAX (URL_PATH_MAX + 512) /* as messages bound it */

static const struct record_field cred_fields[CRED_FIELDS] = {
    [CRED_URL] = {"url", URL_MAX, 1},
    [CRED_ASKED] = {"asked", LIMIT_ID, 1},
    [CRED_ID] = {"id", LIMIT_ID, 1},
    [CRED_TENANT] = {"tenant", LIMIT_ID, 0},
    [CRED_HOW] = {"how", 16, 1},
    [CRED_SINCE] = {"since", 18, 1},
    [CRED_WAKE_URL] = {"wake_url", LIMIT_PATH, 0},
    [CRED_SECRET] = {"secret", LIMIT_SECRET, 1},
    [CRED_DELIVERY_KEY] = {"delivery_key", LIMIT_SECRET, 0},
};
static const struct record_form cred_form = {
    "relayd-credential 1", cred_fields, CRED_FIELDS};

enum { S_URL, S_ID, S_WORKED, S_REVOKED, S_EVIDENCE, S_SEAL, S_FIELDS };

static const struct record_field standing_fields[S_FIELDS] = {
    [S_URL] = {"url", URL_MAX, 1},
    [S_ID] = {"id", LIMIT_ID, 1},
    [S_WORKED] = {"worked", 1, 1},
    [S_REVOKED] = {"revoked_at", 18, 1},
    [S_EVIDENCE] = {"evidence", LIMIT_EVIDENCE, 0},
    [S_SEAL] = {"seal", STANDING_SEAL, 0},
};
static const struct record_form standing_form = {
    "relayd-standing 1", standing_fields, S_FIELDS};

int64_t
store_number(struct span s)
{
	int64_t v = 0;

	for (size_t i = 0; i < s.len && i < 18; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return 0;
		v = v * 10 + (s.p[i] - '0');
	}
	return v;
}

/* Credentials. */

const char *
cred_make(struct cred *c, const struct span f[CRED_FIELDS])
{
	return record_make(&c->r, &cred_form, f, c->f);
}

const char *
cred_adopt(struct cred *c, int fd)
{
	return record_adopt(&c->r, &cred_form, fd, c->f);
}

void
cred_free(struct cred *c)
{
	record_free(&c->r);
}

static const char *
cred_name(char out[RECORD_NAME], const char *gateway)
{
	snprintf(out, RECORD_NAME, "credential.%s", gateway);
	return out;
}

int
cred_load(struct cred *c, int dir, const char *gateway, char *why, size_t cap)
{
	char name[RECORD_NAME];

	memset(c, 0, sizeof(*c));
	return record_load(
	    &c->r, &cred_form, dir, cred_name(name, gateway), c->f, why, cap);
}

int
cred_save(
    const struct cred *c, int dir, const char *gateway, char *why, size_t cap)
{
	char name[RECORD_NAME];

	return record_save(&c->r, dir, cred_name(name, gateway), why, cap);
}

int
cred_forget(int dir, const char *gateway, char *why, size_t cap)
{
	char name[RECORD_NAME];

	return record_remove(dir, cred_name(name, gateway), why, cap);
}

/* Standings. */

static void
put_hex(char *out, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		snprintf(out + 2 * i, 3, "%02x", p[i]);
}

/* The HMAC behind the salt that stands in the seal. */
static void
seal(char out[STANDING_SEAL + 1], struct token_work *w, struct span secret)
{
	token_hmac(w, (struct span){out, STANDING_SALT}, secret);
	put_hex(out + STANDING_SALT, w->mac, sizeof(w->mac));
	token_wipe(w);
}

void
standing_seal(struct standing *s, struct token_work *w, struct span secret)
{
	uint8_t salt[STANDING_SALT / 2];

	s->seal[0] = '\0';
	if (secret.p == NULL ||
	    getrandom(salt, sizeof(salt), 0) != sizeof(salt))
		return;
	put_hex(s->seal, salt, sizeof(salt));
	seal(s->seal, w, secret);
}

int
standing_other(
    const struct standing *s, struct token_work *w, struct span secret)
{
	char now[STANDING_SEAL + 1];

	if (strlen(s->seal) != STANDING_SEAL)
		return 0;
	memcpy(now, s->seal, sizeof(now));
	seal(now, w, secret);
	return strcmp(now, s->seal) != 0;
}

/* Ids and URLs may hold what a file's name cannot. */

static const char *
standing_name(char out[RECORD_NAME], struct span url, struct span id)
{
	uint8_t sum[SHA256_DIGEST_LENGTH];
	char *p = out;
	SHA2_CTX sha;

	SHA256Init(&sha);
	SHA256Update(&sha, (const uint8_t *)url.p, url.len);
	SHA256Update(&sha, (const uint8_t *)"\n", 1);
	SHA256Update(&sha, (const uint8_t *)id.p, id.len);
	SHA256Final(sum, &sha);
	p += snprintf(p, RECORD_NAME, "standing.");
	put_hex(p, sum, 16);
	return out;
}

int
standing_load(struct standing *s, int dir, struct span url, struct span id,
    char *why, size_t cap)
{
	char name[RECORD_NAME];
	struct span f[S_FIELDS];
	struct record r = {0};
	int got;

	memset(s, 0, sizeof(*s));
	got = record_load(
	    &r, &standing_form, dir, standing_name(name, url, id), f, why, cap);
	if (got != 1)
		return got;
	if (!span_eq(f[S_URL], url) || !span_eq(f[S_ID], id)) {
		snprintf(why, cap, "%s: is of another gateway", name);
		got = -1;
	} else {
		s->worked = f[S_WORKED].p[0] == '1';
		s->revoked_at = store_number(f[S_REVOKED]);
		span_copy(s->evidence, sizeof(s->evidence), f[S_EVIDENCE]);
		span_copy(s->seal, sizeof(s->seal), f[S_SEAL]);
	}
	record_free(&r);
	return got;
}

int
standing_save(const struct standing *s, int dir, struct span url,
    struct span id, char *why, size_t cap)
{
	char name[RECORD_NAME], at[24];
	struct span f[S_FIELDS] = {
	    [S_URL] = url,
	    [S_ID] = id,
	    [S_WORKED] = span_str(s->worked ? "1" : "0"),
	    [S_REVOKED] = {at, 0},
	    [S_EVIDENCE] = span_str(s->evidence),
	    [S_SEAL] = span_str(s->revoked_at != 0 ? s->seal : ""),
	};
	struct record r;
	const char *wrong;
	int saved;

	f[S_REVOKED].len =
	    (size_t)snprintf(at, sizeof(at), "%lld", (long long)s->revoked_at);
	standing_name(name, url, id);
	if (!s->worked && s->revoked_at == 0)
		return record_remove(dir, name, why, cap);
	if ((wrong = record_make(&r, &standing_form, f, f)) != NULL) {
		snprintf(why, cap, "%s: %s", name, wrong);
		return -1;
	}
	saved = record_save(&r, dir, name, why, cap);
	record_free(&r);
	return saved;
}
