/* SPDX-License-Identifier: ISC */
/* The places of gateways: a table of names. */

#include <string.h>
#include <unistd.h>

#include "sup_slot.h"

static void
slot_clear(struct sup_slot *slot)
{
	memset(slot, 0, sizeof(*slot));
	sup_sock_init(&slot->sock);
	slot->journal.fd = -1;
	slot->kept_fd = -1;
}

void
sup_slots_init(struct sup_slots *s)
{
	unsigned i;

	for (i = 0; i < LIMIT_GATEWAYS; i++)
		slot_clear(&s->slot[i]);
	s->next = 0;
}

int
sup_slot_used(const struct sup_slots *s, unsigned i)
{
	return i < LIMIT_GATEWAYS && s->slot[i].name[0] != '\0';
}

int
sup_slot_find(const struct sup_slots *s, const char *name)
{
	unsigned i;

	for (i = 0; i < LIMIT_GATEWAYS; i++)
		if (sup_slot_used(s, i) && strcmp(s->slot[i].name, name) == 0)
			return (int)i;
	return -1;
}

int
sup_slot_take(struct sup_slots *s, const char *name)
{
	unsigned i, n;
	int found;

	if ((found = sup_slot_find(s, name)) != -1)
		return found;
	if (name[0] == '\0' || strlen(name) > LIMIT_NAME)
		return -1;
	for (n = 0; n < LIMIT_GATEWAYS; n++) {
		i = (s->next + n) % LIMIT_GATEWAYS;
		if (sup_slot_used(s, i))
			continue;
		slot_clear(&s->slot[i]);
		strlcpy(s->slot[i].name, name, sizeof(s->slot[i].name));
		s->next = (i + 1) % LIMIT_GATEWAYS;
		return (int)i;
	}
	return -1;
}

void
sup_slot_free(struct sup_slots *s, unsigned i)
{
	if (i >= LIMIT_GATEWAYS)
		return;
	sup_sock_close(&s->slot[i].sock);
	if (s->slot[i].journal.fd != -1)
		close(s->slot[i].journal.fd);
	if (s->slot[i].kept_fd != -1)
		close(s->slot[i].kept_fd);
	slot_clear(&s->slot[i]);
}
