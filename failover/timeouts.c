/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/timeouts.h"

#include "common/cleanup.h"
#include "failover/config.h"

void failover_timeouts_init(struct failover_timeouts *t, const struct failover_config *c)
{
	uint64_t dead_after = (uint64_t)c->dead_after_ms;

	*t = (struct failover_timeouts){
		.heartbeat = (uint64_t)c->heartbeat_ms,
		.dead_after = dead_after,
		.stall = dead_after / 2,
		/* Both hosts may be starting; a daemon that is being restarted needs seconds. */
		.start_grace = dead_after * 5 > 5000 ? dead_after * 5 : 5000,
		.connect = 2000,
		.reply = 30000,
		.reprotect_delay = (uint64_t)c->reprotect_delay_ms,
		.retry_first = (uint64_t)c->reprotect_delay_ms,
		.retry_last = 60000,
		.fence_first = 1000,
		.fence_last = 30000,
		.listen_retry = 1000,
		.watchdog = 30000,
	};
	if (t->retry_last < t->retry_first)
		t->retry_last = t->retry_first;
}

uint64_t failover_backoff(uint64_t first, uint64_t last, unsigned int attempts)
{
	uint64_t wait = first;

	while (attempts-- > 1 && wait < last)
		wait *= 2;
	return wait < last ? wait : last;
}
