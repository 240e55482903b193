/* SPDX-License-Identifier: ISC */
/* The core's own books, by the audit of the fuzzer's world, which is seen
 * here as far as the audit looks. */
#include <setjmp.h>

#include "books.h"

static _Noreturn void
bad_books(const char *what)
{
	books_violated(what);
}

#define CHECK(cond)                       \
	do {                              \
		if (!(cond))              \
			bad_books(#cond); \
	} while (0)

#include "../fuzz/link_audit.c"

void
books_audit(const struct books *b)
{
	static struct world w;
	int i;

	memset(&w, 0, sizeof(w));
	w.c = b->c;
	w.gw = b->gw;
	w.now = b->now;
	w.connected = b->connected;
	w.reading = b->reading;
	w.asked = (enum asked)b->asked;
	w.nwish_open = b->wishes;
	for (i = 0; i < AGENTS; i++) {
		w.slot[i].a = b->agent[i];
		w.slot[i].nheld = b->held[i];
	}
	audit(&w);
}
