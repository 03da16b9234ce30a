/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * romulusd of a host: the product's objects decide, this lends them its hands for simulated
 * workers, as domain.c and domain_actions.c do for real ones.
 */
#include "tests/sim/sim.h"

#include <string.h>

#include "common/cleanup.h"

uint64_t transitions_taken[FAILOVER_STATE_COUNT][FAILOVER_EVENT_COUNT];

bool daemon_gone(const struct host *h, unsigned int life)
{
	return !h->daemon || h->life != life;
}

/* While it waits for its disk, what comes in waits for it. */
bool daemon_waits(struct host *h, sim_handler *handler, uint64_t a, uint64_t b)
{
	if (sim.now >= h->busy_until)
		return false;
	sim_after(h->busy_until - sim.now, h, handler, a, b);
	return true;
}

static bool persist(struct host *h, const struct failover_record *r)
{
	const unsigned int life = h->life;

	if (fate_crash(h, CRASH_BEFORE_RECORD) || daemon_gone(h, life))
		return false;
	if (!sim.healing && sim_chance(30)) {
		sim_say(h, "cannot write its record");
		return false;
	}
	h->record = *r;
	snprintf(h->record.boot, sizeof(h->record.boot), h->guest_died ? "none" : "%u", h->boot);
	h->unwritten = false;
	h->on_disk = h->record;
	h->recorded = true;
	if (!sim.healing && sim_chance(50))
		h->busy_until = sim.now + sim_between(50 * MS, 2 * SECOND);
	return !fate_crash(h, CRASH_AFTER_RECORD) && !daemon_gone(h, life);
}

/* ---- the hands of failover/domain_plan.c: an end of the daemon ends what they do
 * ----------------- */

static bool promise(void *host, const struct failover_plan *p)
{
	struct host *h = host;
	const struct failover_attempt attempt = {
		h->attempt_generation, "guest", sim_other(h)->name, h->unwanted, false};
	const struct failover_record r = failover_plan_record(p, &h->record, &attempt);

	if (p->died)
		h->guest_died = true;
	/* From here on nobody may want it protected, whether or not this host lives to say so. */
	if (p->promise == FAILOVER_PROMISE_REST || p->decision == FAILOVER_DECISION_ENDED)
		sim.ended = true;
	if (p->promise != FAILOVER_PROMISE_REST || h->recorded) {
		if (persist(h, &r))
			return true;
		if (!p->regardless || !h->daemon)
			return false;
		h->unwritten = true;
	}
	h->record = r;
	return true;
}

static bool order(void *host, enum proto_order order)
{
	struct host *h = host;

	if (!h->daemon || fate_crash(h, CRASH_BEFORE_ORDER) || !h->daemon)
		return true;
	fate_cross(h);
	if (h->worker.kind == WORKER_NONE || h->worker.leaving)
		return false;
	worker_order(h, order);
	return true;
}

static void command(void *host, enum failover_command what)
{
	static void (*const commands[])(struct host *) = {
		[FAILOVER_RUN_REPAIR] = command_repair,
		[FAILOVER_RUN_SWEEP] = command_sweep,
		[FAILOVER_RUN_DISCARD] = command_discard,
		[FAILOVER_RUN_START] = command_start,
	};

	if (((struct host *)host)->daemon)
		commands[what](host);
}

static void withdraw(void *host)
{
	((struct host *)host)->requesting = false;
}

static void dismiss(void *host)
{
	((struct host *)host)->worker.leaving = true;
}

static void kill_worker(void *host)
{
	worker_kill(host);
}

static void later(void *host)
{
	struct host *h = host;

	failover_attempts_fail(&h->attempts, &sim.timeouts, host_now(h));
}

static void beat(void *host)
{
	if (((struct host *)host)->daemon)
		peers_beat(host);
}

/* What domain_primary.c and domain_backup.c do besides, and what fate and the judge make of it. */
static void particular(void *host, enum failover_action action)
{
	struct host *h = host;

	switch (action) {
	case FAILOVER_DO_SPAWN_PRIMARY:
		worker_spawn(h, WORKER_PRIMARY);
		return;
	case FAILOVER_DO_ASK_PEER:
		h->attempt_generation = failover_decide_generation(
			&h->record, h->attempt_generation, h->gossip_known ? &h->gossip : NULL);
		peers_ask(h, false);
		return;
	case FAILOVER_DO_CONNECT:
		sim.ended = !h->guest.exists;
		fate_tempt(h, 500 * MS);
		return;
	case FAILOVER_DO_NOTE_PROTECTED:
		h->attempts = (struct failover_attempts){0};
		sim.protections++;
		fate_move(h);
		return;
	case FAILOVER_DO_MOVE:
		sim.moves++;
		fate_tempt(h, 300 * MS);
		fate_tempt(sim_other(h), 300 * MS);
		return;
	case FAILOVER_DO_HAND_OVER:
		sim.handed = h->record.generation;
		sim.stood_at = h->guest.memory.count;
		if (fate_crash(h, FAULT_HANDED_OVER))
			return;
		if (sim.bug == BUG_RESUME_HANDED_OVER)
			guest_release_all(h);
		fate_tempt(h, 300 * MS);
		fate_tempt(sim_other(h), 300 * MS);
		return;
	case FAILOVER_DO_TAKE_BACK:
		sim.solos++;
		h->moves = false;
		return;
	case FAILOVER_DO_GO_SOLO:
		sim.solos++;
		return;
	case FAILOVER_DO_GIVE_UP:
	case FAILOVER_DO_REPORT_FAILURE:
		h->attempts.not_yet = h->guest_died || h->later;
		if (h->guest_died)
			command_start(h);
		return;
	case FAILOVER_DO_NOTE_GONE:
		fate_tempt(h, 300 * MS);
		return;
	case FAILOVER_DO_GUEST_RESTARTS:
	case FAILOVER_DO_NOTE_RESTARTS:
		h->attempts = (struct failover_attempts){0};
		return;
	case FAILOVER_DO_NOTE_CLOSED:
		sim.agreed = h->record.generation;
		return;
	case FAILOVER_DO_ASK_UNPROTECT:
		fate_tempt(h, 300 * MS);
		if (sim_chance(100))
			fate_cross(h);
		peers_ask(h, true);
		return;
	case FAILOVER_DO_WANT_SOLO:
		fate_cross(h);
		fate_tempt(h, 300 * MS);
		return;
	case FAILOVER_DO_NOTE_LEFT:
		h->vacant = false;
		return;
	case FAILOVER_DO_ALARM:
		sim_violated("both hosts claim the domain (invariant 2)");
		return;
	case FAILOVER_DO_SPAWN_BACKUP:
		worker_spawn(h, WORKER_BACKUP);
		return;
	case FAILOVER_DO_ANSWER_PREPARED:
		peers_answer(h, ANSWER_PREPARED);
		return;
	case FAILOVER_DO_ANSWER_REFUSED:
		peers_answer(h, h->later ? ANSWER_LATER : ANSWER_REFUSED);
		return;
	case FAILOVER_DO_NOTE_RELEASED:
		if (h->asker && h->asker_unprotects)
			peers_answer(h, ANSWER_UNPROTECTED);
		return;
	case FAILOVER_DO_TAKE_OVER:
		fate_crash(h, FAULT_TAKEOVER_GRANT);
		return;
	case FAILOVER_DO_ANNOUNCE:
		sim.taken_over++;
		h->guest_ended = false;
		return;
	case FAILOVER_DO_GUEST_ENDED:
	case FAILOVER_DO_GUEST_ENDED_TOO:
		fate_tempt(h, 300 * MS);
		/* fall through */
	case FAILOVER_DO_CANCEL:
	case FAILOVER_DO_FORGET:
	case FAILOVER_DO_NOTE_BROKEN:
	case FAILOVER_DO_NOTE_STUCK:
		sim.ended = true; /* `status` says what a person has to do */
		return;
	default:
		return;
	}
}

static const struct failover_hands hands = {
	promise, particular, order, command, withdraw, dismiss, kill_worker, later, beat};

void daemon_note_restarted(struct host *h)
{
	if (h->daemon && h->restarts)
		h->attempts.retry_at_ns = 0;
	h->restarts = false;
}

void daemon_note_started(struct host *h)
{
	h->guest_died = h->commanding = false;
	persist(h, &h->record);
}

bool daemon_on(struct host *h, enum failover_event event)
{
	const enum failover_state before = h->state;
	const unsigned int life = h->life;
	struct failover_step step;

	if (!h->daemon || h->resumes || !failover_decide_heeds(&h->debt, event) ||
		!failover_machine_step(
			h->state, event, failover_decide_base(&h->record, h->vacant), &step))
		return false;
	if (sim.bug == BUG_SOLO_WITHOUT_GRANT && before == FAILOVER_PROTECTED &&
		event == FAILOVER_ON_LOST)
		step = (struct failover_step){FAILOVER_GOING_SOLO, FAILOVER_DO_GO_SOLO};
	transitions_taken[before][event]++;
	sim_say(h, "%s in %s -> %s", failover_event_name(event), failover_state_name(before),
		failover_state_name(step.next));
	h->debt.owes = false;
	if (!failover_plan_run(&h->state, &step, &hands, h))
		h->debt = (struct failover_debt){failover_decide_once(event), event};
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
	h->worker.leaving = failover_decide_last_word(event);
	if (!daemon_on(h, event))
		h->worker.leaving = false;
	if (event == FAILOVER_ON_LISTENING && h->daemon && h->state == FAILOVER_OPENING) {
		worker_kill(h); /* it could not be written down */
		daemon_on(h, FAILOVER_ON_FAILED);
	}
}

/* ---- life --------------------------------------------------------------------------------------
 */

static void keep_protected(struct host *h)
{
	if (h->worker.kind == WORKER_NONE && !h->commanding && !h->requesting &&
		host_now(h) >= h->attempts.retry_at_ns &&
		failover_detector_steady(
			&h->detector, 0, sim.timeouts.reprotect_delay, host_now(h)) &&
		failover_decide_again(h->state, &h->record, h->gossip_known ? &h->gossip : NULL))
		daemon_on(h, FAILOVER_ON_PROTECT);
}

static void try_again(struct host *h)
{
	if (h->worker.kind == WORKER_NONE && !h->commanding &&
		host_now(h) >= h->attempts.retry_at_ns)
		daemon_on(h, FAILOVER_ON_RETRY);
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

static void resume(struct host *h);

static void tick(struct host *h, uint64_t life, uint64_t b)
{
	if (daemon_gone(h, (unsigned int)life) || daemon_waits(h, tick, life, b))
		return;
	sim_after(host_wait(h, sim.timeouts.heartbeat * MS), h, tick, life, 0);
	peers_beat(h);
	if (failover_detector_tick(&h->detector, host_now(h)))
		sim_say(h, "%s is silent", sim_other(h)->name);
	if (h->resumes)
		resume(h);
	if (h->debt.owes)
		daemon_on(h, h->debt.event);
	if (h->daemon && h->unwritten)
		persist(h, &h->record);
	if (!daemon_gone(h, (unsigned int)life) && h->detector.view == FAILOVER_VIEW_SILENT)
		arbiter_ask(h);
	if (daemon_gone(h, (unsigned int)life))
		return;
	try_again(h);
	keep_protected(h);
	if (!daemon_gone(h, (unsigned int)life))
		monitor(h);
}

/* See replicator/adopt.h. */
static void adopt(struct host *h, uint64_t life, uint64_t b)
{
	if (daemon_gone(h, (unsigned int)life) || daemon_waits(h, adopt, life, b))
		return;
	if (h->worker.kind != WORKER_NONE && !h->worker.dead)
		sim_after(10 * MS, h, adopt, life, b);
	else
		daemon_on(h, h->guest.exists ? FAILOVER_ON_RUNNING : FAILOVER_ON_FAILED);
}

static void resume(struct host *h)
{
	char boot[16];
	struct failover_restart restart;
	struct failover_record r = h->record;

	snprintf(boot, sizeof(boot), "%u", h->boot);
	restart = failover_decide_restart(&h->record, strcmp(boot, h->record.boot) == 0);
	sim_say(h, "romulusd begins as %s", failover_state_name(restart.state));
	r.decision = restart.decision;
	h->resumes = restart.decision != h->record.decision && !persist(h, &r);
	if (h->resumes)
		return;
	h->vacant = restart.vacant;
	h->state = restart.state;
	switch (restart.then) {
	case FAILOVER_RESUME_START:
		command_start(h);
		break;
	case FAILOVER_RESUME_REPAIR:
		command_repair(h);
		break;
	case FAILOVER_RESUME_ADOPT:
		sim_after(sim_between(MS, 100 * MS), h, adopt, h->life, 0);
		break;
	case FAILOVER_RESUME_DISCARD:
		command_discard(h);
		break;
	case FAILOVER_RESUME_NOTHING:
	case FAILOVER_RESUME_ASK:
	case FAILOVER_RESUME_AWAIT_WORD:
	case FAILOVER_RESUME_HANDED_OVER:
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
	h->debt.owes = h->unwritten = h->resumes = h->vacant = h->gossip_known = h->requesting =
		h->asker = h->commanding = h->moves = h->unwanted = false;
	h->newest = (struct failover_newest){0};
	h->replay = (struct failover_replay){0};
	h->busy_until = 0;
	arbiter_begin(h);
	h->attempt_generation = 0;
	h->attempts = (struct failover_attempts){0};
	failover_detector_init(&h->detector, PATHS, &sim.timeouts, host_now(h));
	sim_after(0, h, tick, h->life, 0);
	if (sim.bug == BUG_FORGET_ON_RESTART && h->record.role == PROTO_ROLE_PRIMARY)
		h->recorded = false; /* then the guest is found, and helped */
	if (h->recorded)
		resume(h);
	else if (h->guest.exists)
		command_repair(h);
}

/* The workers end with their daemon, but for one; the guest is left as it is. */
void daemon_kill(struct host *h)
{
	h->daemon = false;
	h->life++;
	arbiter_end(h);
	worker_orphan(h);
}

void daemon_ask_protect(struct host *h)
{
	if (sim_awake(h) && h->daemon && !h->requesting && !h->commanding)
		daemon_on(h, FAILOVER_ON_PROTECT);
}

void daemon_ask_migrate(struct host *h, bool protect)
{
	if (!sim_awake(h) || !h->daemon || h->state != FAILOVER_PROTECTED || h->commanding ||
		h->requesting || h->detector.view == FAILOVER_VIEW_SILENT)
		return;
	h->unwanted = !protect;
	h->moves = daemon_on(h, FAILOVER_ON_MOVE);
	sim_say(h, "that was an operator's wish%s", protect ? "" : ", without protection");
}

void daemon_ask_unprotect(struct host *h)
{
	if (sim_awake(h) && h->daemon && (h->recorded || h->state != FAILOVER_IDLE) &&
		daemon_on(h, FAILOVER_ON_UNPROTECT))
		sim_say(h, "that was an operator's wish");
}
