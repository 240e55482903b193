/* SPDX-License-Identifier: ISC */
/* common/json.c without vectors, under another name. */
#define CODEC_SCALAR
#define json_parse scalar_json_parse
#include "../../common/json.c"
