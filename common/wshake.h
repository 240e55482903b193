/* SPDX-License-Identifier: ISC */
/* The WebSocket opening handshake (RFC 6455 4), without I/O. */
#ifndef WSHAKE_H
#define WSHAKE_H

#include "buf.h"
#include "http.h"
#include "url.h"

#define WSHAKE_KEY_LEN	  24 /* base64 of 16 random bytes */
#define WSHAKE_ACCEPT_LEN 28 /* base64 of a SHA-1 */

/* A fresh Sec-WebSocket-Key, NUL-terminated, from 16 random bytes. */
void wshake_key(char key[WSHAKE_KEY_LEN + 1], const unsigned char random[16]);
/* The Sec-WebSocket-Accept that answers a key (RFC 6455 4.2.2); empty when the
 * key has not WSHAKE_KEY_LEN bytes or OpenSSL has no SHA-1. */
void wshake_accept(char accept[WSHAKE_ACCEPT_LEN + 1], struct span key);
/* Append the client's upgrade request for the URL's link path.  The bearer
 * goes into the Authorization header; absent: no such header.  0, or -1 with
 * nothing appended when it does not fit or the bearer is no bearer. */
int wshake_request(
    struct buf *out, const struct url *u, const char *key, struct span bearer);
/* Judge the answer: NULL when it is a good 101 (RFC 6455 4.1), else a phrase
 * that says what is wrong with it. */
const char *wshake_check(const struct http_head *head, const char *key);

#endif
