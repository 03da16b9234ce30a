/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may act: the power switch and the operator, simulated; etcd by the product's own claim on the
 * store of store.c. They are combined as failover/arbiter.c combines them.
 */
#include "tests/sim/sim.h"

static enum failover_inquiry inquiry(const struct host *h, struct failover_question *ret)
{
	return failover_decide_inquire(h->state, &h->record, sim.stay_mute, ret);
}

static enum failover_verdict verdict(const struct host *h, const struct failover_question *q)
{
	enum failover_verdict claimed = FAILOVER_VERDICT_GRANTED;

	if (failover_config_asks_etcd(sim.arbiter))
		claimed = failover_claim_verdict(&h->arbiter.claim, q);
	if (claimed == FAILOVER_VERDICT_GRANTED && sim.arbiter != FAILOVER_ARBITER_ETCD &&
		!h->arbiter.proven)
		return FAILOVER_VERDICT_WAIT;
	return claimed;
}

static void granted(struct host *h)
{
	enum failover_event event;
	struct failover_question q;

	if (inquiry(h, &q) == FAILOVER_INQUIRE_GRANT &&
		failover_decide_verdict(
			h->state, &h->record, verdict(h, &q), h->arbiter.fencing, &event))
		daemon_on(h, event);
}

static void news(void *data)
{
	granted(data);
}

static void fence_ended(struct host *h, uint64_t life, uint64_t reached)
{
	struct arbiter *a = &h->arbiter;

	if (daemon_gone(h, (unsigned int)life))
		return;
	a->fencing = false;
	if ((reached && !sim_other(h)->power) || sim.bug == BUG_GRANT_TWICE) {
		a->failures = 0;
		a->proven = true;
		granted(h);
		return;
	}
	a->retry_at = sim.now + failover_backoff(sim.timeouts.fence_first, sim.timeouts.fence_last,
					++a->failures) *
					MS;
}

/* The switch obeys although the one who asked may be gone. */
static void fence_strikes(struct host *victim, uint64_t a, uint64_t b)
{
	host_lose_power(victim, "fenced");
}

static void fence_begin(struct host *h)
{
	const uint64_t takes = sim_between(200 * MS, 4 * SECOND);
	const bool reaches = sim.healing || sim_chance(850);

	h->arbiter.fencing = true;
	sim_say(h, "fences %s%s", sim_other(h)->name, reaches ? "" : ", in vain");
	if (reaches)
		sim_after(sim_random(takes), sim_other(h), fence_strikes, 0, 0);
	sim_after(takes, h, fence_ended, h->life, reaches);
	fate_crash(h, CRASH_FENCING);
}

static void operator_protects(struct host *h, uint64_t a, uint64_t b)
{
	daemon_ask_protect(h);
}

/*
 * An operator says whose the guest is, once for each generation. Most make sure that the other host
 * is off; but one that lives, and is mute, cannot do harm.
 */
static void operator_looks(struct host *h, uint64_t life, uint64_t b)
{
	if (daemon_gone(h, (unsigned int)life) || h->detector.view != FAILOVER_VIEW_SILENT ||
		!failover_machine_needs_grant(h->state))
		return;
	if (sim_other(h)->power && !sim_chance(200))
		return;
	if (h->record.generation > sim.decided) {
		sim.decided = h->record.generation;
		sim.decided_for = h->number;
	}
	if (h->record.generation != sim.decided || h->number != sim.decided_for)
		return;
	daemon_on(h, FAILOVER_ON_GRANT);
	if (failover_machine_role(h->state) == PROTO_ROLE_PRIMARY && sim_chance(300))
		fate_half_heal();
	/* And wants it protected again at once. */
	sim_after(sim_between(100 * MS, 5 * SECOND), h, operator_protects, 0, 0);
}

void arbiter_need(struct host *h)
{
	const unsigned int life = h->life;
	struct arbiter *a = &h->arbiter;
	struct failover_question q;

	inquiry(h, &q);

	a->asked = true;
	if (failover_config_asks_etcd(sim.arbiter))
		failover_claim_need(&a->product, &a->claim, &q, sim.now);
	granted(h);
	if (daemon_gone(h, life) || inquiry(h, &q) != FAILOVER_INQUIRE_GRANT || a->proven ||
		a->fencing || sim.now < a->retry_at)
		return;
	if (sim.arbiter == FAILOVER_ARBITER_FENCE ||
		(sim.arbiter == FAILOVER_ARBITER_ETCD_FENCE &&
			failover_claim_verdict(&a->claim, &q) == FAILOVER_VERDICT_GRANTED))
		fence_begin(h);
	else if (sim.arbiter == FAILOVER_ARBITER_MANUAL && sim_chance(100))
		sim_after(sim_between(0, SECOND), h, operator_looks, h->life, 0);
}

void arbiter_decided(struct host *h)
{
	struct failover_question q;

	if (inquiry(h, &q) == FAILOVER_INQUIRE_TELL && failover_config_asks_etcd(sim.arbiter))
		failover_claim_decided(&h->arbiter.product, &h->arbiter.claim, &q, sim.now);
}

void arbiter_begin(struct host *h)
{
	h->arbiter = (struct arbiter){
		.events.host = h->name,
		.product = {.timeouts = &sim.timeouts,
			.events = &h->arbiter.events,
			.etcd = (struct failover_etcd *)h,
			.news = news,
			.data = h},
	};
}

void arbiter_heard(struct host *h)
{
	h->arbiter.asked = h->arbiter.proven = false;
	h->arbiter.failures = 0;
}
