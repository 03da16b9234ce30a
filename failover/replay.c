/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/replay.h"

#include <stdbool.h>

enum failover_freshness failover_replay_judge(struct failover_replay *r, size_t path, uint64_t boot,
	uint64_t sequence, uint64_t answers, uint64_t own_boot)
{
	if (boot < r->boot)
		return FAILOVER_BEAT_OLD;
	/* A start of the peer. Were this a repetition, the peer's real boot is higher and wins. */
	if (boot > r->boot)
		*r = (struct failover_replay){.boot = boot};
	if (answers != own_boot)
		return FAILOVER_BEAT_UNANSWERED;
	if (sequence <= r->sequence[path] ||
		(r->newest > FAILOVER_REPLAY_LAG && sequence < r->newest - FAILOVER_REPLAY_LAG))
		return FAILOVER_BEAT_OLD;
	r->sequence[path] = sequence;
	if (sequence > r->newest)
		r->newest = sequence;
	return FAILOVER_BEAT_FRESH;
}

enum failover_news failover_newest_take(struct failover_newest *n, uint64_t boot, uint64_t sequence)
{
	const bool restarted = boot != n->boot;

	if (!restarted && sequence <= n->sequence)
		return FAILOVER_NEWS_NONE;
	*n = (struct failover_newest){boot, sequence};
	return restarted ? FAILOVER_NEWS_RESTARTED : FAILOVER_NEWS;
}
