/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/decide.h"

static bool is_primary(enum failover_state state)
{
	return failover_machine_role(state) == PROTO_ROLE_PRIMARY;
}

static bool word_for_primary(
	const struct failover_record *r, const struct failover_gossip *g, enum failover_event *ret)
{
	const bool same = g->generation == r->generation;

	if (g->role == PROTO_ROLE_PRIMARY && g->state != PROTO_STATE_RELEASED &&
		((same && g->state == PROTO_STATE_TAKEN_OVER) || g->generation > r->generation))
		*ret = FAILOVER_ON_PEER_OWNS;
	else if (same && g->role == PROTO_ROLE_BACKUP && g->state == PROTO_STATE_RELEASED)
		*ret = FAILOVER_ON_PEER_RELEASED;
	else
		return false;
	return true;
}

static bool word_for_backup(
	const struct failover_record *r, const struct failover_gossip *g, enum failover_event *ret)
{
	if (g->role != PROTO_ROLE_PRIMARY || g->generation < r->generation)
		return false;
	if (g->generation == r->generation && g->state == PROTO_STATE_RELEASED)
		*ret = FAILOVER_ON_PEER_RELEASED;
	else if (g->generation > r->generation || g->state == PROTO_STATE_WANT_SOLO ||
		 g->state == PROTO_STATE_SOLO || g->state == PROTO_STATE_IDLE)
		*ret = FAILOVER_ON_PEER_WANTS_SOLO;
	else
		return false;
	return true;
}

bool failover_decide_word(enum failover_state state, const struct failover_record *r,
	const struct failover_gossip *g, bool peer_may_be_shot, enum failover_event *ret)
{
	enum failover_event event;
	bool means;

	/* An attempt promises nothing until its generation is recorded. */
	if (state == FAILOVER_CHECKING || state == FAILOVER_PREPARING || state == FAILOVER_OPENING)
		return false;
	means = is_primary(state) ? word_for_primary(r, g, &event) : word_for_backup(r, g, &event);
	if (!means || (event == FAILOVER_ON_PEER_WANTS_SOLO && peer_may_be_shot))
		return false;
	*ret = event;
	return true;
}

enum failover_decision failover_decide_wish(enum failover_state state)
{
	struct failover_step step;

	if (!failover_machine_step(state, FAILOVER_ON_GRANT, FAILOVER_IDLE, &step))
		return FAILOVER_DECISION_NONE;
	if (step.action == FAILOVER_DO_TAKE_OVER)
		return FAILOVER_DECISION_TAKEOVER;
	if (step.action == FAILOVER_DO_GO_SOLO || step.action == FAILOVER_DO_STOP)
		return FAILOVER_DECISION_SOLO;
	return FAILOVER_DECISION_NONE;
}

enum failover_inquiry failover_decide_inquire(enum failover_state state,
	const struct failover_record *r, bool stay_mute, struct failover_question *ret)
{
	const bool waits = failover_machine_needs_grant(state);
	const struct failover_question q = {
		.domain = r->name,
		.uuid = r->uuid,
		.generation = r->generation,
		.word = waits ? failover_decide_wish(state) : r->decision,
		.as_primary = is_primary(state),
	};

	*ret = q;
	if (waits)
		return stay_mute && state == FAILOVER_WANT_SOLO ? FAILOVER_INQUIRE_NOTHING
								: FAILOVER_INQUIRE_GRANT;
	if (q.word == FAILOVER_DECISION_SOLO || q.word == FAILOVER_DECISION_TAKEOVER)
		return FAILOVER_INQUIRE_TELL;
	return FAILOVER_INQUIRE_NOTHING;
}

bool failover_decide_verdict(enum failover_state state, const struct failover_record *r,
	enum failover_verdict verdict, bool peer_may_be_shot, enum failover_event *ret)
{
	const struct failover_gossip word = {
		.generation = r->generation,
		.role = PROTO_ROLE_PRIMARY,
		.state = is_primary(state) ? PROTO_STATE_TAKEN_OVER : PROTO_STATE_SOLO,
	};

	if (verdict == FAILOVER_VERDICT_OTHER)
		return failover_decide_word(state, r, &word, peer_may_be_shot, ret);
	*ret = FAILOVER_ON_GRANT;
	return verdict == FAILOVER_VERDICT_GRANTED;
}

enum proto_wish failover_decide_wished(
	enum failover_state state, enum failover_event event, const struct failover_gossip *g)
{
	return event == FAILOVER_ON_PEER_RELEASED &&
			       failover_decide_wish(state) == FAILOVER_DECISION_TAKEOVER
		       ? g->wish
		       : PROTO_WISH_NONE;
}

bool failover_decide_fetched(
	enum failover_state state, const struct failover_record *r, const struct failover_gossip *g)
{
	return state == FAILOVER_PROTECTED && g->fetches && g->role == PROTO_ROLE_BACKUP &&
	       g->state == PROTO_STATE_PROTECTED && g->generation == r->generation;
}

enum failover_arrival failover_decide_arrival(
	enum failover_state state, const struct failover_record *r, const struct failover_gossip *g)
{
	/* That host protects it already. */
	if (failover_machine_role(state) == PROTO_ROLE_BACKUP)
		return FAILOVER_ARRIVED;
	if (!failover_decide_claimed(r, g))
		return FAILOVER_ARRIVAL_AWAITED;
	if (g->generation == r->generation && g->guest == PROTO_GUEST_FAILED)
		return FAILOVER_ARRIVAL_FAILED;
	if (g->generation == r->generation && g->guest == PROTO_GUEST_STARTS)
		return FAILOVER_ARRIVAL_AWAITED;
	return state == FAILOVER_IDLE ? FAILOVER_ARRIVED : FAILOVER_ARRIVAL_AWAITED;
}

bool failover_decide_reunited(enum failover_state state, bool asked, bool peer_may_be_shot)
{
	return asked && state == FAILOVER_READY && !peer_may_be_shot;
}

bool failover_decide_again(
	enum failover_state state, const struct failover_record *r, const struct failover_gossip *g)
{
	return r->intent && r->role == PROTO_ROLE_PRIMARY &&
	       (state == FAILOVER_SOLO || state == FAILOVER_TAKEN_OVER) &&
	       !(g && failover_decide_claimed(r, g));
}

uint64_t failover_decide_generation(
	const struct failover_record *r, uint64_t last, const struct failover_gossip *g)
{
	uint64_t known = r->generation > last ? r->generation : last;

	if (g && g->generation > known)
		known = g->generation;
	return known + 1;
}

enum failover_admission failover_decide_unprotect(enum failover_state state, bool peer_may_be_shot)
{
	if (is_primary(state))
		return FAILOVER_REFUSE_OWNER;
	/* It must not be left as the only owner of a guest while it may be shot. */
	if (peer_may_be_shot)
		return FAILOVER_REFUSE_SHOT;
	return state == FAILOVER_IDLE || state == FAILOVER_RELEASED ? FAILOVER_DONE_ALREADY
								    : FAILOVER_ADMIT;
}

bool failover_decide_standby(enum failover_state state)
{
	return failover_machine_role(state) == PROTO_ROLE_BACKUP || state == FAILOVER_CLEARING;
}

bool failover_decide_once(enum failover_event event)
{
	static const bool once[FAILOVER_EVENT_COUNT] = {
		[FAILOVER_ON_COMPLETE] = true,
		[FAILOVER_ON_LOST] = true,
		[FAILOVER_ON_FAILED] = true,
		[FAILOVER_ON_GUEST_GONE] = true,
		[FAILOVER_ON_STANDBY_LOST] = true,
		[FAILOVER_ON_WORKER_DIED] = true,
		[FAILOVER_ON_DONE] = true,
		[FAILOVER_ON_NOT_DONE] = true,
		[FAILOVER_ON_UNPROTECTED] = true,
	};

	return once[event];
}

bool failover_decide_heeds(const struct failover_debt *debt, enum failover_event event)
{
	return !debt->owes || event == debt->event;
}

bool failover_decide_last_word(enum failover_event report)
{
	return report == FAILOVER_ON_DONE || report == FAILOVER_ON_FAILED ||
	       report == FAILOVER_ON_GUEST_GONE || report == FAILOVER_ON_RUNNING;
}

static enum failover_state settled(enum failover_state state, const struct failover_record *r)
{
	if (state == FAILOVER_CHECKING || state == FAILOVER_PREPARING)
		return failover_machine_base(r->role, r->decision);
	return state;
}

bool failover_decide_watches(enum failover_state state, const struct failover_record *r)
{
	return failover_machine_guest_here(settled(state, r));
}

bool failover_decide_restrains(enum failover_state state, const struct failover_record *r)
{
	return failover_machine_restrains(settled(state, r));
}

bool failover_decide_arms_watchdog(enum failover_state state)
{
	return state == FAILOVER_PROTECTED || state == FAILOVER_MOVING ||
	       state == FAILOVER_HANDED_OVER || state == FAILOVER_WANT_SOLO ||
	       state == FAILOVER_STOPPING || state == FAILOVER_LEAVING;
}

bool failover_decide_free(enum failover_state state)
{
	return state == FAILOVER_IDLE || state == FAILOVER_RELEASED || state == FAILOVER_VACANT;
}

enum failover_admission failover_decide_prepare(
	enum failover_state state, uint64_t known, uint64_t generation, bool busy)
{
	if (generation <= known)
		return FAILOVER_REFUSE_GENERATION;
	if (!failover_decide_free(state) && is_primary(state))
		return FAILOVER_REFUSE_OWNER;
	if (state == FAILOVER_RELEASING || busy)
		return FAILOVER_REFUSE_BUSY;
	return FAILOVER_ADMIT;
}

bool failover_decide_claimed(const struct failover_record *r, const struct failover_gossip *g)
{
	return g->role == PROTO_ROLE_PRIMARY && g->generation >= r->generation &&
	       g->state != PROTO_STATE_RELEASED && g->state != PROTO_STATE_IDLE;
}

enum failover_state failover_decide_base(const struct failover_record *r, bool vacant)
{
	if (vacant && r->role == PROTO_ROLE_PRIMARY && r->decision == FAILOVER_DECISION_RELEASED)
		return FAILOVER_VACANT;
	return failover_machine_base(r->role, r->decision);
}

static bool is_released(const struct failover_record *r)
{
	return r->decision == FAILOVER_DECISION_RELEASED || r->decision == FAILOVER_DECISION_HANDED;
}

struct failover_forgotten failover_decide_forget(const struct failover_record *r)
{
	if (is_released(r))
		return (struct failover_forgotten){FAILOVER_DECISION_RELEASED, r->role};
	if (r->decision == FAILOVER_DECISION_TAKEOVER)
		return (struct failover_forgotten){r->decision, PROTO_ROLE_PRIMARY};
	if (r->role == PROTO_ROLE_PRIMARY)
		return (struct failover_forgotten){FAILOVER_DECISION_ENDED, r->role};
	return (struct failover_forgotten){FAILOVER_DECISION_NONE, PROTO_ROLE_NONE};
}

static enum proto_guest guest_of(enum failover_state state, const struct failover_record *r)
{
	switch (state) {
	case FAILOVER_TAKING_OVER:
		return PROTO_GUEST_STARTS;
	case FAILOVER_CLEARING:
	case FAILOVER_STUCK:
	case FAILOVER_BROKEN:
		return PROTO_GUEST_FAILED;
	default:
		return r->role == PROTO_ROLE_PRIMARY && r->decision == FAILOVER_DECISION_TAKEOVER
			       ? PROTO_GUEST_RUNS
			       : PROTO_GUEST_UNKNOWN;
	}
}

struct failover_gossip failover_decide_gossip(
	enum failover_state state, const struct failover_record *r, bool vacant)
{
	struct failover_gossip g = {.generation = r->generation};

	/* An attempt has promised nothing yet. */
	if (state == FAILOVER_CHECKING || state == FAILOVER_PREPARING || state == FAILOVER_OPENING)
		state = failover_decide_base(r, vacant);
	g.role = failover_machine_role(state);
	g.state = failover_machine_gossip(state);
	if (state == FAILOVER_IDLE) {
		g.role = r->role;
		if (is_released(r))
			g.state = PROTO_STATE_RELEASED;
		else if (r->decision == FAILOVER_DECISION_TAKEOVER)
			g.state = PROTO_STATE_TAKEN_OVER;
	}
	if (g.state == PROTO_STATE_RELEASED && g.role == PROTO_ROLE_PRIMARY)
		g.wish = !r->intent                                ? PROTO_WISH_END
			 : r->decision == FAILOVER_DECISION_HANDED ? PROTO_WISH_PROTECT
								   : PROTO_WISH_NONE;
	if (g.state == PROTO_STATE_TAKEN_OVER)
		g.guest = guest_of(state, r);
	return g;
}

static struct failover_restart restart_primary(const struct failover_record *r, bool same_boot)
{
	struct failover_restart restart = {.decision = r->decision};
	struct failover_record after = *r;

	if (r->decision == FAILOVER_DECISION_NONE && same_boot) {
		restart.state = FAILOVER_WANT_SOLO;
		restart.then = FAILOVER_RESUME_ASK;
		return restart;
	}
	/* A suspended guest stays what it is without us. */
	if (r->decision == FAILOVER_DECISION_HANDED && same_boot) {
		restart.state = FAILOVER_HANDED_OVER;
		restart.then = FAILOVER_RESUME_HANDED_OVER;
		return restart;
	}
	if (r->decision == FAILOVER_DECISION_LEFT) {
		restart.state = FAILOVER_LEAVING;
		restart.then = FAILOVER_RESUME_DISCARD;
		return restart;
	}
	/* The guest died with the kernel below it: say so for good, the backup may go. */
	if (r->decision == FAILOVER_DECISION_NONE || r->decision == FAILOVER_DECISION_HANDED)
		restart.decision = after.decision = FAILOVER_DECISION_RELEASED;
	restart.state = failover_decide_base(&after, true);
	if (restart.state == FAILOVER_VACANT)
		restart.then = FAILOVER_RESUME_AWAIT_WORD;
	else if (!same_boot && r->intent && restart.state != FAILOVER_IDLE)
		restart.then = FAILOVER_RESUME_START;
	else if (restart.state == FAILOVER_SOLO) {
		restart.state = FAILOVER_GOING_SOLO;
		restart.then = FAILOVER_RESUME_REPAIR;
	}
	return restart;
}

static struct failover_restart restart_backup(const struct failover_record *r)
{
	if (r->decision == FAILOVER_DECISION_TAKEOVER)
		return (struct failover_restart){
			r->decision, FAILOVER_TAKING_OVER, FAILOVER_RESUME_ADOPT, false};
	return (struct failover_restart){
		FAILOVER_DECISION_RELEASED, FAILOVER_RELEASING, FAILOVER_RESUME_DISCARD, false};
}

struct failover_restart failover_decide_restart(const struct failover_record *r, bool same_boot)
{
	struct failover_restart restart;

	if (r->role == PROTO_ROLE_PRIMARY) {
		restart = restart_primary(r, same_boot);
		restart.vacant = restart.decision != FAILOVER_DECISION_NONE &&
				 restart.decision != FAILOVER_DECISION_HANDED;
		return restart;
	}
	if (r->role == PROTO_ROLE_BACKUP)
		return restart_backup(r);
	return (struct failover_restart){
		r->decision, FAILOVER_IDLE, FAILOVER_RESUME_NOTHING, false};
}
