/* SPDX-License-Identifier: ISC */
/* Secrets out of texts that others wrote. */
#include <string.h>

#include "hide.h"

/* How many of the bytes at p stand somewhere in the secret, as one piece. */
static size_t
echoed(const char *p, size_t len, struct span secret, size_t piece)
{
	size_t n = piece;

	if (len < piece || memmem(secret.p, secret.len, p, piece) == NULL)
		return 0;
	while (n < len && memmem(secret.p, secret.len, p, n + 1) != NULL)
		n++;
	return n;
}

/* Put the mark where n bytes stand at *at, past which *at is then. */
static void
mark(char *text, size_t *len, size_t *at, size_t n)
{
	static const char with[] = "[...]";
	const size_t m = sizeof(with) - 1;

	memcpy(text + *at, with, m);
	memmove(text + *at + m, text + *at + n, *len - *at - n);
	memset(text + *len - (n - m), 0, n - m);
	*len -= n - m;
	*at += m;
}

void
hide_echo(char *text, struct span secret)
{
	size_t len = strlen(text), i, n;
	size_t piece = secret.len < HIDE_PIECE ? secret.len : HIDE_PIECE;

	if (piece < HIDE_PIECE / 2)
		return;
	for (i = 0; i < len;) {
		n = echoed(text + i, len - i, secret, piece);
		if (n > 0)
			mark(text, &len, &i, n);
		else
			i++;
	}
}

void
hide_begun(char *text, const char *head)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				       "abcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t len = strlen(text), i = 0;
	char *p;

	if (strlen(head) < HIDE_PIECE / 2)
		return;
	while ((p = strstr(text + i, head)) != NULL) {
		i = (size_t)(p - text);
		mark(text, &len, &i, strspn(p, alphabet));
	}
}
