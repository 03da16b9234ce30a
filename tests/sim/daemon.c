/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * romulusd of a host: the product's tables decide, this does what they say to simulated workers, as
 * domain.c, domain_actions.c, domain_primary.c, domain_backup.c and peers.c do to real ones.
 */
#include "tests/sim/sim.h"

#include <string.h>

#include "common/cleanup.h"

#define WORDS_MAX 1024u
#define OPERATOR_EVERY (3 * SECOND)

uint64_t transitions_taken[FAILOVER_STATE_COUNT][FAILOVER_EVENT_COUNT];

/* Heartbeats that are under way. */
static struct word {
	struct failover_gossip gossip;
	bool about_domain;
	unsigned int boot;
	uint64_t sequence;
} words[WORDS_MAX];
static size_t next_word;

bool daemon_gone(const struct host *h, unsigned int life)
{
	return !h->daemon || h->life != life;
}

/* ---- the network ---------------------------------------------------------------------------- */

static uint64_t latency(void)
{
	return sim_chance(20) ? sim_between(MS, 3 * SECOND) : sim_between(MS, 30 * MS);
}

static void hear(struct host *h, uint64_t path, uint64_t index)
{
	const struct word *w = &words[index];
	const unsigned int life = h->life;
	enum failover_event event;
	bool newer;

	if (!sim_awake(h) || !h->daemon)
		return;
	newer = w->boot != h->gossip_boot || w->sequence > h->gossip_sequence;
	if (failover_detector_heard(&h->detector, path, sim.now)) {
		arbiter_heard(h);
		if (failover_claim_forget(&h->arbiter.claim) && h->state == FAILOVER_READY &&
			!h->arbiter.fencing)
			daemon_on(h, FAILOVER_ON_PEER_WANTS_SOLO);
	}
	if (daemon_gone(h, life))
		return;
	if (!newer)
		return;
	h->gossip_boot = w->boot;
	h->gossip_sequence = w->sequence;
	h->gossip_known = w->about_domain;
	h->gossip = w->gossip;
	if (w->about_domain && !daemon_gone(h, life) &&
		failover_decide_word(h->state, &h->record, &h->gossip, h->arbiter.fencing, &event))
		daemon_on(h, event);
}

static void say_all(struct host *h)
{
	struct host *peer = sim_other(h);
	struct word *w = &words[next_word];

	*w = (struct word){.boot = h->boot * 1000 + h->life, .sequence = ++h->sequence};
	w->about_domain = h->recorded;
	w->gossip.generation = h->record.generation;
	failover_decide_gossip(h->state, &h->record, h->vacant, &w->gossip.role, &w->gossip.state);
	for (uint64_t path = 0; path < PATHS; path++) {
		if (sim.cut[path][h->number] || sim.deaf[h->number] || sim_chance(10))
			continue;
		sim_after(latency(), peer, hear, path, next_word);
		if (sim_chance(10))
			sim_after(latency(), peer, hear, path, next_word);
	}
	next_word = (next_word + 1) % WORDS_MAX;
}

static bool reachable(const struct host *h)
{
	for (int path = 0; path < PATHS; path++)
		if (!sim.cut[path][0] && !sim.cut[path][1])
			return sim_other(h)->daemon;
	return false;
}

/* ---- requests between daemons -----------------------------------------------------------------
 */

enum answer { ANSWER_NONE, ANSWER_PREPARED, ANSWER_REFUSED, ANSWER_UNPROTECTED };

static bool persist(struct host *h, enum failover_decision decision, enum proto_role role)
{
	const unsigned int life = h->life;

	if (fate_crash(h, CRASH_BEFORE_RECORD) || daemon_gone(h, life))
		return false;
	h->record.decision = decision;
	h->record.role = role;
	snprintf(h->record.boot, sizeof(h->record.boot), h->guest_died ? "none" : "%u", h->boot);
	h->on_disk = h->record;
	h->recorded = true;
	return !fate_crash(h, CRASH_AFTER_RECORD) && !daemon_gone(h, life);
}

static void on_prepare_answer(struct host *h, enum answer answer, uint64_t generation)
{
	const struct failover_record before = h->record;
	const unsigned int life = h->life;

	if (answer == ANSWER_PREPARED) {
		h->record.generation = h->attempt_generation;
		h->record.intent = true;
		if (persist(h, FAILOVER_DECISION_NONE, PROTO_ROLE_PRIMARY)) {
			sim.ended = !h->guest.exists;
			daemon_on(h, FAILOVER_ON_PREPARED);
			if (!daemon_gone(h, life))
				worker_connect(h);
			return;
		}
		if (daemon_gone(h, life))
			return;
		h->record = before;
	} else if (generation > h->record.generation) {
		h->attempt_generation = generation;
	}
	daemon_on(h, FAILOVER_ON_REFUSED);
}

/* @b: answer | generation << 8 */
static void take_answer(struct host *h, uint64_t number, uint64_t b)
{
	const enum answer answer = b & 0xff;

	if (!h->daemon || !h->requesting || h->request != number)
		return;
	h->requesting = false;
	if (answer != ANSWER_NONE)
		arbiter_heard(h);
	if (h->state == FAILOVER_STOPPING)
		daemon_on(h, answer == ANSWER_UNPROTECTED ? FAILOVER_ON_UNPROTECTED
							  : FAILOVER_ON_UNPROTECT_FAILED);
	else
		on_prepare_answer(h, answer, b >> 8);
}

/* An answer that does not get through is a failure when the asker has waited long enough. */
static void answer(struct host *h, enum answer what)
{
	struct host *asker = sim_other(h);

	h->asker = false;
	if (reachable(h))
		sim_after(latency(), asker, take_answer, h->asker_request,
			(uint64_t)what | h->record.generation << 8);
}

static void take_prepare(struct host *h, uint64_t generation, uint64_t number)
{
	if (!h->daemon)
		return;
	h->asker_request = number;
	arbiter_heard(h);
	switch (failover_decide_prepare(h->state, h->record.generation, generation,
		h->commanding || h->worker.kind != WORKER_NONE)) {
	case FAILOVER_REFUSE_BUSY:
		daemon_on(h, FAILOVER_ON_PREPARE);
		/* fall through */
	case FAILOVER_REFUSE_GENERATION:
	case FAILOVER_REFUSE_OWNER:
		answer(h, ANSWER_REFUSED);
		return;
	case FAILOVER_ADMIT:
		break;
	}
	h->attempt_generation = generation;
	h->asker = true;
	h->asker_unprotects = false;
	if (!daemon_on(h, FAILOVER_ON_PREPARE))
		answer(h, ANSWER_REFUSED);
}

static void take_unprotect(struct host *h, uint64_t generation, uint64_t number)
{
	if (!h->daemon)
		return;
	h->asker_request = number;
	arbiter_heard(h);
	if (failover_machine_role(h->state) == PROTO_ROLE_PRIMARY || h->arbiter.fencing) {
		answer(h, ANSWER_REFUSED);
		return;
	}
	if (h->state == FAILOVER_IDLE || h->state == FAILOVER_RELEASED) {
		answer(h, ANSWER_UNPROTECTED);
		return;
	}
	h->record.intent = false;
	h->asker = h->asker_unprotects = true;
	if (!daemon_on(h, FAILOVER_ON_UNPROTECT_ASKED) && h->state != FAILOVER_RELEASING)
		answer(h, ANSWER_REFUSED);
}

static void request(struct host *h, sim_handler *taken)
{
	const bool breaks =
		reachable(h) && !sim.healing && sim_chance(taken == take_unprotect ? 300 : 50);
	uint64_t patience = reachable(h) ? sim.timeouts.reply * MS : sim.timeouts.connect * MS;

	h->requesting = true;
	h->request++;
	if (breaks)
		patience = sim_between(MS, sim_chance(700) ? 20 * MS : 2 * SECOND);
	else if (reachable(h))
		sim_after(latency(), sim_other(h), taken,
			taken == take_prepare ? h->attempt_generation : h->record.generation,
			h->request);
	sim_after(patience, h, take_answer, h->request, ANSWER_NONE);
}

/* ---- actions, in the order of the table in domain_actions.c ------------------------------------
 */

static void try_later(struct host *h)
{
	h->attempts++;
	h->retry_at = sim.now + failover_backoff(sim.timeouts.retry_first, sim.timeouts.retry_last,
					h->attempts) *
					MS;
}

static bool order_or(struct host *h, void (*order)(struct host *), void (*command)(struct host *))
{
	const unsigned int life = h->life;

	if (fate_crash(h, CRASH_BEFORE_ORDER) || daemon_gone(h, life))
		return false;
	fate_cross(h);
	if (h->worker.kind != WORKER_NONE && !h->worker.leaving)
		order(h);
	else
		command(h);
	return true;
}

static bool act(struct host *h, enum failover_action action)
{
	const enum proto_role role = h->record.role;
	struct failover_forgotten rest;

	switch (action) {
	case FAILOVER_DO_SPAWN_PRIMARY:
		worker_spawn(h, WORKER_PRIMARY);
		return true;
	case FAILOVER_DO_ASK_PEER:
		if (h->gossip_known && h->gossip.generation > h->attempt_generation)
			h->attempt_generation = h->gossip.generation;
		if (h->record.generation > h->attempt_generation)
			h->attempt_generation = h->record.generation;
		h->attempt_generation++;
		request(h, take_prepare);
		return true;
	case FAILOVER_DO_NOTE_PROTECTED:
		h->attempts = 0;
		sim.protections++;
		return true;
	case FAILOVER_DO_GO_SOLO:
		if (!persist(h, FAILOVER_DECISION_SOLO, PROTO_ROLE_PRIMARY))
			return false;
		sim.solos++;
		return order_or(h, worker_order_solo, command_repair);
	case FAILOVER_DO_NOTE_SOLO:
		try_later(h);
		return true;
	case FAILOVER_DO_RUN_ON:
		try_later(h);
		return persist(h, FAILOVER_DECISION_SOLO, PROTO_ROLE_PRIMARY);
	case FAILOVER_DO_REPAIR:
		command_repair(h);
		return true;
	case FAILOVER_DO_GIVE_UP:
		worker_order_stop(h);
		h->worker.leaving = true;
		/* fall through */
	case FAILOVER_DO_REPORT_FAILURE:
		h->requesting = false;
		try_later(h);
		if (h->guest_died)
			command_start(h);
		return true;
	case FAILOVER_DO_NOTE_GONE:
		fate_tempt(h, 300 * MS);
		return true;
	case FAILOVER_DO_GUEST_ENDED:
		h->record.intent = false;
		sim.ended = true;
		rest = failover_decide_forget(&h->record);
		if (h->recorded && !persist(h, rest.decision, rest.role))
			return false;
		h->requesting = false;
		worker_kill(h);
		command_sweep(h);
		fate_tempt(h, 300 * MS);
		return true;
	case FAILOVER_DO_GUEST_RESTARTS:
		h->requesting = false;
		worker_kill(h);
		if (h->state == FAILOVER_GOING_SOLO && !h->commanding)
			command_repair(h);
		h->attempts = 0;
		try_later(h);
		return true;
	case FAILOVER_DO_NOTE_CLOSED:
		sim.agreed = h->record.generation;
		return true;
	case FAILOVER_DO_ASK_UNPROTECT:
		h->record.intent = false;
		if (!persist(h, h->record.decision, role))
			return false;
		fate_tempt(h, 300 * MS);
		if (sim_chance(100))
			fate_cross(h);
		request(h, take_unprotect);
		return true;
	case FAILOVER_DO_STOP:
		h->requesting = false;
		return persist(h, FAILOVER_DECISION_SOLO, PROTO_ROLE_PRIMARY) &&
		       order_or(h, worker_order_stop, command_repair);
	case FAILOVER_DO_FORGET:
		h->record.intent = false;
		sim.ended = true;
		rest = failover_decide_forget(&h->record);
		return !h->recorded || persist(h, rest.decision, rest.role);
	case FAILOVER_DO_LEAVE:
		h->requesting = false;
		return persist(h, FAILOVER_DECISION_LEFT, PROTO_ROLE_PRIMARY) &&
		       order_or(h, worker_order_discard, command_discard);
	case FAILOVER_DO_NOTE_LEFT:
		h->vacant = false;
		persist(h, FAILOVER_DECISION_RELEASED, PROTO_ROLE_PRIMARY);
		return true;
	case FAILOVER_DO_RECLAIM:
		h->guest_died = true;
		if (!persist(h, FAILOVER_DECISION_SOLO, PROTO_ROLE_PRIMARY))
			return false;
		try_later(h);
		command_start(h);
		return true;
	case FAILOVER_DO_ALARM:
		sim_violated("both hosts claim the domain (invariant 2)");
		return true;
	case FAILOVER_DO_SPAWN_BACKUP:
		worker_spawn(h, WORKER_BACKUP);
		return true;
	case FAILOVER_DO_ANSWER_PREPARED:
		h->record.generation = h->attempt_generation;
		h->record.intent = true;
		if (!persist(h, FAILOVER_DECISION_NONE, PROTO_ROLE_BACKUP))
			return false;
		answer(h, ANSWER_PREPARED);
		return true;
	case FAILOVER_DO_ANSWER_REFUSED:
		answer(h, ANSWER_REFUSED);
		return true;
	case FAILOVER_DO_RELEASE:
		return persist(h, FAILOVER_DECISION_RELEASED, PROTO_ROLE_BACKUP) &&
		       order_or(h, worker_order_discard, command_discard);
	case FAILOVER_DO_DISCARD:
		command_discard(h);
		return true;
	case FAILOVER_DO_NOTE_RELEASED:
		if (h->asker && h->asker_unprotects)
			answer(h, ANSWER_UNPROTECTED);
		return true;
	case FAILOVER_DO_TAKE_OVER:
		return persist(h, FAILOVER_DECISION_TAKEOVER, PROTO_ROLE_BACKUP) &&
		       order_or(h, worker_order_takeover, command_discard);
	case FAILOVER_DO_ANNOUNCE:
		sim.taken_over++;
		h->guest_ended = false;
		try_later(h);
		return persist(h, FAILOVER_DECISION_TAKEOVER, PROTO_ROLE_PRIMARY);
	case FAILOVER_DO_CLEAR:
		worker_kill(h);
		command_discard(h);
		return true;
	case FAILOVER_DO_NOTE_STALE:
		h->guest.told = true;
		/* fall through */
	case FAILOVER_DO_NOTE_BROKEN:
	case FAILOVER_DO_NOTE_STUCK:
		sim.ended = true; /* `status` says what a person has to do */
		return true;
	case FAILOVER_DO_CONNECT:
		fate_tempt(h, 500 * MS);
		return true;
	case FAILOVER_DO_WANT_SOLO:
		fate_cross(h);
		fate_tempt(h, 300 * MS);
		return true;
	case FAILOVER_DO_NOTHING:
	case FAILOVER_DO_NOTE_READY:
	case FAILOVER_DO_NOTE_HOLDING:
		return true;
	}
	return true;
}

void daemon_note_restarted(struct host *h)
{
	if (h->daemon && h->restarts)
		h->retry_at = 0;
	h->restarts = false;
}

void daemon_note_started(struct host *h)
{
	h->guest_died = h->commanding = false;
	persist(h, h->record.decision, h->record.role);
}

bool daemon_on(struct host *h, enum failover_event event)
{
	const unsigned int life = h->life;
	const enum failover_state before = h->state;
	struct failover_step step;

	if (!h->daemon || !failover_machine_step(h->state, event,
				  failover_decide_base(&h->record, h->vacant), &step))
		return false;
	if (sim.bug == BUG_SOLO_WITHOUT_GRANT && before == FAILOVER_PROTECTED &&
		event == FAILOVER_ON_LOST)
		step = (struct failover_step){FAILOVER_GOING_SOLO, FAILOVER_DO_GO_SOLO};
	transitions_taken[before][event]++;
	sim_say(h, "%s in %s -> %s", failover_event_name(event), failover_state_name(before),
		failover_state_name(step.next));
	h->state = step.next;
	if (!act(h, step.action) && !daemon_gone(h, life) && h->state == step.next)
		h->state = before;
	if (!daemon_gone(h, life) && h->state != before)
		say_all(h);
	if (!daemon_gone(h, life))
		h->restrained = failover_decide_restrains(h->state, &h->record);
	return true;
}

/* As on_report() in domain_work.c has it. */
void daemon_report(struct host *h, enum failover_event event)
{
	if (event == FAILOVER_ON_FOUND)
		h->guest_died = h->guest_ended = false;
	/* Its uuid is that of another domain here. */
	if (event == FAILOVER_ON_FOUND && !sim.healing && sim_chance(10))
		event = FAILOVER_ON_REFUSED;
	h->worker.leaving = event == FAILOVER_ON_DONE || event == FAILOVER_ON_FAILED ||
			    event == FAILOVER_ON_GUEST_GONE || event == FAILOVER_ON_RUNNING;
	if (!daemon_on(h, event))
		h->worker.leaving = false;
}

/* ---- life --------------------------------------------------------------------------------------
 */

static void keep_protected(struct host *h)
{
	if (!h->record.intent || h->worker.kind != WORKER_NONE || h->commanding || h->requesting ||
		h->record.role != PROTO_ROLE_PRIMARY || sim.now < h->retry_at ||
		!failover_detector_steady(&h->detector, 0, sim.timeouts.reprotect_delay, sim.now) ||
		(h->gossip_known && failover_decide_claimed(&h->record, &h->gossip)))
		return;
	if (h->state == FAILOVER_SOLO || h->state == FAILOVER_TAKEN_OVER)
		daemon_on(h, FAILOVER_ON_PROTECT);
}

/* romulus-monitor and what domain_monitor.c makes of it. */
static void monitor(struct host *h)
{
	const bool watched = h->recorded && !h->guest_died && !h->guest_ended &&
			     failover_decide_watches(h->state, &h->record);
	const unsigned int life = h->life;

	if (h->guest.exists || !watched) {
		h->missed_at = 0;
		return;
	}
	if (!h->missed_at)
		h->missed_at = sim.now + (sim_chance(700) ? 0 : sim_between(0, 15 * SECOND));
	if (sim.now < h->missed_at || (h->back_at && h->restarts))
		return;
	if (h->back_at) {
		h->restarts = true;
		daemon_on(h, FAILOVER_ON_GUEST_RESTARTS);
		return;
	}
	h->restarts = false;
	daemon_on(h, FAILOVER_ON_GUEST_ENDED);
	if (!daemon_gone(h, life))
		h->guest_ended = !failover_decide_watches(h->state, &h->record);
}

static void tick(struct host *h, uint64_t life, uint64_t b)
{
	if (daemon_gone(h, (unsigned int)life))
		return;
	sim_after(sim.timeouts.heartbeat * MS, h, tick, life, 0);
	say_all(h);
	if (failover_detector_tick(&h->detector, sim.now))
		sim_say(h, "%s is silent", sim_other(h)->name);
	if (h->detector.view == FAILOVER_VIEW_SILENT) {
		if (!failover_machine_needs_grant(h->state))
			arbiter_decided(h);
		else if (failover_decide_asks(h->state, sim.stay_mute))
			arbiter_need(h);
	}
	if (!daemon_gone(h, (unsigned int)life))
		keep_protected(h);
	if (!daemon_gone(h, (unsigned int)life))
		monitor(h);
}

static void resume(struct host *h)
{
	char boot[16];
	struct failover_restart restart;
	bool primary = h->record.role == PROTO_ROLE_PRIMARY;

	snprintf(boot, sizeof(boot), "%u", h->boot);
	restart = failover_decide_restart(&h->record, strcmp(boot, h->record.boot) == 0);
	sim_say(h, "romulusd begins as %s", failover_state_name(restart.state));
	if (restart.decision != h->record.decision && !persist(h, restart.decision, h->record.role))
		return;
	h->vacant = primary && h->record.decision != FAILOVER_DECISION_NONE;
	h->state = restart.state;
	switch (restart.then) {
	case FAILOVER_RESUME_START:
		command_start(h);
		break;
	case FAILOVER_RESUME_REPAIR:
		command_repair(h);
		break;
	case FAILOVER_RESUME_CLEAR:
	case FAILOVER_RESUME_DISCARD:
		command_discard(h);
		break;
	case FAILOVER_RESUME_NOTHING:
	case FAILOVER_RESUME_ASK:
	case FAILOVER_RESUME_AWAIT_WORD:
		break;
	}
}

void daemon_start(struct host *h, uint64_t a, uint64_t b)
{
	if (!h->power || h->daemon)
		return;
	h->daemon = true;
	h->life++;
	h->state = FAILOVER_IDLE;
	h->record = h->on_disk;
	h->guest_died = h->guest_ended = h->restarts = false;
	h->missed_at = 0;
	h->vacant = h->gossip_known = h->requesting = h->asker = h->commanding = false;
	h->gossip_boot = 0;
	h->gossip_sequence = 0;
	arbiter_begin(h);
	h->attempt_generation = h->retry_at = h->attempts = 0;
	failover_detector_init(&h->detector, PATHS, &sim.timeouts, sim.now);
	sim_after(0, h, tick, h->life, 0);
	if (sim.bug == BUG_FORGET_ON_RESTART && h->record.role == PROTO_ROLE_PRIMARY)
		h->recorded = false; /* then the guest is found, and helped */
	if (h->recorded)
		resume(h);
	else if (h->guest.exists)
		command_repair(h);
}

/* The workers end with their daemon; the guest is left as it is. */
void daemon_kill(struct host *h)
{
	h->daemon = false;
	h->life++;
	failover_claim_forget(&h->arbiter.claim);
	worker_kill(h);
}

void daemon_ask_protect(struct host *h)
{
	if (sim_awake(h) && h->daemon && !h->requesting && !h->commanding)
		daemon_on(h, FAILOVER_ON_PROTECT);
}

void daemon_ask_unprotect(struct host *h)
{
	if (sim_awake(h) && h->daemon && (h->recorded || h->state != FAILOVER_IDLE) &&
		daemon_on(h, FAILOVER_ON_UNPROTECT))
		sim_say(h, "that was an operator's wish");
}
