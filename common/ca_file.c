/* SPDX-License-Identifier: ISC */
/* The file of certificates that a connector is verified by. */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ca_file.h"
#include "limit.h"

/* Where distributions keep the system's bundle. */
static const char *const bundles[] = {"/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};

static int
open_bundle(const char *path, char *why, size_t whylen)
{
	struct stat st;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd == -1) {
		snprintf(why, whylen, "%.*s: %s", LIMIT_REASON / 2, path,
		    strerror(errno));
		return -1;
	}
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_size <= LIMIT_CA_FILE)
		return fd;
	snprintf(why, whylen, "%.*s: not a file of at most %u bytes",
	    LIMIT_REASON / 2, path, LIMIT_CA_FILE);
	close(fd);
	return -1;
}

int
ca_file_open(
    const char *path, char *label, size_t labellen, char *why, size_t whylen)
{
	size_t i;
	int fd;

	if (path != NULL) {
		strlcpy(label, path, labellen);
		return open_bundle(path, why, whylen);
	}
	for (i = 0; i < sizeof(bundles) / sizeof(bundles[0]); i++) {
		strlcpy(label, bundles[i], labellen);
		if ((fd = open_bundle(bundles[i], why, whylen)) != -1)
			return fd;
	}
	strlcpy(why,
	    "not set, and this system has no bundle where one is "
	    "looked for: install ca-certificates, or set it",
	    whylen);
	return -1;
}
