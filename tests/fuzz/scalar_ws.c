/* SPDX-License-Identifier: ISC */
/* common/ws.c without vectors, under other names. */
#define CODEC_SCALAR
#define ws_decoder_init	 scalar_ws_decoder_init
#define ws_decode	 scalar_ws_decode
#define ws_head		 scalar_ws_head
#define ws_mask		 scalar_ws_mask
#define ws_close_code_ok scalar_ws_close_code_ok
#include "../../common/ws.c"
