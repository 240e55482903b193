/* SPDX-License-Identifier: ISC */
/*
 * Prompts that agents sent: the answer to one goes to who asked (CONTRACT 6),
 * while that is known.  Bounded; the oldest goes.
 */
#ifndef PROMPT_H
#define PROMPT_H

#include <sys/queue.h>
#include <stdint.h>

#include "hash.h"
#include "span.h"

struct agent;
struct gateway;
struct prompt;
TAILQ_HEAD(prompt_list, prompt);

struct prompts {
	struct htab by_id;
	struct prompt_list list; /* oldest first */
	uint32_t n;
};

void prompt_init(struct gateway *gw);
void prompt_free(struct gateway *gw);
/* The agent asks under this id (decoded); the last who does is answered. */
void prompt_sent(struct agent *a, struct span id);
/* Who asked, or NULL: not known, or gone. */
struct agent *prompt_agent(const struct gateway *gw, struct span id);
void prompt_agent_gone(struct agent *a);

#endif
