/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The owner of a generation in etcd: one key per domain and generation, entered by whoever comes
 * first and by nobody else (a transaction: put if the key was never created, else read it).
 *
 * An entry is written twice. "claimed": its host may act, but may also have died before it knew.
 * "decided": the decision is on that host's disk. The other host gives up its own copy of the guest
 * only for the second, so that an answer which is lost never costs both copies.
 *
 * Invariant: the owner of a key never changes, and a key is never removed here.
 */
#ifndef FAILOVER_ETCD_H
#define FAILOVER_ETCD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "common/why.h"
#include "failover/config.h"
#include "failover/state.h"

/* ---- etcd_message.c: what is asked and answered; no I/O, and no byte of the answer is trusted -
 */

#define FAILOVER_ETCD_REPLY_MAX 65536u

struct failover_etcd_entry {
	char domain[FAILOVER_NAME_MAX]; /* for whoever reads the store; the key has the uuid */
	char uuid[FAILOVER_UUID_MAX];
	uint64_t generation;
	char owner[FAILOVER_NAME_MAX]; /* a host's name */
	enum failover_decision word;   /* SOLO or TAKEOVER */
	bool decided;
};

enum failover_etcd_operation {
	FAILOVER_ETCD_ENTER,  /* unless there is an entry already */
	FAILOVER_ETCD_DECIDE, /* turn our claim into a decision, whatever else there is stays */
	FAILOVER_ETCD_PROBE,  /* does a majority answer? nothing is changed */
};

enum failover_etcd_owner { FAILOVER_ETCD_NOBODY, FAILOVER_ETCD_OURS, FAILOVER_ETCD_THEIRS };

struct failover_etcd_answer {
	enum failover_etcd_owner owner;
	bool decided;
	char name[FAILOVER_NAME_MAX]; /* of the host that owns it; "" for nobody */
	uint64_t cluster;             /* etcd's own name for itself; 0: it did not say */
};

/* PREFIX/UUID/GENERATION; the caller's to free. NULL: no memory. */
char *failover_etcd_key(const char *prefix, const struct failover_etcd_entry *entry);

/* The path below an endpoint, and the body for it; the caller's to free. NULL: no memory. */
const char *failover_etcd_path(enum failover_etcd_operation operation);
char *failover_etcd_request(const char *prefix, const struct failover_etcd_entry *entry,
	enum failover_etcd_operation operation);

/*
 * Read the answer @bytes with HTTP status @status to that request. 0 with *ret, or a negative errno
 * with what is wrong with it: nobody is granted anything by that.
 */
int failover_etcd_reply(const char *prefix, const struct failover_etcd_entry *entry,
	enum failover_etcd_operation operation, long status, const char *bytes, size_t size,
	struct failover_etcd_answer *ret, struct why *why);

/* ---- etcd.c: the client -------------------------------------------------------------------- */

struct failover_etcd;
struct failover_etcd_request;

/* @answer is NULL after a failure, with the sentence. The request is gone when this returns. */
typedef void failover_etcd_done(
	void *data, const struct failover_etcd_answer *answer, const struct why *why);

/* @conf and @event outlive it. */
int failover_etcd_new(sd_event *event, const struct failover_etcd_config *conf,
	struct failover_etcd **ret, struct why *why);
/* All requests must be gone. NULL is fine; returns NULL. */
struct failover_etcd *failover_etcd_free(struct failover_etcd *e);

/*
 * Ask one endpoint after the other, beginning with the one that answered last, until one answers.
 * Nothing waits: the outcome is a callback from the loop, never from within this call.
 */
int failover_etcd_ask(struct failover_etcd *e, const struct failover_etcd_entry *entry,
	enum failover_etcd_operation operation, failover_etcd_done *done, void *data,
	struct failover_etcd_request **ret, struct why *why);
/* Forget the answer; what has been sent may still come to pass. NULL is fine; returns NULL. */
struct failover_etcd_request *failover_etcd_cancel(struct failover_etcd_request *r);

#endif
