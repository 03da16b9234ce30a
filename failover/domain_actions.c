/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The actions of the lifecycle table. Promises first: an action that decides a generation writes
 * the record before the state changes, before it is gossiped and before the worker hears of it.
 */
#include "failover/domain_actions.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "failover/child.h"
#include "failover/worker.h"

#define NAME(d) ((d)->record.name)
#define EVENT(d, kind, ...) failover_event(&(d)->fo->events, NAME(d), kind, __VA_ARGS__)

static const char *peer_name(const struct failover_domain *d)
{
	return d->peer ? d->peer->conf->name : d->record.peer;
}

static void try_later(struct failover_domain *d)
{
	const struct failover_timeouts *t = &d->fo->timeouts;

	/* What is only not ready yet is asked again at the same pace. */
	d->attempts = d->not_yet ? 1 : d->attempts + 1;
	d->retry_at_ns =
		clock_now_ns() +
		failover_backoff(t->retry_first, t->retry_last, d->attempts) * NSEC_PER_MSEC;
}

static void tell(struct failover_domain *d, enum proto_order order)
{
	struct why why;

	if (d->worker && failover_worker_tell(d->worker, order, &why) < 0)
		log_error("%s: order not taken: %s", NAME(d), why.text);
}

/* Order the worker, or run the command that does it in a dead worker's place. */
static void worker_or(struct failover_domain *d, enum proto_order order,
	void (*command)(struct failover_domain *))
{
	if (d->worker)
		tell(d, order);
	else
		command(d);
}

/* Write the decision; false: it could not be written, so nothing may follow from it. */
static bool decided(
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

/* ---- primary --------------------------------------------------------------------------------- */

static bool do_spawn_primary(struct failover_domain *d)
{
	struct why why;

	if (!d->not_yet)
		EVENT(d, "protect-begin", "protecting on %s", d->attempt_peer->conf->name);
	if (failover_domain_spawn_primary(d, &why) == 0)
		return true;
	try_later(d);
	EVENT(d, "failed", "%s", why.text);
	failover_domain_settle(d, EXIT_CODE_FAILED, "%s", why.text);
	return false;
}

static void on_prepare_answer(void *data, const struct proto_frame *frame, enum exit_code exit_code,
	const struct why *why)
{
	struct failover_domain *d = data;
	Romulus__Order order = ROMULUS__ORDER__INIT;
	const Romulus__Prepared *prepared;
	const Romulus__Refused *refused;
	struct failover_peer *p = d->attempt_peer;
	struct failover_record before = d->record;
	struct why w;

	d->request = NULL;
	d->exit_code = EXIT_CODE_REFUSED;
	if (!frame) {
		d->exit_code = exit_code;
		snprintf(d->why, sizeof(d->why), "%s", why->text);
	} else if (frame->type == PROTO_REFUSED) {
		refused = (const Romulus__Refused *)frame->message;
		if (refused->generation > d->record.generation)
			d->attempt_generation = refused->generation; /* next attempt is above it */
		if (refused->later)
			d->exit_code = EXIT_CODE_NOT_YET;
		snprintf(d->why, sizeof(d->why), "%s refused: %.400s", p->conf->name,
			refused->reason);
	} else if (frame->type != PROTO_PREPARED) {
		d->exit_code = EXIT_CODE_PROTOCOL;
		snprintf(d->why, sizeof(d->why), "%s answered with %s", p->conf->name,
			proto_type_name(frame->type));
	} else {
		prepared = (const Romulus__Prepared *)frame->message;
		snprintf(d->record.uuid, sizeof(d->record.uuid), "%s", d->uuid);
		snprintf(d->record.peer, sizeof(d->record.peer), "%s", p->conf->name);
		d->record.generation = d->attempt_generation;
		d->record.intent = true;
		if (failover_domain_persist(d, FAILOVER_DECISION_NONE, PROTO_ROLE_PRIMARY, &w) ==
			0) {
			d->peer = p;
			order.kind = PROTO_ORDER_CONNECT;
			order.address = p->conf->paths[0].remote;
			order.port = prepared->port;
			order.token = prepared->token;
			order.generation = d->record.generation;
			order.peer = p->conf->name;
			d->figures = (struct failover_figures){0};
			failover_domain_on(d, FAILOVER_ON_PREPARED);
			if (d->worker && failover_worker_order(d->worker, &order, &w) < 0)
				log_error("%s: %s", NAME(d), w.text);
			return;
		}
		d->record = before;
		d->exit_code = EXIT_CODE_FAILED;
		snprintf(d->why, sizeof(d->why), "%s", w.text);
	}
	failover_domain_on(d, FAILOVER_ON_REFUSED);
}

static bool do_ask_peer(struct failover_domain *d)
{
	const struct failover_gossip *g = failover_peer_gossip(d->attempt_peer, d->uuid);
	Romulus__Prepare m = ROMULUS__PREPARE__INIT;
	uint64_t known = d->record.generation;

	if (g && g->generation > known)
		known = g->generation;
	if (d->attempt_generation > known)
		known = d->attempt_generation;
	d->attempt_generation = known + 1;
	m.domain = NAME(d);
	m.uuid = d->uuid;
	m.generation = d->attempt_generation;
	m.memory_kb = d->memory_kb;
	m.type = d->type;
	m.hypervisor = d->hypervisor;
	m.staging_bytes =
		(uint64_t)failover_config_staging_mb(d->fo->config, NAME(d)) * 1024 * 1024;
	d->request = failover_request_start(
		d->attempt_peer, PROTO_PREPARE, &m.base, on_prepare_answer, d);
	return true;
}

static bool do_note_protected(struct failover_domain *d)
{
	d->attempts = 0;
	d->not_yet = false;
	d->cause[0] = '\0';
	EVENT(d, "protected", "protected on %s, generation %lu", peer_name(d),
		(unsigned long)d->record.generation);
	failover_domain_settle(d, EXIT_CODE_OK, "%s", "");
	return true;
}

static bool do_want_solo(struct failover_domain *d)
{
	/* What the worker or the peer said last is why: an operator must still find it when the
	 * guest runs alone. */
	snprintf(d->cause, sizeof(d->cause), "%s", d->why);
	snprintf(d->why, sizeof(d->why),
		"the stream to %s is lost%s%.300s: mute until the generation is decided",
		peer_name(d), d->cause[0] ? ": " : "", d->cause);
	EVENT(d, "stream-lost", "%s", d->why);
	return true;
}

static bool do_go_solo(struct failover_domain *d)
{
	if (!decided(d, FAILOVER_DECISION_SOLO, PROTO_ROLE_PRIMARY))
		return false;
	EVENT(d, "grant", "solo granted for generation %lu", (unsigned long)d->record.generation);
	worker_or(d, PROTO_ORDER_SOLO, failover_domain_repair);
	return true;
}

static bool do_note_solo(struct failover_domain *d)
{
	try_later(d);
	EVENT(d, "solo", "runs on alone, unprotected%s",
		d->record.intent ? "; protection begins again when the peer is steady" : "");
	failover_domain_settle(d, d->client ? EXIT_CODE_FAILED : EXIT_CODE_OK,
		"runs alone: protection by %s ended%s%.400s", peer_name(d),
		d->cause[0] ? ": " : " before it was complete", d->cause);
	return true;
}

static bool do_run_on(struct failover_domain *d)
{
	char text[WHY_MAX];

	snprintf(text, sizeof(text), "%s", d->why);
	if (!decided(d, FAILOVER_DECISION_SOLO, PROTO_ROLE_PRIMARY))
		return false;
	try_later(d);
	EVENT(d, "failed", "replication failed, the guest runs on unprotected: %s", text);
	failover_domain_settle(d, d->exit_code, "%s", text);
	return true;
}

static bool do_report_failure(struct failover_domain *d)
{
	bool gone = d->guest_died && d->exit_code == EXIT_CODE_UNKNOWN;
	bool waits = gone || d->exit_code == EXIT_CODE_NOT_YET;
	char text[WHY_MAX];

	snprintf(text, sizeof(text), "%s", d->why);
	d->request = failover_request_free(d->request);
	if (!waits)
		EVENT(d, "failed", "%s", text);
	else if (!d->not_yet && !gone)
		EVENT(d, "waiting", "%s", text);
	d->not_yet = waits;
	try_later(d);
	if (gone && !d->client) {
		failover_domain_guest_died(d);
		return true;
	}
	failover_domain_settle(d, d->exit_code ? d->exit_code : EXIT_CODE_FAILED, "%s", text);
	return true;
}

static bool do_give_up(struct failover_domain *d)
{
	tell(d, PROTO_ORDER_STOP);
	d->worker_leaving = true;
	return do_report_failure(d);
}

static bool do_guest_ended(struct failover_domain *d)
{
	char text[WHY_MAX];

	snprintf(text, sizeof(text), "the guest is gone: %.400s; protection has ended", d->why);
	d->record.intent = false;
	if (!decided(d, FAILOVER_DECISION_ENDED, PROTO_ROLE_PRIMARY))
		return false;
	tell(d, PROTO_ORDER_STOP);
	EVENT(d, "guest-gone", "%s", text);
	failover_domain_settle(d, EXIT_CODE_FAILED, "%s", text);
	return true;
}

static void on_unprotect_answer(void *data, const struct proto_frame *frame,
	enum exit_code exit_code, const struct why *why)
{
	struct failover_domain *d = data;

	d->request = NULL;
	if (frame && frame->type == PROTO_UNPROTECTED) {
		failover_domain_on(d, FAILOVER_ON_UNPROTECTED);
		return;
	}
	failover_domain_on(d, FAILOVER_ON_UNPROTECT_FAILED);
	failover_domain_settle(d, frame ? EXIT_CODE_REFUSED : exit_code,
		"%s did not let go (%.300s): the guest is mute until it does or the arbiter "
		"decides",
		peer_name(d), frame ? "refused" : why->text);
}

/* The backup lets go first: were output released before, its checkpoint would be too old. */
static bool do_ask_unprotect(struct failover_domain *d)
{
	Romulus__Unprotect m = ROMULUS__UNPROTECT__INIT;

	d->record.intent = false;
	if (!decided(d, d->record.decision, d->record.role))
		return false;
	snprintf(d->why, sizeof(d->why), "%s", d->cause);
	m.uuid = d->record.uuid;
	m.generation = d->record.generation;
	d->request =
		failover_request_start(d->peer, PROTO_UNPROTECT, &m.base, on_unprotect_answer, d);
	return true;
}

static bool do_stop(struct failover_domain *d)
{
	if (!decided(d, FAILOVER_DECISION_SOLO, PROTO_ROLE_PRIMARY))
		return false;
	d->request = failover_request_free(d->request);
	worker_or(d, PROTO_ORDER_STOP, failover_domain_repair);
	return true;
}

static bool do_forget(struct failover_domain *d)
{
	d->record.intent = false;
	if (d->recorded && !decided(d, FAILOVER_DECISION_NONE, PROTO_ROLE_NONE))
		return false;
	EVENT(d, "unprotected", "protection has ended, nothing is left of it on either host");
	failover_domain_settle(d, EXIT_CODE_OK, "%s", "");
	return true;
}

static bool do_leave(struct failover_domain *d)
{
	d->request = failover_request_free(d->request);
	if (!decided(d, FAILOVER_DECISION_RELEASED, PROTO_ROLE_PRIMARY))
		return false;
	EVENT(d, "over", "%s has taken it over: the stale guest here is destroyed, unheard",
		peer_name(d));
	worker_or(d, PROTO_ORDER_DISCARD, failover_domain_discard);
	return true;
}

static bool do_note_left(struct failover_domain *d)
{
	d->vacant = false;
	EVENT(d, "left", "the stale guest is gone; %s runs it", peer_name(d));
	failover_domain_settle(d, EXIT_CODE_WRONG_STATE, "%s runs it now", peer_name(d));
	return true;
}

/* The backup's promise never to take it over is on its disk: the guest is this host's alone. */
static bool do_reclaim(struct failover_domain *d)
{
	if (!decided(d, FAILOVER_DECISION_SOLO, PROTO_ROLE_PRIMARY))
		return false;
	EVENT(d, "grant",
		"both hosts have lost the guest, %s has let go of generation %lu: it goes on from "
		"the disks of this host",
		peer_name(d), (unsigned long)d->record.generation);
	try_later(d);
	failover_domain_guest_died(d);
	return true;
}

static bool do_alarm(struct failover_domain *d)
{
	static const char text[] = "both hosts claim it: destroy the wrong one by hand, at once";

	if (strcmp(d->why, text) != 0)
		EVENT(d, "alarm", "%s", text);
	snprintf(d->why, sizeof(d->why), "%s", text);
	return true;
}

/* ---- backup ---------------------------------------------------------------------------------- */

static bool do_spawn_backup(struct failover_domain *d)
{
	struct why why;

	if (failover_domain_spawn_backup(d, &why) == 0)
		return true;
	failover_inbound_refuse(d->asker, d->uuid, d->record.generation, why.text);
	return false;
}

static bool do_answer_prepared(struct failover_domain *d)
{
	const struct failover_record before = d->record;
	bool renewed = d->recorded && strcmp(before.uuid, d->uuid) != 0;
	struct why why;

	snprintf(d->record.uuid, sizeof(d->record.uuid), "%s", d->uuid);
	snprintf(d->record.peer, sizeof(d->record.peer), "%s", d->attempt_peer->conf->name);
	d->record.generation = d->attempt_generation;
	d->record.intent = true;
	d->figures = (struct failover_figures){0};
	if (failover_domain_persist(d, FAILOVER_DECISION_NONE, PROTO_ROLE_BACKUP, &why) < 0) {
		d->record = before;
		failover_inbound_refuse(d->asker, d->uuid, before.generation, why.text);
		d->worker = failover_worker_free(d->worker);
		d->state = failover_domain_base(d);
		return false;
	}
	if (renewed) /* a new guest of an old name: one name must not have two records */
		failover_state_remove(d->fo->config->state_dir, before.uuid, NULL);
	d->peer = d->attempt_peer;
	EVENT(d, "receiving", "receiving from %s, generation %lu", peer_name(d),
		(unsigned long)d->record.generation);
	return true; /* the report with port and token is answered by domain_work.c */
}

static bool do_answer_refused(struct failover_domain *d)
{
	bool later = d->exit_code == EXIT_CODE_NOT_YET;

	if (!later) /* the other host says once that it waits */
		EVENT(d, "failed", "cannot be its backup: %s", d->why);
	failover_inbound_put_off(d->asker, d->uuid, d->record.generation, d->why, later);
	return true;
}

static bool do_note_ready(struct failover_domain *d)
{
	EVENT(d, "protected", "holds an acked checkpoint of %s, generation %lu", peer_name(d),
		(unsigned long)d->record.generation);
	return true;
}

static bool do_note_holding(struct failover_domain *d)
{
	snprintf(d->why, sizeof(d->why), "stream lost; the last acked checkpoint is held");
	EVENT(d, "stream-lost", "%s", d->why);
	return true;
}

static bool do_release(struct failover_domain *d)
{
	if (!decided(d, FAILOVER_DECISION_RELEASED, PROTO_ROLE_BACKUP))
		return false;
	EVENT(d, "released", "generation %lu will never be taken over here; the standby goes",
		(unsigned long)d->record.generation);
	worker_or(d, PROTO_ORDER_DISCARD, failover_domain_discard);
	return true;
}

static bool do_note_released(struct failover_domain *d)
{
	Romulus__Unprotected m = ROMULUS__UNPROTECTED__INIT;

	if (!d->asker || !d->asker_unprotects)
		return true;
	d->record.intent = false;
	m.uuid = d->record.uuid;
	m.generation = d->record.generation;
	failover_inbound_answer(d->asker, PROTO_UNPROTECTED, &m.base);
	EVENT(d, "unprotected", "%s has ended the protection", peer_name(d));
	return true;
}

static bool do_take_over(struct failover_domain *d)
{
	if (!decided(d, FAILOVER_DECISION_TAKEOVER, PROTO_ROLE_BACKUP))
		return false;
	EVENT(d, "grant", "takeover granted for generation %lu, epoch %lu",
		(unsigned long)d->record.generation, (unsigned long)d->figures.epoch);
	fault_point(FAULT_TAKEOVER_GRANT);
	worker_or(d, PROTO_ORDER_TAKEOVER, failover_domain_discard);
	return true;
}

static bool do_announce(struct failover_domain *d)
{
	decided(d, FAILOVER_DECISION_TAKEOVER, PROTO_ROLE_PRIMARY);
	EVENT(d, "running", "runs here now, generation %lu", (unsigned long)d->record.generation);
	snprintf(d->why, sizeof(d->why), "taken over from %s; unprotected until it is back",
		peer_name(d));
	failover_client_exit(TAKE_PTR(d->client), EXIT_CODE_OK, NULL);
	try_later(d);
	return true;
}

/* A half-built standby and disks that may be half rolled back: no state to start a guest from. */
static bool do_clear(struct failover_domain *d)
{
	snprintf(d->cause, sizeof(d->cause), "%s", d->why);
	EVENT(d, "failed", "the takeover failed: %s; what it left is cleared away", d->cause);
	snprintf(d->why, sizeof(d->why),
		"the takeover failed (%.300s): do not start it yet, what it left is being cleared",
		d->cause);
	/* One that reported its failure may still be at the disks that are repaired next. */
	d->worker = failover_worker_free(d->worker);
	failover_domain_clear(d);
	return true;
}

static const char *resource_of(const struct failover_domain *d)
{
	const struct failover_domain_config *conf = failover_config_domain(d->fo->config, NAME(d));

	return conf ? conf->disks.resource : NULL;
}

static bool do_note_broken(struct failover_domain *d)
{
	const char *resource = resource_of(d);
	char text[WHY_MAX];

	snprintf(text, sizeof(text),
		"the takeover failed (%.200s): if xl list does not show it, start it from its "
		"disks (%s%s%s"
		"xl create), then romulus unprotect",
		d->cause, resource ? "drbdadm primary " : "", resource ? resource : "",
		resource ? "; " : "");
	EVENT(d, "failed", "%s", text);
	failover_domain_settle(d, EXIT_CODE_FAILED, "%s", text);
	return true;
}

static bool do_note_stuck(struct failover_domain *d)
{
	char text[WHY_MAX];

	snprintf(text, sizeof(text),
		"the takeover failed, and so did clearing up after it (%.250s): do not start it%s; "
		"mend that and restart romulusd here, which tries again",
		d->why, resource_of(d) ? ", its disks may be half rolled back" : "");
	EVENT(d, "failed", "%s", text);
	failover_domain_settle(d, EXIT_CODE_FAILED, "%s", text);
	return true;
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
	[FAILOVER_DO_SPAWN_PRIMARY] = do_spawn_primary,
	[FAILOVER_DO_ASK_PEER] = do_ask_peer,
	[FAILOVER_DO_CONNECT] = do_nothing, /* on_prepare_answer has written and orders it */
	[FAILOVER_DO_NOTE_PROTECTED] = do_note_protected,
	[FAILOVER_DO_WANT_SOLO] = do_want_solo,
	[FAILOVER_DO_GO_SOLO] = do_go_solo,
	[FAILOVER_DO_NOTE_SOLO] = do_note_solo,
	[FAILOVER_DO_RUN_ON] = do_run_on,
	[FAILOVER_DO_REPAIR] = do_repair,
	[FAILOVER_DO_REPORT_FAILURE] = do_report_failure,
	[FAILOVER_DO_GIVE_UP] = do_give_up,
	[FAILOVER_DO_GUEST_ENDED] = do_guest_ended,
	[FAILOVER_DO_ASK_UNPROTECT] = do_ask_unprotect,
	[FAILOVER_DO_STOP] = do_stop,
	[FAILOVER_DO_FORGET] = do_forget,
	[FAILOVER_DO_LEAVE] = do_leave,
	[FAILOVER_DO_NOTE_LEFT] = do_note_left,
	[FAILOVER_DO_RECLAIM] = do_reclaim,
	[FAILOVER_DO_ALARM] = do_alarm,
	[FAILOVER_DO_SPAWN_BACKUP] = do_spawn_backup,
	[FAILOVER_DO_ANSWER_PREPARED] = do_answer_prepared,
	[FAILOVER_DO_ANSWER_REFUSED] = do_answer_refused,
	[FAILOVER_DO_NOTE_READY] = do_note_ready,
	[FAILOVER_DO_NOTE_HOLDING] = do_note_holding,
	[FAILOVER_DO_RELEASE] = do_release,
	[FAILOVER_DO_DISCARD] = do_discard,
	[FAILOVER_DO_NOTE_RELEASED] = do_note_released,
	[FAILOVER_DO_TAKE_OVER] = do_take_over,
	[FAILOVER_DO_ANNOUNCE] = do_announce,
	[FAILOVER_DO_CLEAR] = do_clear,
	[FAILOVER_DO_NOTE_BROKEN] = do_note_broken,
	[FAILOVER_DO_NOTE_STUCK] = do_note_stuck,
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
