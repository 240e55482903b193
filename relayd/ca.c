/* SPDX-License-Identifier: ISC */
/* CA bundles and the TLS contexts that verify by them. */
#include <sys/queue.h>
#include <sys/stat.h>

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "ca.h"
#include "limit.h"
#include "tls.h"

#define SHA256_LEN 32
/* Bytes OpenSSL reads ahead: several records of small lines in one call. */
#define READ_AHEAD (64U * 1024)

struct ca {
	LIST_ENTRY(ca) entry;
	struct ca_set *set;
	SSL_CTX *ctx;
	uint32_t refs;
	unsigned char digest[SHA256_LEN]; /* of the file's bytes */
	/* the file it was read from in this round */
	uint32_t round;
	struct stat file;
	char label[LIMIT_PATH + 1];
};

struct ca_set {
	LIST_HEAD(, ca) list;
	uint32_t round;
};

struct ca_set *
ca_set_new(void)
{
	return calloc(1, sizeof(struct ca_set));
}

void
ca_set_free(struct ca_set *set)
{
	free(set);
}

void
ca_set_round(struct ca_set *set)
{
	set->round++;
}

/* The link's context, without certificates yet. */
static SSL_CTX *
new_ctx(void)
{
	SSL_CTX *ctx = tls_client_ctx();

	if (ctx != NULL) {
		SSL_CTX_set_read_ahead(ctx, 1);
		SSL_CTX_set_default_read_buffer_len(ctx, READ_AHEAD);
	}
	return ctx;
}

/* Inode numbers are used again; times tell a file from its predecessor. */
static int
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	    a->st_size == b->st_size &&
	    a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	    a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static struct ca *
find_file(struct ca_set *set, const struct stat *sb)
{
	struct ca *ca;

	LIST_FOREACH (ca, &set->list, entry)
		if (ca->round == set->round && same_file(&ca->file, sb))
			return ca;
	return NULL;
}

static struct ca *
find_digest(struct ca_set *set, const unsigned char digest[SHA256_LEN])
{
	struct ca *ca;

	LIST_FOREACH (ca, &set->list, entry)
		if (memcmp(ca->digest, digest, SHA256_LEN) == 0)
			return ca;
	return NULL;
}

/* The whole file, without moving its offset, which others share. */
static char *
read_file(int fd, const char *label, size_t *len, char *why, size_t cap)
{
	size_t max = LIMIT_CA_FILE + 1;
	ssize_t n = 0;
	char *p;

	if ((p = malloc(max)) == NULL) {
		snprintf(why, cap, "%s: out of memory", label);
		return NULL;
	}
	for (*len = 0; *len < max; *len += (size_t)n) {
		n = pread(fd, p + *len, max - *len, (off_t)*len);
		if (n == -1 && errno == EINTR)
			n = 0;
		else if (n <= 0)
			break;
	}
	if (n == -1)
		snprintf(why, cap, "%s: %s", label, strerror(errno));
	else if (*len == max)
		snprintf(why, cap, "%s: larger than %u MiB: no CA bundle",
		    label, LIMIT_CA_FILE >> 20);
	else
		return p;
	free(p);
	return NULL;
}

static struct ca *
parse(struct ca_set *set, const char *pem, size_t len, const char *label,
    char *why, size_t cap)
{
	struct ca *ca;
	int n = -1;

	if ((ca = calloc(1, sizeof(*ca))) == NULL ||
	    (ca->ctx = new_ctx()) == NULL ||
	    (n = tls_trust(ca->ctx, pem, len)) <= 0) {
		snprintf(why, cap,
		    n == 0 ? "%s: no certificate found" : "%s: out of memory",
		    label);
		if (ca != NULL)
			SSL_CTX_free(ca->ctx);
		free(ca);
		return NULL;
	}
	ca->set = set;
	strlcpy(ca->label, label, sizeof(ca->label));
	LIST_INSERT_HEAD(&set->list, ca, entry);
	return ca;
}

struct ca *
ca_load(struct ca_set *set, int fd, const char *label, char *why, size_t cap)
{
	unsigned char digest[SHA256_LEN];
	struct stat sb;
	struct ca *ca;
	size_t len;
	char *pem;

	if (fstat(fd, &sb) == -1) {
		snprintf(why, cap, "%s: %s", label, strerror(errno));
		return NULL;
	}
	if ((ca = find_file(set, &sb)) == NULL) {
		if ((pem = read_file(fd, label, &len, why, cap)) == NULL)
			return NULL;
		if (EVP_Digest(pem, len, digest, NULL, EVP_sha256(), NULL) != 1)
			snprintf(why, cap, "%s: cannot be hashed", label);
		else if ((ca = find_digest(set, digest)) == NULL &&
		    (ca = parse(set, pem, len, label, why, cap)) != NULL)
			memcpy(ca->digest, digest, sizeof(digest));
		free(pem);
		if (ca == NULL)
			return NULL;
		ca->round = set->round;
		ca->file = sb;
	}
	ca->refs++;
	return ca;
}

void
ca_hold(struct ca *ca)
{
	ca->refs++;
}

void
ca_release(struct ca *ca)
{
	if (ca == NULL || --ca->refs > 0)
		return;
	LIST_REMOVE(ca, entry);
	SSL_CTX_free(ca->ctx);
	free(ca);
}

SSL_CTX *
ca_ctx(const struct ca *ca)
{
	return ca->ctx;
}

const char *
ca_label(const struct ca *ca)
{
	return ca->label;
}
