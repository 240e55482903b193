/* SPDX-License-Identifier: ISC */
/* What processes use, from /proc: CPU time and memory, by role. */
#ifndef USAGE_H
#define USAGE_H

#include <stdint.h>

/* relayd's four, an agent, a client, and room for more. */
#define USAGE_ROLES 16
#define USAGE_NAME  24

struct usage_role {
	char name[USAGE_NAME + 1];
	int pid;
	uint64_t cpu_ns; /* on a CPU, all live threads */
};

struct usage {
	struct usage_role role[USAGE_ROLES];
	unsigned n;
};

/* What was used when a run began. */
struct usage_cost {
	uint64_t t, self;
	double busy_ms, stolen_ms;
	struct usage usage;
};

/* Add a role from "name=pid".  0, or -1: not of that form, or too many. */
int usage_add(struct usage *u, const char *text);
/* Read every role's CPU time.  0, or -1 with *who naming one that is gone. */
int usage_sample(struct usage *u, const char **who);
/* Proportional set size in KiB, or -1. */
long usage_pss_kb(int pid);
/* Milliseconds that all CPUs together were busy, and that the hypervisor took,
 * since the machine started. */
void usage_machine(double *busy_ms, double *stolen_ms);
/* CPU time of this process. */
uint64_t usage_self_ns(void);
/* A run begins (now: nanoseconds).  0, or -1 with *who as usage_sample(). */
int usage_begin(
    struct usage *u, struct usage_cost *c, uint64_t now, const char **who);
/* It ended: print what each of its n events took, as members of an object of
 * JSON. */
void usage_end(
    struct usage *u, const struct usage_cost *c, uint64_t now, uint64_t n);

#endif
