/* SPDX-License-Identifier: ISC */
/*
 * The way to each connector, step by step: its name, a connection, the
 * certificate, the time.  What comes from there is read by children that are
 * shut in (check_child.h); what they tell is foreign text all the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/x509_vfy.h>

#include "ca_file.h"
#include "check.h"
#include "check_child.h"
#include "hex.h"
#include "proxy_env.h"

/* Less life than this wants somebody to act. */
#define LIFE_DAYS 14
/* Seconds: beyond these tokens are refused; beyond those it is worth saying,
 * since an answer's Date is told in whole seconds and takes its time. */
#define SKEW_REFUSED 60
#define SKEW_TOLD    5

/* The last second of year 9999, where dates of certificates and of HTTP end. */
#define TIME_MAX 253402300799

/* The way to one gateway's connector, or to its token URL: then the gateway is
 * one whose url that is. */
struct way {
	struct check *k;
	const struct conf_gateway *g;
	int idp;
	struct check_find find;	  /* where a connection goes: maybe a proxy's */
	struct check_visit visit; /* and where it is meant to end */
	const char *proxy;	  /* "its proxy", or the variable; NULL */
	const char *proxy_file;
	const char *proxy_value; /* of the variable */
	char label[LIMIT_PATH + 1];
	int from, userpass, ca; /* descriptors; -1 */
	enum check_step done;	/* how far it came */
};

/* Formats stand here literally, so that all of their text is ours. */
#define ADD(w, r, step, ...)                                 \
	((w)->idp ? check_add((w)->k, r, step, (w)->g->name, \
			"token URL: " __VA_ARGS__)           \
		  : check_add((w)->k, r, step, (w)->g->name, __VA_ARGS__))
#define OK(w, step, ...)   ADD(w, CHECK_OK, step, __VA_ARGS__)
#define WARN(w, step, ...) ADD(w, CHECK_WARN, step, __VA_ARGS__)
#define FAIL(w, step, ...) ADD(w, CHECK_FAIL, step, __VA_ARGS__)
#define SKIP(w, step, ...) ADD(w, CHECK_SKIP, step, __VA_ARGS__)

/* The proxy. */

/* Userinfo is percent-encoded, Basic wants it plain. */
static void
unescape(char *p)
{
	char *to = p;
	int hi, lo;

	for (; *p != '\0'; p++) {
		hi = *p == '%' ? hex_value(p[1]) : -1;
		lo = hi == -1 ? -1 : hex_value(p[2]);
		if (lo == -1 || (hi | lo) == 0) {
			*to++ = *p;
			continue;
		}
		*to++ = (char)(hi << 4 | lo);
		p += 2;
	}
	*to = '\0';
}

/* "http://user:password@host:port": the part before @ is taken out, and kept
 * when it is wanted. */
static void
take_userinfo(char *text, char *to, size_t cap)
{
	char *host = strstr(text, "://"), *at;
	size_t n;

	host = host == NULL ? text : host + 3;
	n = strcspn(host, "/?#");
	if ((at = memrchr(host, '@', n)) == NULL)
		return;
	*at++ = '\0';
	if (to != NULL) {
		unescape(host);
		strlcpy(to, host, cap);
	}
	memmove(host, at, strlen(at) + 1);
}

/* The password that a variable gives: had when it is wanted, so that the child
 * that asks name servers never has it. */
static void
userinfo_of_env(struct way *w)
{
	char text[LIMIT_PATH + 1];

	if (w->proxy_value == NULL)
		return;
	strlcpy(text, w->proxy_value, sizeof(text));
	take_userinfo(text, w->visit.userpass, sizeof(w->visit.userpass));
	explicit_bzero(text, sizeof(text));
}

/* What our environment says, as relayd would read its own.  0, or -1 when that
 * was found to be wrong. */
static int
proxy_of_env(struct way *w)
{
	const char *value = NULL, *list = getenv("no_proxy"), *why;
	char text[LIMIT_PATH + 1];
	struct url url;
	int i;

	for (i = 0; i < PROXY_ENV_VARS && value == NULL; i++) {
		value = getenv(proxy_env_vars[i]);
		if (value != NULL && value[0] == '\0')
			value = NULL;
	}
	if (list == NULL)
		list = getenv("NO_PROXY");
	if (value == NULL ||
	    proxy_env_excepts(list, w->g->url.host, w->g->url.port))
		return 0;
	w->proxy = proxy_env_vars[i - 1];
	strlcpy(text, value, sizeof(text));
	w->proxy_value = value;
	take_userinfo(text, NULL, 0);
	why = proxy_env_parse(&url, text);
	explicit_bzero(text, sizeof(text));
	if (why != NULL) {
		FAIL(w, STEP_NAME,
		    "the proxy of the environment variable %s: %s\ncorrect "
		    "it, or set \"proxy: none\" for the gateway",
		    w->proxy, why);
		return -1;
	}
	strlcpy(w->find.host, url.host, sizeof(w->find.host));
	w->find.port = url.port;
	return 0;
}

static int
find_proxy(struct way *w)
{
	strlcpy(w->find.host, w->g->url.host, sizeof(w->find.host));
	w->find.port = w->g->url.port;
	if (w->g->proxy.set == 1) {
		w->proxy = "the configuration";
		w->proxy_file = w->g->proxy.credentials_file;
		strlcpy(
		    w->find.host, w->g->proxy.url.host, sizeof(w->find.host));
		w->find.port = w->g->proxy.url.port;
	} else if (w->g->proxy.set == 0 && w->g->url.tls)
		return proxy_of_env(w);
	return 0;
}

/* The steps. */

static int
step_name(struct way *w, const struct check_found *found, int got)
{
	const char *host = w->find.host;

	if (got == 1 && found->n > 0)
		OK(w, STEP_NAME, "%s: addresses: %d, first %s", host,
		    (int)found->n, found->first);
	else if (got == 0)
		FAIL(w, STEP_NAME,
		    "%s: the name servers did not answer within %d s\nsee "
		    "/etc/resolv.conf, and: getent hosts %s",
		    host, CHECK_NAME_MS / 1000, host);
	else if (got == -1)
		FAIL(w, STEP_NAME,
		    "%s: the process that resolves names ended\nsee what the "
		    "kernel's log (dmesg) says of relay-ctl",
		    host);
	else
		FAIL(w, STEP_NAME,
		    "%s: %s\ncorrect the gateway's %s, or what resolves names: "
		    "getent hosts %s",
		    host,
		    found->gai == EAI_SYSTEM ? strerror(found->err)
			: found->gai != 0    ? gai_strerror(found->gai)
					     : "no address that can be used",
		    w->proxy != NULL ? "proxy"
			: w->idp     ? "identity_token.oidc.url"
				     : "url",
		    host);
	return got == 1 && found->n > 0 ? 0 : -1;
}

static int
step_connect(struct way *w, const struct check_found *found, int got)
{
	const char *what = w->proxy != NULL ? "the proxy"
	    : w->idp			    ? "what gives tokens"
					    : "the connector";

	if (got == 1 && w->from != -1) {
		if (w->proxy == NULL)
			OK(w, STEP_CONNECT, "%s", found->first);
		else
			OK(w, STEP_CONNECT, "%s, the proxy of %s", found->first,
			    w->proxy);
		return 0;
	}
	if (got == 1 && found->err == ECONNREFUSED)
		FAIL(w, STEP_CONNECT,
		    "%s: connection refused: nobody listens there\nsee "
		    "whether %s runs, and whether host and port are right",
		    found->first, what);
	else if (got == 0 || found->err == ETIMEDOUT)
		FAIL(w, STEP_CONNECT,
		    "%s: nothing answers within %d s\nsee whether a firewall "
		    "drops what is sent, and whether the host is up",
		    found->first, CHECK_CONNECT_MS / 1000);
	else
		FAIL(w, STEP_CONNECT,
		    "%s: %s\nsee this host's network: ip route get ADDRESS",
		    found->first,
		    got == 1 ? strerror(found->err) : "the process ended");
	return -1;
}

/* Times are told by whom nobody trusts: 0 for those that no clock shows, so
 * that they can be reckoned with. */
static int64_t
sane(int64_t t, int64_t unit)
{
	return t < -unit || t > TIME_MAX * unit ? 0 : t;
}

/* Its texts end, whoever wrote them. */
static int
hear(struct check_child *c, struct check_peer *p, enum check_stage stage,
    int ms, const char *doing)
{
	int got = check_child_recv(c, p, sizeof(*p), NULL, ms + 1000, doing);

	if (got != 1)
		memset(p, 0, sizeof(*p));
	p->why[sizeof(p->why) - 1] = p->ends[CHECK_NAMES - 1] = '\0';
	p->names[CHECK_NAMES - 1] = p->issuer[CHECK_NAMES - 1] = '\0';
	p->tls[sizeof(p->tls) - 1] = '\0';
	p->not_after = sane(p->not_after, 1);
	p->date = sane(p->date, 1);
	p->now_ms = sane(p->now_ms, 1000);
	if (got == 1 && p->stage == (int32_t)stage)
		return p->ok == 1 ? 0 : -1;
	strlcpy(p->why,
	    got == 0 ? "no answer in time" : "the process that asked ended",
	    sizeof(p->why));
	return -1;
}

static int
step_tunnel(struct way *w, struct check_child *c)
{
	struct check_peer p;

	if (hear(c, &p, STAGE_TUNNEL, CHECK_TUNNEL_MS, "asking the proxy") ==
	    0) {
		OK(w, STEP_CONNECT, "through the proxy to %s",
		    w->visit.to.authority);
		return 0;
	}
	FAIL(w, STEP_CONNECT,
	    "the proxy does not let us through to %s: it %s\ncheck the proxy "
	    "of %s, and ask who runs it whether it may connect there",
	    w->visit.to.authority, p.why, w->proxy);
	return -1;
}

#define EXPIRED                                                              \
	"look at this host's clock (date); if it is right, the certificate " \
	"must be renewed by who runs "
#define EARLY "set this host's clock (timedatectl)"

/* What a person can do when a certificate is not accepted: the connector's, and
 * the token URL's. */
static const struct {
	int verify;
	const char *todo[2];
} todos[] = {
    {X509_V_ERR_HOSTNAME_MISMATCH,
	{"put a name that is in it into the gateway's url, or into "
	 "tls.server_name",
	    "put a name that is in it into identity_token.oidc.url"}},
    {X509_V_ERR_IP_ADDRESS_MISMATCH,
	{"put a name that is in it into the gateway's url, or into "
	 "tls.server_name",
	    "put a name that is in it into identity_token.oidc.url"}},
    {X509_V_ERR_CERT_HAS_EXPIRED,
	{EXPIRED "the connector", EXPIRED "what gives tokens"}},
    {X509_V_ERR_CERT_NOT_YET_VALID, {EARLY, EARLY}},
    {X509_V_OK,
	{"check scheme and port of the gateway's url: what listens there may "
	 "speak something else",
	    "check scheme and port of identity_token.oidc.url: what listens "
	    "there may speak something else"}},
    {-1,
	{"if it is a private authority's, name its file in the gateway's "
	 "tls.ca_file; if not, do not trust this network",
	    "if it is a private authority's, add it to the system's "
	    "(update-ca-certificates); if not, do not trust this network"}},
};

static void
put_distrust(struct way *w, const struct check_peer *p)
{
	char until[32] = "?";
	time_t end = (time_t)p->not_after;
	const char *todo;
	struct tm tm;
	size_t i = 0;

	while (todos[i].verify != -1 && todos[i].verify != p->verify)
		i++;
	todo = todos[i].todo[w->idp];
	if (p->verify == X509_V_OK) {
		FAIL(w, STEP_CERTIFICATE, "%s\n%s", p->why, todo);
		return;
	}
	if (gmtime_r(&end, &tm) != NULL)
		strftime(until, sizeof(until), "%Y-%m-%d", &tm);
	FAIL(w, STEP_CERTIFICATE,
	    "%s; wanted: %s; it is for: %s; issued by: %s; the certificate "
	    "that failed, %s, ends %s\n%s",
	    p->why, w->visit.name, p->names[0] == '\0' ? "(no name)" : p->names,
	    p->issuer, p->ends, until, todo);
}

static int
step_certificate(struct way *w, struct check_child *c)
{
	struct check_peer p;
	char day[32] = "?";
	struct tm tm;
	time_t end;
	int days;

	if (hear(c, &p, STAGE_TLS, CHECK_TLS_MS, "shaking hands by TLS") ==
	    -1) {
		put_distrust(w, &p);
		return -1;
	}
	end = (time_t)p.not_after;
	if (gmtime_r(&end, &tm) != NULL)
		strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	days = (int)((p.not_after - time(NULL)) / 86400);
	if (days < LIFE_DAYS)
		WARN(w, STEP_CERTIFICATE,
		    "verified for %s, but %s ends in %d days (%s); issued by "
		    "%s\nhave who runs %s renew it",
		    w->visit.name, p.ends, days, day, p.issuer,
		    w->idp ? "what gives tokens" : "the connector");
	else
		OK(w, STEP_CERTIFICATE,
		    "verified for %s by %s, good for %d days (%s), %s",
		    w->visit.name, w->label, days, day, p.tls);
	return 0;
}

static void
step_clock(struct way *w, struct check_child *c)
{
	struct check_peer p;
	int64_t skew;

	if (hear(c, &p, STAGE_ANSWER, CHECK_ANSWER_MS, "asking for the time") ==
	    -1) {
		WARN(w, STEP_CLOCK,
		    "no answer that tells a time: %s\ncheck the gateway's url: "
		    "what listens there may be no connector",
		    p.why);
		return;
	}
	if (p.date < 0) {
		SKIP(w, STEP_CLOCK,
		    "HTTP %d without a Date: its clock is not known",
		    (int)p.status);
		return;
	}
	/* Cut to whole seconds there; on the average half of one is gone. */
	skew = p.date - (p.now_ms - 500) / 1000;
	if (skew > SKEW_REFUSED || skew < -SKEW_REFUSED)
		FAIL(w, STEP_CLOCK,
		    "the connector's clock differs from ours by %ld s: it "
		    "may refuse every token\nset this host's clock "
		    "(timedatectl), or have the connector's set",
		    (long)skew);
	else if (skew > SKEW_TOLD || skew < -SKEW_TOLD)
		WARN(w, STEP_CLOCK,
		    "the connector's clock differs from ours by %ld s; from "
		    "%d s on tokens may be refused\nset this host's clock "
		    "(timedatectl)",
		    (long)skew, SKEW_REFUSED);
	else
		OK(w, STEP_CLOCK, "the connector's differs from ours by %ld s",
		    (long)skew);
}

/* What the steps need of our files. */
static int
open_files(struct way *w)
{
	const char *path = w->g->tls.ca_file;
	char why[LIMIT_REASON];

	if (w->proxy_file != NULL &&
	    (w->userpass = open(w->proxy_file,
		 O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) == -1) {
		check_add(w->k, errno == EACCES ? CHECK_SKIP : CHECK_FAIL,
		    STEP_CONNECT, w->g->name,
		    "%s, what the proxy asks for: %s\nrun relay-ctl check as "
		    "root, or as the user relayd runs as",
		    w->proxy_file, strerror(errno));
		return -1;
	}
	if (!w->g->url.tls)
		return 0;
	if (path == NULL)
		path = getenv("SSL_CERT_FILE");
	w->ca =
	    ca_file_open(path, w->label, sizeof(w->label), why, sizeof(why));
	if (w->ca != -1)
		return 0;
	w->done = STEP_CERTIFICATE;
	if (w->g->tls.ca_file != NULL)
		FAIL(w, STEP_CERTIFICATE,
		    "tls.ca_file: %s\nput the connector's authority there, or "
		    "correct the gateway's tls.ca_file",
		    why);
	else if (path != NULL)
		FAIL(w, STEP_CERTIFICATE,
		    "the environment variable SSL_CERT_FILE: %s\ncorrect it, "
		    "or name a file that can be read in tls.ca_file",
		    why);
	else
		FAIL(w, STEP_CERTIFICATE,
		    "tls.ca_file: %s\ninstall ca-certificates, or name a file "
		    "that can be read",
		    why);
	return -1;
}

static void
visit(struct way *w)
{
	const int input[] = {w->from, w->userpass, w->ca};
	struct check_child c;

	if (check_child_start(&c, check_visit, &w->visit, input, 3) == -1) {
		w->done = STEP_CERTIFICATE;
		SKIP(w, STEP_CERTIFICATE, "no process for it: %s",
		    strerror(errno));
		return;
	}
	if (w->visit.proxy && step_tunnel(w, &c) == -1)
		goto end;
	w->done = STEP_CERTIFICATE;
	if (!w->visit.to.tls)
		SKIP(w, STEP_CERTIFICATE, "no TLS: the url is without it");
	else if (step_certificate(w, &c) == -1)
		goto end;
	if (w->idp)
		goto end;
	w->done = STEP_CLOCK;
	step_clock(w, &c);
end:
	check_child_end(&c);
}

static void
find(struct way *w)
{
	struct check_found found = {0};
	struct check_child c;
	int got;

	w->done = STEP_NAME;
	if (check_child_start(&c, check_find, &w->find, NULL, 0) == -1) {
		SKIP(w, STEP_NAME, "no process for it: %s", strerror(errno));
		return;
	}
	got = check_child_recv(
	    &c, &found, sizeof(found), NULL, CHECK_NAME_MS, "resolving a name");
	found.first[CHECK_ADDRESS - 1] = '\0';
	if (step_name(w, &found, got) == 0) {
		w->done = STEP_CONNECT;
		/* That it did not come in time is ours to say. */
		got = check_child_recv(&c, &found, sizeof(found), &w->from,
		    CHECK_CONNECT_MS + 1000, "connecting");
		found.first[CHECK_ADDRESS - 1] = '\0';
		if (step_connect(w, &found, got) == -1)
			w->from = -1;
	}
	check_child_end(&c);
}

static void
close_one(int fd)
{
	if (fd != -1)
		close(fd);
}

/* All steps; those that failures leave are skipped. */
static void
follow(struct check *k, const struct conf_gateway *g, int idp)
{
	const enum check_step last = idp ? STEP_CERTIFICATE : STEP_CLOCK;
	struct way w = {
	    .k = k, .g = g, .idp = idp, .from = -1, .userpass = -1, .ca = -1};
	const char *name = g->tls.server_name;
	char host[URL_HOST_MAX + 1];
	size_t n;

	strlcpy(host, name == NULL ? g->url.host : name, sizeof(host));
	n = strlen(host);
	if (n > 0 && host[n - 1] == '.')
		host[n - 1] = '\0';
	w.done = STEP_NAME;
	if (find_proxy(&w) == 0)
		find(&w);
	w.visit.to = g->url;
	w.visit.name = host;
	w.visit.label = w.label;
	w.visit.proxy = w.proxy != NULL;
	w.visit.untimed = idp;
	userinfo_of_env(&w);
	if (w.from != -1 && open_files(&w) == 0)
		visit(&w);
	for (; w.done < last; w.done++)
		SKIP(&w, w.done + 1, "a step before it failed");
	explicit_bzero(w.visit.userpass, sizeof(w.visit.userpass));
	close_one(w.from);
	close_one(w.userpass);
	close_one(w.ca);
}

void
check_connector(struct check *k, const struct conf_gateway *g)
{
	follow(k, g, 0);
}

void
check_token_url(struct check *k, const struct conf_gateway *g)
{
	struct conf_gateway idp = *g;

	idp.url = g->token.oidc;
	idp.tls.ca_file = idp.tls.server_name = NULL;
	if (!idp.url.tls)
		idp.proxy.set = 0;
	follow(k, &idp, 1);
}
