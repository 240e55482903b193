/* SPDX-License-Identifier: ISC */
/* The WebSocket opening handshake (RFC 6455 4). */
#include <string.h>

#include <openssl/evp.h>

#include "base64.h"
#include "wshake.h"

#define GUID	 "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 1.3 */
#define SHA1_LEN 20

void
wshake_key(char key[WSHAKE_KEY_LEN + 1], const unsigned char random[16])
{
	base64_encode(key, random, 16);
}

/* Without SHA-1 (a provider may refuse it) the accept is empty: it matches
 * nothing, and the check says so. */
void
wshake_accept(char accept[WSHAKE_ACCEPT_LEN + 1], struct span key)
{
	unsigned char text[WSHAKE_KEY_LEN + sizeof(GUID) - 1], md[SHA1_LEN];

	accept[0] = '\0';
	if (key.len != WSHAKE_KEY_LEN)
		return;
	memcpy(text, key.p, WSHAKE_KEY_LEN);
	memcpy(text + WSHAKE_KEY_LEN, GUID, sizeof(GUID) - 1);
	if (EVP_Digest(text, sizeof(text), md, NULL, EVP_sha1(), NULL) == 1)
		base64_encode(accept, md, sizeof(md));
}

/* The characters of a bearer (RFC 6750 2.1): nothing that could end the
 * header line. */
static int
is_bearer(struct span s)
{
	static const char set[] = "abcdefghijklmnopqrstuvwxyz"
				  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "0123456789-._~+/=";
	size_t i;

	for (i = 0; i < s.len; i++)
		if (s.p[i] == '\0' || strchr(set, s.p[i]) == NULL)
			return 0;
	return s.len > 0;
}

int
wshake_request(
    struct buf *out, const struct url *u, const char *key, struct span bearer)
{
	char path[URL_PATH_MAX + sizeof("/relay")];
	size_t before = buf_len(out);
	int r;

	if ((bearer.p != NULL && !is_bearer(bearer)) ||
	    url_path(u, URL_DIAL, path, sizeof(path)) == -1)
		return -1;
	r = buf_addf(out,
	    "GET %s HTTP/1.1\r\n"
	    "Host: %s\r\n"
	    "Upgrade: websocket\r\n"
	    "Connection: Upgrade\r\n"
	    "Sec-WebSocket-Key: %s\r\n"
	    "Sec-WebSocket-Version: 13\r\n"
	    "User-Agent: relayd\r\n",
	    path, u->authority, key);
	if (r == 0 && bearer.p != NULL) {
		r = buf_adds(out, SPAN_LIT("Authorization: Bearer "));
		if (r == 0)
			r = buf_adds(out, bearer);
		if (r == 0)
			r = buf_adds(out, SPAN_LIT("\r\n"));
	}
	if (r == 0)
		r = buf_adds(out, SPAN_LIT("\r\n"));
	if (r == -1)
		out->end = out->off + before;
	return r;
}

static int
is_there(const struct http_head *head, const char *name)
{
	int dup;

	return http_header(head, name, &dup).p != NULL || dup;
}

const char *
wshake_check(const struct http_head *head, const char *key)
{
	char want[WSHAKE_ACCEPT_LEN + 1];
	struct span got;
	int dup;

	if (head->status != 101)
		return "the upgrade was refused";
	if (head->minor != 1)
		return "the upgrade was answered in HTTP/1.0";
	if (!http_has_token(head, "Upgrade", "websocket"))
		return "the answer does not upgrade to websocket";
	if (!http_has_token(head, "Connection", "upgrade"))
		return "the answer's Connection header lacks upgrade";
	wshake_accept(want, span_str(key));
	if (want[0] == '\0')
		return "the handshake key cannot be hashed here";
	got = http_header(head, "Sec-WebSocket-Accept", &dup);
	if (dup || !span_eq(got, span_str(want)))
		return "the Sec-WebSocket-Accept does not answer our key";
	if (is_there(head, "Sec-WebSocket-Extensions"))
		return "the answer has an extension that was not offered";
	if (is_there(head, "Sec-WebSocket-Protocol"))
		return "the answer has a subprotocol that was not offered";
	return NULL;
}
