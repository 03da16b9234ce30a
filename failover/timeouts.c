/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/timeouts.h"

#include <inttypes.h>

#include "common/cleanup.h"
#include "common/clock.h"
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
		.etcd_first = 200,
		.etcd_last = 5000,
		.etcd_probe = 60000,
		.listen_retry = 1000,
		.watchdog = 30000,
	};
	if (t->retry_last < t->retry_first)
		t->retry_last = t->retry_first;
}

#define LINE(member, meaning)                                                                      \
	{                                                                                          \
#member, meaning, offsetof(struct failover_timeouts, member)                       \
	}

static const struct {
	const char *name, *meaning;
	size_t offset;
} lines[] = {
	LINE(heartbeat, "between two heartbeats on a path"),
	LINE(dead_after, "silence of all paths until a peer is suspected"),
	LINE(stall, "own lateness that voids the silence measured so far"),
	LINE(start_grace, "silence allowed to a peer that was never heard since the start"),
	LINE(connect, "to connect to a peer and greet it, on one path"),
	LINE(reply, "for a peer's answer"),
	LINE(reprotect_delay, "the first path heard for so long before protection is tried"),
	LINE(retry_first, "until protection is tried again, at first; it doubles"),
	LINE(retry_last, "the same, at most"),
	LINE(fence_first, "until fencing is tried again, at first; it doubles"),
	LINE(fence_last, "the same, at most"),
	LINE(etcd_first, "until etcd is asked again, at first; it doubles"),
	LINE(etcd_last, "the same, at most"),
	LINE(etcd_probe, "between two looks at whether etcd still answers"),
	LINE(listen_retry, "until an address of this host that is missing is tried again"),
	LINE(watchdog, "without a sign of life, until the service manager restarts romulusd"),
};

void failover_timeouts_print(FILE *out, const struct failover_timeouts *t)
{
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		fprintf(out, "%-16s %6" PRIu64 " ms  %s\n", lines[i].name,
			*(const uint64_t *)((const char *)t + lines[i].offset), lines[i].meaning);
}

uint64_t failover_backoff(uint64_t first, uint64_t last, unsigned int attempts)
{
	uint64_t wait = first;

	while (attempts-- > 1 && wait < last)
		wait *= 2;
	return wait < last ? wait : last;
}

void failover_attempts_fail(
	struct failover_attempts *a, const struct failover_timeouts *t, uint64_t now_ns)
{
	a->n = a->not_yet ? 1 : a->n + 1;
	a->retry_at_ns =
		now_ns + failover_backoff(t->retry_first, t->retry_last, a->n) * NSEC_PER_MSEC;
}
