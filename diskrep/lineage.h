/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether the backup's disks have followed the primary's without a break. DRBD mends a lost
 * connection by itself: what was written meanwhile comes by a resync, in no order, and so does the
 * marker, which would then pass for a boundary that the disks have not reached.
 *
 * Two things together cannot miss a break: a volume is in step now, and its data generation (DRBD's
 * current UUID) is that of the beginning. The primary begins a new one when it loses its peer, and
 * a resync, of whatever cause, takes it over before its first block.
 */
#ifndef DISKREP_LINEAGE_H
#define DISKREP_LINEAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "diskrep/drbd.h"

struct why;

struct diskrep_lineage {
	size_t volumes;
	int minor[DISKREP_MAX_VOLUMES];
	uint64_t generation[DISKREP_MAX_VOLUMES];
};

/*
 * From here on: note the data generations of the volumes in @status. 0, -EAGAIN when one is not in
 * step, or another negative errno when the kernel does not show them; with a sentence.
 */
int diskrep_lineage_begin(
	const struct diskrep_drbd_status *status, struct diskrep_lineage *ret, struct why *why);

/* The data generation of /dev/drbd@minor now. 0 or a negative errno with a sentence. */
int diskrep_lineage_current(int minor, uint64_t *ret, struct why *why);

/* 0 when nothing has broken since; -ESTALE when something has, with a sentence. Reads files only.
 */
int diskrep_lineage_check(const struct diskrep_lineage *l, struct why *why);

/* Pure. Whether /proc/drbd, @text, says that @minor is connected and good on both hosts. */
bool diskrep_lineage_in_step(const char *text, int minor);

/* Pure. The data generation in @text, DRBD's data_gen_id, without the bit that says the role. */
int diskrep_lineage_generation(const char *text, uint64_t *ret);

#endif
