/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The actions of the lifecycle table: domain_plan.c says what they are made of, these are its
 * hands. What is particular to an action is in the files of the two roles.
 */
#include "failover/domain_actions.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "failover/domain_roles.h"
#include "failover/worker.h"

const char *failover_domain_peer_name(const struct failover_domain *d)
{
	return d->peer ? d->peer->conf->name : d->record.peer;
}

bool failover_domain_reprotects(const struct failover_domain *d)
{
	return d->reverses || failover_config_reprotects(d->fo->config, NAME(d));
}

const char *failover_domain_outlook(const struct failover_domain *d)
{
	if (!d->record.intent)
		return "";
	return failover_domain_reprotects(d)
		       ? "; protection begins again when the peer is steady"
		       : "; reprotect is manual: protection begins again with romulus protect";
}

/* ---- what a plan is made of --------------------------------------------------------------------
 */

static bool promise(void *host, const struct failover_plan *p)
{
	struct failover_domain *d = host;
	const struct failover_attempt attempt = {d->attempt_generation, d->uuid,
		d->attempt_peer ? d->attempt_peer->conf->name : "", d->unwanted, d->passing};
	const struct failover_record r = failover_plan_record(p, &d->record, &attempt);
	struct why why;

	if (p->died)
		d->guest_died = true;
	if (p->promise == FAILOVER_PROMISE_REST && !d->recorded) {
		d->record = r;
		return true;
	}
	if (failover_domain_persist(d, &r, &why) == 0)
		return true;
	if (strcmp(d->why, why.text) != 0)
		EVENT(d, "failed", "%s", why.text);
	snprintf(d->why, sizeof(d->why), "%s", why.text);
	if (p->regardless) {
		d->record = r;
		d->unwritten = true;
		return true;
	}
	failover_client_exit(TAKE_PTR(d->client), EXIT_CODE_FAILED, d->why);
	return false;
}

static bool order(void *host, enum proto_order order)
{
	struct failover_domain *d = host;
	struct why why;

	if (!d->worker || d->worker_leaving)
		return false;
	if (failover_worker_tell(d->worker, order, &why) < 0)
		log_error("%s: order not taken: %s", NAME(d), why.text);
	return true;
}

static void command(void *host, enum failover_command command)
{
	static void (*const commands[])(struct failover_domain *) = {
		[FAILOVER_RUN_REPAIR] = failover_domain_repair,
		[FAILOVER_RUN_SWEEP] = failover_domain_sweep,
		[FAILOVER_RUN_DISCARD] = failover_domain_discard,
		[FAILOVER_RUN_START] = failover_domain_guest_died,
	};

	commands[command](host);
}

static void withdraw(void *host)
{
	struct failover_domain *d = host;

	d->request = failover_request_free(d->request);
}

static void dismiss(void *host)
{
	((struct failover_domain *)host)->worker_leaving = true;
}

static void kill_worker(void *host)
{
	struct failover_domain *d = host;

	d->worker = failover_worker_free(d->worker);
	d->worker_leaving = false;
}

static void later(void *host)
{
	struct failover_domain *d = host;

	failover_attempts_fail(&d->attempts, &d->fo->timeouts, clock_now_ns());
}

static void beat(void *host)
{
	struct failover_domain *d = host;

	failover_peers_beat(d->fo);
	failover_domain_monitor(d, clock_now_ns());
}

/* What is particular to an action; nothing of the others is. */
static void (*const particulars[FAILOVER_ACTION_COUNT])(struct failover_domain *) = {
	[FAILOVER_DO_SPAWN_PRIMARY] = failover_do_spawn_primary,
	[FAILOVER_DO_ASK_PEER] = failover_do_ask_peer,
	[FAILOVER_DO_CONNECT] = failover_do_connect,
	[FAILOVER_DO_NOTE_PROTECTED] = failover_do_note_protected,
	[FAILOVER_DO_MOVE] = failover_do_move,
	[FAILOVER_DO_HAND_OVER] = failover_do_hand_over,
	[FAILOVER_DO_TAKE_BACK] = failover_do_take_back,
	[FAILOVER_DO_WANT_SOLO] = failover_do_want_solo,
	[FAILOVER_DO_GO_SOLO] = failover_do_go_solo,
	[FAILOVER_DO_NOTE_SOLO] = failover_do_note_solo,
	[FAILOVER_DO_NOTE_UNREPAIRED] = failover_do_note_unrepaired,
	[FAILOVER_DO_RUN_ON] = failover_do_run_on,
	[FAILOVER_DO_REPORT_FAILURE] = failover_do_report_failure,
	[FAILOVER_DO_GIVE_UP] = failover_do_report_failure,
	[FAILOVER_DO_NOTE_GONE] = failover_do_note_gone,
	[FAILOVER_DO_CANCEL] = failover_do_cancel,
	[FAILOVER_DO_GUEST_ENDED] = failover_do_guest_ended,
	[FAILOVER_DO_GUEST_ENDED_TOO] = failover_do_guest_ended_too,
	[FAILOVER_DO_GUEST_RESTARTS] = failover_do_guest_restarts,
	[FAILOVER_DO_NOTE_RESTARTS] = failover_do_guest_restarts,
	[FAILOVER_DO_NOTE_CLOSED] = failover_do_note_closed,
	[FAILOVER_DO_ASK_UNPROTECT] = failover_do_ask_unprotect,
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
	[FAILOVER_DO_NOTE_RELEASED] = failover_do_note_released,
	[FAILOVER_DO_TAKE_OVER] = failover_do_take_over,
	[FAILOVER_DO_ANNOUNCE] = failover_do_announce,
	[FAILOVER_DO_CLEAR] = failover_do_clear,
	[FAILOVER_DO_NOTE_BROKEN] = failover_do_note_broken,
	[FAILOVER_DO_NOTE_STUCK] = failover_do_note_stuck,
};

static void particular(void *host, enum failover_action action)
{
	if (particulars[action])
		particulars[action](host);
}

bool failover_domain_act(struct failover_domain *d, const struct failover_step *step)
{
	static const struct failover_hands hands = {
		promise, particular, order, command, withdraw, dismiss, kill_worker, later, beat};

	return failover_plan_run(&d->state, step, &hands, d);
}
