/* SPDX-License-Identifier: ISC */
/* Forgetting what the environment said. */
#include <string.h>
#include <unistd.h>

#include "env_wipe.h"

/* Of the resolver, libc and OpenSSL; a name that ends in _ begins several. */
static const char *const kept[] = {"LOCALDOMAIN", "RES_OPTIONS", "TZ", "LANG",
    "LC_", "OPENSSL_", "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS"};

static int
is_kept(const char *entry)
{
	size_t i, n;

	for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		n = strlen(kept[i]);
		if (strncmp(entry, kept[i], n) == 0 &&
		    (entry[n] == '=' || kept[i][n - 1] == '_'))
			return 1;
	}
	return 0;
}

void
env_wipe(void)
{
	char **e, *value;

	for (e = environ; e != NULL && *e != NULL; e++) {
		if (is_kept(*e) || (value = strchr(*e, '=')) == NULL)
			continue;
		value++;
		explicit_bzero(value, strlen(value));
	}
}
