/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/precopy.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"

#define IN_VAIN_MAX 2

/*
 * As fast as the last round went, in which the guest has dirtied @dirty pages: so many of them in
 * the time that sending them takes, and those are sent while it stands still.
 */
static uint64_t downtime_ms(const struct precopy *p, uint64_t dirty, uint64_t now_ns)
{
	const double took = (double)(now_ns - p->begun_ns);
	const double per_page = took / (double)p->pages;
	const double again = took > 0 ? (double)dirty * ((double)dirty * per_page / took) : 0;

	return (uint64_t)(again * per_page / NSEC_PER_MSEC);
}

static bool is_in_vain(struct precopy *p, uint64_t dirty)
{
	/* A tenth less is what chance makes of the same. */
	p->in_vain = dirty > p->last_dirty - p->last_dirty / 10 ? p->in_vain + 1 : 0;
	return p->in_vain >= IN_VAIN_MAX;
}

bool precopy_is_last(struct precopy *p, unsigned int round, uint64_t dirty, uint64_t now_ns,
	char reason[PRECOPY_REASON_MAX])
{
	const struct precopy_terms *t = &p->terms;
	bool in_vain = false;

	reason[0] = '\0';
	p->downtime_ms = round && p->pages ? downtime_ms(p, dirty, now_ns) : 0;
	if (round >= 2) /* the first one has sent everything, which compares with nothing */
		in_vain = is_in_vain(p, dirty);
	if (round && !dirty)
		snprintf(reason, PRECOPY_REASON_MAX, "nothing is left to send");
	else if (round && t->dirty_threshold && dirty < t->dirty_threshold)
		snprintf(reason, PRECOPY_REASON_MAX,
			"%" PRIu64 " pages are left to send, fewer than %" PRIu32, dirty,
			t->dirty_threshold);
	else if (round && t->max_downtime_ms && p->downtime_ms <= t->max_downtime_ms)
		snprintf(reason, PRECOPY_REASON_MAX,
			"what will be left is sent in about %" PRIu64 " ms, no more than %" PRIu32,
			p->downtime_ms, t->max_downtime_ms);
	else if (t->max_rounds && round >= t->max_rounds)
		snprintf(reason, PRECOPY_REASON_MAX,
			"%u rounds are over and %" PRIu64 " pages left to send", round, dirty);
	else if (in_vain)
		snprintf(reason, PRECOPY_REASON_MAX,
			"the guest dirties %" PRIu64
			" pages while as many are sent: more rounds would not change that",
			dirty);
	p->begun_ns = now_ns;
	p->pages = dirty;
	p->last_dirty = dirty;
	return reason[0] != '\0';
}
