/* SPDX-License-Identifier: ISC */
/* What may stand in a bundle of a text: a number for it, or known phrases. */
#include <ctype.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509.h>

#include "bundle.h"
#include "schema.h"

struct bundle_name {
	const char *kind;
	char *value;
	size_t len;
	unsigned number;
};

/* Phrases of relayd's own reasons.  What is not here is not shown. */
static const char *const phrases[] = {
    /* names and connections */
    "no address for", "the name servers did not answer",
    "it has none of a kind we can use", "connect to", "connected to",
    "connection closed by the peer", "connection reset by the peer",
    "during the TLS handshake", "broke off", "no connection within",
    "the proxy", "check the proxy's user and password", "answered", "refused",
    "no process to look up names",
    /* TLS */
    "TLS did not come up", "certificate verify failed",
    "the peer does not speak TLS on this port", "hostname mismatch",
    "or this machine's clock is wrong", "no certificate found", "TLSv1.2",
    "TLSv1.3", "TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256",
    "TLS_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    /* the upgrade and the link */
    "the upgrade was answered with HTTP", "the upgrade was refused",
    "no answer to the upgrade", "the answer does not upgrade to websocket",
    "closed by the connector", "closed after ours", "credential refused",
    "credential refused again", "credential revoked", "4401", "1000", "1001",
    "1002", "1006", "1008", "1009", "1011", "1012", "1013", "unauthorized",
    "expired", "it has never worked", "dialling", "with a fresh token",
    "no token", "token minted", "no descriptor within",
    "descriptor for a platform that is not fronted", "no pong within",
    "connected", "not connected to the connector", "by the connector",
    "asking for the connector's time", "the host slept", "no agent",
    "no agent for", "an agent is there", "an agent sends", "an operator sends",
    "going idle", "switched off by an operator", "the credential changed",
    "settings changed", "a credential is there", "relayd is stopping",
    "the engine is being restarted", "relay-authd was restarted",
    "the dialer was restarted", "first dial", "time to dial again",
    "the connector broke the WebSocket protocol", "text message is not UTF-8",
    "unknown opcode",
    /* credentials */
    "no secret", "set secret.file", "or GATEWAY_RELAY_SECRET",
    "others can use it", "chmod 600", "put the file there",
    "or correct the path", "not provisioned yet", "provisioning failed",
    "connector", "enrol instead", "again in", "given up", "identity_token",
    "no identity token", "and no identity_token", "the token command",
    "the identity token", "not heard from relay-authd yet",
    "the mark of revocation is gone", "it was forgotten", "enroll or import",
    "provision", "enroll", "policy", "link", "out of memory",
    "is a symbolic link to another directory", "not a regular file",
    /* walls */
    "no Landlock", "kernel has Landlock ABI", "what it forbids was not refused",
    "the kernel gives no memfd_secret", "locked memory kept out of dumps",
    "user", "chroot", "files", "tcp", "scope", "secret", "seccomp",
    "not as root",
    /* words of the status */
    SCHEMA_STATUS, SCHEMA_STATE, SCHEMA_CREDENTIALS, "running", "restarting",
    "starting", "reloading", "held", "lacking", "not asked", "us", "hold",
    "closing", "drained", "draining", "asking the time", "token", "stopped",
    "received", "not set", "configuration", "credential", "agents", "waiting",
    "descriptor", "backing off", "hushed", "idling", "voided",
    /* of a check */
    "others can write it", "belongs to another user than root",
    "can be written by others than root", "others can use it",
    "no answer in time", "url", "proxy", "tls.ca_file", "file", "directory",
    "environment", "enrolled", "provisioned", "none", "name", "connect", "tls",
    "upgrade", "handshake", "retrying", "connecting", "disabled", "idle",
    "dormant", "unprovisioned", "stopping", "it has worked earlier",
    "it never worked", "switched off", "engine", "authd", "dialer",
    "supervisor", "exchange", "is restarting", "relayd's own", "go-w", "700",
    "_relayd", "_relaydial", "_relayauth", "_relayxchg", "/run/relayd",
    "/etc/relayd/relayd.yaml", "/var/lib/relayd", "control.sock", "status.sock",
    "auth.sock"};
#define NPHRASE (sizeof(phrases) / sizeof(phrases[0]))

/* Errors of the system that may be told; X.509's and the resolver's. */
#define ERRNOS	   134
#define X509_CODES 100
#define GAI_CODES  12

/* Words and phrases end where no letter or digit follows. */
static int
is_part(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* Bytes of the phrase that stands at the beginning of s, if it does. */
static size_t
match(struct span s, const char *phrase)
{
	size_t n = strlen(phrase);

	if (n == 0 || n > s.len || memcmp(s.p, phrase, n) != 0)
		return 0;
	return n < s.len && is_part(s.p[n]) && is_part(phrase[n - 1]) ? 0 : n;
}

/* The longest phrase there. */
static size_t
longest(struct span s)
{
	size_t best = 0, n, i;
	int e;

	for (i = 0; i < NPHRASE; i++)
		if ((n = match(s, phrases[i])) > best)
			best = n;
	for (e = 1; e < ERRNOS; e++)
		if ((n = match(s, strerror(e))) > best)
			best = n;
	for (e = -GAI_CODES; e < 0; e++)
		if ((n = match(s, gai_strerror(e))) > best)
			best = n;
	for (e = 1; e < X509_CODES; e++)
		if ((n = match(s, X509_verify_cert_error_string(e))) > best)
			best = n;
	return best;
}

/* "12s", "3m12s", "400 ms", "HTTP 403": figures that say nothing of anybody.
 * Bytes of it. */
static size_t
figure(struct span s)
{
	static const char *const units[] = {" ms", " s", "s", "m", "h", "d"};
	size_t n = 0, i, u;

	if (s.len >= 8 && memcmp(s.p, "HTTP ", 5) == 0 &&
	    isdigit((unsigned char)s.p[5]) && isdigit((unsigned char)s.p[6]) &&
	    isdigit((unsigned char)s.p[7]) && (s.len == 8 || !is_part(s.p[8])))
		return 8;
	for (;;) {
		for (i = n; i < s.len && i - n < 5 &&
		     (isdigit((unsigned char)s.p[i]) || s.p[i] == '.');
		     i++)
			;
		if (i == n)
			return n > 0 && !is_part(s.p[n - 1]) ? 0 : n;
		for (u = 0; u < sizeof(units) / sizeof(units[0]); u++)
			if (s.len - i >= strlen(units[u]) &&
			    memcmp(s.p + i, units[u], strlen(units[u])) == 0)
				break;
		if (u == sizeof(units) / sizeof(units[0]))
			return 0;
		n = i + strlen(units[u]);
		if (n == s.len || !is_part(s.p[n]))
			return n;
	}
}

void
bundle_phrases(struct buf *out, struct span text)
{
	static const char gap[] = "…";
	size_t i = 0, n;
	int skipped = 0, first = 1;

	while (i < text.len) {
		struct span rest = {text.p + i, text.len - i};

		n = longest(rest);
		if (n == 0 && (i == 0 || memchr(" (,:", rest.p[-1], 4) != NULL))
			n = figure(rest);
		if (n > 0) {
			if (skipped)
				buf_addf(out, "%s%s", first ? "" : " ", gap);
			buf_adds(out,
			    first && !skipped ? SPAN_LIT("") : SPAN_LIT(" "));
			buf_add(out, rest.p, n);
			skipped = first = 0;
			i += n;
			continue;
		}
		/* A whole word, or what is between words. */
		if (!isspace((unsigned char)text.p[i]) &&
		    memchr(",;:()", text.p[i], 5) == NULL)
			skipped = 1;
		if (is_part(text.p[i]))
			while (i < text.len && is_part(text.p[i]))
				i++;
		else
			i++;
	}
	if (skipped)
		buf_addf(out, "%s%s", first ? "" : " ", gap);
}

static struct bundle_name *
find_name(struct bundle_names *names, const char *kind, struct span value)
{
	struct bundle_name *at;
	unsigned number = 1;
	size_t i, cap;

	for (i = 0; i < names->n; i++) {
		at = &names->name[i];
		if (strcmp(at->kind, kind) != 0)
			continue;
		if (span_eq((struct span){at->value, at->len}, value))
			return at;
		number++;
	}
	if (names->n == names->cap) {
		cap = names->cap == 0 ? 64 : 2 * names->cap;
		at = reallocarray(names->name, cap, sizeof(*at));
		if (at == NULL)
			return NULL;
		names->name = at;
		names->cap = cap;
	}
	at = &names->name[names->n];
	if ((at->value = malloc(value.len + 1)) == NULL)
		return NULL;
	memcpy(at->value, value.p, value.len);
	at->len = value.len;
	at->kind = kind;
	at->number = number;
	names->n++;
	return at;
}

void
bundle_name(struct bundle_names *names, struct buf *out, const char *kind,
    struct span value)
{
	const struct bundle_name *at;

	if (value.len == 0)
		return;
	if ((at = find_name(names, kind, value)) == NULL)
		names->failed = 1;
	else
		buf_addf(out, "%s-%u", kind, at->number);
}

void
bundle_url(struct bundle_names *names, struct buf *out, struct span url)
{
	struct span text = url, host;
	const char *schemes[] = {"https://", "http://", "wss://", "ws://"};
	size_t i, n;

	for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		n = strlen(schemes[i]);
		if (text.len < n || memcmp(text.p, schemes[i], n) != 0)
			continue;
		buf_adds(out, span_str(schemes[i]));
		text.p += n;
		text.len -= n;
		break;
	}
	for (n = 0; n < text.len && memchr("/?#", text.p[n], 3) == NULL; n++)
		;
	host = (struct span){text.p, n};
	bundle_name(names, out, "host", host);
	if (n < text.len)
		buf_adds(out, SPAN_LIT("/…"));
}

void
bundle_names_free(struct bundle_names *names)
{
	size_t i;

	for (i = 0; i < names->n; i++)
		free(names->name[i].value);
	free(names->name);
	memset(names, 0, sizeof(*names));
}
