/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The undo map: the old content of every block that was overwritten since a boundary. Pure: no I/O,
 * no locks (the caller has one), no allocation after diskrep_undo_open().
 *
 * Boundary E opens generation E of the map; a block is saved once per generation, before its first
 * overwrite in it. The disks at boundary E are therefore what they are now, with each block that
 * is in a generation >= E replaced by the oldest of its contents there.
 *
 * Before the first boundary nothing is saved. When the pool is full everything is dropped and
 * nothing is saved any more until a reset: half a map would be a lie.
 */
#ifndef DISKREP_UNDO_H
#define DISKREP_UNDO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct why;
struct diskrep_undo;

#define DISKREP_UNDO_BLOCK 4096u /* bytes; the last block of a volume may be shorter */
#define DISKREP_UNDO_VOLUMES_MAX 64

enum diskrep_undo_state {
	DISKREP_UNDO_IDLE,     /* no boundary since the reset: nothing to roll back to */
	DISKREP_UNDO_SAVING,   /* boundaries oldest..newest can be rolled back to */
	DISKREP_UNDO_OVERFLOW, /* nothing can be rolled back to, until a reset */
};

struct diskrep_undo_info {
	enum diskrep_undo_state state;
	uint64_t oldest, newest; /* boundaries; 0 unless saving */
	uint64_t used, limit;    /* bytes of saved content */
	uint64_t largest;        /* the most between two boundaries since the reset */
	bool locked;             /* the pool cannot be swapped out */
};

/* One block of a rollback; @content is the map's, valid until the map changes. */
struct diskrep_undo_item {
	uint32_t volume, length;
	uint64_t offset; /* bytes */
	const uint8_t *content;
};

/*
 * @sizes: of each volume in bytes, multiples of 512. @limit: bytes of old content; all of it, and
 * about 1 % more for the index, is taken and locked now. Failing to lock it is no failure (see
 * info.locked). Returns 0 with *ret owned by the caller; -EINVAL, -ENOMEM.
 */
int diskrep_undo_open(const uint64_t *sizes, size_t volumes_n, uint64_t limit,
	struct diskrep_undo **ret, struct why *why);
struct diskrep_undo *diskrep_undo_close(struct diskrep_undo *u); /* NULL ok; returns NULL */

/* Forget everything and wait for boundary 1. */
void diskrep_undo_reset(struct diskrep_undo *u);

/*
 * Boundary @epoch is here. 0; -EPROTO and nothing changed when it is not the successor of the last
 * one (1 at first); -ENOSPC after an overflow, or when it causes one (thousands of boundaries that
 * nobody commits).
 */
int diskrep_undo_boundary(struct diskrep_undo *u, uint64_t epoch);

/* Must @block (number, of @volume) be saved before it is overwritten now? */
bool diskrep_undo_wants(const struct diskrep_undo *u, uint32_t volume, uint64_t block);

/* Bytes of @block: DISKREP_UNDO_BLOCK, less for a short last one. @block is inside the volume. */
uint32_t diskrep_undo_length(const struct diskrep_undo *u, uint32_t volume, uint64_t block);

/*
 * Keep @content (diskrep_undo_length() bytes, copied) of a block; a no-op when it is not wanted, so
 * that the first of several concurrent savers wins. 0, or -ENOSPC when this was the overflow.
 */
int diskrep_undo_save(struct diskrep_undo *u, uint32_t volume, uint64_t block, const void *content);

/* What a block had at boundary @epoch, if it was overwritten since (the map's); else NULL. */
const uint8_t *diskrep_undo_content(
	const struct diskrep_undo *u, uint32_t volume, uint64_t block, uint64_t epoch);

/*
 * The commit of boundary @epoch in single steps, for who wants what it drops: the next content that
 * it would, of generation *ret_boundary, or false when it would drop nothing. Such a content stays
 * where it is until diskrep_undo_drop, whatever is saved meanwhile, or until a reset or overflow.
 */
bool diskrep_undo_dropped(const struct diskrep_undo *u, uint64_t epoch, uint64_t *ret_boundary,
	struct diskrep_undo_item *ret);
void diskrep_undo_drop(struct diskrep_undo *u); /* that one */

/*
 * Drop what is older than boundary @epoch, which becomes the oldest. 0, also when it was dropped
 * already; -EINVAL for a boundary that has not come; -ENOSPC after an overflow.
 */
int diskrep_undo_commit(struct diskrep_undo *u, uint64_t epoch);

/*
 * Prepare the rollback to boundary @epoch: *ret_n blocks, ordered by volume and offset, to be read
 * with diskrep_undo_item(0 .. n-1) before the map changes. 0, -EINVAL for a boundary that is not
 * in oldest..newest, -ENOSPC after an overflow.
 */
int diskrep_undo_rollback(struct diskrep_undo *u, uint64_t epoch, size_t *ret_n);
struct diskrep_undo_item diskrep_undo_item(const struct diskrep_undo *u, size_t i);

void diskrep_undo_info(const struct diskrep_undo *u, struct diskrep_undo_info *ret);

#endif
