/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The backup's half of a disk checkpoint: DRBD goes on writing to the real disks, through the undo
 * store, which remembers what the last acknowledged checkpoint had there. At a takeover that is
 * written back, through DRBD so that it knows. Used by romulus-backup only; everything blocks.
 */
#ifndef DISKREP_BACKUP_H
#define DISKREP_BACKUP_H

#include <stddef.h>
#include <stdint.h>

#include "diskrep/order.h"

struct why;
struct diskrep_backup;

/* What of a domain's disks is configured on this host. Strings are the caller's. */
struct diskrep_backup_spec {
	const char *resource;
	const char *run_dir, *state_dir;
	const char *plugin;  /* path of the undo store */
	const char *volumes; /* real devices, volume 0 first, comma between, the marker's last */
	uint64_t undo_limit; /* bytes */
};

/*
 * Get ready to follow a primary: clear away what a dead worker left, connect (discarding what this
 * host has and the primary has not), put the undo store beneath DRBD. -EAGAIN while a resync is
 * running or the primary is not there yet: ask again later. Returns 0 with *ret owned by the
 * caller.
 */
int diskrep_backup_open(
	const struct diskrep_backup_spec *spec, struct diskrep_backup **ret, struct why *why);

/* From the stream's greeting: whose markers count. Called before the first boundary can come. */
int diskrep_backup_expect(struct diskrep_backup *b, const char *uuid, uint64_t nonce,
	uint64_t generation, struct why *why);

/* Readable when there may be news. */
int diskrep_backup_fd(const struct diskrep_backup *b);

/*
 * Next piece of news, does not block: 1 with *ret_epoch of a boundary that arrived, 0 for none, or
 * a negative errno when the disks no longer follow the checkpoints (-ENOSPC: more was written in an
 * epoch than `undo-limit` holds; -EPIPE: the store died; -ESTALE: DRBD was interrupted; -EILSEQ:
 * the self-test shows that DRBD does not keep the order of writes, or broke off).
 */
int diskrep_backup_boundary(struct diskrep_backup *b, uint64_t *ret_epoch, struct why *why);

struct diskrep_backup_figures {
	struct diskrep_order_count order; /* of the primary's self-test */
	/* Old content that is kept: now, between two boundaries at most so far, at most ever. */
	uint64_t undo_bytes, undo_largest, undo_limit;
};

int diskrep_backup_figures(
	struct diskrep_backup *b, struct diskrep_backup_figures *ret, struct why *why);

/* Checkpoint @epoch is acknowledged: nothing older will be rolled back to. */
int diskrep_backup_commit(struct diskrep_backup *b, uint64_t epoch, struct why *why);

/*
 * For a drill: the disks of checkpoint @epoch, which has just been acknowledged, as exports of the
 * store (see store.h) until the release. What it takes on disk is in `state_dir`.
 */
int diskrep_backup_snapshot(struct diskrep_backup *b, uint64_t epoch, struct why *why);
int diskrep_backup_release(struct diskrep_backup *b, struct why *why);

/*
 * Make the disks those of checkpoint @epoch and this host their primary: disconnect, persist what
 * is to be rolled back, promote, roll back through DRBD. @ret_bytes: rolled back. After a failure
 * it can be repeated; the guest must not start.
 */
int diskrep_backup_take_over(
	struct diskrep_backup *b, uint64_t epoch, uint64_t *ret_bytes, struct why *why);

/*
 * The store is no longer needed (the guest runs here, or protection has ended): real disks back
 * beneath DRBD, store gone. Frees @b (NULL ok); 0, or the first error with everything tried.
 */
int diskrep_backup_retire(struct diskrep_backup *b, struct why *why);

/*
 * What a dead worker left: put the real disks back, stop the store, finish a rollback that was
 * written down (this host is then primary). 0 also when there is nothing.
 */
int diskrep_backup_repair(const struct diskrep_backup_spec *spec, struct why *why);

#endif
