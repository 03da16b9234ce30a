/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real disk beneath the undo store: any byte range of it, through O_DIRECT where it allows
 * that. A write that has returned is where a write through DRBD would be: on the device, behind at
 * most the device's own cache.
 *
 * Every range must be inside the disk. @bounce is one buffer of buffers.h for the call's own use.
 */
#ifndef DISKREP_BACKING_H
#define DISKREP_BACKING_H

#include <stdbool.h>
#include <stdint.h>

struct why;

struct diskrep_backing {
	char *path;
	int fd;
	uint64_t size;  /* bytes, a multiple of 512 */
	uint32_t align; /* O_DIRECT's; 1 when buffered and synced instead */
};

/* Open @path. 0, or a negative errno with a sentence. `align` 1 says that O_DIRECT was refused. */
int diskrep_backing_open(struct diskrep_backing *b, const char *path, struct why *why);
void diskrep_backing_close(struct diskrep_backing *b);

/*
 * Must a change of this range first read what surrounds it? Then nobody else may change this disk
 * meanwhile.
 */
static inline bool diskrep_backing_is_partial(
	const struct diskrep_backing *b, uint64_t offset, uint64_t length)
{
	return (offset | length) % b->align != 0;
}

/* 0 or a negative errno. @durable: also past the device's cache (FUA). */
int diskrep_backing_read(
	const struct diskrep_backing *b, void *ret, uint64_t length, uint64_t offset, void *bounce);
int diskrep_backing_write(const struct diskrep_backing *b, const void *data, uint64_t length,
	uint64_t offset, bool durable, void *bounce);

/* Make it zeros, for zeroing and for discarding alike: a discarded block has one content then. */
int diskrep_backing_zero(const struct diskrep_backing *b, uint64_t length, uint64_t offset,
	bool durable, void *bounce);

int diskrep_backing_flush(const struct diskrep_backing *b);

#endif
