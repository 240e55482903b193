/* SPDX-License-Identifier: ISC */
/*
 * relay-ctl explain when there is no status to explain: relayd does not run,
 * is not for us, or its engine does not answer.  What is known then is what
 * the supervisor wrote down, and what the configuration file says.
 */
#include <sys/stat.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "conffile.h"
#include "explain.h"
#include "gwtext.h"
#include "state.h"

static void
say_nothing(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

/*
 * The evidence of the configuration: without a name, only where relayd runs in
 * its usual place is the usual file its own.  Whether it is good: 1, 0, or -1
 * when that cannot be said.
 */
static int
put_configuration(const struct ctl *ctl)
{
	const char *given = ctl->opt[OPT_FILE];
	char path[LIMIT_PATH + 1];
	struct conf_error e;
	struct conf *c;

	if (given == NULL && ctl->opt[OPT_RUNDIR] != NULL)
		return -1;
	c = conffile_load(given, path, say_nothing, &e);
	explain_label(stdout, "evidence");
	if (c == NULL && access(path, F_OK) == 0 && access(path, R_OK) != 0)
		printf("%s is not for us to read\n", path);
	else if (c == NULL)
		printf("the configuration is refused: %s\n", e.text);
	else
		printf("the configuration is good: %s\n",
		    c->path == NULL ? "from the environment" : path);
	if (c == NULL)
		return access(path, F_OK) == 0 && access(path, R_OK) != 0 ? -1
									  : 0;
	conf_free(c);
	return 1;
}

/* A reload that was refused, as the supervisor wrote it down. */
struct refusal {
	char *why; /* NULL: none was */
	int64_t taken_s, at_s;
};

static void
read_refusal(struct refusal *r, const struct ctl *ctl)
{
	double now = (double)time(NULL);
	struct obj o, refused;
	struct buf text;

	memset(r, 0, sizeof(*r));
	if (state_file(&text, ctl, "config.json") == 0 &&
	    obj_parse(&o, buf_span(&text)) == 0 &&
	    obj_sub(&refused, &o, "refused") == 0) {
		r->taken_s = (int64_t)(now - field_num(&o, "taken", now));
		r->at_s = (int64_t)(now - field_num(&refused, "at", now));
		r->why = out_safe(field_str(&refused, "error"));
	}
	buf_free(&text);
}

int
explain_refused(const struct ctl *ctl, FILE *f)
{
	char taken[OUT_AGE], at[OUT_AGE];
	struct refusal r;

	read_refusal(&r, ctl);
	if (r.why == NULL)
		return 0;
	fprintf(f, "relayd: lives by an older configuration\n");
	explain_label(f, "trouble");
	fprintf(f,
	    "configuration: a new one was refused, and the one taken %s ago "
	    "stays\n",
	    out_age(taken, r.taken_s));
	explain_label(f, "evidence");
	fprintf(f, "%s ago: %s\n", out_age(at, r.at_s), r.why);
	explain_label(f, "next");
	fprintf(f, "nothing until it is mended; a restart would end with it\n");
	explain_label(f, "you can");
	fprintf(f,
	    "mend it, then relay-ctl reload; relay-ctl show config "
	    "shows what is lived by\n");
	free(r.why);
	return 1;
}

void
explain_refused_note(const struct ctl *ctl, FILE *f)
{
	char at[OUT_AGE];
	struct refusal r;

	read_refusal(&r, ctl);
	if (r.why != NULL)
		fprintf(f,
		    "a new configuration was refused %s ago, and an older one "
		    "stays: %s\n",
		    out_age(at, r.at_s), r.why);
	free(r.why);
}

/* What a relayd that did not end in order has left. */
static void
put_left(const struct state *st)
{
	char age[OUT_AGE];

	explain_label(stdout, "evidence");
	printf("relayd (pid %d) did not end in order: it last wrote %s ago\n",
	    st->pid, out_age(age, (int64_t)st->age));
}

static void
not_running(const struct ctl *ctl, const struct client *c)
{
	struct state st;
	int died, good;

	explain_label(stdout, "trouble");
	printf("relayd is not running: nobody answers on %s\n", c->path);
	if ((died = state_read(&st, ctl) == 0))
		put_left(&st);
	state_free(&st);
	good = put_configuration(ctl);
	explain_label(stdout, "next");
	printf(
	    "nothing by itself, unless a service manager starts it again%s\n",
	    good == 0 ? "; with that configuration it would end at once" : "");
	explain_label(stdout, "you can");
	if (good == 0)
		printf("mend the file (relay-ctl check says when it is good), "
		       "then start relayd\n");
	else
		printf("see what it would lack (relay-ctl check), start it "
		       "(systemctl start relayd), or name its run directory "
		       "with -r%s\n",
		    died ? "; its log tells why it ended" : "");
}

static void
denied(const struct client *c)
{
	struct stat st;
	int known;

	explain_label(stdout, "trouble");
	printf("relayd may run, but we are not allowed to ask it\n");
	explain_label(stdout, "evidence");
	printf("we are user %u, and %s is ", (unsigned)geteuid(), c->path);
	if (!(known = stat(c->path, &st) == 0))
		printf("in a directory that is not for us\n");
	else
		printf("for user %u and group %u\n", (unsigned)st.st_uid,
		    (unsigned)st.st_gid);
	explain_label(stdout, "next");
	printf("nothing; relayd's work does not depend on it\n");
	explain_label(stdout, "you can");
	if (known && st.st_gid == 0) {
		printf("ask as root, or have root name a group of yours "
		       "(control.group in relayd.yaml)\n");
		return;
	}
	printf("be added to that group (usermod -aG GROUP USER) and log in "
	       "again, or ask as root\n");
}

static void
put_processes(const struct state *st)
{
	struct span elem;
	struct obj o;
	size_t pos = 0;
	int n = 0;
	char *role, *is;

	explain_label(stdout, "evidence");
	printf("relayd runs (pid %d):", st->pid);
	while (json_each(st->processes, &pos, &elem) == 1) {
		if (obj_parse(&o, elem) == -1)
			continue;
		role = out_safe(field_str(&o, "role"));
		is = out_safe(field_str(&o, "state"));
		if (role != NULL && is != NULL)
			printf("%s %s %s", n++ > 0 ? "," : "", role, is);
		free(role);
		free(is);
	}
	putchar('\n');
}

static void
put_gateway(struct obj *g, void *arg)
{
	char age[OUT_AGE], *name, *is;
	double *now = arg;
	double since = field_num(g, "since", 0);

	name = out_safe(field_str(g, "name"));
	is = out_safe(field_str(g, "state"));
	explain_label(stdout, "");
	if (name != NULL && is != NULL && since > 0)
		printf("%s was %s, for %s until now\n", name, is,
		    out_age(age, *now < since ? 0 : (int64_t)(*now - since)));
	else if (name != NULL)
		printf("%s: nothing is known yet\n", name);
	free(name);
	free(is);
}

/* The engine is restarting or hangs. */
static void
no_answer(const struct ctl *ctl, const struct client *c, struct state *st)
{
	char text[STATE_TEXT];
	struct obj o;
	double now;
	int restarting;

	state_describe(st, c->who, text);
	restarting = strstr(text, "restarting") != NULL;
	explain_label(stdout, "trouble");
	printf("%s\n", text);
	put_processes(st);
	obj_parse(&o, buf_span(&st->text));
	now = field_num(&o, "updated", 0) + st->age;
	gwtext_each(buf_span(&st->text), ctl->narg > 0 ? ctl->arg[0] : NULL,
	    put_gateway, &now);
	explain_label(stdout, "next");
	printf("%s; what came and was not acknowledged is kept\n",
	    restarting ? "relayd starts it again by itself"
		       : "a process that does not answer for 10 s is killed "
			 "and started again");
	explain_label(stdout, "you can");
	printf("ask again in some seconds; if it happens again, relayd's log "
	       "tells why\n");
}

int
explain_absent(
    const struct ctl *ctl, const struct client *c, enum client_result r)
{
	int status = client_explain(c, ctl, r);
	struct state st;

	if (ctl->out.json || r == CLIENT_WRONG)
		return status;
	printf("relayd: %s\n",
	    r == CLIENT_DENIED		    ? "not for us"
		: status == CTL_NOT_RUNNING ? "not running"
					    : "no answer");
	if (r == CLIENT_DENIED)
		denied(c);
	else if (status == CTL_NOT_RUNNING)
		not_running(ctl, c);
	else {
		if (state_read(&st, ctl) == 0)
			no_answer(ctl, c, &st);
		state_free(&st);
	}
	return status;
}
