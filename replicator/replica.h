/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a standby has been fed, as far as a second domain could be made of it: which pages it has,
 * and the records without pages of its last checkpoint. Its pages themselves are read from the
 * standby (hv->copy_out). HVM and PVH: libxc's stream names their pages by their own numbers
 * (docs/specs/libxc-migration-stream.pandoc in Xen's source).
 */
#ifndef REPLICATOR_REPLICA_H
#define REPLICATOR_REPLICA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct replica_records {
	uint8_t *data;
	size_t length, room;
};

/* All zeros to begin with; replica_clear it. */
struct replica {
	struct replica_records head; /* the stream before its first page */
	struct replica_records tail; /* of the last checkpoint, without the record that ends it */
	uint64_t *pages;             /* a bit for each that holds memory */
	size_t words;
	const char *broken; /* why no domain can be made of it; NULL: one can */

	/* The record that is being fed. */
	struct replica_records next; /* of the checkpoint at hand */
	struct replica_records *keep;
	uint8_t unit[24];
	size_t unit_n, unit_size;
	uint64_t skip; /* bytes of its body still to come */
	uint32_t entries;
	unsigned int stage;
	bool paged; /* a page was fed: the head is over */
};

/* The next bytes, which were verified as far as their sender can be believed; never fails. */
void replica_feed(struct replica *r, const void *data, size_t n);

/* The first page at or after @from that holds memory, or UINT64_MAX. */
uint64_t replica_page(const struct replica *r, uint64_t from);

void replica_clear(struct replica *r);

#endif
