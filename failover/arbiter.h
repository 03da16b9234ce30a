/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What grants exactly one of {takeover, solo}. One arbiter per peer: a single run of the fence
 * agent serves every domain paired with that peer, and its proof lasts until the peer is heard
 * again. Where etcd decides, each domain has a claim of its own, for each generation.
 */
#ifndef FAILOVER_ARBITER_H
#define FAILOVER_ARBITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "failover/config.h"
#include "failover/decide.h"
#include "failover/etcd.h"
#include "failover/events.h"
#include "failover/state.h"
#include "failover/timeouts.h"

struct failover_arbiter;
struct failover_claim;

struct failover_arbiter_ops {
	const char *name;
	/* A domain waits for a grant and the peer is silent. Called again and again while that
	 * lasts: must be idempotent. */
	void (*need)(struct failover_arbiter *a, struct failover_claim *c,
		const struct failover_question *q, uint64_t now_ns);
	/* As far as is known. */
	enum failover_verdict (*verdict)(const struct failover_arbiter *a,
		const struct failover_claim *c, const struct failover_question *q);
	/* What is being done, for `status`: ends "waiting for ...". */
	void (*waiting)(const struct failover_arbiter *a, const struct failover_claim *c, char *ret,
		size_t size);
};

struct failover_arbiter {
	const struct failover_arbiter_ops *ops;
	sd_event *event;
	const struct failover_peer_config *peer;
	const struct failover_timeouts *timeouts;
	struct failover_events *events;
	struct failover_etcd *etcd; /* NULL: none is configured */
	/* The verdict on a waiting domain may have changed. */
	void (*news)(void *data);
	void *data;

	bool asked; /* somebody waits */
	uint64_t asked_ns;
	size_t level; /* of the fence sections, being tried or next */
	bool proven;  /* the peer is off, and has not been heard since */
	unsigned int failures;
	struct failover_fence *fence; /* running */
	bool wait;                    /* it has failed: the next run comes later, */
	uint64_t retry_at_ns;         /* not before this */
};

void failover_arbiter_init(struct failover_arbiter *a, sd_event *event,
	const struct failover_peer_config *peer, const struct failover_timeouts *timeouts,
	struct failover_events *events, struct failover_etcd *etcd, void (*news)(void *data),
	void *data);
void failover_arbiter_dispose(struct failover_arbiter *a);

/*
 * The verdict on @q, at once when it is known; otherwise the backend sets to work. A backup waits
 * `fence-delay` first. @c is the domain's.
 */
enum failover_verdict failover_arbiter_need(struct failover_arbiter *a, struct failover_claim *c,
	const struct failover_question *q, uint64_t now_ns);
/* The same, and nothing is begun. */
enum failover_verdict failover_arbiter_verdict(const struct failover_arbiter *a,
	const struct failover_claim *c, const struct failover_question *q);

/*
 * The decision of @q is on this host's disk and the peer is silent: it is told by way of the store,
 * if there is one. Idempotent.
 */
void failover_arbiter_decided(struct failover_arbiter *a, struct failover_claim *c,
	const struct failover_question *q, uint64_t now_ns);

/* An operator has made sure that the peer is off: as good as a fence agent's word. */
void failover_arbiter_confirm(struct failover_arbiter *a);

/* The peer was heard: nobody waits any more. A running agent is not stopped half-way. */
void failover_arbiter_heard(struct failover_arbiter *a);

/* True while the agent is at work: the peer may be shot at any moment, promise it nothing. */
bool failover_arbiter_busy(const struct failover_arbiter *a);

/* ---- arbiter_etcd.c: a domain's claim ------------------------------------------------------- */

enum failover_claim_state {
	FAILOVER_CLAIM_NONE,
	FAILOVER_CLAIM_ASKED, /* no answer yet, or none that could be read */
	FAILOVER_CLAIM_OURS,
	FAILOVER_CLAIM_DISPUTED, /* the peer was first, and has not said that it acts */
	FAILOVER_CLAIM_LOST,     /* the peer was first, and acts */
	FAILOVER_CLAIM_TELLING,  /* decided here, being entered */
	FAILOVER_CLAIM_TOLD,
};

struct failover_claim {
	enum failover_claim_state state;
	struct failover_arbiter *arbiter; /* the one that was asked */
	struct failover_etcd_entry entry; /* and for what */
	struct failover_etcd_request *request;
	bool open; /* what was asked may still come to pass, or has, unheard */
	unsigned int failures;
	bool wait; /* a round is over: the next one comes later */
	uint64_t retry_at_ns;
	char text[WHY_MAX]; /* why it could not be answered; "" */
};

void failover_claim_need(struct failover_arbiter *a, struct failover_claim *c,
	const struct failover_question *q, uint64_t now_ns);
enum failover_verdict failover_claim_verdict(
	const struct failover_claim *c, const struct failover_question *q);
void failover_claim_decided(struct failover_arbiter *a, struct failover_claim *c,
	const struct failover_question *q, uint64_t now_ns);
void failover_claim_waiting(const struct failover_claim *c, char *ret, size_t size);

/*
 * The peer is heard again, or the domain goes: ask no more. True: the store may say now or later
 * that this host owns the generation, although nothing has been decided here.
 */
bool failover_claim_forget(struct failover_claim *c);

#endif
