/* SPDX-License-Identifier: ISC */
/* Events as a connector sends them, made by writing a number into a copy of
 * one that is built once. */
#ifndef EVENT_H
#define EVENT_H

#include <stddef.h>
#include <stdint.h>

/* Digits of the number, and places where it stands: twice message_id, once
 * bufferId. */
#define EVENT_DIGITS 10
#define EVENT_PLACES 3

struct event {
	char *frame;
	size_t len, headlen;
	size_t place[EVENT_PLACES];
	size_t chat;	  /* place of the chat's number */
	size_t id, idlen; /* bufferId */
};

/* A frame with one event of size bytes.  epoch makes ids differ from those of
 * another driver at the same client. */
void event_build(struct event *t, size_t size, uint32_t epoch);
/* Make a copy of the frame event number n, of one of so many chats. */
void
event_stamp(const struct event *t, char *frame, uint64_t n, unsigned chats);
/* The number in a bufferId of ours, or UINT64_MAX. */
uint64_t event_number(const struct event *t, const char *id, size_t len);

#endif
