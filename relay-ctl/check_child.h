/* SPDX-License-Identifier: ISC */
/*
 * Processes that touch the network for a check.  They are shut in before they
 * read the first foreign byte, and tell what they found in structs of fixed
 * size.
 */
#ifndef CHECK_CHILD_H
#define CHECK_CHILD_H

#include <sys/types.h>
#include <stdint.h>

#include "limit.h"
#include "role.h"
#include "url.h"

/* Deadlines in milliseconds, those of relayd's own steps. */
#define CHECK_NAME_MS	 10000
#define CHECK_CONNECT_MS 10000
#define CHECK_TUNNEL_MS	 15000 /* the proxy connects meanwhile */
#define CHECK_TLS_MS	 15000
#define CHECK_ANSWER_MS	 10000
/* Seconds after which such a process ends by itself, whatever it waits for:
 * more than all of these. */
#define CHECK_LIFE 90

/* Descriptors of a child. */
#define CHECK_FD    3 /* to who asked */
#define CHECK_INPUT 4 /* what follows, up to three */

#define CHECK_ADDRESS 64  /* "[2001:db8::1]:443" */
#define CHECK_NAMES   256 /* names of a certificate, the first of them */

struct check_child {
	pid_t pid;
	int fd; /* -1: none */
};

/*
 * Start a child that runs `run` with arg, which is in its memory as it was,
 * and only the descriptors input[0..n) from CHECK_INPUT on (-1: none).  0, or
 * -1 with errno.
 */
int check_child_start(struct check_child *c, void (*run)(const void *arg),
    const void *arg, const int *input, int n);
/* What it tells next: exactly len bytes, with a descriptor if fd is not NULL
 * (-1 when none came).  After a second, a person at a terminal is told what is
 * waited for.  1; 0: the deadline passed; -1: it ended. */
int check_child_recv(struct check_child *c, void *p, size_t len, int *fd,
    int ms, const char *doing);
void check_child_end(struct check_child *c);

/* In the child: take on the walls of a role, with these TCP ports.  Does not
 * return without. */
void check_child_confine(enum role r, const uint16_t *port, size_t nport);
/* In the child: tell, with a descriptor (-1: none). */
void check_child_tell(const void *p, size_t len, int fd);

/* A child that finds a host and connects to it.  It tells struct check_found
 * twice: when the name is resolved, and when it is connected, then with the
 * connection. */
struct check_find {
	char host[URL_HOST_MAX + 1];
	uint16_t port;
};

struct check_found {
	int32_t gai;		   /* getaddrinfo's result */
	int32_t err;		   /* errno of that, or of the last connect */
	int32_t n;		   /* addresses */
	char first[CHECK_ADDRESS]; /* the first; then the one that was tried */
};

void check_find(const void *find);

/* A child that has a connection (its first input): asks a proxy for a tunnel,
 * verifies the certificate, asks for the time.  It tells struct check_peer for
 * each of these it does, up to the first that fails. */
struct check_visit {
	struct url to;
	int proxy;	    /* a tunnel is wanted; its second input may hold
			     * user:password */
	char userpass[512]; /* or they stand here */
	int untimed;	    /* nobody is asked for the time */
	const char *name;   /* that the certificate must bear */
	const char *label;  /* of the CA bundle, its third input */
};

enum check_stage { STAGE_TUNNEL, STAGE_TLS, STAGE_ANSWER };

struct check_peer {
	int32_t stage;
	int32_t ok;
	char why[LIMIT_REASON + 1];
	/* of STAGE_TLS */
	int32_t verify;	   /* OpenSSL's X509_V_… */
	int64_t not_after; /* Unix seconds: the first of the chain to end */
	char ends[CHECK_NAMES];	  /* the subject of that one */
	char names[CHECK_NAMES];  /* those that the peer's own bears */
	char issuer[CHECK_NAMES]; /* who issued that */
	char tls[80];		  /* version and cipher */
	/* of STAGE_ANSWER */
	int32_t status; /* HTTP's */
	int64_t date;	/* Unix seconds, -1: it told none */
	int64_t now_ms; /* our time when it came, Unix milliseconds */
};

void check_visit(const void *visit);

#endif
