/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One epoch in the making on the backup: bytes gathered in RAM, bounded, verified at its end. */
#ifndef REPLICATOR_RECEIVE_H
#define REPLICATOR_RECEIVE_H

#include <stddef.h>
#include <stdint.h>

struct why;

/* What a chunk is for the feed; the marks have no bytes. */
enum chunk_kind {
	CHUNK_BYTES,      /* of an epoch, or a piece of the initial copy */
	CHUNK_CHECKPOINT, /* one ends here */
	CHUNK_VISIT,      /* one is due here */
};

/* malloc'd, with its data. */
struct chunk {
	struct chunk *next;
	enum chunk_kind kind;
	size_t length, capacity;
	uint8_t data[];
};

struct receive {
	size_t limit; /* bytes of one epoch */
	struct chunk *open;
	uint64_t bytes; /* of the epoch so far, initial copy included */
};

void receive_init(struct receive *rx, size_t limit);
void receive_clear(struct receive *rx);

/* Start an epoch. Whatever was open is dropped. */
void receive_begin(struct receive *rx);

/* Add bytes. -ENOSPC with a sentence when the epoch outgrows the limit, -ENOMEM. */
int receive_add(struct receive *rx, const void *data, size_t length, struct why *why);

/* Take what has been gathered, so that it can be fed on; NULL when there is nothing. */
struct chunk *receive_take(struct receive *rx);

/* Check the total that the primary states. 0 or -EBADMSG with a sentence. */
int receive_verify(struct receive *rx, uint64_t bytes, struct why *why);

#endif
