/* SPDX-License-Identifier: ISC */
/* sup_json: what a connector is told, to the byte (CONTRACT 2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../relayd/sup_json.c"

static char discord[] = "discord", c1[] = "c1", c2[] = "c\"2";
static char *channels[] = {c1, c2};

static void
expect(struct buf *b, const char *want)
{
	struct span got = buf_span(b);

	assert_false(b->failed);
	if (got.len != strlen(want) || memcmp(got.p, want, got.len) != 0)
		fail_msg("%.*s, not %s", (int)got.len, got.p, want);
	buf_reset(b);
}

static void
test_policy(void **state)
{
	static const struct {
		enum conf_tri mention;
		size_t nchannels;
		enum conf_allow_bots bots;
		const char *want;
	} t[] = {
	    {CONF_UNSET, 0, BOTS_UNSET, ""},
	    /* The connector's own default is true: false must be told. */
	    {CONF_NO, 0, BOTS_UNSET,
		"{\"platform\":\"discord\",\"requireAddress\":false,"
		"\"freeResponseScopes\":[],\"allowOtherBots\":false}"},
	    {CONF_YES, 0, BOTS_UNSET,
		"{\"platform\":\"discord\",\"requireAddress\":true,"
		"\"freeResponseScopes\":[],\"allowOtherBots\":false}"},
	    /* Unset beside another setting. */
	    {CONF_UNSET, 1, BOTS_UNSET,
		"{\"platform\":\"discord\",\"requireAddress\":false,"
		"\"freeResponseScopes\":[\"c1\"],\"allowOtherBots\":false}"},
	    {CONF_UNSET, 0, BOTS_NONE,
		"{\"platform\":\"discord\",\"requireAddress\":false,"
		"\"freeResponseScopes\":[],\"allowOtherBots\":false}"},
	    {CONF_YES, 2, BOTS_MENTIONS,
		"{\"platform\":\"discord\",\"requireAddress\":true,"
		"\"freeResponseScopes\":[\"c1\",\"c\\\"2\"],"
		"\"allowOtherBots\":true}"},
	    {CONF_UNSET, 0, BOTS_ALL,
		"{\"platform\":\"discord\",\"requireAddress\":false,"
		"\"freeResponseScopes\":[],\"allowOtherBots\":true}"},
	};
	struct conf_identity id = {.platform = discord};
	struct buf b;
	size_t i;

	(void)state;
	buf_init(&b, JSON_POLICY_MAX);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		id.require_mention = t[i].mention;
		id.free_response_channels = channels;
		id.nfree_response_channels = t[i].nchannels;
		id.allow_bots = t[i].bots;
		sup_json_policy(&b, &id);
		expect(&b, t[i].want);
	}
	buf_free(&b);
}

static void
test_route_keys(void **state)
{
	struct conf_gateway g = {.route_keys = channels};
	struct buf b;

	(void)state;
	buf_init(&b, JSON_ROUTE_KEYS_MAX);
	sup_json_route_keys(&b, &g);
	expect(&b, "[]");
	g.nroute_keys = 2;
	sup_json_route_keys(&b, &g);
	expect(&b, "[\"c1\",\"c\\\"2\"]");
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_policy),
	    cmocka_unit_test(test_route_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
