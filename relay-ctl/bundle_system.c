/* SPDX-License-Identifier: ISC */
/* The sections of a bundle about the machine; names, users and addresses of it
 * are not looked at. */
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <ctype.h>
#include <gnu/libc-version.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <seccomp.h>

#include "bundle.h"
#include "field.h"
#include "json.h"
#include "role.h"

/* A line of /proc or os-release. */
#define LINE 256

/* What of a kernel's release is no number: others may be somebody's own. */
static const char *const releases[] = {"amd64", "arm64", "generic", "cloud",
    "rt", "aws", "azure", "gcp", "lowlatency", "lts", "arch", "fc", "el",
    "microsoft", "standard", "WSL2"};

static void
put_release(struct buf *out, const char *s)
{
	size_t n, i;

	while (*s != '\0') {
		for (n = 0; isalpha((unsigned char)s[n]) ||
		     (n > 0 && isdigit((unsigned char)s[n]));
		     n++)
			;
		if (n == 0) {
			buf_add(out, s++, 1);
			continue;
		}
		for (i = 0; i < sizeof(releases) / sizeof(releases[0]); i++)
			if (strlen(releases[i]) == n &&
			    memcmp(releases[i], s, n) == 0)
				break;
		if (i < sizeof(releases) / sizeof(releases[0]))
			buf_add(out, s, n);
		else
			buf_adds(out, SPAN_LIT("…"));
		s += n;
	}
}

static void
put_versions(struct buf *out)
{
	const struct scmp_version *sc = seccomp_version();

	buf_addf(out,
	    "relay-ctl: %s\nOpenSSL: %s\nlibseccomp: %u.%u.%u\nglibc: %s\n",
	    VERSION, OpenSSL_version(OPENSSL_VERSION),
	    sc == NULL ? 0 : sc->major, sc == NULL ? 0 : sc->minor,
	    sc == NULL ? 0 : sc->micro, gnu_get_libc_version());
}

static void
put_build(struct buf *out)
{
	buf_addf(out, "compiler: %s\n", __VERSION__);
	buf_adds(out, SPAN_LIT("built with:"));
#ifdef __OPTIMIZE__
	buf_adds(out, SPAN_LIT(" optimization"));
#endif
#ifdef __PIE__
	buf_addf(out, " pie=%d", __PIE__);
#endif
#ifdef __SSP_STRONG__
	buf_adds(out, SPAN_LIT(" stack-protector-strong"));
#endif
#ifdef _FORTIFY_SOURCE
	buf_addf(out, " fortify=%d", _FORTIFY_SOURCE);
#endif
#ifdef __CET__
	buf_addf(out, " cf-protection=%d", __CET__);
#endif
#ifdef RELAYD_SANITIZE
	buf_adds(out, SPAN_LIT(" sanitizers"));
#endif
	buf_adds(out, SPAN_LIT("\n"));
}

/* Lines of a file that begin with one of these words, which NULL ends. */
static void
put_lines(struct buf *out, const char *path, const char *const *words)
{
	const char *const *w;
	char line[LINE];
	FILE *f;

	if ((f = fopen(path, "re")) == NULL) {
		buf_adds(out, SPAN_LIT("(not for us to see)\n"));
		return;
	}
	while (fgets(line, sizeof(line), f) != NULL)
		for (w = words; *w != NULL; w++)
			if (strncmp(line, *w, strlen(*w)) == 0)
				buf_adds(out, span_str(line));
	fclose(f);
}

static void
put_kernel(struct buf *out)
{
	static const char *const words[] = {"ID=", "VERSION_ID=", NULL};
	struct sysinfo si;
	struct utsname u;

	if (uname(&u) == 0) {
		buf_addf(out, "%s ", u.sysname);
		put_release(out, u.release);
		buf_addf(out, " %s\n", u.machine);
	}
	put_lines(out, "/etc/os-release", words);
	buf_addf(out, "processors: %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
	if (sysinfo(&si) == 0)
		buf_addf(out, "memory: %lu MiB, %lu free; up for %ld s\n",
		    si.totalram / 1048576 * si.mem_unit,
		    si.freeram / 1048576 * si.mem_unit, si.uptime);
	buf_addf(out, "as root: %s\n", geteuid() == 0 ? "yes" : "no");
}

/* Which of the variables that matter are set here; not to what. */
static void
put_environment(struct buf *out)
{
	static const char *const names[] = {"GATEWAY_RELAY_URL",
	    "GATEWAY_RELAY_ID", "GATEWAY_RELAY_SECRET",
	    "GATEWAY_RELAY_DELIVERY_KEY", "GATEWAY_RELAY_ENROLL_TOKEN",
	    "GATEWAY_RELAY_PLATFORMS", "GATEWAY_RELAY_BOT_IDS",
	    "GATEWAY_RELAY_IDP_TOKEN_URL", "GATEWAY_RELAY_IDP_CLIENT_SECRET",
	    "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy",
	    "NO_PROXY", "SSL_CERT_FILE", "CREDENTIALS_DIRECTORY", "TZ",
	    "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"};
	size_t i;
	int n = 0;

	buf_adds(out, SPAN_LIT("set for relay-ctl:"));
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (getenv(names[i]) != NULL) {
			buf_addf(out, " %s", names[i]);
			n++;
		}
	buf_adds(out,
	    n == 0 ? SPAN_LIT(" none of those that matter\n") : SPAN_LIT("\n"));
}

void
bundle_system(struct buf *out)
{
	buf_adds(out, SPAN_LIT("\n== versions\n"));
	put_versions(out);
	buf_adds(out, SPAN_LIT("\n== build\n"));
	put_build(out);
	buf_adds(out, SPAN_LIT("\n== machine\n"));
	put_kernel(out);
	buf_adds(out, SPAN_LIT("\n== environment\n"));
	put_environment(out);
}

void
bundle_processes(struct buf *out, struct span processes)
{
	static const char *const status[] = {
	    "State:", "VmPeak:", "VmRSS:", "VmLck:", "Threads:", "FDSize:",
	    "NoNewPrivs:", "Seccomp:", "CapEff:", NULL};
	static const char *const limits[] = {"Max processes", "Max open files",
	    "Max locked memory", "Max file size", "Max core file size",
	    "Max address space", NULL};
	struct span elem;
	struct obj o;
	char path[64];
	size_t pos = 0;
	int64_t pid;
	int n = 0;

	while (json_each(processes, &pos, &elem) == 1 && n < ROLE_KEPT) {
		if (obj_parse(&o, elem) == -1)
			continue;
		pid = field_int(&o, "pid", 0);
		buf_adds(out, SPAN_LIT("-- "));
		bundle_phrases(out, field_str(&o, "role"));
		buf_adds(out, SPAN_LIT("\n"));
		n++;
		if (pid <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%" PRId64 "/status", pid);
		put_lines(out, path, status);
		snprintf(path, sizeof(path), "/proc/%" PRId64 "/limits", pid);
		put_lines(out, path, limits);
	}
	if (n == 0)
		buf_adds(out,
		    SPAN_LIT("relayd is not running, or its state "
			     "file is not for us\n"));
}
