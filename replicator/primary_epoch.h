/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The primary's epoch machine: what happens to a checkpoint from suspension to commit. Pure: no
 * I/O, clock or allocation. Invariant 1: RELEASE is only ever an action of the ack of the epoch
 * that was closed last, or, as RELEASE_ALL, of an order that the arbiter's grant stands behind.
 */
#ifndef REPLICATOR_PRIMARY_EPOCH_H
#define REPLICATOR_PRIMARY_EPOCH_H

#include <stdbool.h>
#include <stdint.h>

enum primary_state {
	PRIMARY_COPYING,  /* epoch 0, the initial copy; output flows freely */
	PRIMARY_PAUSING,  /* guest suspended or about to be; core captures */
	PRIMARY_CAPTURED, /* output of the epoch closed; guest about to run */
	PRIMARY_SHIPPING, /* guest runs; epoch on its way */
	PRIMARY_WAITING,  /* all sent, no ack yet */
	PRIMARY_RUNNING,  /* last epoch committed, next one open */
	PRIMARY_STANDING, /* the last epoch is committed, the guest suspended: for an order */
	PRIMARY_LOST,     /* no backup; mute until an order comes */
	PRIMARY_ENDED,
	PRIMARY_STATES,
};

enum primary_event {
	PRIMARY_EV_SUSPEND, /* time for a checkpoint */
	PRIMARY_EV_CAPTURED,
	PRIMARY_EV_RESUMED,
	PRIMARY_EV_STAYS, /* the same, but the guest stays suspended: this epoch is the last */
	PRIMARY_EV_SHIPPED,
	PRIMARY_EV_ACK,         /* argument: epoch acked */
	PRIMARY_EV_STREAM_LOST, /* or a checkpoint that could not be taken */
	PRIMARY_EV_SOLO,        /* order: granted to run alone */
	PRIMARY_EV_STOP,        /* order: unprotect */
	PRIMARY_EV_DISCARD,     /* order: the generation belongs to the backup */
	PRIMARY_EVENTS,
};

/* Actions, in the order in which a caller carries them out. */
#define PRIMARY_INSTALL 0x01u     /* initial copy is over: install the plug */
#define PRIMARY_CLOSE 0x02u       /* close the epoch's output */
#define PRIMARY_SHIP 0x04u        /* send the captured epoch */
#define PRIMARY_RELEASE 0x08u     /* let the closed epoch's output go */
#define PRIMARY_REPORT_LOST 0x10u /* tell the daemon and wait for its order */
#define PRIMARY_RELEASE_ALL 0x20u /* let all held output go, in order, and remove the plug */
#define PRIMARY_DESTROY 0x40u     /* destroy the stale guest without releasing anything */

struct primary_epoch {
	enum primary_state state;
	uint64_t epoch;     /* in the making; 0 during the initial copy */
	uint64_t committed; /* last acked; its output is released */
	bool last;          /* nothing follows it: the guest is moved, and stays suspended */
};

/*
 * Step the machine. @epoch: argument of PRIMARY_EV_ACK, otherwise ignored. Returns actions (>= 0)
 * or -EPROTO for an event that has no place in this state (a wrong ack among them); state
 * unchanged.
 */
int primary_epoch_step(struct primary_epoch *m, enum primary_event event, uint64_t epoch);

/* The event that a daemon's @order is. False: no order that ends replication. */
bool primary_epoch_ordered(int order, enum primary_event *ret);

const char *primary_state_name(enum primary_state state);

#endif
