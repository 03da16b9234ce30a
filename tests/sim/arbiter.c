/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may act is decided by failover/arbiter.o. What it asks is here: the power switch, which
 * stands in for failover/fence_agent.c, and the operator. etcd is in store.c.
 */
#include "tests/sim/sim.h"

#include "failover/fence_agent.h"

/* One run of the agent; at most one for each host. */
struct failover_fence {
	uint64_t serial; /* 0: none */
	failover_fence_done *done;
	void *data;
};

static struct failover_fence runs[HOSTS];
static uint64_t serials;

/* ---- the power switch ----------------------------------------------------------------------- */

static void fence_ended(struct host *h, uint64_t serial, uint64_t reached)
{
	const bool off = (reached && !sim_other(h)->power) || sim.bug == BUG_GRANT_TWICE;
	const struct failover_fence taken = runs[h->number];
	const struct why why = {"the switch does not answer"};

	if (taken.serial != serial)
		return;
	runs[h->number].serial = 0;
	taken.done(taken.data, off ? 0 : -1, &why);
}

/* The switch obeys although the one who asked may be gone. */
static void fence_strikes(struct host *victim, uint64_t a, uint64_t b)
{
	host_lose_power(victim, "fenced");
}

static void crash_fencing(struct host *h, uint64_t serial, uint64_t b)
{
	if (runs[h->number].serial == serial)
		fate_crash(h, CRASH_FENCING);
}

int failover_fence_start(sd_event *event, const struct failover_fence_config *conf,
	const char *peer, failover_fence_done *done, void *data, struct failover_fence **ret,
	struct why *why)
{
	struct host *h = (struct host *)event;
	const uint64_t takes = sim_between(200 * MS, 4 * SECOND);
	const bool reaches = sim.healing || sim_chance(850);

	*ret = &runs[h->number];
	**ret = (struct failover_fence){++serials, done, data};
	if (!reaches)
		sim_say(h, "the switch of %s is out of order", peer);
	else
		sim_after(sim_random(takes), sim_other(h), fence_strikes, 0, 0);
	sim_after(takes, h, fence_ended, serials, reaches);
	sim_after(0, h, crash_fencing, serials, 0);
	return 0;
}

struct failover_fence *failover_fence_free(struct failover_fence *f)
{
	if (f)
		f->serial = 0;
	return NULL;
}

/* ---- the operator --------------------------------------------------------------------------- */

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
	if (sim_chance(500))
		failover_arbiter_confirm(&h->arbiter); /* romulus confirm-dead */
	else
		daemon_on(h, FAILOVER_ON_GRANT); /* romulus failover */
	if (failover_machine_role(h->state) == PROTO_ROLE_PRIMARY && sim_chance(300))
		fate_half_heal();
	/* And wants it protected again at once. */
	sim_after(sim_between(100 * MS, 5 * SECOND), h, operator_protects, 0, 0);
}

/* Of a guest that was handed over: the other host is lost for good, and has not run it. */
static void operator_takes_back(struct host *h, uint64_t life, uint64_t b)
{
	const struct host *other = sim_other(h);

	if (!daemon_gone(h, (unsigned int)life) && h->state == FAILOVER_HANDED_OVER &&
		h->detector.view == FAILOVER_VIEW_SILENT && !other->power &&
		other->on_disk.decision != FAILOVER_DECISION_TAKEOVER)
		daemon_on(h, FAILOVER_ON_GRANT); /* romulus failover */
}

/* ---- as domain.c has it --------------------------------------------------------------------- */

static enum failover_inquiry inquiry(const struct host *h, struct failover_question *ret)
{
	return failover_decide_inquire(h->state, &h->record, sim.stay_mute, ret);
}

static void judge(struct host *h, enum failover_verdict verdict)
{
	enum failover_event event;

	if (failover_decide_verdict(
		    h->state, &h->record, verdict, failover_arbiter_busy(&h->arbiter), &event))
		daemon_on(h, event);
}

static void news(void *data)
{
	struct host *h = data;
	struct failover_question q;

	if (inquiry(h, &q) == FAILOVER_INQUIRE_GRANT)
		judge(h, failover_arbiter_verdict(&h->arbiter, &h->claim, &q));
}

void arbiter_ask(struct host *h)
{
	struct failover_question q;

	if (h->state == FAILOVER_HANDED_OVER && sim_chance(100))
		sim_after(sim_between(0, SECOND), h, operator_takes_back, h->life, 0);
	switch (inquiry(h, &q)) {
	case FAILOVER_INQUIRE_NOTHING:
		return;
	case FAILOVER_INQUIRE_GRANT:
		judge(h, failover_arbiter_need(&h->arbiter, &h->claim, &q, host_now(h)));
		if (sim.arbiter == FAILOVER_ARBITER_MANUAL && sim_chance(100))
			sim_after(sim_between(0, SECOND), h, operator_looks, h->life, 0);
		return;
	case FAILOVER_INQUIRE_TELL:
		failover_arbiter_decided(&h->arbiter, &h->claim, &q, host_now(h));
	}
}

void arbiter_begin(struct host *h)
{
	static struct failover_fence_config levels[2];

	h->events.host = h->name;
	h->peer = (struct failover_peer_config){.name = (char *)sim_other(h)->name,
		.arbiter = sim.arbiter,
		.fences = levels,
		.fences_n = sim.fence_levels,
		.fence_delay_ms = sim.fence_delay_ms};
	failover_arbiter_init(&h->arbiter, (sd_event *)h, &h->peer, &sim.timeouts, &h->events,
		(struct failover_etcd *)h, news, h);
}

void arbiter_end(struct host *h)
{
	failover_claim_forget(&h->claim);
	failover_arbiter_dispose(&h->arbiter);
}
