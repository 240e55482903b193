/* SPDX-License-Identifier: ISC */
/* Stages of events, as people read them. */
#ifndef TRACE_H
#define TRACE_H

#include "field.h"
#include "span.h"

/* What a stage is called; one that is not known, as it came.  Valid until the
 * next field of o is read. */
struct span trace_stage(struct obj *o);

#endif
