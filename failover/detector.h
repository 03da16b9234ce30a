/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is the peer silent? Pure: time comes in as an argument (clock_now_ns), nothing goes out but the
 * answer. A peer is suspected only when all of its paths have been silent for dead-after, measured
 * on a host that was itself awake all that time.
 */
#ifndef FAILOVER_DETECTOR_H
#define FAILOVER_DETECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failover/config.h"

struct failover_timeouts;

enum failover_view {
	FAILOVER_VIEW_UNKNOWN, /* never heard, and the grace after the start is not over */
	FAILOVER_VIEW_ALIVE,
	FAILOVER_VIEW_SILENT,
};

struct failover_detector_path {
	bool ever, alive;
	uint64_t heard_ns; /* last heartbeat */
	uint64_t clock_ns; /* silence counts from here: the later of heard_ns and the last stall */
	uint64_t since_ns; /* heard without a gap since */
};

struct failover_detector {
	uint64_t dead_after_ns, stall_ns, tick_ns_expected;
	uint64_t last_tick_ns, start_ns, grace_ns;
	uint64_t pardon_ns; /* not before this is silence suspect; 0: at any time */
	enum failover_view view;
	size_t n;
	struct failover_detector_path path[FAILOVER_MAX_PATHS];
};

void failover_detector_init(struct failover_detector *d, size_t paths,
	const struct failover_timeouts *t, uint64_t now_ns);

/* A valid heartbeat came on @path. Returns true when the peer was not alive before. */
bool failover_detector_heard(struct failover_detector *d, size_t path, uint64_t now_ns);

/*
 * With each heartbeat: whether its sender @ends in order; then its silence means nothing for the
 * time of a start. Returns true when that is news.
 */
bool failover_detector_pardon(struct failover_detector *d, bool ends, uint64_t now_ns);

/* Called every heartbeat interval. Returns true when the view has changed (to SILENT). */
bool failover_detector_tick(struct failover_detector *d, uint64_t now_ns);

/* True when @path has been heard without a gap for @ms. */
bool failover_detector_steady(
	const struct failover_detector *d, size_t path, uint64_t ms, uint64_t now_ns);

#endif
