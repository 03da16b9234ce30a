/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The undo store: disks that are written through at once, each block's old content having been kept
 * first, and boundaries that arrive as writes to one of them. Knows neither NBD nor sockets.
 *
 * Invariants: (1) a block is on the disk only after its content at the newest boundary is in the
 * map, unless nothing is being saved; (2) a write lies wholly on one side of each boundary; (3) no
 * write waits for a commit, only for the disk and for the moment in which a boundary is opened.
 */
#ifndef DISKREP_UNDO_STORE_H
#define DISKREP_UNDO_STORE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "diskrep/backing.h"
#include "diskrep/buffers.h"
#include "diskrep/marker.h"
#include "diskrep/order.h"
#include "diskrep/snapshot.h"
#include "diskrep/undo.h"

struct why;

#define DISKREP_STORE_MARKER UINT32_MAX /* as a volume's number: the marker's */

/* One line for the worker ("boundary 7"); called with `barrier` held, must not block. */
typedef void diskrep_undo_store_news(void *data, const char *line);

struct diskrep_undo_store {
	/*
	 * Lock order: barrier, drill_io, drill, map, then what buffers and news have inside. A
	 * change of a volume holds `barrier` shared from its first look at the map until it is on
	 * the disk; opening a boundary, resetting and dumping hold it alone. `map` guards the undo
	 * map and `expected`; `drill` the snapshot, for which no change of a volume ever waits, and
	 * a commit only as long as a block takes in the page cache; `drill_io` has a drill do one
	 * thing at a time.
	 */
	pthread_rwlock_t barrier;
	pthread_mutex_t map;
	struct diskrep_undo *undo;
	struct diskrep_marker expected; /* epoch unused; nonce 0: no marker is expected */
	struct diskrep_order order;     /* of the probes of `expected`; guarded by `map` */
	struct diskrep_backing volumes[DISKREP_UNDO_VOLUMES_MAX], marker;
	size_t volumes_n;
	pthread_mutex_t drill_io, drill;
	struct diskrep_snapshot *snapshot; /* NULL: there is none */
	uint64_t snapshot_epoch;           /* its boundary */
	uint64_t snapshot_n;               /* which one it is */
	bool spoiled;                      /* what it would need is lost; guarded by `map` */
	struct diskrep_buffers buffers;
	diskrep_undo_store_news *news;
	void *news_data;
};

/*
 * Open @volumes and @marker, take @undo_limit bytes. @news is called from any thread. 0, or a
 * negative errno with everything closed again.
 */
int diskrep_undo_store_open(struct diskrep_undo_store *s, const char *const *volumes,
	size_t volumes_n, const char *marker, uint64_t undo_limit, diskrep_undo_store_news *news,
	void *news_data, struct why *why);
void diskrep_undo_store_close(struct diskrep_undo_store *s); /* nobody may be using it */

/*
 * Requests of the disks' user, from any number of threads. @volume is a number or
 * DISKREP_STORE_MARKER; ranges are inside it. 0 or a negative errno.
 */
uint64_t diskrep_undo_store_size(const struct diskrep_undo_store *s, uint32_t volume);
int diskrep_undo_store_read(
	struct diskrep_undo_store *s, uint32_t volume, void *ret, uint32_t length, uint64_t offset);
/* @data NULL: zeros. */
int diskrep_undo_store_write(struct diskrep_undo_store *s, uint32_t volume, const void *data,
	uint32_t length, uint64_t offset, bool durable);
int diskrep_undo_store_flush(struct diskrep_undo_store *s, uint32_t volume);

/*
 * Requests of the worker, as in control.h. `expect` answers through @news, "ok", so that no news of
 * what was before can follow the answer.
 */
void diskrep_undo_store_expect(struct diskrep_undo_store *s, const struct diskrep_marker *expected);
int diskrep_undo_store_commit(struct diskrep_undo_store *s, uint64_t epoch);
int diskrep_undo_store_dump(struct diskrep_undo_store *s, uint64_t epoch, const char *path,
	uint64_t *ret_bytes, struct why *why);
/*
 * From here on the disks at boundary @epoch, which can still be rolled back to, can be read and
 * written as a drill's, whatever is committed later: what a commit drops goes to files in @dir
 * first. There is one at a time, and it ends with the session. 0 or a negative errno.
 */
int diskrep_undo_store_snapshot(
	struct diskrep_undo_store *s, uint64_t epoch, const char *dir, struct why *why);
void diskrep_undo_store_release(struct diskrep_undo_store *s); /* also when there is none */
/* As those of the disks' user, of a volume's snapshot; -EIO when there is none, or no more. */
int diskrep_undo_store_drill_read(
	struct diskrep_undo_store *s, uint32_t volume, void *ret, uint32_t length, uint64_t offset);
int diskrep_undo_store_drill_write(struct diskrep_undo_store *s, uint32_t volume, const void *data,
	uint32_t length, uint64_t offset);

/* Before the process ends: let what is being written end, begin nothing more, sync the disks. */
void diskrep_undo_store_settle(struct diskrep_undo_store *s);
void diskrep_undo_store_info(struct diskrep_undo_store *s, struct diskrep_undo_info *ret);
/* What the self-test of the expected session has shown so far, for each way. */
void diskrep_undo_store_order(struct diskrep_undo_store *s, struct diskrep_order_count *ret);

#endif
