/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rollback file, little-endian throughout: one header, records in any order, one end record,
 * and nothing after it. Written by the undo store, read by the worker that takes over.
 */
#ifndef DISKREP_ROLLBACK_FORMAT_H
#define DISKREP_ROLLBACK_FORMAT_H

#include <stdint.h>

#define ROLLBACK_MAGIC "ROMROLL" /* and a NUL: 8 bytes */
#define ROLLBACK_VERSION 1
#define ROLLBACK_END UINT32_MAX
#define ROLLBACK_DATA_MAX (256u << 10) /* bytes of one record */
#define ROLLBACK_UNIT 512u             /* offsets and lengths are multiples of it */

struct rollback_header {
	char magic[8];
	uint32_t version, volumes;
	uint8_t uuid[16];
	uint64_t generation, epoch;
	uint32_t reserved; /* 0 */
	uint32_t crc;      /* CRC32C of what is above */
};

/*
 * A record: @length bytes of data follow, which belong at @offset of @volume. The end: volume
 * ROLLBACK_END, length 0, offset the number of records. @crc continues from record to record,
 * beginning with the header's: of these 16 bytes, then of the data. So the end record's vouches for
 * the whole file.
 */
struct rollback_record {
	uint32_t volume, length;
	uint64_t offset; /* bytes */
	uint32_t crc;
} __attribute__((packed));

#define ROLLBACK_RECORD_SUMMED 16

_Static_assert(sizeof(struct rollback_header) == 56, "rollback header");
_Static_assert(sizeof(struct rollback_record) == 20, "rollback record");

#endif
