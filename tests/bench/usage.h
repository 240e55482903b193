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

#endif
