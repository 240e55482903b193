/* SPDX-License-Identifier: ISC */
/* Reading what must not be seen by others. */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ask.h"
#include "ctl.h"
#include "intake.h"
#include "utf8.h"

#define TOKEN_ENV "GATEWAY_RELAY_ENROLL_TOKEN"

void
intake_shield(void)
{
	const struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
#ifndef RELAYD_SANITIZE /* it traces itself when it ends */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

int
intake_all(struct buf *b, int fd, const char *name, size_t max)
{
	ssize_t n;
	char *p;

	for (;;) {
		if ((p = buf_reserve(b, 4096)) == NULL) {
			ctl_warn("no memory");
			return -1;
		}
		n = read(fd, p, 4096);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			ctl_warn("%s: %s", name, strerror(errno));
			return -1;
		}
		if (n == 0)
			return 0;
		buf_commit(b, (size_t)n);
		if (buf_len(b) > max) {
			ctl_warn("%s: longer than %zu bytes; is it the right "
				 "file?",
			    name, max);
			return -1;
		}
	}
}

/* Who else may use the file.  0 to go on, or -1 after the refusal. */
static int
check_access(int fd, const char *path, enum intake_access access)
{
	struct stat st;

	if (fstat(fd, &st) == -1) {
		ctl_warn("%s: %s", path, strerror(errno));
		return -1;
	}
	if (!S_ISREG(st.st_mode))
		return 0;
	if (access == INTAKE_REFUSE && st.st_uid == geteuid() &&
	    (st.st_mode & 077) != 0) {
		ctl_warn("%s has mode %04o: others than its owner may use it, "
			 "and a token must be nobody else's; chmod 600 it",
		    path, (unsigned)st.st_mode & 07777U);
		return -1;
	}
	if ((st.st_mode & (access == INTAKE_WARN ? 077 : 07)) != 0)
		ctl_warn("warning: %s has mode %04o: others may have read what "
			 "is secret in it",
		    path, (unsigned)st.st_mode & 07777U);
	return 0;
}

int
intake_file(
    struct buf *b, const char *path, size_t max, enum intake_access access)
{
	int fd, r = -1;

	if (strcmp(path, "-") == 0)
		return intake_all(b, STDIN_FILENO, "standard input", max);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)) == -1) {
		ctl_warn("%s: %s", path, strerror(errno));
		return -1;
	}
	if (check_access(fd, path, access) == 0)
		r = intake_all(b, fd, path, max);
	close(fd);
	return r;
}

/* White space around it is no part of a token. */
static void
trim(struct buf *b)
{
	while (buf_len(b) > 0 && strchr(" \t\r\n", b->p[b->end - 1]) != NULL)
		b->end--;
	while (buf_len(b) > 0 && strchr(" \t\r\n", b->p[b->off]) != NULL)
		buf_drain(b, 1);
}

/* A token is one word.  0, or -1 after saying what it is instead. */
static int
check_token(const struct buf *b, const char *from)
{
	struct span s = buf_span(b);
	size_t i;

	for (i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
			break;
	if (i < s.len || utf8_valid_prefix(s.p, s.len) < s.len) {
		ctl_warn("%s: no token: a token is one word on one line", from);
		return -1;
	}
	if (s.len <= LIMIT_BEARER)
		return 0;
	ctl_warn("%s: no token: longer than %u bytes", from, LIMIT_BEARER);
	return -1;
}

/* Take the token out of the environment, where it is then no more: not in
 * /proc/PID/environ either. */
static void
take_env(struct buf *b)
{
	char *v = getenv(TOKEN_ENV);

	if (v == NULL)
		return;
	buf_adds(b, span_str(v));
	explicit_bzero(v, strlen(v));
	unsetenv(TOKEN_ENV);
}

/* Ask at the terminal. */
static int
take_typed(struct buf *b, const char *gateway)
{
	char prompt[LIMIT_NAME + 96];

	snprintf(prompt, sizeof(prompt),
	    "Enrollment token for %s (empty: the one relayd was started "
	    "with): ",
	    gateway);
	if (ask_quietly(b, prompt) == 0)
		return 0;
	if (errno == ECANCELED)
		ctl_warn("no token was typed, nothing was done");
	else if (errno == EMSGSIZE)
		ctl_warn("that is more than a terminal hands over as one "
			 "line; use --token-file");
	else
		ctl_warn("there is no terminal to ask on (%s); name a file "
			 "with --token-file",
		    strerror(errno));
	return -1;
}

int
intake_token(struct buf *token, const char *file, const char *gateway)
{
	const char *from = file;

	take_env(token);
	if (file != NULL) {
		buf_free(token);
		if (strcmp(file, "-") == 0)
			from = "standard input";
		/* One byte more is a newline, or too much. */
		if (intake_file(token, file, LIMIT_BEARER + 2, INTAKE_REFUSE) ==
		    -1)
			return -1;
	} else if (buf_len(token) > 0)
		from = TOKEN_ENV;
	else if (isatty(STDIN_FILENO)) {
		from = "what was typed";
		if (take_typed(token, gateway) == -1)
			return -1;
	} else
		return 0;
	trim(token);
	if (file != NULL && buf_len(token) == 0) {
		ctl_warn("%s: there is no token in it", from);
		return -1;
	}
	return check_token(token, from);
}
