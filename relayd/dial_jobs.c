/* SPDX-License-Identifier: ISC */
/* The dials that the dialer is asked for; see dial_jobs.h. */
#include <sys/queue.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "child.h"
#include "dial_jobs.h"
#include "log.h"
#include "rate.h"

/* Dials at work at once; more wait.  Each may have a resolver's child, and a
 * socket for each address: within the usual 1024 descriptors when addresses
 * answer or fail within a second. */
#define DIALS_AT_WORK 256
/* The part of a second's budget that may begin at once. */
#define AT_ONCE_PART 5

struct job {
	TAILQ_ENTRY(job) entry;
	struct dial_jobs *jobs;
	enum dial_owner owner;
	uint32_t gateway;
	uint32_t corr;
	const struct dial_target *target;
	struct dial *dial; /* NULL: waits for its turn */
};
TAILQ_HEAD(job_list, job);

struct dial_jobs {
	struct child *child;
	const struct dial_env *env;
	struct job *job[OWNER_COUNT][LIMIT_GATEWAYS];
	struct job_list waiting, working;
	unsigned nworking;
	struct rate rate;
	struct event *turn; /* when the next waiting one may begin */
	uint64_t conn;	    /* number of the last connection of a link */
	uint64_t dials, connected;
};

/* What a dial is for, in the log. */
static const char *const purpose[OWNER_COUNT] = {
    [OWNER_ENGINE] = "",
    [OWNER_AUTHD] = "for an exchange: ",
};

static void turn(struct dial_jobs *);

static void
job_free(struct job *j)
{
	struct dial_jobs *s = j->jobs;

	if (j->dial != NULL) {
		dial_free(j->dial);
		TAILQ_REMOVE(&s->working, j, entry);
		s->nworking--;
	} else
		TAILQ_REMOVE(&s->waiting, j, entry);
	s->job[j->owner][j->gateway] = NULL;
	free(j);
}

void
dial_jobs_refuse(struct dial_jobs *s, enum dial_owner owner, uint32_t gateway,
    const char *name, uint32_t corr, enum dial_stage stage, const char *reason)
{
	struct span why = span_str(reason);
	struct msg_dial_failed link = {
	    .gateway = gateway, .stage = stage, .reason = why};
	struct msg_xdial_failed xchg = {
	    .gateway = gateway, .stage = stage, .reason = why};

	log_info("dial", name,
	    "%s%s (%" PRIu64 " of %" PRIu64 " dials connected)", purpose[owner],
	    reason, s->connected, s->dials);
	if (owner == OWNER_ENGINE)
		child_send(
		    s->child, ROLE_ENGINE, MSG_DIAL_FAILED, corr, &link, -1);
	else
		child_send(
		    s->child, ROLE_AUTHD, MSG_XDIAL_FAILED, corr, &xchg, -1);
}

static void
job_fail(struct job *j, enum dial_stage stage, const char *reason)
{
	dial_jobs_refuse(j->jobs, j->owner, j->gateway, j->target->name,
	    j->corr, stage, reason);
	job_free(j);
}

/*
 * Report to relay-authd, so that it is in its pipe before the engine can ask
 * for a token.  What the kernel has not taken might come later than that, so
 * then there is no connection.
 */
static int
report(struct dial_jobs *s, uint32_t gateway, uint64_t conn)
{
	struct msg_report m = {.gateway = gateway, .conn = conn};

	if (child_send(s->child, ROLE_AUTHD, MSG_REPORT, 0, &m, -1) == -1)
		return -1;
	return child_queued(s->child, ROLE_AUTHD) == 0 ? 0 : -1;
}

static int
give_engine(const struct job *j, const struct dial_result *r)
{
	struct dial_jobs *s = j->jobs;
	struct msg_connected m = {.gateway = j->gateway,
	    .conn = ++s->conn,
	    .address = span_str(r->address),
	    .took_ms = r->took_ms};

	if (report(s, j->gateway, m.conn) == -1)
		return -1;
	child_send(s->child, ROLE_ENGINE, MSG_CONNECTED, j->corr, &m, r->fd);
	return 0;
}

/* No token is minted for an exchange, so none is reported. */
static void
give_authd(const struct job *j, const struct dial_result *r)
{
	struct msg_xconnected m = {
	    .gateway = j->gateway, .address = span_str(r->address)};

	child_send(
	    j->jobs->child, ROLE_AUTHD, MSG_XCONNECTED, j->corr, &m, r->fd);
}

static void
job_connected(struct job *j, const struct dial_result *r)
{
	struct dial_jobs *s = j->jobs;

	if (j->owner == OWNER_AUTHD)
		give_authd(j, r);
	else if (give_engine(j, r) == -1) {
		job_fail(j, STAGE_CONNECT,
		    "relay-authd cannot be told of the connection: it is "
		    "being restarted");
		return;
	}
	s->connected++;
	log_info("dial", j->target->name,
	    "%sconnected to %s (in %u ms; %" PRIu64 " of %" PRIu64
	    " dials connected)",
	    purpose[j->owner], r->address, r->took_ms, s->connected, s->dials);
	job_free(j);
}

static void
on_dialled(const struct dial_result *r, void *arg)
{
	struct job *j = arg;
	struct dial_jobs *s = j->jobs;

	if (r->fd == -1)
		job_fail(j, r->stage, r->reason);
	else {
		job_connected(j, r);
		close(r->fd);
	}
	turn(s);
}

static void
job_begin(struct job *j)
{
	struct dial_jobs *s = j->jobs;

	s->dials++;
	j->dial = dial_start(s->env, j->target, on_dialled, j);
	if (j->dial == NULL) {
		job_fail(j, STAGE_CONNECT, "out of memory");
		return;
	}
	TAILQ_REMOVE(&s->waiting, j, entry);
	TAILQ_INSERT_TAIL(&s->working, j, entry);
	s->nworking++;
}

/* Begin what the budget allows; the others wait their turn. */
static void
turn(struct dial_jobs *s)
{
	struct timeval tv = {0, 0};
	struct job *j;
	uint64_t wait, now = child_now_ms();

	while ((j = TAILQ_FIRST(&s->waiting)) != NULL &&
	    s->nworking < DIALS_AT_WORK) {
		if (!rate_take(&s->rate, now)) {
			wait = rate_wait(&s->rate, now);
			tv.tv_sec = (time_t)(wait / 1000);
			tv.tv_usec = (suseconds_t)(wait % 1000 * 1000);
			event_add(s->turn, &tv);
			return;
		}
		job_begin(j);
	}
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	turn(arg);
}

static struct job *
find(const struct dial_jobs *s, enum dial_owner owner, uint32_t corr)
{
	struct job *const *job = s->job[owner];

	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
		if (job[g] != NULL && job[g]->corr == corr)
			return job[g];
	return NULL;
}

const char *
dial_jobs_add(struct dial_jobs *s, enum dial_owner owner, uint32_t gateway,
    uint32_t corr, const struct dial_target *target)
{
	struct job *j;

	if (s->job[owner][gateway] != NULL)
		return "two dials at once for one gateway";
	if (find(s, owner, corr) != NULL)
		return "two dials of one number";
	if ((j = calloc(1, sizeof(*j))) == NULL) {
		dial_jobs_refuse(s, owner, gateway, target->name, corr,
		    STAGE_CONNECT, "out of memory");
		return NULL;
	}
	j->jobs = s;
	j->owner = owner;
	j->gateway = gateway;
	j->corr = corr;
	j->target = target;
	s->job[owner][gateway] = j;
	TAILQ_INSERT_TAIL(&s->waiting, j, entry);
	turn(s);
	return NULL;
}

const char *
dial_jobs_cancel(
    struct dial_jobs *s, enum dial_owner owner, uint32_t gateway, uint32_t corr)
{
	struct job *j = find(s, owner, corr);

	if (j == NULL) /* it crossed with the answer */
		return NULL;
	if (j->gateway != gateway)
		return "the end of another gateway's dial";
	job_free(j);
	turn(s);
	return NULL;
}

void
dial_jobs_fail(struct dial_jobs *s, const struct dial_target *target,
    enum dial_stage stage, const char *reason)
{
	struct job *j;

	for (unsigned o = 0; o < OWNER_COUNT; o++)
		for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
			if ((j = s->job[o][g]) != NULL && j->target == target)
				job_fail(j, stage, reason);
}

void
dial_jobs_drop(struct dial_jobs *s, enum dial_owner owner)
{
	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
		if (s->job[owner][g] != NULL)
			job_free(s->job[owner][g]);
	turn(s);
}

void
dial_jobs_rate(struct dial_jobs *s, uint32_t per_s)
{
	uint64_t now = child_now_ms();
	uint32_t burst = per_s < AT_ONCE_PART ? 1 : per_s / AT_ONCE_PART;

	/* What comes back in a second and what was there before are together
	 * below the budget: no second has more, nor one in which some come
	 * a little late and others not. */
	per_s = per_s > burst + 1 ? per_s - burst - 1 : 1;
	if (s->rate.per_s == 0)
		rate_init(&s->rate, per_s, burst, now);
	else
		rate_change(&s->rate, per_s, burst, now);
	turn(s);
}

struct dial_jobs *
dial_jobs_new(struct child *child, const struct dial_env *env)
{
	struct dial_jobs *s;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return NULL;
	s->child = child;
	s->env = env;
	TAILQ_INIT(&s->waiting);
	TAILQ_INIT(&s->working);
	if ((s->turn = evtimer_new(env->base, on_turn, s)) == NULL) {
		free(s);
		return NULL;
	}
	/* Numbers are not used twice, not even after a restart; half of the
	 * range is left to count up in. */
	arc4random_buf(&s->conn, sizeof(s->conn));
	s->conn >>= 1;
	return s;
}

void
dial_jobs_free(struct dial_jobs *s)
{
	for (unsigned o = 0; o < OWNER_COUNT; o++)
		for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
			if (s->job[o][g] != NULL)
				job_free(s->job[o][g]);
	event_free(s->turn);
	free(s);
}
