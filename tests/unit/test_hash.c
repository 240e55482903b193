/* SPDX-License-Identifier: ISC */
/* SipHash against OpenSSL's; the hash table, the ring of seen ids and the
 * timers against plain models. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "seen.h"
#include "timer.h"

static void
reference(const struct hash_key *key, const char *p, size_t len, size_t want,
    unsigned char *out)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
	unsigned c = 1, d = 3;
	OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t("size", &want),
	    OSSL_PARAM_construct_uint("c-rounds", &c),
	    OSSL_PARAM_construct_uint("d-rounds", &d),
	    OSSL_PARAM_construct_end()};
	size_t n;

	assert_int_equal(
	    EVP_MAC_init(ctx, (const unsigned char *)key, 16, params), 1);
	assert_int_equal(EVP_MAC_update(ctx, (const unsigned char *)p, len), 1);
	assert_int_equal(EVP_MAC_final(ctx, out, &n, want), 1);
	assert_int_equal(n, want);
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
}

static void
test_siphash(void **state)
{
	struct hash_key key = {{0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL}};
	unsigned char want[16];
	char text[100];
	uint64_t h, w[2];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(text); i++)
		text[i] = (char)i;
	for (i = 0; i <= sizeof(text); i++) {
		struct span s = {text, i};

		reference(&key, text, i, 8, want);
		h = hash_64(&key, s);
		assert_memory_equal(&h, want, 8);
		reference(&key, text, i, 16, want);
		hash_128(&key, s, w);
		assert_memory_equal(w, want, 16);
	}
}

struct item {
	struct hnode node;
	int in;
};

static void
test_table(void **state)
{
	static struct item item[4000];
	struct htab t = {0};
	struct hnode *n;
	int i, round, found;

	(void)state;
	srandom(1);
	for (round = 0; round < 20000; round++) {
		i = (int)(random() % 4000);
		/* every fourth item shares its hash with others */
		if (!item[i].in)
			assert_int_equal(
			    htab_add(&t, &item[i].node,
				(uint64_t)(i / 4) *
				    (uint64_t)0x9e3779b97f4a7c15ULL),
			    0);
		else
			htab_del(&t, &item[i].node);
		item[i].in ^= 1;
	}
	for (i = 0; i < 4000; i++) {
		found = 0;
		for (n = htab_find(&t,
			 (uint64_t)(i / 4) * (uint64_t)0x9e3779b97f4a7c15ULL);
		     n != NULL; n = htab_next(n))
			found += n == &item[i].node;
		assert_int_equal(found, item[i].in);
	}
	htab_free(&t);
}

static struct span
id(int i)
{
	static char text[32];
	int n = snprintf(text, sizeof(text), "buf-%d", i);

	return (struct span){text, (size_t)n};
}

static int
has(struct seen *s, int i)
{
	uint64_t hash[2];

	seen_hash(s, id(i), hash);
	return seen_has(s, hash);
}

static void
add(struct seen *s, int i)
{
	uint64_t hash[2];

	seen_hash(s, id(i), hash);
	seen_add(s, hash);
}

static void
test_seen_forgets_the_oldest_alone(void **state)
{
	struct hash_key key = {{5, 6}};
	void *mem = calloc(1, LIMIT_SEEN_BYTES);
	struct seen s;
	int i;

	(void)state;
	seen_init(&s, mem, LIMIT_SEEN, &key);
	assert_false(has(&s, 0));
	for (i = 0; i < LIMIT_SEEN * 2 + 77; i++) {
		add(&s, i);
		add(&s, i); /* no second place */
	}
	for (i = 0; i < LIMIT_SEEN + 77; i++)
		assert_false(has(&s, i));
	for (; i < LIMIT_SEEN * 2 + 77; i++)
		assert_true(has(&s, i));
	seen_free(&s);
	/* the next process finds them */
	seen_init(&s, mem, LIMIT_SEEN, &(struct hash_key){{9, 9}});
	assert_true(has(&s, LIMIT_SEEN + 77));
	assert_false(has(&s, LIMIT_SEEN + 76));
	seen_free(&s);
	free(mem);
}

static void
test_seen_memory_is_not_trusted(void **state)
{
	struct hash_key key = {{5, 6}};
	unsigned char *mem = malloc(LIMIT_SEEN_BYTES);
	struct seen s;
	size_t i;
	int round;

	(void)state;
	srandom(7);
	for (round = 0; round < 20; round++) {
		for (i = 0; i < LIMIT_SEEN_BYTES; i++)
			mem[i] = round < 10 ? (unsigned char)random() : 0xff;
		if (round % 2 == 0) /* a good beginning, and rubbish behind */
			memcpy(mem, "RLAYEEN1", 8);
		seen_init(&s, mem, LIMIT_SEEN, &key);
		for (i = 0; i < 1000; i++)
			add(&s, (int)i);
		for (i = 0; i < 1000; i++)
			assert_true(has(&s, (int)i));
		seen_free(&s);
	}
	free(mem);
}

static int ran[200];

static void
run(void *arg)
{
	(*(int *)arg)++;
}

static void
test_timers_against_a_model(void **state)
{
	static struct timer t[200];
	struct timers ts = {0};
	uint64_t when[200], now = 0;
	int i, round, due;

	(void)state;
	srandom(3);
	for (i = 0; i < 200; i++) {
		timer_init(&t[i], run, &ran[i]);
		when[i] = TIMER_NEVER;
	}
	for (round = 0; round < 5000; round++) {
		i = (int)(random() % 200);
		if (random() % 4 == 0) {
			timer_clear(&ts, &t[i]);
			when[i] = TIMER_NEVER;
		} else {
			when[i] = now + (uint64_t)(random() % 1000);
			timer_set(&ts, &t[i], when[i]);
		}
		if (random() % 3 != 0)
			continue;
		now += (uint64_t)(random() % 100);
		memset(ran, 0, sizeof(ran));
		(void)timers_run(&ts, now);
		for (i = 0; i < 200; i++) {
			due = when[i] <= now;
			assert_int_equal(ran[i], due);
			if (due)
				when[i] = TIMER_NEVER;
			assert_int_equal(
			    timer_armed(&t[i]), when[i] != TIMER_NEVER);
		}
	}
	timers_free(&ts);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_siphash),
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_seen_forgets_the_oldest_alone),
	    cmocka_unit_test(test_seen_memory_is_not_trusted),
	    cmocka_unit_test(test_timers_against_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
