/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What grants exactly one of {takeover, solo}. One arbiter per peer: a single run of the fence
 * agent serves every domain paired with that peer, and its proof lasts until the peer is heard
 * again.
 */
#ifndef FAILOVER_ARBITER_H
#define FAILOVER_ARBITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "failover/config.h"
#include "failover/events.h"
#include "failover/timeouts.h"

struct failover_arbiter;

struct failover_arbiter_ops {
	const char *name;
	/* A domain waits for a grant and the peer is silent. Called again and again while that
	 * lasts: must be idempotent. */
	void (*need)(struct failover_arbiter *a);
	/* What is being done, for `status`: ends "waiting for ...". */
	const char *(*waiting)(const struct failover_arbiter *a);
};

struct failover_arbiter {
	const struct failover_arbiter_ops *ops;
	sd_event *event;
	const struct failover_peer_config *peer;
	const struct failover_timeouts *timeouts;
	struct failover_events *events;
	/* The peer is proven off: every waiting domain may act. */
	void (*granted)(void *data);
	void *data;

	bool asked; /* somebody waits */
	uint64_t asked_ns;
	size_t level; /* of the fence sections, being tried or next */
	bool proven;  /* the peer is off, and has not been heard since */
	unsigned int failures;
	struct failover_fence *fence; /* running */
	sd_event_source *retry;       /* waiting to run it again */
};

void failover_arbiter_init(struct failover_arbiter *a, sd_event *event,
	const struct failover_peer_config *peer, const struct failover_timeouts *timeouts,
	struct failover_events *events, void (*granted)(void *data), void *data);
void failover_arbiter_dispose(struct failover_arbiter *a);

/*
 * True at once when the peer is proven off; otherwise the backend sets to work. @as_primary: for a
 * guest that runs here. A backup waits `fence-delay` first: when each host takes the other for
 * dead, the guest stays where it is.
 */
bool failover_arbiter_need(struct failover_arbiter *a, bool as_primary, uint64_t now_ns);

/* An operator has made sure that the peer is off: as good as a fence agent's word. */
void failover_arbiter_confirm(struct failover_arbiter *a);

/* The peer was heard: nobody waits any more. A running agent is not stopped half-way. */
void failover_arbiter_heard(struct failover_arbiter *a);

/* True while the agent is at work: the peer may be shot at any moment, promise it nothing. */
bool failover_arbiter_busy(const struct failover_arbiter *a);

#endif
