/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The actions of the lifecycle table, by name, and what those of both roles share. Promises first:
 * an action that decides a generation writes the record before the state changes, before it is
 * gossiped and before the worker hears of it.
 */
#include "failover/domain_actions.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "failover/domain_roles.h"
#include "failover/worker.h"

const char *failover_domain_peer_name(const struct failover_domain *d)
{
	return d->peer ? d->peer->conf->name : d->record.peer;
}

const char *failover_domain_outlook(const struct failover_domain *d)
{
	if (!d->record.intent)
		return "";
	return failover_config_reprotects(d->fo->config, NAME(d))
		       ? "; protection begins again when the peer is steady"
		       : "; reprotect is manual: protection begins again with romulus protect";
}

void failover_domain_try_later(struct failover_domain *d)
{
	const struct failover_timeouts *t = &d->fo->timeouts;

	/* What is only not ready yet is asked again at the same pace. */
	d->attempts = d->not_yet ? 1 : d->attempts + 1;
	d->retry_at_ns =
		clock_now_ns() +
		failover_backoff(t->retry_first, t->retry_last, d->attempts) * NSEC_PER_MSEC;
}

void failover_domain_tell(struct failover_domain *d, enum proto_order order)
{
	struct why why;

	if (d->worker && !d->worker_leaving && failover_worker_tell(d->worker, order, &why) < 0)
		log_error("%s: order not taken: %s", NAME(d), why.text);
}

void failover_domain_worker_or(struct failover_domain *d, enum proto_order order,
	void (*command)(struct failover_domain *))
{
	if (d->worker && !d->worker_leaving)
		failover_domain_tell(d, order);
	else
		command(d);
}

bool failover_domain_decided(
	struct failover_domain *d, enum failover_decision decision, enum proto_role role)
{
	struct why why;

	if (failover_domain_persist(d, decision, role, &why) == 0)
		return true;
	if (strcmp(d->why, why.text) != 0)
		EVENT(d, "failed", "%s", why.text);
	snprintf(d->why, sizeof(d->why), "%s", why.text);
	return false;
}

static bool do_nothing(struct failover_domain *d)
{
	return true;
}

static bool do_repair(struct failover_domain *d)
{
	failover_domain_repair(d);
	return true;
}

static bool do_discard(struct failover_domain *d)
{
	failover_domain_discard(d);
	return true;
}

/* False: the promise could not be made; the state stays. */
static bool (*const actions[])(struct failover_domain *) = {
	[FAILOVER_DO_NOTHING] = do_nothing,
	[FAILOVER_DO_SPAWN_PRIMARY] = failover_do_spawn_primary,
	[FAILOVER_DO_ASK_PEER] = failover_do_ask_peer,
	[FAILOVER_DO_CONNECT] = do_nothing, /* on_prepare_answer has written and orders it */
	[FAILOVER_DO_NOTE_PROTECTED] = failover_do_note_protected,
	[FAILOVER_DO_WANT_SOLO] = failover_do_want_solo,
	[FAILOVER_DO_GO_SOLO] = failover_do_go_solo,
	[FAILOVER_DO_NOTE_SOLO] = failover_do_note_solo,
	[FAILOVER_DO_RUN_ON] = failover_do_run_on,
	[FAILOVER_DO_REPAIR] = do_repair,
	[FAILOVER_DO_REPORT_FAILURE] = failover_do_report_failure,
	[FAILOVER_DO_GIVE_UP] = failover_do_give_up,
	[FAILOVER_DO_CANCEL] = failover_do_cancel,
	[FAILOVER_DO_GUEST_ENDED] = failover_do_guest_ended,
	[FAILOVER_DO_ASK_UNPROTECT] = failover_do_ask_unprotect,
	[FAILOVER_DO_STOP] = failover_do_stop,
	[FAILOVER_DO_FORGET] = failover_do_forget,
	[FAILOVER_DO_LEAVE] = failover_do_leave,
	[FAILOVER_DO_NOTE_LEFT] = failover_do_note_left,
	[FAILOVER_DO_NOTE_STALE] = failover_do_note_stale,
	[FAILOVER_DO_RECLAIM] = failover_do_reclaim,
	[FAILOVER_DO_ALARM] = failover_do_alarm,
	[FAILOVER_DO_SPAWN_BACKUP] = failover_do_spawn_backup,
	[FAILOVER_DO_ANSWER_PREPARED] = failover_do_answer_prepared,
	[FAILOVER_DO_ANSWER_REFUSED] = failover_do_answer_refused,
	[FAILOVER_DO_NOTE_READY] = failover_do_note_ready,
	[FAILOVER_DO_NOTE_HOLDING] = failover_do_note_holding,
	[FAILOVER_DO_RELEASE] = failover_do_release,
	[FAILOVER_DO_DISCARD] = do_discard,
	[FAILOVER_DO_NOTE_RELEASED] = failover_do_note_released,
	[FAILOVER_DO_TAKE_OVER] = failover_do_take_over,
	[FAILOVER_DO_ANNOUNCE] = failover_do_announce,
	[FAILOVER_DO_CLEAR] = failover_do_clear,
	[FAILOVER_DO_NOTE_BROKEN] = failover_do_note_broken,
	[FAILOVER_DO_NOTE_STUCK] = failover_do_note_stuck,
};

void failover_domain_act(
	struct failover_domain *d, enum failover_event event, const struct failover_step *step)
{
	enum failover_state before = d->state;

	/* Entered first, so that an end of the worker inside the action meets the new state; a
	 * promise that cannot be written takes it back, and nothing has been gossiped meanwhile. */
	d->state = step->next;
	if (!actions[step->action](d) && d->state == step->next)
		d->state = before;
	if (d->state != before)
		failover_peers_beat(d->fo);
}
