/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The marker: the block that the primary writes to the marker volume, with the guest suspended, to
 * say where in the stream of disk writes a checkpoint lies. Everything before its arrival belongs
 * to the checkpoint, everything after does not. Pure: no I/O.
 *
 * Layout, little-endian: magic (8 bytes), version (4), CRC32C of the whole block with this field
 * zero (4), uuid (16), nonce (8), generation (8), epoch (8), zeros up to DISKREP_MARKER_BYTES.
 */
#ifndef DISKREP_MARKER_H
#define DISKREP_MARKER_H

#include <stdint.h>

#define DISKREP_MARKER_BYTES 4096
#define DISKREP_UUID_TEXT 37 /* 8-4-4-4-12 hexadecimal digits and the final NUL */

struct diskrep_marker {
	uint8_t uuid[16];    /* of the domain */
	uint64_t nonce;      /* of the session, random: a marker left by another one never counts */
	uint64_t generation; /* of the protection */
	uint64_t epoch;      /* from 1 within a generation */
};

/* Fill @ret_block (DISKREP_MARKER_BYTES) with the marker for @marker. */
void diskrep_marker_encode(void *ret_block, const struct diskrep_marker *marker);

/*
 * Read @block (DISKREP_MARKER_BYTES). Returns 0 with *ret set, or -EBADMSG, *ret untouched, for
 * anything that the encoder cannot have written.
 */
int diskrep_marker_decode(const void *block, struct diskrep_marker *ret);

/* @text is a uuid of 8-4-4-4-12 hexadecimal digits and nothing else. 0 or -EINVAL. */
int diskrep_uuid_parse(const char *text, uint8_t ret[16]);
void diskrep_uuid_print(const uint8_t uuid[16], char ret[DISKREP_UUID_TEXT]);

#endif
