/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One fencing: a fence agent (the ClusterLabs interface: key=value lines on standard input) is run
 * with action=off and then with action=status. Only an exit status of 2 from the latter, "off",
 * counts: an agent that reports success while the plug is still on proves nothing.
 */
#ifndef FAILOVER_FENCE_AGENT_H
#define FAILOVER_FENCE_AGENT_H

#include <systemd/sd-event.h>

#include "common/why.h"
#include "failover/config.h"

struct failover_fence;

/* @result: 0 the peer is off; else a negative errno and the sentence. The object is gone when this
 * returns. */
typedef void failover_fence_done(void *data, int result, const struct why *why);

int failover_fence_start(sd_event *event, const struct failover_fence_config *conf,
	const char *peer, failover_fence_done *done, void *data, struct failover_fence **ret,
	struct why *why);
struct failover_fence *failover_fence_free(struct failover_fence *f);

#endif
