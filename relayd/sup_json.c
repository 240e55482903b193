/* SPDX-License-Identifier: ISC */
/* The relevance policy and the route keys as JSON. */

#include "json.h"
#include "sup_json.h"

static void
put_list(struct buf *b, char *const *list, size_t n)
{
	size_t i;

	buf_adds(b, SPAN_LIT("["));
	for (i = 0; i < n; i++) {
		if (i > 0)
			buf_adds(b, SPAN_LIT(","));
		json_put_str(b, span_str(list[i]));
	}
	buf_adds(b, SPAN_LIT("]"));
}

void
sup_json_policy(struct buf *b, const struct conf_identity *id)
{
	/* The connector replaces the whole of it: what is not set beside
	 * something that is, is sent as false. */
	if (id->require_mention == CONF_UNSET &&
	    id->nfree_response_channels == 0 && id->allow_bots == BOTS_UNSET)
		return;
	buf_adds(b, SPAN_LIT("{"));
	json_put_member_str(b, "platform", span_str(id->platform));
	json_put_member_bool(
	    b, "requireAddress", id->require_mention == CONF_YES);
	json_put_key(b, "freeResponseScopes");
	put_list(b, id->free_response_channels, id->nfree_response_channels);
	json_put_member_bool(b, "allowOtherBots",
	    id->allow_bots == BOTS_MENTIONS || id->allow_bots == BOTS_ALL);
	buf_adds(b, SPAN_LIT("}"));
}

void
sup_json_route_keys(struct buf *b, const struct conf_gateway *g)
{
	put_list(b, g->route_keys, g->nroute_keys);
}
