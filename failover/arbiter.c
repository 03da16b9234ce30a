/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/arbiter.h"

#include <string.h>

#include "common/clock.h"
#include "common/why.h"
#include "failover/fence_agent.h"

static int on_retry(sd_event_source *s, uint64_t usec, void *data);
static void fence_need(struct failover_arbiter *a);

static void on_fenced(void *data, int result, const struct why *why)
{
	struct failover_arbiter *a = data;

	a->fence = NULL;
	if (result == 0) {
		a->failures = 0;
		a->level = 0;
		a->proven = true;
		failover_event(a->events, NULL, "fenced", "%s is off, the fence agent confirms it",
			a->peer->name);
		a->granted(a->data);
		return;
	}
	if (++a->level < a->peer->fences_n && a->asked) {
		failover_event(a->events, NULL, "fence-failed",
			"level %zu of fencing %s failed: %s; level %zu follows", a->level,
			a->peer->name, why->text, a->level + 1);
		fence_need(a);
		return;
	}
	a->level = 0;
	a->failures++;
	failover_event(a->events, NULL, "fence-failed",
		"fencing %s failed: %s; its domains stay paused or mute until it succeeds (attempt "
		"%u follows): repair the fence device, or switch %s off by hand and run romulus "
		"confirm-dead %s",
		a->peer->name, why->text, a->failures + 1, a->peer->name, a->peer->name);
	if (!a->asked)
		return;
	sd_event_add_time_relative(a->event, &a->retry, CLOCK_MONOTONIC,
		failover_backoff(a->timeouts->fence_first, a->timeouts->fence_last, a->failures) *
			1000,
		1000, on_retry, a);
}

static int on_retry(sd_event_source *s, uint64_t usec, void *data)
{
	struct failover_arbiter *a = data;

	a->retry = sd_event_source_unref(a->retry);
	if (a->asked)
		fence_need(a);
	return 0;
}

static void fence_need(struct failover_arbiter *a)
{
	struct why why;

	if (a->fence || a->retry)
		return;
	failover_event(a->events, NULL, "fence-begin",
		"%s is silent on all paths: switching it off with %s", a->peer->name,
		a->peer->fences[a->level].agent);
	if (failover_fence_start(a->event, &a->peer->fences[a->level], a->peer->name, on_fenced, a,
		    &a->fence, &why) < 0)
		on_fenced(a, -1, &why);
}

static const char *fence_waiting(const struct failover_arbiter *a)
{
	return a->failures ? "waiting for the fence agent, which has failed so far"
			   : "waiting for the fence agent";
}

static void manual_need(struct failover_arbiter *a)
{
	if (a->failures++ > 0)
		return; /* said already */
	failover_event(a->events, NULL, "waiting",
		"%s is silent on all paths and its arbiter is manual: nothing moves until an "
		"operator has made sure that it is off and runs romulus confirm-dead %s",
		a->peer->name, a->peer->name);
}

static const char *manual_waiting(const struct failover_arbiter *a)
{
	return "waiting for an operator: make sure the peer is off, then romulus confirm-dead";
}

/* Indexed by enum failover_arbiter_kind. */
static const struct failover_arbiter_ops backends[] = {
	[FAILOVER_ARBITER_MANUAL] = {"manual", manual_need, manual_waiting},
	[FAILOVER_ARBITER_FENCE] = {"fence", fence_need, fence_waiting},
};

void failover_arbiter_init(struct failover_arbiter *a, sd_event *event,
	const struct failover_peer_config *peer, const struct failover_timeouts *timeouts,
	struct failover_events *events, void (*granted)(void *data), void *data)
{
	*a = (struct failover_arbiter){
		.ops = &backends[peer->arbiter],
		.event = event,
		.peer = peer,
		.timeouts = timeouts,
		.events = events,
		.granted = granted,
		.data = data,
	};
}

void failover_arbiter_dispose(struct failover_arbiter *a)
{
	a->fence = failover_fence_free(a->fence);
	a->retry = sd_event_source_disable_unref(a->retry);
}

bool failover_arbiter_need(struct failover_arbiter *a, bool as_primary, uint64_t now_ns)
{
	if (a->proven)
		return true;
	if (!a->asked)
		a->asked_ns = now_ns;
	a->asked = true;
	if (as_primary || now_ns - a->asked_ns >= (uint64_t)a->peer->fence_delay_ms * NSEC_PER_MSEC)
		a->ops->need(a);
	return a->proven;
}

void failover_arbiter_confirm(struct failover_arbiter *a)
{
	a->failures = 0;
	a->level = 0;
	a->proven = true;
	a->granted(a->data);
}

void failover_arbiter_heard(struct failover_arbiter *a)
{
	a->asked = a->proven = false;
	a->failures = 0;
	if (!a->fence)
		a->level = 0;
	a->retry = sd_event_source_disable_unref(a->retry);
}

bool failover_arbiter_busy(const struct failover_arbiter *a)
{
	return a->fence != NULL;
}
