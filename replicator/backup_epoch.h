/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The backup's epoch machine: what arrives in which order, what may be acked, and when the standby
 * may be resumed. Pure: no I/O, clock or allocation. Invariant 4: TAKEOVER is only legal with an
 * acked checkpoint, and always starts from the last one; a partial epoch is dropped. With disks an
 * epoch is acked when its memory is complete and its boundary has arrived, in whichever order.
 */
#ifndef REPLICATOR_BACKUP_EPOCH_H
#define REPLICATOR_BACKUP_EPOCH_H

#include <stdbool.h>
#include <stdint.h>

enum backup_state {
	BACKUP_GREETING, /* connected; the configuration comes first */
	BACKUP_BETWEEN,  /* no epoch open */
	BACKUP_RECEIVING,
	BACKUP_HOLDING, /* memory complete, the boundary of the disks still missing */
	BACKUP_LOST,    /* stream gone: hold the last checkpoint, wait for an order */
	BACKUP_TAKING_OVER,
	BACKUP_ENDED,
	BACKUP_STATES,
};

enum backup_event {
	BACKUP_EV_CONFIG,
	BACKUP_EV_BEGIN, /* argument: epoch */
	BACKUP_EV_PAGES,
	BACKUP_EV_END,      /* argument: epoch; its bytes are verified */
	BACKUP_EV_BOUNDARY, /* argument: epoch; all earlier disk writes are here */
	BACKUP_EV_STREAM_LOST,
	BACKUP_EV_TAKEOVER, /* order: granted */
	BACKUP_EV_DISCARD,  /* order */
	BACKUP_EV_STANDBY_LOST,
	BACKUP_EV_END_EARLY, /* internal: END before its boundary */
	BACKUP_EVENTS,
};

#define BACKUP_START 0x01u       /* start the restore with the configuration */
#define BACKUP_STORE 0x02u       /* keep the bytes of the open epoch */
#define BACKUP_COMMIT 0x04u      /* ack if epoch > 0, then feed the standby */
#define BACKUP_DROP 0x08u        /* drop the open, partial epoch */
#define BACKUP_REPORT_LOST 0x10u /* tell the daemon and wait for its order */
#define BACKUP_COMPLETE 0x20u    /* feed what is acked, end the stream, activate */
#define BACKUP_DESTROY 0x40u     /* destroy the standby */

struct backup_epoch {
	enum backup_state state;
	uint64_t epoch;    /* open, or to be opened next */
	uint64_t acked;    /* last acked checkpoint; 0: none */
	bool disks;        /* the domain has disks: set before the first step */
	uint64_t boundary; /* last that arrived; 0: none */
};

/* Step the machine; see primary_epoch_step. */
int backup_epoch_step(struct backup_epoch *m, enum backup_event event, uint64_t epoch);

const char *backup_state_name(enum backup_state state);

#endif
