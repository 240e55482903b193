/* SPDX-License-Identifier: ISC */
/*
 * relay-ctl bundle: what a bug report needs, and nothing secret or personal.
 * What is shown is what a table names; everything else is left out, or stands
 * there as what kind of thing it is and a number.
 */
#ifndef BUNDLE_H
#define BUNDLE_H

#include "buf.h"
#include "conf.h"
#include "ctl.h"
#include "span.h"

/* Numbers for values of one kind: the same value has the same number, in all
 * sections. */
struct bundle_names {
	struct bundle_name *name;
	size_t n, cap;
	int failed;
};

/* "gateway-1": what stands for a value; nothing for an absent or empty one. */
void bundle_name(struct bundle_names *names, struct buf *out, const char *kind,
    struct span value);
/* "wss://host-1/…": of a URL, what says nothing of whose it is. */
void bundle_url(struct bundle_names *names, struct buf *out, struct span url);
void bundle_names_free(struct bundle_names *names);

/* Of a text, the phrases that are known, those of relayd and of its libraries;
 * what is between them is "…". */
void bundle_phrases(struct buf *out, struct span text);

/* What the sockets and the state file said, by the table of its members.
 * Returns how many members were left out, since no table names them. */
enum bundle_doc { DOC_STATUS, DOC_STATE, DOC_CREDENTIALS };
unsigned bundle_json(struct bundle_names *names, struct buf *out,
    enum bundle_doc doc, struct span json);

/* The sections about the machine: versions, features, limits. */
void bundle_system(struct buf *out);
void bundle_processes(struct buf *out, struct span processes);

#endif
