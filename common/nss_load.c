/* SPDX-License-Identifier: ISC */
/*
 * Loading name service modules early.  getaddrinfo loads them when it comes
 * to them; going through all with a query for a name that nobody has would
 * wait for DNS servers, so they are loaded by name.
 */
#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "nss_load.h"

#define CONF	   "/etc/nsswitch.conf"
#define LINE_LEN   512
#define MODULE_MAX 32 /* characters of a module's name */

/* libnss_NAME.so.2: its version has been 2 since glibc 2.1. */
static void
load(const char *name, size_t len)
{
	char file[sizeof("libnss_.so.2") + MODULE_MAX];

	if (len == 0 || len > MODULE_MAX)
		return;
	snprintf(file, sizeof(file), "libnss_%.*s.so.2", (int)len, name);
	(void)dlopen(file, RTLD_NOW | RTLD_LOCAL);
}

/* "files mdns4_minimal [NOTFOUND=return] dns": names, and actions between
 * brackets. */
static void
load_line(const char *s)
{
	size_t n;

	while (*s != '\0' && *s != '#') {
		if (*s == '[') {
			s += strcspn(s, "]");
			s += *s == ']';
			continue;
		}
		for (n = 0; isalnum((unsigned char)s[n]) || s[n] == '_'; n++)
			;
		load(s, n);
		s += n > 0 ? n : 1;
	}
}

void
nss_load(void)
{
	static const char key[] = "hosts:";
	char line[LINE_LEN];
	const char *s;
	FILE *f;

	if ((f = fopen(CONF, "re")) == NULL)
		return;
	while (fgets(line, sizeof(line), f) != NULL) {
		s = line + strspn(line, " \t");
		if (strncmp(s, key, sizeof(key) - 1) == 0)
			load_line(s + sizeof(key) - 1);
	}
	fclose(f);
}
