/* SPDX-License-Identifier: ISC */
/* common/utf8.c without vectors, under other names. */
#define CODEC_SCALAR
#define utf8_valid_prefix scalar_utf8_valid_prefix
#define utf8_feed	  scalar_utf8_feed
#define utf8_chars	  scalar_utf8_chars
#define utf8_utf16	  scalar_utf8_utf16
#include "../../common/utf8.c"
