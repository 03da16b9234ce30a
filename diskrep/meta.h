/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One metadata device for all volumes of a resource. DRBD's flexible external metadata wants a
 * device for each volume: so the device carries a label that says to whom it belongs and how it is
 * divided, and each share becomes a linear device. The label is written once; the shares do not
 * move when a volume or the metadata device grows.
 */
#ifndef DISKREP_META_H
#define DISKREP_META_H

#include <stddef.h>
#include <stdint.h>

#include "common/why.h"
#include "diskrep/drbd.h"

#define DISKREP_META_LABEL_BYTES 4096u

struct diskrep_meta_label {
	char resource[DISKREP_DRBD_NAME_MAX + 1];
	uint32_t volumes;
	struct {
		uint64_t start, sectors; /* of 512 bytes */
	} share[DISKREP_MAX_VOLUMES];
};

/* Sectors of metadata that DRBD 8.4 needs for a volume of @sectors. */
uint64_t diskrep_meta_needed(uint64_t sectors);

/*
 * Divide a device of @device_sectors equally among @volumes volumes, the largest of which has
 * @largest sectors. -ENOSPC with a sentence that says how large it must be.
 */
int diskrep_meta_divide(const char *resource, size_t volumes, uint64_t largest,
	uint64_t device_sectors, struct diskrep_meta_label *ret, struct why *why);

/* The label as it is on disk, little-endian, with a CRC32C. */
void diskrep_meta_encode(
	const struct diskrep_meta_label *label, uint8_t block[DISKREP_META_LABEL_BYTES]);

/* -ENODATA: only zeros. -EBADMSG: something else than a whole label. */
int diskrep_meta_decode(
	const uint8_t block[DISKREP_META_LABEL_BYTES], struct diskrep_meta_label *ret);

/* Read the label of @device: as diskrep_meta_decode, with a sentence, or another negative errno. */
int diskrep_meta_read(const char *device, struct diskrep_meta_label *ret, struct why *why);

/* Write it, over whatever is there, and wait until it is on disk. */
int diskrep_meta_write(const char *device, const struct diskrep_meta_label *label, struct why *why);

#endif
