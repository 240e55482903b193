/* SPDX-License-Identifier: ISC */
/* The gateways' credentials: ids in plain memory, secrets in a vault; those
 * lived by, and those of a configuration being staged. */
#ifndef SECRET_H
#define SECRET_H

#include <stdint.h>

#include "msg.h"
#include "rate.h"
#include "vault.h"

/* Mints of one gateway: it dials at most with the whole budget of all
 * (dials_per_second, 50 unless configured), and each dial has one token. */
#define SECRET_RATE 50

struct secret {
	uint8_t present;	   /* there is such a gateway */
	uint8_t pinned;		   /* the configuration names a secret */
	uint8_t delivery_key;	   /* the environment has one */
	char name[LIMIT_NAME + 1]; /* for the log */
	char id[LIMIT_ID + 1];	   /* what tokens carry */
	enum cred_source source;
	struct span text;	       /* in the vault; absent: not usable */
	char reason[LIMIT_REASON + 1]; /* why it is not usable */
	int64_t since;		       /* Unix seconds when it was taken */
	uint64_t minted;	       /* tokens since then */
	struct rate rate;	       /* of mints */
};

struct secrets {
	struct vault vault;
	struct secret *live, *stage; /* LIMIT_GATEWAYS each */
	struct {
		uint32_t generation; /* commits at which it was another */
		uint64_t removed_ms; /* when the gateway went; 0: never */
	} history[LIMIT_GATEWAYS];
};

/* Get the memory, with work bytes for the owner (vault.work).  0, or -1 with
 * errno.  flags as vault_open's. */
int secret_open(struct secrets *s, size_t work, unsigned *flags);
void secret_close(struct secrets *s);

/* Begin a stage, and forget one. */
void secret_stage(struct secrets *s);
/* Stage a gateway's credential; fd (or -1) stays the caller's.  A secret that
 * cannot be taken is none, and its entry says why, unless m->keep says that
 * the one lived by stays.  NULL, or a phrase: such an
 * item must not be. */
const char *
secret_add(struct secrets *s, const struct msg_conf_credential *m, int fd);
/* Whether the stage has another gateway or credential, or none, where this
 * one is. */
int secret_other(const struct secrets *s, uint32_t gateway);
/* Whether each secret that the stage was given can be taken, but for gateways
 * that live without one already.  NULL, or what is wrong with the first that
 * cannot, in why. */
const char *secret_check(const struct secrets *s, char *why, size_t cap);
/* Live by the stage. */
void secret_commit(struct secrets *s, int64_t now, uint64_t now_ms);

/* The credential lived by, or NULL when there is no such gateway. */
struct secret *secret_get(struct secrets *s, uint32_t gateway);
/* Whether the gateway went less than `within` ms ago. */
int secret_just_removed(const struct secrets *s, uint32_t gateway,
    uint64_t now_ms, uint64_t within);

#endif
