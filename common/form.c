/* SPDX-License-Identifier: ISC */
/* Form bodies: what is no letter, digit or one of -._* is escaped. */
#include <string.h>

#include "form.h"

static int
is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || (c != '\0' && strchr("-._*", c) != NULL);
}

void
form_put(struct buf *b, const char *key, struct span value)
{
	buf_addf(b, "%s%s=", buf_len(b) > 0 ? "&" : "", key);
	for (size_t i = 0; i < value.len; i++) {
		if (is_plain(value.p[i]))
			buf_add(b, value.p + i, 1);
		else
			buf_addf(b, "%%%02X", (unsigned char)value.p[i]);
	}
}
