/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The self-test of write ordering, the primary's half: rounds of probes on the marker volume, with
 * a marker among them. Early probes are under way when the marker is written, as a guest's writes
 * are; late ones follow as soon as the guest would have been resumed.
 */
#ifndef DISKREP_SELFTEST_H
#define DISKREP_SELFTEST_H

#include <stdint.h>

#include "diskrep/marker_write.h"
#include "diskrep/probe.h"

#define DISKREP_SELFTEST_ROUNDS 32u
#define DISKREP_SELFTEST_BYTES (76u * 1024u) /* of the marker volume */

struct diskrep_selftest {
	uint32_t probes; /* written, markers among them */
	uint32_t us;     /* median from a marker's submission to its completion */
};

/*
 * Run it through @w; @session is in every probe. Takes a few hundred writes' time. 0 and *ret, or a
 * negative errno of the disk. The volume has DISKREP_SELFTEST_BYTES at least.
 */
int diskrep_selftest_run(struct diskrep_marker_write *w, const struct diskrep_marker *session,
	struct diskrep_selftest *ret);

#endif
