/* SPDX-License-Identifier: ISC */
/* Foreign text made visible: nothing in it acts on a terminal, ends a line or
 * closes a quotation. */
#include <string.h>

#include "log_line.h"
#include "utf8.h"

/* A character of four bytes of which each is shown as \xNN, of which each
 * backslash is doubled; and one to spare. */
#define UNIT_MAX 24

static int
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* Length of the escape, as log_vis writes it, at the beginning of s; or 0. */
static size_t
escape_len(struct span s)
{
	if (s.len >= 2 && s.p[0] == '\\' && s.p[1] == '\\')
		return 2;
	if (s.len >= 4 && s.p[0] == '\\' && s.p[1] == 'x' && is_hex(s.p[2]) &&
	    is_hex(s.p[3]))
		return 4;
	return 0;
}

/*
 * Whether the sequence of n bytes at p does something to a terminal or to the
 * order of what it shows, rather than show something: the C0 and C1 controls,
 * line separators, bidirectional marks and overrides, the byte order mark.
 */
static int
is_control(const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *)p;

	if (n == 1)
		return u[0] < 0x20 || u[0] == 0x7f;
	if (n == 2)
		return (u[0] == 0xc2 && u[1] < 0xa0) ||
		    (u[0] == 0xd8 && u[1] == 0x9c);
	if (n == 4) /* tags: letters that nobody sees */
		return u[0] == 0xf3 && u[1] == 0xa0 && u[2] <= 0x81;
	if (n == 3 && u[0] == 0xe2 && u[1] == 0x80)
		return (u[2] >= 0x8b && u[2] <= 0x8f) ||
		    (u[2] >= 0xa8 && u[2] <= 0xae);
	if (n == 3 && u[0] == 0xe2 && u[1] == 0x81)
		return u[2] >= 0xa0 && u[2] <= 0xaf;
	return n == 3 && u[0] == 0xef && u[1] == 0xbb && u[2] == 0xbf;
}

/* Make what begins s visible in unit; *n gets the bytes that are done
 * with.  Returns the length written. */
static size_t
vis_unit(char unit[UNIT_MAX], struct span s, unsigned flags, size_t *n)
{
	static const char hex[] = "0123456789abcdef";
	size_t i, len, escape;

	escape = (flags & VIS_KEEP) != 0 ? escape_len(s) : 0;
	*n = len = escape > 0 ? escape : utf8_seq(s.p, s.len);
	if (escape == 0 &&
	    (s.p[0] == '\\' || ((flags & VIS_QUOTE) != 0 && s.p[0] == '"'))) {
		unit[0] = '\\';
		unit[1] = s.p[0];
		return 2;
	}
	if (len > 0 && !is_control(s.p, len)) {
		memcpy(unit, s.p, len);
		return len;
	}
	if (len == 0)
		*n = len = 1;
	for (i = 0; i < len; i++) {
		unit[4 * i] = '\\';
		unit[4 * i + 1] = 'x';
		unit[4 * i + 2] = hex[(unsigned char)s.p[i] >> 4];
		unit[4 * i + 3] = hex[(unsigned char)s.p[i] & 15];
	}
	return 4 * len;
}

/* As a part of a JSON string. */
static size_t
json_unit(char unit[UNIT_MAX], size_t len)
{
	char plain[UNIT_MAX];
	size_t i, n = 0;

	memcpy(plain, unit, len);
	for (i = 0; i < len; i++) {
		if (plain[i] == '\\' || plain[i] == '"')
			unit[n++] = '\\';
		unit[n++] = plain[i];
	}
	return n;
}

/* Never splits an escape or a character; text that is cut ends in "...". */
size_t
log_vis_put(char *out, size_t cap, struct span s, unsigned flags)
{
	char unit[UNIT_MAX];
	size_t o = 0, mark = 0, n, len;

	if (cap == 0)
		return 0;
	while (s.len > 0) {
		len = vis_unit(unit, s, flags, &n);
		if ((flags & VIS_JSON) != 0)
			len = json_unit(unit, len);
		if (o + len > cap - 1) {
			if (cap > 3) {
				memcpy(out + mark, "...", 3);
				o = mark + 3;
			}
			break;
		}
		memcpy(out + o, unit, len);
		o += len;
		if (o + 3 <= cap - 1)
			mark = o;
		s.p += n;
		s.len -= n;
	}
	out[o] = '\0';
	return o;
}

char *
log_vis(char *out, size_t cap, struct span text)
{
	log_vis_put(out, cap, text, 0);
	return out;
}
