/* SPDX-License-Identifier: ISC */
/* Configuration: what a misspelled word was meant to be. */
#include <ctype.h>
#include <string.h>

#include "conf_priv.h"

#define HINT_WORD 32 /* characters compared: no name of ours is longer */

static int
fold(char c)
{
	return c == '-' ? '_' : tolower((unsigned char)c);
}

static unsigned
min2(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Optimal string alignment: insert, delete, replace, swap neighbours. */
unsigned
conf_hint_distance(const char *a, const char *b)
{
	unsigned d[HINT_WORD + 1][HINT_WORD + 1];
	size_t la = strlen(a), lb = strlen(b), i, j;

	if (la > HINT_WORD || lb > HINT_WORD)
		return HINT_WORD;
	for (i = 0; i <= la; i++)
		d[i][0] = (unsigned)i;
	for (j = 0; j <= lb; j++)
		d[0][j] = (unsigned)j;
	for (i = 1; i <= la; i++) {
		for (j = 1; j <= lb; j++) {
			int same = fold(a[i - 1]) == fold(b[j - 1]);

			d[i][j] = min2(min2(d[i - 1][j], d[i][j - 1]) + 1,
			    d[i - 1][j - 1] + !same);
			if (i > 1 && j > 1 &&
			    fold(a[i - 1]) == fold(b[j - 2]) &&
			    fold(a[i - 2]) == fold(b[j - 1]))
				d[i][j] = min2(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[la][lb];
}

/* Edits that still count as near: one, and one more for every four
 * characters; never a whole word. */
static unsigned
reach(const char *word)
{
	size_t n = strlen(word);

	return n < 2 ? 0 : 1 + (unsigned)(n / 4);
}

void
conf_hint_try(const char **best, const char *name, const char *word)
{
	unsigned d = conf_hint_distance(name, word);

	if (d > reach(word) || d >= strlen(name))
		return;
	if (*best == NULL || d < conf_hint_distance(*best, word))
		*best = name;
}

const struct conf_key *
conf_hint_key(const struct conf_key *keys, const char *word)
{
	const struct conf_key *found = NULL;
	const char *best = NULL, *before;

	for (; keys->name != NULL; keys++) {
		before = best;
		conf_hint_try(&best, keys->name, word);
		if (best != before)
			found = keys;
	}
	return found;
}

const char *
conf_hint_word(const struct conf_word *words, const char *word)
{
	const char *best = NULL;

	for (; words->name != NULL; words++)
		conf_hint_try(&best, words->name, word);
	return best;
}

/* How often the name stands below the table; its path (the last) in out. */
static unsigned
elsewhere(const struct conf_key *keys, const char *prefix, const char *word,
    char *out, size_t cap)
{
	char path[CONF_KEYPATH];
	unsigned found = 0;

	for (; keys->name != NULL; keys++) {
		strlcpy(path, prefix, sizeof(path));
		strlcat(path, keys->name, sizeof(path));
		if (strcmp(keys->name, word) == 0) {
			strlcpy(out, path, cap);
			found++;
		}
		if (keys->sub == NULL)
			continue;
		strlcat(path, conf_schema_joint(keys), sizeof(path));
		found += elsewhere(keys->sub, path, word, out, cap);
	}
	return found;
}

int
conf_hint_elsewhere(const char *word, char *out, size_t cap)
{
	return elsewhere(conf_schema_root(), "", word, out, cap) == 1;
}
