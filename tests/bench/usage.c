/* SPDX-License-Identifier: ISC */
/* What processes use, from /proc; see usage.h. */
#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "usage.h"

int
usage_add(struct usage *u, const char *text)
{
	struct usage_role *r = &u->role[u->n];
	const char *eq = strchr(text, '=');
	size_t len, i;

	if (eq == NULL || u->n == USAGE_ROLES)
		return -1;
	len = (size_t)(eq - text);
	if (len == 0 || len > USAGE_NAME)
		return -1;
	for (i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) && text[i] != '_')
			return -1;
	memcpy(r->name, text, len);
	r->name[len] = '\0';
	r->pid = atoi(eq + 1);
	r->cpu_ns = 0;
	if (r->pid <= 0)
		return -1;
	u->n++;
	return 0;
}

/* The first number of a file, or -1. */
static long long
first_number(const char *path)
{
	long long v = -1;
	FILE *f = fopen(path, "re");

	if (f == NULL)
		return -1;
	if (fscanf(f, "%lld", &v) != 1)
		v = -1;
	fclose(f);
	return v;
}

/* schedstat counts in nanoseconds, where stat has ticks of 10 ms. */
static int
sample_role(struct usage_role *r)
{
	char path[512];
	struct dirent *de;
	long long v;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", r->pid);
	if ((d = opendir(path)) == NULL)
		return -1;
	r->cpu_ns = 0;
	while ((de = readdir(d)) != NULL) {
		if (!isdigit((unsigned char)de->d_name[0]))
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat",
		    r->pid, de->d_name);
		if ((v = first_number(path)) > 0)
			r->cpu_ns += (uint64_t)v;
	}
	closedir(d);
	return 0;
}

int
usage_sample(struct usage *u, const char **who)
{
	unsigned i;

	for (i = 0; i < u->n; i++)
		if (sample_role(&u->role[i]) == -1) {
			*who = u->role[i].name;
			return -1;
		}
	return 0;
}

long
usage_pss_kb(int pid)
{
	char path[64], line[256];
	long v = -1;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	if ((f = fopen(path, "re")) == NULL)
		return -1;
	while (v == -1 && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "Pss:", 4) == 0)
			v = strtol(line + 4, NULL, 10);
	fclose(f);
	return v;
}

void
usage_machine(double *busy_ms, double *stolen_ms)
{
	unsigned long long v[8] = {0};
	double tick = 1000.0 / (double)sysconf(_SC_CLK_TCK);
	FILE *f = fopen("/proc/stat", "re");

	*busy_ms = *stolen_ms = 0;
	if (f == NULL)
		return;
	/* user nice system idle iowait irq softirq steal */
	if (fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0],
		&v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]) == 8) {
		*busy_ms = tick * (double)(v[0] + v[1] + v[2] + v[5] + v[6]);
		*stolen_ms = tick * (double)v[7];
	}
	fclose(f);
}

uint64_t
usage_self_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

int
usage_begin(
    struct usage *u, struct usage_cost *c, uint64_t now, const char **who)
{
	if (usage_sample(u, who) == -1)
		return -1;
	c->usage = *u;
	usage_machine(&c->busy_ms, &c->stolen_ms);
	c->self = usage_self_ns();
	c->t = now;
	return 0;
}

void
usage_end(struct usage *u, const struct usage_cost *c, uint64_t now, uint64_t n)
{
	uint64_t t = now - c->t, self = usage_self_ns() - c->self, sum = self;
	double wall_ms = (double)t / 1e6, busy, stolen, other;
	const char *who;
	unsigned i;

	if (usage_sample(u, &who) == -1)
		warnx("%s ended during the run", who);
	usage_machine(&busy, &stolen);
	for (i = 0; i < u->n; i++)
		sum += u->role[i].cpu_ns - c->usage.role[i].cpu_ns;
	/* Of both, in per cent of one CPU. */
	other = busy - c->busy_ms - (double)sum / 1e6;
	printf("\"wall_s\":%.6f,\"events_per_s\":%.0f,\"driver_us\":%.3f,"
	       "\"driver_busy\":%.2f,\"other_pct\":%.1f,\"steal_pct\":%.1f,"
	       "\"cpu_us\":{",
	    wall_ms / 1e3, (double)n / wall_ms * 1e3,
	    (double)self / 1e3 / (double)n, (double)self / (double)t,
	    other < 0 ? 0 : 100 * other / wall_ms,
	    100 * (stolen - c->stolen_ms) / wall_ms);
	for (i = 0; i < u->n; i++)
		printf("%s\"%s\":%.3f", i > 0 ? "," : "", u->role[i].name,
		    (double)(u->role[i].cpu_ns - c->usage.role[i].cpu_ns) /
			1e3 / (double)n);
	printf("}");
}
