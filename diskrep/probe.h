/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The blocks of the self-test of write ordering: what the primary writes to the marker volume, with
 * the guest running, before the first checkpoint (selftest.h), for the undo store to count what
 * comes out of order (order.h). No marker: it never opens a boundary. Pure: no I/O.
 *
 * Layout, little-endian: magic (8 bytes), version (4), CRC32C of the whole block with this field
 * zero (4), uuid (16), nonce (8), generation (8), round (4), kind (4), index (4), completed (4),
 * all (4), zeros up to DISKREP_PROBE_BYTES.
 */
#ifndef DISKREP_PROBE_H
#define DISKREP_PROBE_H

#include <stdint.h>

#include "diskrep/marker.h"

#define DISKREP_PROBE_BYTES DISKREP_MARKER_BYTES
#define DISKREP_PROBE_INDEXES 32u /* bits of `completed` */

enum diskrep_probe_kind {
	DISKREP_PROBE_EARLY,  /* submitted before the round's marker */
	DISKREP_PROBE_MARKER, /* stands for a marker */
	DISKREP_PROBE_LATE,   /* submitted when the guest would have been resumed */
	DISKREP_PROBE_KINDS,
};

struct diskrep_probe {
	struct diskrep_marker session; /* as in the markers; epoch unused, 0 */
	uint32_t round;                /* from 1 */
	enum diskrep_probe_kind kind;
	uint32_t index;     /* early and late: which, below DISKREP_PROBE_INDEXES */
	uint32_t completed; /* marker: bit I says that early probe I completed before it */
	uint32_t all;       /* how many probes, markers among them, the whole test has */
};

/* Fill @ret_block (DISKREP_PROBE_BYTES). */
void diskrep_probe_encode(void *ret_block, const struct diskrep_probe *probe);

/* Read @block. 0 with *ret set, or -EBADMSG, *ret untouched, for anything but a probe. */
int diskrep_probe_decode(const void *block, struct diskrep_probe *ret);

#endif
