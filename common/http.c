/* SPDX-License-Identifier: ISC */
/* A strict parser for HTTP/1.1 message heads (RFC 9112). */
#include <string.h>
#include <strings.h>

#include "http.h"

/* Cut off the head line by line. */
struct lines {
	const char *p;
	const char *end;
	const char *err;
};

static int
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int
http_is_token(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z') ||
	    (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static int
all_tokens(struct span s)
{
	size_t i;

	for (i = 0; i < s.len; i++)
		if (!http_is_token(s.p[i]))
			return 0;
	return s.len > 0;
}

static int
is_name(struct span s, const char *name)
{
	return s.len == strlen(name) && strncasecmp(s.p, name, s.len) == 0;
}

static struct span
trim(struct span s)
{
	while (s.len > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.len--;
	}
	while (s.len > 0 && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/*
 * The next line without its CR LF.  1 when there is one, 0 when it has not
 * ended yet, -1 with l->err when it cannot become a good one.
 */
static int
next_line(struct lines *l, struct span *line)
{
	const char *p;

	for (p = l->p; p < l->end; p++) {
		unsigned char c = (unsigned char)*p;

		if (p - l->p > HTTP_LINE_MAX) {
			l->err = "line of the head too long";
			return -1;
		}
		if (c == '\r') {
			if (p + 1 == l->end)
				return 0;
			if (p[1] != '\n') {
				l->err = "carriage return inside a line";
				return -1;
			}
			*line = (struct span){l->p, (size_t)(p - l->p)};
			l->p = p + 2;
			return 1;
		}
		if ((c < 0x20 && c != '\t') || c == 0x7f) {
			l->err = c == '\n' ? "line ends without carriage return"
					   : "control character in the head";
			return -1;
		}
	}
	return 0;
}

/* "HTTP/1.0" or "HTTP/1.1". */
static const char *
parse_version(struct http_head *head, const char *p, size_t len)
{
	if (len < 8 || memcmp(p, "HTTP/", 5) != 0)
		return "not HTTP";
	if (memcmp(p, "HTTP/1.", 7) != 0 || (p[7] != '0' && p[7] != '1'))
		return "HTTP version is neither 1.0 nor 1.1";
	head->minor = p[7] - '0';
	return NULL;
}

/* HTTP/1.1 200 Reason; the blank before an empty reason may be missing. */
static const char *
parse_status_line(struct http_head *head, struct span line)
{
	const char *p = line.p, *why;

	if ((why = parse_version(head, p, line.len)) != NULL)
		return why;
	if (line.len < 12 || p[8] != ' ' || !is_digit(p[9]) ||
	    !is_digit(p[10]) || !is_digit(p[11]) ||
	    (line.len > 12 && p[12] != ' '))
		return "malformed status line";
	head->status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + p[11] - '0';
	if (head->status < 100 || head->status > 599)
		return "status code out of range";
	head->reason = (struct span){p + line.len, 0};
	if (line.len > 13)
		head->reason = (struct span){p + 13, line.len - 13};
	return NULL;
}

/* GET /path HTTP/1.1, single blanks. */
static const char *
parse_request_line(struct http_head *head, struct span line)
{
	const char *end = line.p + line.len, *target, *version;
	size_t i;

	target = line.len == 0 ? NULL : memchr(line.p, ' ', line.len);
	if (target == NULL)
		return "malformed request line";
	head->method = (struct span){line.p, (size_t)(target - line.p)};
	if (!all_tokens(head->method))
		return "malformed method";
	target++;
	version = memchr(target, ' ', (size_t)(end - target));
	if (version == NULL || version == target)
		return "malformed request line";
	head->target = (struct span){target, (size_t)(version - target)};
	for (i = 0; i < head->target.len; i++)
		if (target[i] <= ' ' || target[i] > '~')
			return "request target is not plain ASCII";
	version++;
	if (end - version != 8)
		return "malformed request line";
	return parse_version(head, version, 8);
}

static const char *
parse_header(struct http_head *head, struct span line)
{
	struct http_header *h;
	const char *colon;

	if (line.p[0] == ' ' || line.p[0] == '\t')
		return "folded header line";
	if (head->nheaders == HTTP_HEADERS_MAX)
		return "too many headers";
	if ((colon = memchr(line.p, ':', line.len)) == NULL)
		return "header without a colon";
	h = &head->header[head->nheaders];
	h->name = (struct span){line.p, (size_t)(colon - line.p)};
	if (!all_tokens(h->name))
		return "malformed header name";
	line.len -= h->name.len + 1;
	line.p = colon + 1;
	h->value = trim(line);
	head->nheaders++;
	return NULL;
}

/*
 * What two parsers could frame differently: more than one length, a length
 * beside a transfer coding, a coding other than plain chunked.
 */
static const char *
check_framing(const struct http_head *head)
{
	struct span length, coding;
	int dup_length, dup_coding;
	size_t i;

	length = http_header(head, "Content-Length", &dup_length);
	coding = http_header(head, "Transfer-Encoding", &dup_coding);
	if (dup_length || dup_coding)
		return "Content-Length or Transfer-Encoding there twice";
	if (length.p != NULL && coding.p != NULL)
		return "Content-Length beside Transfer-Encoding";
	if (coding.p != NULL &&
	    (head->minor == 0 || !is_name(coding, "chunked")))
		return "Transfer-Encoding is not chunked";
	if (length.p == NULL)
		return NULL;
	for (i = 0; i < length.len; i++)
		if (!is_digit(length.p[i]))
			return "Content-Length is not a number";
	/* 18 digits always fit 64 bits. */
	if (length.len == 0 || length.len > 18)
		return "Content-Length is not a number";
	return NULL;
}

static const char *
check_host(const struct http_head *head)
{
	struct span host;
	int dup;

	host = http_header(head, "Host", &dup);
	if (dup)
		return "Host there twice";
	if (host.p == NULL && head->minor == 1)
		return "Host is missing";
	return NULL;
}

static ptrdiff_t
parse_head(struct http_head *head, const char *p, size_t len,
    const char *(*parse_first)(struct http_head *, struct span))
{
	struct lines l = {
	    p, p + (len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX), NULL};
	struct span line;
	int r, n;

	for (n = 0; (r = next_line(&l, &line)) == 1; n++) {
		if (n > 0 && line.len == 0)
			break;
		l.err =
		    n == 0 ? parse_first(head, line) : parse_header(head, line);
		if (l.err != NULL)
			break;
	}
	if (r == 0 && len >= HTTP_HEAD_MAX)
		l.err = "head too long";
	if (r == 1 && l.err == NULL)
		l.err = check_framing(head);
	if (r == 1 && l.err == NULL && head->method.p != NULL)
		l.err = check_host(head);
	head->err = l.err;
	if (l.err != NULL)
		return -1;
	return r == 0 ? 0 : l.p - p;
}

/* Everything but the header table, of which nheaders entries count. */
static void
clear(struct http_head *head)
{
	head->minor = head->status = 0;
	head->reason = head->method = head->target = (struct span){NULL, 0};
	head->nheaders = 0;
	head->err = NULL;
}

ptrdiff_t
http_parse_response(struct http_head *head, const char *p, size_t len)
{
	clear(head);
	return len == 0 ? 0 : parse_head(head, p, len, parse_status_line);
}

ptrdiff_t
http_parse_request(struct http_head *head, const char *p, size_t len)
{
	clear(head);
	return len == 0 ? 0 : parse_head(head, p, len, parse_request_line);
}

struct span
http_header(const struct http_head *head, const char *name, int *dup)
{
	struct span found = {NULL, 0};
	size_t i, n = 0;

	for (i = 0; i < head->nheaders; i++)
		if (is_name(head->header[i].name, name)) {
			found = head->header[i].value;
			n++;
		}
	if (dup != NULL)
		*dup = n > 1;
	return n == 1 ? found : (struct span){NULL, 0};
}

static int
list_has(struct span list, const char *token)
{
	const char *comma;
	struct span item;

	for (;;) {
		comma = list.len == 0 ? NULL : memchr(list.p, ',', list.len);
		item = list;
		if (comma != NULL)
			item.len = (size_t)(comma - list.p);
		if (is_name(trim(item), token))
			return 1;
		if (comma == NULL)
			return 0;
		list.p += item.len + 1;
		list.len -= item.len + 1;
	}
}

int
http_has_token(
    const struct http_head *head, const char *name, const char *token)
{
	size_t i;

	for (i = 0; i < head->nheaders; i++)
		if (is_name(head->header[i].name, name) &&
		    list_has(head->header[i].value, token))
			return 1;
	return 0;
}

/* The number that n digits spell, or -1. */
static int
number(const char *p, int n)
{
	int v = 0;

	for (; n > 0; n--, p++) {
		if (!is_digit(*p))
			return -1;
		v = v * 10 + *p - '0';
	}
	return v;
}

/* Which of the three-letter names stands at p, or -1. */
static int
name_index(const char *names, const char *p)
{
	int i;

	for (i = 0; names[i * 3] != '\0'; i++)
		if (memcmp(names + i * 3, p, 3) == 0)
			return i;
	return -1;
}

/* Days from 1970 to a date of the Gregorian calendar; month 0 to 11.  By hand,
 * because timegm may read the time zone file, which a chroot does not have. */
static long long
days_since_1970(int year, int month, int day)
{
	static const int before[] = {
	    0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	int y = year - 1, leap;

	leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return y * 365LL + y / 4 - y / 100 + y / 400 - 719162 + before[month] +
	    (leap && month > 1) + day - 1;
}

static int
days_in_month(int year, int month)
{
	return (int)(days_since_1970(
			 month == 11 ? year + 1 : year, (month + 1) % 12, 1) -
	    days_since_1970(year, month, 1));
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
long long
http_date(struct span value)
{
	const char *p = value.p;
	int weekday, day, month, year, hour, min, sec;
	long long days;

	if (value.len != 29 || memcmp(p + 3, ", ", 2) != 0 || p[7] != ' ' ||
	    p[11] != ' ' || p[16] != ' ' || p[19] != ':' || p[22] != ':' ||
	    memcmp(p + 25, " GMT", 4) != 0)
		return -1;
	weekday = name_index("ThuFriSatSunMonTueWed", p);
	month = name_index("JanFebMarAprMayJunJulAugSepOctNovDec", p + 8);
	day = number(p + 5, 2);
	year = number(p + 12, 4);
	hour = number(p + 17, 2);
	min = number(p + 20, 2);
	sec = number(p + 23, 2);
	if (weekday < 0 || month < 0 || year < 1970 || day < 1 ||
	    day > days_in_month(year, month) || hour < 0 || hour > 23 ||
	    min < 0 || min > 59 || sec < 0 || sec > 60)
		return -1;
	days = days_since_1970(year, month, day);
	if (days % 7 != weekday) /* 1970 began on a Thursday */
		return -1;
	return days * 86400 + hour * 3600 + min * 60 + sec;
}
