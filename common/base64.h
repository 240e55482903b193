/* SPDX-License-Identifier: ISC */
/* Base64 (RFC 4648): the URL alphabet without padding for tokens, the plain
 * one for the WebSocket handshake and proxies. */
#ifndef BASE64_H
#define BASE64_H

#include <stddef.h>

#include "span.h"

/* Characters that n bytes become, padding included, NUL not. */
#define BASE64_LEN(n) (((n) + 2) / 3 * 4)

/* Encode; out has room for BASE64_LEN(len) + 1 and is NUL-terminated.
 * Returns the characters written.  No table look-ups by secret bytes. */
size_t base64_encode(char *out, const void *in, size_t len);
size_t base64url_encode(char *out, const void *in, size_t len);

/* Decode the plain alphabet, padding required (RFC 4648 4).  out has room for
 * in.len / 4 * 3 bytes.  Returns the bytes written, or -1: not base64. */
ptrdiff_t base64_decode(char *out, struct span in);

#endif
