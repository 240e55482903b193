/* SPDX-License-Identifier: ISC */
/* What the audit of the core's books looks at. */
#ifndef BOOKS_H
#define BOOKS_H

#include "core.h"

struct books {
	struct core *c;
	struct gateway *gw;
	uint64_t now;
	uint8_t connected, reading;
	int asked;
	uint32_t wishes; /* not answered */
	struct agent *agent[4];
	uint32_t held[4];
};

/* Calls books_violated() when something is wrong. */
void books_audit(const struct books *b);
_Noreturn void books_violated(const char *what);

#endif
