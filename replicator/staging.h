/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the save core writes an epoch: a memfd of bounded size, kept mapped, reused from epoch to
 * epoch. One epoch at a time: the socket refers to these pages until the backup has the epoch, so
 * the next one is written only after the ack of the one before, which staging_taken and
 * staging_committed assert.
 */
#ifndef REPLICATOR_STAGING_H
#define REPLICATOR_STAGING_H

#include <stddef.h>
#include <stdint.h>

struct why;

struct staging {
	int fd; /* written by the save core */
	uint8_t *map;
	size_t limit;
	size_t length;  /* of the captured epoch */
	size_t largest; /* so far */
	int uncommitted;
};

/* @limit: bytes, page multiple. Memory is only used as it is written. 0 or a negative errno. */
int staging_open(struct staging *st, size_t limit, struct why *why);
void staging_close(struct staging *st);

/* The core has written an epoch: take its length. */
void staging_taken(struct staging *st);
/* The epoch is acknowledged: the core may write the next one from the start. */
void staging_committed(struct staging *st);

#endif
