/* SPDX-License-Identifier: ISC */
/* The codecs as they are built without vectors, beside those with them. */
#ifndef SCALAR_H
#define SCALAR_H

#include "json.h"
#include "utf8.h"

int scalar_json_parse(
    struct json_doc *doc, const char *text, size_t len, unsigned keep_depth);
size_t scalar_utf8_valid_prefix(const char *p, size_t len);
int scalar_utf8_feed(struct utf8_state *st, const char *p, size_t len);
void scalar_ws_mask(char *p, size_t len, const uint8_t mask[4], uint64_t pos);

#endif
