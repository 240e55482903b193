/* SPDX-License-Identifier: ISC */
/*
 * CA bundles and the TLS contexts that verify by them.  Equal bundles are one
 * object, however many gateways name them.
 */
#ifndef CA_H
#define CA_H

#include <openssl/ssl.h>

struct ca;
struct ca_set;

/* All bundles of a process.  NULL without memory. */
struct ca_set *ca_set_new(void);
/* The bundles themselves must have been released. */
void ca_set_free(struct ca_set *set);
/* A configuration begins: files are read anew, each once. */
void ca_set_round(struct ca_set *set);

/*
 * The bundle that a file holds (PEM, read from its beginning, at most
 * LIMIT_CA_FILE bytes); fd stays the caller's.  Returns a reference, to be
 * given back by ca_release(), or NULL with a sentence in why that begins with
 * the label.
 */
struct ca *
ca_load(struct ca_set *set, int fd, const char *label, char *why, size_t cap);
/* One more reference; give one back (NULL: nothing). */
void ca_hold(struct ca *ca);
void ca_release(struct ca *ca);
/* The client context, the CA's own. */
SSL_CTX *ca_ctx(const struct ca *ca);
/* Where the bundle came from, for people. */
const char *ca_label(const struct ca *ca);

#endif
