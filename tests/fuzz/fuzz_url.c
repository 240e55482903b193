/* SPDX-License-Identifier: ISC */
/* The connector's URL: what is accepted means the same when it is written out
 * and read again, and nothing is written past a bound. */
#include "fuzz.h"
#include "url.h"

#define ROOM 2048 /* longer than any URL that is accepted */

/* Writing with too little room fails, with just enough it gives the same. */
static void
check_room(const struct url *u, enum url_use use,
    int (*put)(const struct url *, enum url_use, char *, size_t))
{
	char text[ROOM], *tight;
	int n = put(u, use, text, sizeof(text));

	CHECK(n > 0 && strlen(text) == (size_t)n);
	tight = malloc((size_t)n + 1);
	CHECK(tight != NULL);
	CHECK(put(u, use, tight, (size_t)n) == -1);
	CHECK(put(u, use, tight, (size_t)n + 1) == n);
	CHECK(strcmp(tight, text) == 0);
	free(tight);
}

static void
check_good(const struct url *u)
{
	char text[ROOM];
	struct url again;
	const char *p;

	CHECK(u->port != 0 && u->host[0] != '\0');
	for (p = u->host; *p != '\0'; p++)
		CHECK(*p > ' ' && *p < 0x7f && !(*p >= 'A' && *p <= 'Z'));
	for (p = u->base; *p != '\0'; p++)
		CHECK(*p > ' ' && *p < 0x7f);
	CHECK(u->base[0] == '\0' || u->base[0] == '/');
	CHECK(url_text(u, URL_DIAL, text, sizeof(text)) > 0);
	CHECK(url_parse(&again, span_str(text)) == NULL);
	CHECK(again.tls == u->tls && again.ipv6 == u->ipv6 &&
	    again.port == u->port && strcmp(again.host, u->host) == 0 &&
	    strcmp(again.authority, u->authority) == 0 &&
	    strcmp(again.base, u->base) == 0);
	CHECK(url_is_loopback(&again) == url_is_loopback(u));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = {(const char *)data, size};
	char *copy = exact(text);
	const char *why;
	struct url u;
	int use;

	text.p = copy;
	why = url_parse(&u, text);
	if (why != NULL)
		CHECK(why[0] != '\0');
	else {
		check_good(&u);
		for (use = URL_DIAL; use <= URL_MEDIA; use++) {
			check_room(&u, (enum url_use)use, url_path);
			check_room(&u, (enum url_use)use, url_text);
		}
	}
	free(copy);
	return 0;
}
