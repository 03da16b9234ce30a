/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Feeding committed epochs to the standby domain's restore, in order, by a thread of its own. The
 * libxenguest bytes are wrapped into a libxl stream: its header, one LIBXC_CONTEXT record, and a
 * CHECKPOINT_END record after each checkpoint (Xen: docs/specs/libxl-migration-stream).
 */
#ifndef REPLICATOR_FEED_H
#define REPLICATOR_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replicator/receive.h"
#include "replicator/replica.h"

struct feed;

/*
 * The standby is the checkpoint that was pushed last before `feed_visit`, and stays so until this
 * returns. In the feed's thread.
 */
typedef void feed_visitor(void *opaque, const struct replica *replica);

/* @fd: our end of the stream, owned from here on. @limit: bytes queued before feed_has_room says
 * no. */
struct feed *feed_start(int fd, size_t limit);

/* Queue @c, owned by the feed from here on. @checkpoint: it ends one. Never blocks. */
void feed_push(struct feed *f, struct chunk *c, bool checkpoint);

/*
 * Behind what has been pushed by now, whose last is a checkpoint: wait until the restore has all of
 * it in the standby's memory, and call @visit. What is pushed meanwhile waits, and so does
 * `feed_complete`: see to it that it ends. It is not called at all when the feed fails or ends
 * before that. False: no memory, or there is one already.
 */
bool feed_visit(struct feed *f, feed_visitor *visit, void *opaque);
/* There is one, which has not returned. The feed's event says when that changes. */
bool feed_visiting(struct feed *f);

bool feed_has_room(struct feed *f);

/* Readable when room has returned or the feed has failed; see feed_failed. */
int feed_event_fd(struct feed *f);
bool feed_failed(struct feed *f);

/* Write out all that is queued, then end the stream: the restore completes the domain. Blocks.
 * False when the restore does not take it. */
bool feed_complete(struct feed *f);

/* Drop what is queued and free; the fd is closed. Only when the restore is dead or complete. */
struct feed *feed_free(struct feed *f);

#endif
