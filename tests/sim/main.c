/* SPDX-License-Identifier: ISC */
/*
 * Run many seeds on all processors, or one again with a trace:
 *
 *	sim [-bkv] [-j PROCESSES] [-n SEEDS] [-s FIRST]
 *
 * -b leaves the audit of the core's own books out, -k goes on after a
 * failure, -v tells each step.
 */
#include <err.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim.h"

#define WORKERS	 64
#define FAILURES 16 /* kept and shown; the rest is counted */
#define SEED_S	 20 /* of a seed at most: then it hangs */
#define CHUNK	 16 /* seeds that a worker takes at a time */

struct failure {
	uint64_t seed;
	uint32_t step;
	char doing[40], violation[64], what[512];
};

/* What workers and their parent share. */
struct board {
	_Atomic uint64_t next, done, nfailure, stop;
	_Atomic uint64_t events, acks, given, crashes, handshakes, revoked,
	    aside, left;
	_Atomic uint64_t at[WORKERS]; /* seed under way */
	struct failure failure[FAILURES];
};

struct options {
	uint64_t first, count;
	int books, keep, verbose;
	unsigned workers;
};

static void
note(struct board *b, const struct failure *f)
{
	uint64_t i = atomic_fetch_add(&b->nfailure, 1);

	if (i < FAILURES)
		b->failure[i] = *f;
}

static int
one(struct board *b, const struct options *o, struct world *w, uint64_t seed)
{
	char *memory = w->memory, *last = w->last;
	struct failure f;

	memset(w, 0, sizeof(*w));
	w->memory = memory;
	w->last = last;
	w->seed = seed;
	w->books = o->books;
	w->verbose = o->verbose;
	if (run_seed(w) == -1) {
		f = (struct failure){.seed = seed, .step = w->step};
		(void)snprintf(f.doing, sizeof(f.doing), "%s", w->doing);
		(void)snprintf(
		    f.violation, sizeof(f.violation), "%s", w->violation);
		(void)snprintf(f.what, sizeof(f.what), "%s", w->what);
		note(b, &f);
		return -1;
	}
	atomic_fetch_add(&b->events, w->nevent);
	atomic_fetch_add(&b->acks, w->sum.acks);
	atomic_fetch_add(&b->given, w->sum.delivered);
	atomic_fetch_add(&b->crashes, w->sum.crashes);
	atomic_fetch_add(&b->handshakes, w->sum.handshakes);
	atomic_fetch_add(&b->revoked, w->sum.revoked);
	atomic_fetch_add(&b->aside, w->sum.aside);
	atomic_fetch_add(&b->left, w->sum.left);
	return 0;
}

static void
work(struct board *b, const struct options *o, unsigned me)
{
	struct world *w = calloc(1, sizeof(*w));
	uint64_t from, i;

	if (w == NULL || (w->memory = malloc(MEMORY)) == NULL ||
	    (w->last = malloc(MEMORY)) == NULL)
		err(2, "memory");
	while (!atomic_load(&b->stop) &&
	    (from = atomic_fetch_add(&b->next, CHUNK)) < o->count)
		for (i = from; i < from + CHUNK && i < o->count; i++) {
			atomic_store(&b->at[me], o->first + i + 1);
			(void)alarm(SEED_S);
			if (one(b, o, w, o->first + i) == -1 && !o->keep) {
				atomic_store(&b->stop, 1);
				return;
			}
			atomic_fetch_add(&b->done, 1);
			if (atomic_load(&b->stop))
				return;
		}
}

static void
progress(const struct board *b, const struct options *o, double s)
{
	uint64_t done = atomic_load(&b->done);

	if (!isatty(STDOUT_FILENO) || o->verbose)
		return;
	printf("\r  %llu of %llu seeds, %.0f a second ",
	    (unsigned long long)done, (unsigned long long)o->count,
	    s > 0 ? (double)done / s : 0);
	(void)fflush(stdout);
}

/* A worker ended badly: its seed is to blame. */
static void
died(struct board *b, const struct options *o, unsigned me, int status)
{
	struct failure f = {.seed = atomic_load(&b->at[me]) - 1};
	int hung = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;

	(void)snprintf(f.violation, sizeof(f.violation), "%s",
	    hung ? "it_ends" : "it_lives");
	if (hung)
		(void)snprintf(
		    f.what, sizeof(f.what), "no end after %d s", SEED_S);
	else
		(void)snprintf(f.what, sizeof(f.what), "ended by %s %d",
		    WIFSIGNALED(status) ? "signal" : "status",
		    WIFSIGNALED(status) ? WTERMSIG(status)
					: WEXITSTATUS(status));
	note(b, &f);
	if (!o->keep)
		atomic_store(&b->stop, 1);
}

static double
seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
watch(struct board *b, const struct options *o, const pid_t *pid)
{
	double begin = seconds();
	unsigned left = o->workers, i;
	int status;
	pid_t p;

	while (left > 0) {
		while (left > 0 && (p = waitpid(-1, &status, WNOHANG)) > 0) {
			left--;
			for (i = 0; i < o->workers && pid[i] != p; i++)
				continue;
			if (status != 0 && i < o->workers)
				died(b, o, i, status);
		}
		progress(b, o, seconds() - begin);
		if (left > 0)
			(void)usleep(left == o->workers ? 20000 : 2000);
	}
	if (isatty(STDOUT_FILENO))
		printf("\r\033[K");
}

static int
report(const struct board *b, const struct options *o, const char *self)
{
	uint64_t n = atomic_load(&b->nfailure), i;
	const struct failure *f;

	for (i = 0; i < n && i < FAILURES; i++) {
		f = &b->failure[i];
		printf("FAILED seed %llu step %u (%s): %s: %s\n  again: %s "
		       "-v%s -s %llu -n 1\n",
		    (unsigned long long)f->seed, f->step, f->doing,
		    f->violation, f->what, self, o->books ? "" : "b",
		    (unsigned long long)f->seed);
	}
	printf("%llu seeds, %llu failed: %llu events given %llu times, %llu "
	       "acknowledged, %llu put aside, %llu left for want of room; %llu "
	       "handshakes, %llu "
	       "revocations, %llu crashes of the engine\n",
	    (unsigned long long)atomic_load(&b->done), (unsigned long long)n,
	    (unsigned long long)atomic_load(&b->events),
	    (unsigned long long)atomic_load(&b->given),
	    (unsigned long long)atomic_load(&b->acks),
	    (unsigned long long)atomic_load(&b->aside),
	    (unsigned long long)atomic_load(&b->left),
	    (unsigned long long)atomic_load(&b->handshakes),
	    (unsigned long long)atomic_load(&b->revoked),
	    (unsigned long long)atomic_load(&b->crashes));
	return n == 0 ? 0 : 1;
}

static void
options(struct options *o, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "bkvj:n:s:")) != -1)
		switch (c) {
		case 'b':
			o->books = 0;
			break;
		case 'k':
			o->keep = 1;
			break;
		case 'v':
			o->verbose = 1;
			break;
		case 'j':
			o->workers = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'n':
			o->count = strtoull(optarg, NULL, 10);
			break;
		case 's':
			o->first = strtoull(optarg, NULL, 10);
			break;
		default:
			errx(2,
			    "usage: sim [-bkv] [-j processes] [-n seeds] "
			    "[-s first]");
		}
	if (o->workers < 1 || o->workers > WORKERS || o->verbose)
		o->workers = 1;
	if (o->count < o->workers)
		o->workers = (unsigned)o->count;
}

int
main(int argc, char **argv)
{
	struct options o = {.count = 3000, .books = 1};
	pid_t pid[WORKERS];
	struct board *b;
	unsigned i;

	o.workers = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	options(&o, argc, argv);
	b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (b == MAP_FAILED)
		err(2, "memory");
	(void)mallopt(M_MMAP_THRESHOLD, 64 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 256 << 20);
	(void)fflush(stdout);
	for (i = 0; i < o.workers; i++) {
		if ((pid[i] = fork()) == -1)
			err(2, "fork");
		if (pid[i] == 0) {
			work(b, &o, i);
			(void)fflush(stdout);
			_exit(0);
		}
	}
	watch(b, &o, pid);
	return report(b, &o, argv[0]);
}
