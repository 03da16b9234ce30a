/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/domain_plan.h"

#include <stdio.h>

#include "failover/decide.h"

#define DECIDES(d, r)                                                                              \
	.promise = FAILOVER_PROMISE_DECISION, .decision = FAILOVER_DECISION_##d,                   \
	.role = PROTO_ROLE_##r

/* What the worker of a guest that is no more still does is of no use, and its name may be taken. */
#define ENDS                                                                                       \
	.promise = FAILOVER_PROMISE_REST, .unwanted = true, .withdraws = true, .kills = true,      \
	.command = FAILOVER_RUN_SWEEP

/* Actions that are not listed are words only. */
static const struct failover_plan plans[FAILOVER_ACTION_COUNT] = {
	[FAILOVER_DO_CONNECT] = {.promise = FAILOVER_PROMISE_PAIRING, .role = PROTO_ROLE_PRIMARY},
	[FAILOVER_DO_MOVE] = {.order = PROTO_ORDER_MOVE},
	[FAILOVER_DO_HAND_OVER] = {DECIDES(HANDED, PRIMARY)},
	[FAILOVER_DO_TAKE_BACK] = {DECIDES(SOLO, PRIMARY), .wanted = true,
		.order = PROTO_ORDER_SOLO, .command = FAILOVER_RUN_REPAIR},
	[FAILOVER_DO_GO_SOLO] = {DECIDES(SOLO, PRIMARY), .order = PROTO_ORDER_SOLO,
		.command = FAILOVER_RUN_REPAIR},
	[FAILOVER_DO_NOTE_SOLO] = {.later = true},
	[FAILOVER_DO_NOTE_UNREPAIRED] = {.later = true},
	[FAILOVER_DO_NOTE_STALE] = {.later = true},
	[FAILOVER_DO_RUN_ON] = {DECIDES(SOLO, PRIMARY), .later = true},
	[FAILOVER_DO_REPAIR] = {.command = FAILOVER_RUN_REPAIR},
	[FAILOVER_DO_REPORT_FAILURE] = {.withdraws = true, .later = true},
	[FAILOVER_DO_GIVE_UP] = {.withdraws = true,
		.order = PROTO_ORDER_STOP,
		.dismisses = true,
		.later = true},
	[FAILOVER_DO_CANCEL] = {.promise = FAILOVER_PROMISE_REST,
		.unwanted = true,
		.withdraws = true,
		.order = PROTO_ORDER_STOP,
		.dismisses = true},
	[FAILOVER_DO_GUEST_ENDED] = {ENDS},
	[FAILOVER_DO_GUEST_ENDED_TOO] = {ENDS},
	/* Its standby is of no use either: the generation ends as if the stream were lost. */
	[FAILOVER_DO_GUEST_RESTARTS] = {.withdraws = true, .kills = true, .later = true},
	[FAILOVER_DO_ASK_UNPROTECT] = {.promise = FAILOVER_PROMISE_UNWANTED, .unwanted = true},
	[FAILOVER_DO_STOP] = {DECIDES(SOLO, PRIMARY), .withdraws = true, .order = PROTO_ORDER_STOP,
		.command = FAILOVER_RUN_REPAIR},
	[FAILOVER_DO_FORGET] = {.promise = FAILOVER_PROMISE_REST, .unwanted = true},
	[FAILOVER_DO_LEAVE] = {DECIDES(LEFT, PRIMARY), .withdraws = true,
		.order = PROTO_ORDER_DISCARD, .command = FAILOVER_RUN_DISCARD},
	/* From here on a guest of that name would be another one, and is not ours to destroy. */
	[FAILOVER_DO_NOTE_LEFT] = {DECIDES(RELEASED, PRIMARY), .regardless = true},
	/* The backup's promise never to take it over is on its disk: it is this host's alone. */
	[FAILOVER_DO_RECLAIM] = {DECIDES(SOLO, PRIMARY), .died = true, .later = true,
		.command = FAILOVER_RUN_START},
	[FAILOVER_DO_ANSWER_PREPARED] = {.promise = FAILOVER_PROMISE_PAIRING,
		.role = PROTO_ROLE_BACKUP},
	[FAILOVER_DO_RELEASE] = {DECIDES(RELEASED, BACKUP), .order = PROTO_ORDER_DISCARD,
		.command = FAILOVER_RUN_DISCARD},
	[FAILOVER_DO_DISCARD] = {.command = FAILOVER_RUN_DISCARD},
	[FAILOVER_DO_TAKE_OVER] = {DECIDES(TAKEOVER, BACKUP), .order = PROTO_ORDER_TAKEOVER},
	/* It runs: that cannot be taken back. */
	[FAILOVER_DO_ANNOUNCE] = {DECIDES(TAKEOVER, PRIMARY), .regardless = true, .later = true},
	[FAILOVER_DO_CLEAR] = {.kills = true, .command = FAILOVER_RUN_DISCARD},
};

const struct failover_plan *failover_plan(enum failover_action action)
{
	return &plans[action];
}

struct failover_record failover_plan_record(const struct failover_plan *p,
	const struct failover_record *now, const struct failover_attempt *attempt)
{
	struct failover_record r = *now;
	const struct failover_forgotten rest = failover_decide_forget(now);

	switch (p->promise) {
	case FAILOVER_PROMISE_DECISION:
		r.decision = p->decision;
		r.role = p->role;
		break;
	case FAILOVER_PROMISE_PAIRING:
		snprintf(r.uuid, sizeof(r.uuid), "%s", attempt->uuid);
		snprintf(r.peer, sizeof(r.peer), "%s", attempt->peer);
		r.generation = attempt->generation;
		r.decision = FAILOVER_DECISION_NONE;
		r.role = p->role;
		r.passing = p->role == PROTO_ROLE_PRIMARY && attempt->passing;
		r.intent = !r.passing;
		break;
	case FAILOVER_PROMISE_REST:
		r.decision = rest.decision;
		r.role = rest.role;
		r.passing = false;
		break;
	case FAILOVER_PROMISE_NOTHING:
	case FAILOVER_PROMISE_UNWANTED:
		break;
	}
	if (p->decision == FAILOVER_DECISION_HANDED)
		r.intent = !attempt->unwanted;
	if (p->unwanted)
		r.intent = false;
	if (p->wanted)
		r.intent = !now->passing;
	return r;
}

/* Entered first, so that an end of the worker inside the action meets the new state. */
bool failover_plan_run(enum failover_state *state, const struct failover_step *step,
	const struct failover_hands *hands, void *host)
{
	const struct failover_plan *p = failover_plan(step->action);
	const enum failover_state before = *state;

	*state = step->next;
	if (p->promise && !hands->promise(host, p)) {
		*state = before;
		return false;
	}
	if (p->withdraws)
		hands->withdraw(host);
	if (p->kills)
		hands->kill(host);
	hands->particular(host, step->action);
	if (!(p->order && hands->order(host, p->order)) && p->command)
		hands->command(host, p->command);
	if (p->dismisses)
		hands->dismiss(host);
	if (p->later)
		hands->later(host);
	if (*state != before)
		hands->beat(host);
	return true;
}
