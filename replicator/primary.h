/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of romulus-primary share; nobody else includes this. */
#ifndef REPLICATOR_PRIMARY_H
#define REPLICATOR_PRIMARY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/why.h"
#include "netbuf/netbuf.h"
#include "replicator/awake.h"
#include "replicator/hv.h"
#include "replicator/precopy.h"
#include "replicator/primary_epoch.h"
#include "replicator/ship.h"
#include "replicator/staging.h"
#include "replicator/worker.h"

struct diskrep_primary;

struct primary {
	struct worker worker;
	const struct hv_ops *ops;
	struct hv *hv;
	struct hv_domain dom;
	struct netbuf *netbuf;
	char netbuf_dir[256];          /* where netbuf records what it owns */
	struct diskrep_primary *disks; /* NULL: the guest writes to none */
	struct staging staging;
	struct proto_session *stream;
	struct ship_copy copy;
	struct precopy precopy;
	char last_round[PRECOPY_REASON_MAX]; /* why it is that */
	bool copying;                        /* the copy thread runs */
	bool destroyed;                      /* the guest, by order */
	bool taken;  /* it is being saved by another hand, which was given way */
	bool moving; /* the next epoch is the last one */
	int asked;   /* see asked.h */
	int changes; /* readable when another hand may have changed the domain */
	int io_fd;   /* what the save core writes to: the pipe, then the staging buffer */
	struct primary_epoch epoch;
	struct awake awake;
	bool withholds; /* what an acked epoch covers, until the next one is acked */
	uint64_t resumed_ns, reported_ns, bytes;
	uint64_t ship_ns, ack_ns;
	uint64_t marked_ns, boundary_ns, boundary_wait_ns; /* of the disks, in the last pause */
	struct why why;
};

/* primary_setup.c: from the domain's name to a stream; each 0 or a negative errno with p->why. */
int primary_find(struct primary *p);
int primary_say_found(struct primary *p);
int primary_connect(struct primary *p); /* waits for the daemon's order */

/* primary_run.c: copy and checkpoint until something ends it; -ECANCELED: by order. */
int primary_replicate(struct primary *p);

/* primary_hold.c: mute, the stream gone, until the daemon says who runs the guest. Returns as
 * primary_replicate. */
int primary_hold(struct primary *p);
int primary_hold_still(struct primary *p); /* the same, with the guest paused */
void primary_pause(struct primary *p);
void primary_taken(void *primary); /* see struct hv_save_calls; does not return */
/* Carry out an order that ends replication. -ECANCELED: it has; 0: it was none. */
int primary_obey(struct primary *p, int order);
/* A step that the protocol between the worker and the save core makes legal. */
unsigned int primary_step(struct primary *p, enum primary_event event, uint64_t epoch);

/*
 * primary_main.c: the end, after @r of primary_replicate. However it ended, the guest runs, and
 * nothing of ours is left on it or on its network. Returns the exit code.
 */
int primary_end(struct primary *p, int r);

/* primary_repair.c: mend or destroy what a dead worker left on p->worker.repair, .discard. */
int primary_repair(struct primary *p);
int primary_discard(struct primary *p);

/* The guest was destroyed and is another host's: nobody is to open its disks here. */
void primary_demote(const struct primary *p);

/* The same: start p->worker.domain, which died with this host, from its disks; exit code. */
int primary_start(struct primary *p);

#endif
