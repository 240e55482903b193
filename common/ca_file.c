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

/* Lines with which a certificate in PEM begins, each after another's end. */
static const char *const begins[] = {"\n-----BEGIN CERTIFICATE-----",
    "\n-----BEGIN X509 CERTIFICATE-----",
    "\n-----BEGIN TRUSTED CERTIFICATE-----"};
#define BEGIN_MOST 36 /* the longest of them */
#define WINDOW	   4096

static int
begins_in(const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
		if (memmem(p, len, begins[i], strlen(begins[i])) != NULL)
			return 1;
	return 0;
}

/* Whether a certificate seems to be in it, which is not parsed here: 1, 0, or
 * -1 with errno set. */
static int
holds_certificate(int fd)
{
	char buf[WINDOW + BEGIN_MOST];
	size_t have = 1, keep;
	off_t at = 0;
	ssize_t n;

	buf[0] = '\n'; /* the first line is one, too */
	while (at <= LIMIT_CA_FILE) {
		n = pread(fd, buf + have, WINDOW, at);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? 0 : -1;
		at += n;
		have += (size_t)n;
		if (begins_in(buf, have))
			return 1;
		/* The begin of one may be this window's end. */
		keep = have < BEGIN_MOST ? have : BEGIN_MOST - 1;
		memmove(buf, buf + have - keep, keep);
		have = keep;
	}
	return 0;
}

/* What is wrong with an open file, in why; 0 when nothing is. */
static int
is_bundle(int fd, const char *path, char *why, size_t whylen)
{
	const int most = LIMIT_REASON / 2;
	struct stat st;
	int r;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) ||
	    st.st_size > LIMIT_CA_FILE) {
		snprintf(why, whylen, "%.*s: not a file of at most %u bytes",
		    most, path, LIMIT_CA_FILE);
		return 0;
	}
	if ((r = holds_certificate(fd)) == -1)
		snprintf(why, whylen, "%.*s: %s", most, path, strerror(errno));
	else if (r == 0)
		snprintf(why, whylen,
		    "%.*s: holds no certificate (PEM): name the file with "
		    "those of the authorities to trust",
		    most, path);
	return r == 1;
}

static int
open_bundle(const char *path, char *why, size_t whylen)
{
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd == -1) {
		snprintf(why, whylen, "%.*s: %s", LIMIT_REASON / 2, path,
		    strerror(errno));
		return -1;
	}
	if (is_bundle(fd, path, why, whylen))
		return fd;
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
