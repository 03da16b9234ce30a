/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/detector.h"

#include <string.h>

#include "common/clock.h"
#include "failover/timeouts.h"

void failover_detector_init(struct failover_detector *d, size_t paths,
	const struct failover_timeouts *t, uint64_t now_ns)
{
	memset(d, 0, sizeof(*d));
	d->n = paths;
	d->dead_after_ns = t->dead_after * NSEC_PER_MSEC;
	d->stall_ns = t->stall * NSEC_PER_MSEC;
	d->tick_ns_expected = t->heartbeat * NSEC_PER_MSEC;
	d->grace_ns = t->start_grace * NSEC_PER_MSEC;
	d->start_ns = d->last_tick_ns = now_ns;
	for (size_t i = 0; i < paths; i++)
		d->path[i].clock_ns = now_ns;
}

bool failover_detector_heard(struct failover_detector *d, size_t path, uint64_t now_ns)
{
	struct failover_detector_path *p = &d->path[path];
	bool first = d->view != FAILOVER_VIEW_ALIVE;

	if (!p->alive)
		p->since_ns = now_ns;
	p->ever = p->alive = true;
	p->heard_ns = p->clock_ns = now_ns;
	d->view = FAILOVER_VIEW_ALIVE;
	return first;
}

bool failover_detector_pardon(struct failover_detector *d, bool ends, uint64_t now_ns)
{
	const bool news = ends && !d->pardon_ns;

	d->pardon_ns = ends ? now_ns + d->grace_ns : 0;
	return news;
}

/* A host that slept, was paused or starved knows nothing about that time: count anew. */
static void forgive_stall(struct failover_detector *d, uint64_t now_ns)
{
	uint64_t gap = now_ns - d->last_tick_ns;

	d->last_tick_ns = now_ns;
	if (gap <= d->tick_ns_expected + d->stall_ns)
		return;
	d->start_ns = now_ns;
	for (size_t i = 0; i < d->n; i++)
		d->path[i].clock_ns = now_ns;
}

bool failover_detector_tick(struct failover_detector *d, uint64_t now_ns)
{
	bool any = false;

	forgive_stall(d, now_ns);
	for (size_t i = 0; i < d->n; i++) {
		struct failover_detector_path *p = &d->path[i];

		if (now_ns - p->clock_ns >= d->dead_after_ns)
			p->alive = false;
		any = any || p->alive;
	}
	switch (d->view) {
	case FAILOVER_VIEW_UNKNOWN:
		if (now_ns - d->start_ns < d->grace_ns)
			return false;
		break;
	case FAILOVER_VIEW_ALIVE:
		if (any || now_ns < d->pardon_ns)
			return false;
		break;
	case FAILOVER_VIEW_SILENT:
		return false;
	}
	d->view = FAILOVER_VIEW_SILENT;
	return true;
}

bool failover_detector_steady(
	const struct failover_detector *d, size_t path, uint64_t ms, uint64_t now_ns)
{
	const struct failover_detector_path *p = &d->path[path];

	return p->alive && now_ns - p->since_ns >= ms * NSEC_PER_MSEC;
}
