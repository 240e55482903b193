/* SPDX-License-Identifier: ISC */
/*
 * relay-ctl check: whether relayd would take a configuration, and whether what
 * it needs beyond that is there.
 */
#include <sys/stat.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "conffile.h"
#include "field.h"
#include "json.h"

static const char system_run[] = "/run/relayd";

static void
warn(void *arg, const char *text)
{
	(void)arg;
	ctl_warn("warning: %s", text);
}

/* What --json prints of a file alone: relayd is not asked, so the form is
 * ours. */
static void
put_json(const char *path, const char *error, size_t ngateway)
{
	struct buf b;

	buf_init(&b, 0);
	buf_add(&b, "{", 1);
	json_put_member_bool(&b, "ok", error == NULL);
	json_put_member_str(&b, "file", span_str(path));
	if (error == NULL)
		json_put_member_int(&b, "gateways", (int64_t)ngateway);
	else
		json_put_member_str(&b, "error", span_str(error));
	buf_add(&b, "}\n", 2);
	fwrite(buf_span(&b).p, 1, buf_len(&b), stdout);
	buf_free(&b);
}

/* The file alone. */
static int
check_file(struct ctl *ctl, const char *path)
{
	struct conf_error e;
	struct conf *c = conffile_read(path, 1, geteuid(), warn, NULL, &e);

	if (ctl->out.json)
		put_json(path, c == NULL ? e.text : NULL,
		    c == NULL ? 0 : c->ngateway);
	else if (c == NULL)
		ctl_warn("%s", e.text);
	else
		printf("OK\n");
	if (c == NULL)
		return CTL_FAILED;
	conf_free(c);
	return CTL_OK;
}

/* Whose relayd it is, and where what it uses is: as it told when it runs. */
static int
find_places(struct check *k, const char *given)
{
	const char *state_given = k->ctl->opt[OPT_STATE_DIR];
	int of_system, told = 0, r = 0;
	char *conf = NULL, *dir = NULL;
	struct stat sb;
	struct state st;
	struct obj o;

	/* Its run directory tells, or where that would be. */
	if (stat(k->ctl->rundir, &sb) == 0)
		k->owner = sb.st_uid;
	else if (strcmp(k->ctl->rundir, system_run) != 0)
		k->owner = geteuid();
	of_system = k->owner == 0;
	if (state_read(&st, k->ctl) == 0 && st.alive) {
		k->alive = 1;
		if (obj_parse(&o, buf_span(&st.text)) == 0) {
			conf = field_dup(&o, "configuration");
			dir = field_dup(&o, "state_directory");
			told = field_raw(&o, "configuration").p != NULL;
		}
	}
	state_free(&st);
	if (given != NULL)
		r |= strlcpy(k->conf_path, given, sizeof(k->conf_path)) >=
		    sizeof(k->conf_path);
	else if (told)
		strlcpy(k->conf_path, conf == NULL ? "" : conf,
		    sizeof(k->conf_path));
	else
		r |= conffile_default(
		    k->conf_path, sizeof(k->conf_path), of_system);
	if (state_given != NULL)
		r |= strlcpy(k->state_path, state_given,
			 sizeof(k->state_path)) >= sizeof(k->state_path);
	else if (dir != NULL)
		strlcpy(k->state_path, dir, sizeof(k->state_path));
	else
		r |= conffile_state(
		    k->state_path, sizeof(k->state_path), of_system);
	free(conf);
	free(dir);
	return r == 0 ? 0 : -1;
}

static void
note(void *arg, const char *text)
{
	check_add(arg, CHECK_WARN, STEP_CONFIGURATION, NULL, "%s", text);
}

static void
check_configuration(struct check *k)
{
	const int must = k->ctl->opt[OPT_FILE] != NULL || k->alive;
	struct conf_error e;

	if (k->conf_path[0] == '\0') {
		check_add(k, CHECK_SKIP, STEP_CONFIGURATION, NULL,
		    "relayd has it from its environment alone, which only it "
		    "sees\nsee what it made of it: relay-ctl show gateways");
		return;
	}
	if (geteuid() != 0 && geteuid() != k->owner &&
	    access(k->conf_path, R_OK) == -1 && errno == EACCES) {
		check_add(k, CHECK_SKIP, STEP_CONFIGURATION, NULL,
		    "%s: not for us to read\nrun relay-ctl check as root, or "
		    "as the user relayd runs as",
		    k->conf_path);
		return;
	}
	k->conf = conffile_read(k->conf_path, must, k->owner, note, k, &e);
	if (k->conf == NULL)
		check_add(k, CHECK_FAIL, STEP_CONFIGURATION, NULL,
		    "%s\ncorrect that; relayd.yaml(5) describes the keys",
		    e.text);
	else
		check_add(k, CHECK_OK, STEP_CONFIGURATION, NULL,
		    "%s; gateways: %zu",
		    k->conf->path == NULL ? "environment" : k->conf_path,
		    k->conf->ngateway);
}

/* Whether the gateway asked for is there. */
static void
find_gateway(struct check *k)
{
	size_t i;

	if (k->only == NULL || k->conf == NULL)
		return;
	for (i = 0; i < k->conf->ngateway; i++)
		if (strcmp(k->conf->gateway[i].name, k->only) == 0)
			return;
	check_add(k, CHECK_FAIL, STEP_CONFIGURATION, k->only,
	    "the configuration has no gateway of that name\nname one that "
	    "stands there, or none for all");
}

int
check_run(struct check *k, const char *given)
{
	if (find_places(k, given) == -1)
		return -1;
	check_configuration(k);
	find_gateway(k);
	check_permissions(k);
	check_users(k);
	check_kernel(k);
	check_links(k);
	check_credentials(k);
	return 0;
}

int
cmd_check(struct ctl *ctl)
{
	const char *given = ctl->opt[OPT_FILE];
	struct check k = {
	    .ctl = ctl, .only = ctl->narg > 0 ? ctl->arg[0] : NULL};
	char path[LIMIT_PATH + 1];
	int r;

	if (given != NULL && strlcpy(path, given, sizeof(path)) >= sizeof(path))
		return ctl_usage("check", "the path is too long");
	if (given != NULL && ctl->opt[OPT_ALL] == NULL) {
		if (k.only != NULL || ctl->opt[OPT_STATE_DIR] != NULL)
			return ctl_usage("check",
			    "with -f the file alone is checked; add --all");
		return check_file(ctl, path);
	}
	if (check_run(&k, given) == -1)
		r = ctl_usage("check", "the path is too long");
	else
		r = check_put(&k, stdout);
	check_free(&k);
	return r;
}
