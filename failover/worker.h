/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker process and the session with it on its descriptor 3: reports in, orders out. */
#ifndef FAILOVER_WORKER_H
#define FAILOVER_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "proto/proto.h"

struct why;
struct failover_worker;

struct failover_worker_ops {
	void (*report)(void *data, const Romulus__Report *report);
	/* The process has ended, after its last report (object freed right after). */
	void (*ended)(void *data, const char *how);
};

int failover_worker_start(sd_event *event, char *const argv[],
	const struct failover_worker_ops *ops, void *data, struct failover_worker **ret,
	struct why *why);

/* Send an order. A worker that does not take it is killed; its end is reported as a death. */
int failover_worker_order(struct failover_worker *w, const Romulus__Order *order, struct why *why);
int failover_worker_tell(struct failover_worker *w, enum proto_order kind, struct why *why);

/* Kill and forget; no more callbacks. NULL is fine; returns NULL. */
/* Leave it to itself: it sees that its channel is closed. NULL is fine; returns NULL. */
struct failover_worker *failover_worker_abandon(struct failover_worker *w);
struct failover_worker *failover_worker_free(struct failover_worker *w);

#endif
