/* SPDX-License-Identifier: ISC */
/* relay-ctl bundle: one readable file with what a bug report needs. */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bundle.h"
#include "check.h"
#include "client.h"
#include "conf_outline.h"
#include "explain.h"
#include "field.h"
#include "json.h"
#include "state.h"

static const char intro[] =
    "relayd bundle, version 1, of %s (UTC)\n"
    "\n"
    "For a bug report. What is shown is what a list permits; no message, no\n"
    "secret and no part of one is in it, and what would say whose it is "
    "stands\n"
    "here as a kind and a number (gateway-1, host-1): the same thing has the\n"
    "same number throughout. Of sentences, the words that relayd itself uses\n"
    "are left. Read it all the same before you send it.\n";

static void
section(struct buf *out, const char *name)
{
	buf_addf(out, "\n== %s\n", name);
}

/* What stands for a text of the configuration, by the end of its key. */
static void
put_text(void *arg, struct buf *out, const char *key, const char *text)
{
	static const struct {
		const char *end, *kind; /* NULL: a URL */
	} kinds[] = {
	    {"gateways.name", "gateway"},
	    {"gateways.id", "gateway-id"},
	    {".platform", "platform"},
	    {".bot_id", "bot"},
	    {".group", "group"},
	    {".user", "user"},
	    {".server_name", "host"},
	    {"file", "path"},
	    {"url", NULL},
	    {"endpoint", NULL},
	    {"", "text"},
	};
	size_t n = strlen(key), m, i;

	for (i = 0;; i++) {
		m = strlen(kinds[i].end);
		if (m <= n && strcmp(key + n - m, kinds[i].end) == 0)
			break;
	}
	if (kinds[i].kind == NULL)
		bundle_url(arg, out, span_str(text));
	else
		bundle_name(arg, out, kinds[i].kind, span_str(text));
}

static void
put_configuration(
    struct buf *out, struct bundle_names *names, const struct check *k)
{
	section(out, "configuration");
	if (k->conf == NULL)
		buf_adds(out,
		    SPAN_LIT("none that could be taken; see the "
			     "check below\n"));
	else
		conf_outline(out, k->conf, put_text, names);
}

/* What of a document may be shown. */
static void
put_json(struct buf *out, struct bundle_names *names, enum bundle_doc doc,
    struct span json)
{
	unsigned left_out = bundle_json(names, out, doc, json);

	if (left_out > 0)
		buf_addf(out,
		    "(left out, since no list names them: %u members)\n",
		    left_out);
}

/* Ask a socket, without a word to anybody.  The reply lives as long as c. */
static int
ask(struct client *c, struct ctl *ctl, const char *sock, const char *cmd,
    struct span *reply)
{
	enum client_result r;
	struct buf req;

	client_begin(&req, cmd);
	buf_adds(&req, SPAN_LIT("}\n"));
	r = client_open(c, ctl, sock);
	if (r == CLIENT_OK)
		r = client_write(c, buf_span(&req), CLIENT_WAIT_STATUS);
	if (r == CLIENT_OK)
		r = client_line(c, reply, CLIENT_WAIT_STATUS);
	buf_free(&req);
	return r == CLIENT_OK ? 0 : -1;
}

static void
put_explain(struct buf *out, struct ctl *ctl, struct span status)
{
	struct ctl hidden = *ctl;
	char *text = NULL;
	size_t len = 0;
	FILE *f;

	section(out, "explain");
	/* Its directory may tell a user's name. */
	strlcpy(hidden.rundir, "RUNDIR", sizeof(hidden.rundir));
	hidden.out = (struct out){0};
	if ((f = open_memstream(&text, &len)) == NULL)
		return;
	explain_put(&hidden, f, status);
	fclose(f);
	buf_add(out, text, len);
	free(text);
}

static void
put_status(struct buf *out, struct bundle_names *names, struct ctl *ctl)
{
	struct client c;
	struct span reply;
	struct buf shown;

	section(out, "status");
	if (ask(&c, ctl, "control.sock", "status", &reply) == -1) {
		client_close(&c);
		if (ask(&c, ctl, "status.sock", "status", &reply) == -1) {
			buf_adds(
			    out, SPAN_LIT("no answer; see the check below\n"));
			client_close(&c);
			return;
		}
	}
	buf_init(&shown, 0);
	(void)bundle_json(names, &shown, DOC_STATUS, reply);
	put_json(out, names, DOC_STATUS, reply);
	/* What a person is told is made of what may be shown. */
	put_explain(out, ctl, buf_span(&shown));
	buf_free(&shown);
	client_close(&c);
}

static void
put_credentials(struct buf *out, struct bundle_names *names, struct ctl *ctl)
{
	struct client c;
	struct span reply;

	section(out, "credentials");
	if (ask(&c, ctl, "auth.sock", "credentials", &reply) == 0)
		put_json(out, names, DOC_CREDENTIALS, reply);
	else
		buf_adds(out,
		    SPAN_LIT("relay-authd did not tell: that is for root, or "
			     "for the user relayd runs as\n"));
	client_close(&c);
}

static void
put_state(struct buf *out, struct bundle_names *names, struct ctl *ctl)
{
	struct state st;
	int ok = state_read(&st, ctl) == 0;

	section(out, "state.json");
	if (ok)
		put_json(out, names, DOC_STATE, buf_span(&st.text));
	else
		buf_adds(out, SPAN_LIT("none that can be read\n"));
	section(out, "processes and their limits");
	bundle_processes(out, ok ? st.processes : (struct span){NULL, 0});
	state_free(&st);
}

static void
put_check(struct buf *out, struct bundle_names *names, const struct check *k)
{
	const struct check_finding *f;
	size_t i;

	section(out, "check");
	for (i = 0; i < k->n; i++) {
		f = &k->finding[i];
		buf_addf(out, "%-4s  %-13s  ", check_result_name(f->result),
		    check_step_name(f->step));
		if (f->gateway != NULL) {
			bundle_name(
			    names, out, "gateway", span_str(f->gateway));
			buf_adds(out, SPAN_LIT(": "));
		}
		buf_addf(out, "%s\n", f->what == NULL ? "" : f->what);
		if (f->todo != NULL)
			buf_addf(out, "      you can: %s\n", f->todo);
	}
}

static void
put_log(struct buf *out)
{
	section(out, "log");
	buf_adds(out,
	    SPAN_LIT("relayd keeps no log of its own: it writes to standard "
		     "error, which a service manager\nkeeps. If it may help, "
		     "add the last lines, and read them first:\n\n"
		     "    journalctl -u relayd -n 200 -o cat\n"));
}

/* All of it.  0, or -1 without memory. */
static int
gather(struct buf *out, struct ctl *ctl)
{
	struct bundle_names names = {0};
	struct check k = {.ctl = ctl, .guarded = 1};
	const time_t now = time(NULL);
	char date[32] = "?";
	struct tm tm;
	int ok;

	if (gmtime_r(&now, &tm) != NULL)
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
	buf_addf(out, intro, date);
	ok = check_run(&k, ctl->opt[OPT_FILE]) == 0;
	bundle_system(out);
	put_configuration(out, &names, &k);
	put_status(out, &names, ctl);
	put_credentials(out, &names, ctl);
	put_state(out, &names, ctl);
	put_check(out, &names, &k);
	put_log(out);
	ok = ok && !k.failed && !names.failed && !out->failed;
	check_free(&k);
	bundle_names_free(&names);
	return ok ? 0 : -1;
}

static int
write_all(int fd, struct span s)
{
	ssize_t n;

	while (s.len > 0) {
		if ((n = write(fd, s.p, s.len)) == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		s.p += n;
		s.len -= (size_t)n;
	}
	return fsync(fd) == -1 && errno != EINVAL && errno != EROFS ? -1 : 0;
}

/* In the form of a date, so that several lie in their order. */
static void
default_name(char name[64])
{
	const time_t now = time(NULL);
	struct tm tm;

	strlcpy(name, "relayd-bundle.txt", 64);
	if (localtime_r(&now, &tm) != NULL)
		strftime(name, 64, "relayd-bundle-%Y%m%d-%H%M%S.txt", &tm);
}

static int
finish(const struct ctl *ctl, const char *path, struct span text)
{
	struct buf b;

	if (!ctl->out.json) {
		printf("%s: written, %zu bytes; read it before you send it "
		       "(less %s)\n",
		    path, text.len, path);
		return CTL_OK;
	}
	buf_init(&b, 0);
	buf_adds(&b, SPAN_LIT("{"));
	json_put_member_bool(&b, "ok", 1);
	json_put_member_str(&b, "file", span_str(path));
	json_put_member_int(&b, "bytes", (int64_t)text.len);
	buf_adds(&b, SPAN_LIT("}\n"));
	fwrite(buf_span(&b).p, 1, buf_len(&b), stdout);
	buf_free(&b);
	return CTL_OK;
}

int
cmd_bundle(struct ctl *ctl)
{
	const char *path = ctl->narg > 0 ? ctl->arg[0] : NULL;
	char name[64];
	struct buf out;
	int fd, r = CTL_FAILED;

	if (path == NULL) {
		default_name(name);
		path = name;
	}
	/* First, so that a place that cannot be written costs no time. */
	fd = open(
	    path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1) {
		ctl_warn("%s: %s; %s", path, strerror(errno),
		    errno == EEXIST ? "nothing is overwritten: name another "
				      "file"
				    : "name a file that can be made");
		return CTL_FAILED;
	}
	buf_init(&out, 0);
	if (gather(&out, ctl) == -1)
		ctl_warn("no memory, or a path that is too long");
	else if (write_all(fd, buf_span(&out)) == -1)
		ctl_warn("%s: %s", path, strerror(errno));
	else
		r = finish(ctl, path, buf_span(&out));
	if (r != CTL_OK)
		(void)unlink(path);
	close(fd);
	buf_free(&out);
	return r;
}
