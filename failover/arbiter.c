/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/arbiter.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/why.h"
#include "failover/fence_agent.h"

static void fence(struct failover_arbiter *a);

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
		a->news(a->data);
		return;
	}
	if (++a->level < a->peer->fences_n && a->asked) {
		failover_event(a->events, NULL, "fence-failed",
			"level %zu of fencing %s failed: %s; level %zu follows", a->level,
			a->peer->name, why->text, a->level + 1);
		fence(a);
		return;
	}
	a->level = 0;
	a->failures++;
	failover_event(a->events, NULL, "fence-failed",
		"fencing %s failed: %s; its domains stay paused or mute until it succeeds (attempt "
		"%u follows): repair the fence device, or switch %s off by hand and run romulus "
		"confirm-dead %s",
		a->peer->name, why->text, a->failures + 1, a->peer->name, a->peer->name);
	a->wait = a->asked;
}

static void fence(struct failover_arbiter *a)
{
	struct why why;

	failover_event(a->events, NULL, "fence-begin",
		"%s is silent on all paths: switching it off with %s", a->peer->name,
		a->peer->fences[a->level].agent);
	if (failover_fence_start(a->event, &a->peer->fences[a->level], a->peer->name, on_fenced, a,
		    &a->fence, &why) < 0)
		on_fenced(a, -1, &why);
}

/* Time is the caller's: the wait after a failure begins when he next asks. */
static void fence_need(struct failover_arbiter *a, struct failover_claim *c,
	const struct failover_question *q, uint64_t now_ns)
{
	if (a->fence)
		return;
	if (a->wait)
		a->retry_at_ns = now_ns + failover_backoff(a->timeouts->fence_first,
						  a->timeouts->fence_last, a->failures) *
						  NSEC_PER_MSEC;
	a->wait = false;
	if (!a->proven && now_ns >= a->retry_at_ns)
		fence(a);
}

static enum failover_verdict proof(const struct failover_arbiter *a, const struct failover_claim *c,
	const struct failover_question *q)
{
	return a->proven ? FAILOVER_VERDICT_GRANTED : FAILOVER_VERDICT_WAIT;
}

static void fence_waiting(
	const struct failover_arbiter *a, const struct failover_claim *c, char *ret, size_t size)
{
	snprintf(ret, size, "waiting for the fence agent%s",
		a->failures ? ", which has failed so far" : "");
}

static void manual_need(struct failover_arbiter *a, struct failover_claim *c,
	const struct failover_question *q, uint64_t now_ns)
{
	if (a->proven || a->failures++ > 0)
		return; /* said already */
	failover_event(a->events, NULL, "waiting",
		"%s is silent on all paths and its arbiter is manual: nothing moves until an "
		"operator has made sure that it is off and runs romulus confirm-dead %s",
		a->peer->name, a->peer->name);
}

static void manual_waiting(
	const struct failover_arbiter *a, const struct failover_claim *c, char *ret, size_t size)
{
	snprintf(ret, size,
		"waiting for an operator: make sure the peer is off, then romulus confirm-dead");
}

static enum failover_verdict etcd_verdict(const struct failover_arbiter *a,
	const struct failover_claim *c, const struct failover_question *q)
{
	return failover_claim_verdict(c, q);
}

static void etcd_waiting(
	const struct failover_arbiter *a, const struct failover_claim *c, char *ret, size_t size)
{
	failover_claim_waiting(c, ret, size);
}

/* First who may act, then that the other one cannot: of two hosts only the first one shoots. */
static void both_need(struct failover_arbiter *a, struct failover_claim *c,
	const struct failover_question *q, uint64_t now_ns)
{
	failover_claim_need(a, c, q, now_ns);
	if (q->word != FAILOVER_DECISION_NONE &&
		failover_claim_verdict(c, q) == FAILOVER_VERDICT_GRANTED)
		fence_need(a, c, q, now_ns);
}

static enum failover_verdict both_verdict(const struct failover_arbiter *a,
	const struct failover_claim *c, const struct failover_question *q)
{
	const enum failover_verdict verdict = failover_claim_verdict(c, q);

	if (verdict == FAILOVER_VERDICT_GRANTED && q->word != FAILOVER_DECISION_NONE)
		return proof(a, c, q);
	return verdict;
}

static void both_waiting(
	const struct failover_arbiter *a, const struct failover_claim *c, char *ret, size_t size)
{
	if (c->state == FAILOVER_CLAIM_OURS)
		fence_waiting(a, c, ret, size);
	else
		failover_claim_waiting(c, ret, size);
}

/* Indexed by enum failover_arbiter_kind. */
static const struct failover_arbiter_ops backends[] = {
	[FAILOVER_ARBITER_MANUAL] = {"manual", manual_need, proof, manual_waiting},
	[FAILOVER_ARBITER_FENCE] = {"fence", fence_need, proof, fence_waiting},
	[FAILOVER_ARBITER_ETCD] = {"etcd", failover_claim_need, etcd_verdict, etcd_waiting},
	[FAILOVER_ARBITER_ETCD_FENCE] = {"etcd+fence", both_need, both_verdict, both_waiting},
};

void failover_arbiter_init(struct failover_arbiter *a, sd_event *event,
	const struct failover_peer_config *peer, const struct failover_timeouts *timeouts,
	struct failover_events *events, struct failover_etcd *etcd, void (*news)(void *data),
	void *data)
{
	*a = (struct failover_arbiter){
		.ops = &backends[peer->arbiter],
		.event = event,
		.peer = peer,
		.timeouts = timeouts,
		.events = events,
		.etcd = etcd,
		.news = news,
		.data = data,
	};
}

void failover_arbiter_dispose(struct failover_arbiter *a)
{
	a->fence = failover_fence_free(a->fence);
}

enum failover_verdict failover_arbiter_verdict(const struct failover_arbiter *a,
	const struct failover_claim *c, const struct failover_question *q)
{
	return a->ops->verdict(a, c, q);
}

enum failover_verdict failover_arbiter_need(struct failover_arbiter *a, struct failover_claim *c,
	const struct failover_question *q, uint64_t now_ns)
{
	if (!a->asked)
		a->asked_ns = now_ns;
	a->asked = true;
	if (q->as_primary ||
		now_ns - a->asked_ns >= (uint64_t)a->peer->fence_delay_ms * NSEC_PER_MSEC)
		a->ops->need(a, c, q, now_ns);
	return a->ops->verdict(a, c, q);
}

void failover_arbiter_decided(struct failover_arbiter *a, struct failover_claim *c,
	const struct failover_question *q, uint64_t now_ns)
{
	if (failover_config_asks_etcd(a->peer->arbiter))
		failover_claim_decided(a, c, q, now_ns);
}

void failover_arbiter_confirm(struct failover_arbiter *a)
{
	a->failures = 0;
	a->level = 0;
	a->proven = true;
	a->news(a->data);
}

void failover_arbiter_heard(struct failover_arbiter *a)
{
	a->asked = a->proven = false;
	a->failures = 0;
	if (!a->fence)
		a->level = 0;
	a->wait = false;
	a->retry_at_ns = 0;
}

bool failover_arbiter_busy(const struct failover_arbiter *a)
{
	return a->fence != NULL;
}
