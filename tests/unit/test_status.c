/* SPDX-License-Identifier: ISC */
/*
 * The status document: it parses, every member it has is in
 * docs/relayd-control.5, and every member listed there is in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../idle_io.h"
#include "vec.h"

#include "../../relayd/status.c"

#define MANUAL "docs/relayd-control.5"
#define PATHS  256 /* members there are, with room */

/* What the engine would give. */

uint64_t
engine_clock(void)
{
	return 1000000;
}

double
engine_wall(void)
{
	return 1795341600.5;
}

const char *
conn_tls_text(const struct conn *c)
{
	(void)c;
	return "TLSv1.3 TLS_AES_256_GCM_SHA384";
}

static const struct core_io io = {IDLE_IO, IDLE_EARS};

struct fixture {
	struct engine e;
	struct engine_gw *eg;
	struct buf out;
};

static void
add_gateway(struct fixture *f, uint32_t index, const char *name)
{
	struct gateway_conf gc = {.reconnect_min_ms = 10,
	    .reconnect_max_ms = 100,
	    .window = 64,
	    .ack_timeout_ms = 1000,
	    .nidentity = 1};
	struct engine_gw *eg = &f->eg[index];

	strlcpy(gc.name, name, sizeof(gc.name));
	strlcpy(gc.identity[0].platform, "discord",
	    sizeof(gc.identity[0].platform));
	strlcpy(gc.identity[0].bot_id, "1234", sizeof(gc.identity[0].bot_id));
	eg->e = &f->e;
	eg->index = index;
	strlcpy(eg->name, name, sizeof(eg->name));
	strlcpy(eg->url_text, "wss://connector.example.com/relay",
	    sizeof(eg->url_text));
	eg->gw = core_gateway_add(f->e.core, index, &gc, NULL, eg);
	assert_non_null(eg->gw);
	f->e.gw[index] = eg;
}

static struct fixture *
fixture_new(uint32_t ngateway)
{
	static const unsigned char random[32] = {1};
	struct fixture *f = calloc(1, sizeof(*f));
	char name[LIMIT_NAME + 1];
	uint32_t i;

	assert_non_null(f);
	f->eg = calloc(ngateway, sizeof(*f->eg));
	assert_non_null(f->eg);
	buf_init(&f->out, 0);
	f->e.core = core_new(&io, NULL, random, 1000);
	assert_non_null(f->e.core);
	for (i = 0; i < ngateway; i++) {
		snprintf(name, sizeof(name), "g%u", i);
		add_gateway(f, i, name);
	}
	return f;
}

static void
fixture_free(struct fixture *f)
{
	core_free(f->e.core);
	buf_free(&f->out);
	free(f->eg);
	free(f);
}

static const char descriptor[] =
    "{\"platform\":\"discord\",\"label\":\"a\x7f\xc2\x9b\"}";

static char evidence[] = "refused twice";

/* Everything that may be null is there, so that every member occurs. */
static void
fill(struct fixture *f)
{
	struct gateway *gw = f->eg[0].gw;
	struct link *l = &gw->link;
	struct agent *a;

	l->last_close.at = 900000;
	l->last_close.code = 4401;
	l->last_close.status = 503;
	strlcpy(l->last_close.reason, "because", sizeof(l->last_close.reason));
	l->last_failure.at = 900000;
	l->last_failure.phase = "tls";
	strlcpy(
	    l->last_failure.reason, "because", sizeof(l->last_failure.reason));
	l->rtt_ms = 12;
	l->clock_skew_s = -3;
	l->last_read = 999000;
	strlcpy(l->address, "192.0.2.1:443", sizeof(l->address));
	l->revoked = 1;
	f->eg[0].standing.revoked_at = 1795341000;
	f->eg[0].standing.evidence = evidence;
	f->eg[0].cred.source = CRED_PROVISIONED;
	f->eg[0].cred.refusals = 3;
	f->eg[0].cred.refused_at = 1795341002;
	strlcpy(f->eg[0].cred.tenant, "t1", sizeof(f->eg[0].cred.tenant));
	gw->conf.identity[0].descriptor.text = strdup(descriptor);
	a = core_agent_new(gw, 1000, 1000, 4711, NULL);
	assert_non_null(a);
	a->platforms = 1;
	gw->count.dials = 7;
	f->e.proc[ROLE_ENGINE].pid = 99;
	f->e.proc[ROLE_ENGINE].wanted =
	    LAYER_BIT(LAYER_USER) | LAYER_BIT(LAYER_NNP);
	f->e.proc[ROLE_ENGINE].held = LAYER_BIT(LAYER_NNP);
}

static int
same_path(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

struct paths {
	char path[PATHS][96];
	size_t n;
};

static void
paths_add(struct paths *p, const char *path)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (same_path(p->path[i], path))
			return;
	assert_true(p->n < PATHS);
	assert_true(strlcpy(p->path[p->n++], path, 96) < 96);
}

static int
paths_have(const struct paths *p, const char *path)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (same_path(p->path[i], path))
			return 1;
	return 0;
}

static void
walk(struct paths *p, const char *at, struct span value)
{
	struct json_doc *doc = malloc(sizeof(*doc));
	struct span elem, key;
	char path[96];
	size_t pos = 0;
	int n;

	assert_non_null(doc);
	assert_int_equal(json_parse(doc, value.p, value.len, 1), 0);
	if (doc->node[JSON_ROOT].type == JSON_ARRAY) {
		snprintf(path, sizeof(path), "%s[]", at);
		while (json_each(value, &pos, &elem) == 1)
			walk(p, path, elem);
	}
	for (n = doc->node[JSON_ROOT].type == JSON_OBJECT
		 ? json_first(doc, JSON_ROOT)
		 : -1;
	     n != -1; n = json_next(doc, n)) {
		key.p = doc->text + doc->node[n].key;
		key.len = doc->node[n].keylen;
		snprintf(path, sizeof(path), "%s%s%.*s", at,
		    at[0] == '\0' ? "" : ".", (int)key.len, key.p);
		paths_add(p, path);
		/* A descriptor is the connector's. */
		if (!span_eq(key, SPAN_LIT("descriptor")))
			walk(p, path, json_raw(doc, n));
	}
	free(doc);
}

/* The list in the manual's section STATUS: ".It Va gateways[].name". */
static void
read_manual(struct paths *p)
{
	struct span file = vec_load(MANUAL);
	char *text = strndup(file.p, file.len), *line, *next = text;
	int status = 0;

	vec_free(file);
	while ((line = strsep(&next, "\n")) != NULL) {
		if (strncmp(line, ".Sh ", 4) == 0)
			status = strcmp(line, ".Sh STATUS") == 0;
		else if (status && strncmp(line, ".It Va ", 7) == 0)
			paths_add(p, line + 7);
	}
	free(text);
}

static void
test_documented(void **state)
{
	static struct paths doc, manual;
	struct fixture *f = fixture_new(1);
	struct span text;
	size_t i;

	(void)state;
	fill(f);
	status_document(&f->e, NULL, &f->out);
	text = buf_span(&f->out);
	assert_int_equal(text.p[text.len - 1], '\n');
	text.len--;
	assert_null(memchr(text.p, '\n', text.len));
	walk(&doc, "", text);
	read_manual(&manual);
	assert_true(doc.n > 90);
	for (i = 0; i < doc.n; i++)
		if (!paths_have(&manual, doc.path[i]))
			fail_msg("%s is not in " MANUAL, doc.path[i]);
	for (i = 0; i < manual.n; i++)
		if (!paths_have(&doc, manual.path[i]))
			fail_msg("%s is in " MANUAL ", not in the document",
			    manual.path[i]);
	fixture_free(f);
}

/* Whether the document holds a piece of text. */
static int
holds(const struct fixture *f, const char *piece)
{
	struct span s = buf_span(&f->out);

	return memmem(s.p, s.len, piece, strlen(piece)) != NULL;
}

static void
test_values(void **state)
{
	struct fixture *f = fixture_new(1);

	(void)state;
	fill(f);
	f->e.conf_taken = 1795341003;
	status_document(&f->e, NULL, &f->out);
	assert_true(holds(f,
	    "\"configuration\":{\"taken\":1795341003,"
	    "\"refused_at\":null}"));
	assert_true(holds(f, "\"ok\":true,\"schema\":\"relayd.status/1\""));
	assert_true(holds(f, "\"now\":1795341600.500"));
	assert_true(holds(f, "\"state\":\"unprovisioned\""));
	assert_true(holds(f, "\"code\":4401,\"http_status\":503"));
	assert_true(holds(f,
	    "\"by\":\"connector\",\"at\":1795341500,"
	    "\"ago_s\":100}"));
	assert_true(holds(f,
	    "\"last_failure\":{\"phase\":\"tls\",\"reason\":\"because\","
	    "\"code\":null,\"http_status\":null,\"at\":1795341500,"
	    "\"ago_s\":100}"));
	assert_true(holds(f, "\"platforms\":[\"discord\"]"));
	assert_true(holds(f, "\"credential\":{\"source\":\"provisioned\""));
	assert_true(holds(f, "\"tenant\":\"t1\""));
	assert_true(holds(f, "\"refusals\":3,\"refused_at\":1795341002"));
	assert_true(holds(f, "\"last_heard_at\":1795341599"));
	assert_true(holds(f, "\"last_inbound_at\":null"));
	assert_true(holds(f,
	    "\"revoked\":{\"at\":1795341000,"
	    "\"evidence\":\"refused twice\"}"));
	assert_true(holds(f, "\"dials\":7"));
	assert_true(holds(f, "\"label\":\"a\\u007f\\u009b\""));
	assert_true(holds(f,
	    "\"user\":\"lacking\",\"chroot\":\"not asked\","
	    "\"nnp\":\"held\""));
	assert_true(holds(f, "\"last_heard_s\":1,\"last_inbound_s\":null"));
	fixture_free(f);
}

static void
test_only(void **state)
{
	struct fixture *f = fixture_new(3);

	(void)state;
	f->e.conf_refused = 1795341004;
	status_document(&f->e, &f->eg[1], &f->out);
	assert_true(holds(f, "\"name\":\"g1\""));
	assert_false(holds(f, "\"name\":\"g0\""));
	assert_false(holds(f, "\"name\":\"g2\""));
	assert_true(holds(f, "\"revoked\":null"));
	assert_true(holds(f, "\"refused_at\":1795341004}"));
	fixture_free(f);
}

static void
test_long_descriptor(void **state)
{
	struct fixture *f = fixture_new(1);
	struct identity *id = &f->eg[0].gw->conf.identity[0];

	(void)state;
	id->descriptor.text = malloc(DESCRIPTOR_SHOWN + 2);
	assert_non_null(id->descriptor.text);
	memset(id->descriptor.text, '1', DESCRIPTOR_SHOWN + 1);
	id->descriptor.text[DESCRIPTOR_SHOWN + 1] = '\0';
	status_document(&f->e, NULL, &f->out);
	assert_true(holds(f, "\"descriptor_bytes\":4097,\"descriptor\":null"));
	fixture_free(f);
}

/* A thousand gateways fit into a client's output with room to spare. */
static void
test_thousand(void **state)
{
	struct fixture *f = fixture_new(LIMIT_GATEWAYS);
	static struct json_doc doc;
	struct span elem, text;
	size_t pos = 0;
	uint32_t i;
	int n = 0;

	(void)state;
	for (i = 0; i < LIMIT_GATEWAYS; i++) {
		f->eg[i].gw->conf.identity[0].descriptor.text = malloc(801);
		assert_non_null(f->eg[i].gw->conf.identity[0].descriptor.text);
		snprintf(f->eg[i].gw->conf.identity[0].descriptor.text, 801,
		    "\"%0798d\"", 0);
		assert_non_null(
		    core_agent_new(f->eg[i].gw, 1000, 1000, 4711, NULL));
	}
	status_document(&f->e, NULL, &f->out);
	text = buf_span(&f->out);
	assert_false(f->out.failed);
	assert_in_range(text.len, 1024 * 1024, 4 * 1024 * 1024);
	assert_int_equal(json_parse(&doc, text.p, text.len, 1), 0);
	text = json_raw(&doc, json_get(&doc, JSON_ROOT, "gateways"));
	while (json_each(text, &pos, &elem) == 1)
		n++;
	assert_int_equal(n, LIMIT_GATEWAYS);
	fixture_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_documented),
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_only),
	    cmocka_unit_test(test_long_descriptor),
	    cmocka_unit_test(test_thousand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
