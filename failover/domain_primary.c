/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a primary does when the lifecycle table says so: protect, run on alone, let go. */
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "failover/domain_roles.h"
#include "failover/worker.h"

bool failover_do_spawn_primary(struct failover_domain *d)
{
	struct why why;

	if (!d->not_yet)
		EVENT(d, "protect-begin", "protecting on %s", d->attempt_peer->conf->name);
	if (failover_domain_spawn_primary(d, &why) == 0)
		return true;
	failover_domain_try_later(d);
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
		if (refused->generation > d->record.generation &&
			refused->generation < FAILOVER_GENERATION_MAX)
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

bool failover_do_ask_peer(struct failover_domain *d)
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

bool failover_do_note_protected(struct failover_domain *d)
{
	d->attempts = 0;
	d->not_yet = d->booting = false;
	d->cause[0] = '\0';
	EVENT(d, "protected", "protected on %s, generation %lu", failover_domain_peer_name(d),
		(unsigned long)d->record.generation);
	failover_domain_settle(d, EXIT_CODE_OK, "%s", "");
	return true;
}

bool failover_do_want_solo(struct failover_domain *d)
{
	/* What the worker or the peer said last is why: an operator must still find it when the
	 * guest runs alone. */
	snprintf(d->cause, sizeof(d->cause), "%s", d->why);
	snprintf(d->why, sizeof(d->why),
		"the stream to %s is lost%s%.300s: mute until the generation is decided",
		failover_domain_peer_name(d), d->cause[0] ? ": " : "", d->cause);
	EVENT(d, "stream-lost", "%s", d->why);
	return true;
}

bool failover_do_go_solo(struct failover_domain *d)
{
	if (!failover_domain_decided(d, FAILOVER_DECISION_SOLO, PROTO_ROLE_PRIMARY))
		return false;
	EVENT(d, "grant", "solo granted for generation %lu", (unsigned long)d->record.generation);
	failover_domain_worker_or(d, PROTO_ORDER_SOLO, failover_domain_repair);
	return true;
}

bool failover_do_note_solo(struct failover_domain *d)
{
	failover_domain_try_later(d);
	EVENT(d, "solo", "runs on alone, unprotected%s", failover_domain_outlook(d));
	failover_domain_settle(d, d->client ? EXIT_CODE_FAILED : EXIT_CODE_OK,
		"runs alone: protection by %s ended%s%.400s", failover_domain_peer_name(d),
		d->cause[0] ? ": " : " before it was complete", d->cause);
	return true;
}

bool failover_do_run_on(struct failover_domain *d)
{
	char text[WHY_MAX];

	snprintf(text, sizeof(text), "%s", d->why);
	if (!failover_domain_decided(d, FAILOVER_DECISION_SOLO, PROTO_ROLE_PRIMARY))
		return false;
	failover_domain_try_later(d);
	EVENT(d, "failed", "replication failed, the guest runs on unprotected: %s", text);
	failover_domain_settle(d, d->exit_code, "%s", text);
	return true;
}

bool failover_do_report_failure(struct failover_domain *d)
{
	bool gone = d->guest_died && d->exit_code == EXIT_CODE_UNKNOWN;
	bool waits = gone || d->booting || d->exit_code == EXIT_CODE_NOT_YET;
	char text[WHY_MAX];

	snprintf(text, sizeof(text), "%s", d->why);
	d->request = failover_request_free(d->request);
	if (!waits)
		EVENT(d, "failed", "%s", text);
	else if (!d->not_yet && !gone)
		EVENT(d, "waiting", "%s", text);
	d->not_yet = waits;
	failover_domain_try_later(d);
	if (gone && !d->client) {
		failover_domain_guest_died(d);
		return true;
	}
	failover_domain_settle(d, d->exit_code ? d->exit_code : EXIT_CODE_FAILED, "%s", text);
	return true;
}

bool failover_do_give_up(struct failover_domain *d)
{
	failover_domain_tell(d, PROTO_ORDER_STOP);
	d->worker_leaving = true;
	return failover_do_report_failure(d);
}

/* Whether it comes back its monitor will say; its standby is of no use in any case. */
bool failover_do_note_gone(struct failover_domain *d)
{
	snprintf(d->cause, sizeof(d->cause), "%s", d->why);
	snprintf(d->why, sizeof(d->why), "%.300s: %s is to give its standby up", d->cause,
		failover_domain_peer_name(d));
	EVENT(d, "guest-gone", "%s", d->why);
	return true;
}

/* What the worker of a guest that is no more still does is of no use, and its name may be taken. */
static void drop_worker(struct failover_domain *d)
{
	d->request = failover_request_free(d->request);
	d->worker = failover_worker_free(d->worker);
	d->worker_leaving = false;
}

bool failover_do_guest_ended(struct failover_domain *d)
{
	const struct failover_forgotten rest = failover_decide_forget(&d->record);
	const bool closing = d->state == FAILOVER_CLOSING;
	const bool ending = closing && d->request; /* an unprotect was under way */
	char text[WHY_MAX];

	snprintf(d->cause, sizeof(d->cause), "%s", d->why);
	d->record.intent = d->booting = false;
	if (d->recorded && !failover_domain_decided(d, rest.decision, rest.role))
		return false;
	drop_worker(d);
	failover_domain_sweep(d);
	snprintf(text, sizeof(text), "%.300s; protection %s%s%s", d->cause,
		closing ? "ends when " : "has ended", closing ? failover_domain_peer_name(d) : "",
		closing ? " has let its standby go" : "");
	EVENT(d, "guest-ended", "%s", text);
	/* Who asked for the end of its protection has it, who asked for protection has not. */
	failover_domain_settle(d, ending ? EXIT_CODE_OK : EXIT_CODE_FAILED, "%s", text);
	return true;
}

/* The standby is of a guest that is no more: the generation ends as if the stream were lost. */
bool failover_do_guest_restarts(struct failover_domain *d)
{
	char text[WHY_MAX];

	snprintf(d->cause, sizeof(d->cause), "%s", d->why);
	drop_worker(d);
	if (d->state == FAILOVER_GOING_SOLO && !d->command) /* in the worker's place */
		failover_domain_repair(d);
	d->booting = true;
	d->attempts = 0;
	failover_domain_try_later(d);
	snprintf(text, sizeof(text), "%.300s%s", d->cause, failover_domain_outlook(d));
	EVENT(d, "guest-restarts", "%s", text);
	failover_domain_settle(d, EXIT_CODE_FAILED, "%s", text);
	return true;
}

bool failover_do_note_closed(struct failover_domain *d)
{
	EVENT(d, "unprotected", "%s has let go: protection has ended on both hosts",
		failover_domain_peer_name(d));
	failover_domain_settle(d, EXIT_CODE_OK, "%s; protection has ended", d->cause);
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
		failover_domain_peer_name(d), frame ? "refused" : why->text);
}

/* The backup lets go first: were output released before, its checkpoint would be too old. */
bool failover_do_ask_unprotect(struct failover_domain *d)
{
	Romulus__Unprotect m = ROMULUS__UNPROTECT__INIT;

	d->record.intent = false;
	if (!failover_domain_decided(d, d->record.decision, d->record.role))
		return false;
	snprintf(d->why, sizeof(d->why), "%s", d->cause);
	m.uuid = d->record.uuid;
	m.generation = d->record.generation;
	d->request =
		failover_request_start(d->peer, PROTO_UNPROTECT, &m.base, on_unprotect_answer, d);
	return true;
}

bool failover_do_stop(struct failover_domain *d)
{
	if (!failover_domain_decided(d, FAILOVER_DECISION_SOLO, PROTO_ROLE_PRIMARY))
		return false;
	d->request = failover_request_free(d->request);
	failover_domain_worker_or(d, PROTO_ORDER_STOP, failover_domain_repair);
	return true;
}

bool failover_do_forget(struct failover_domain *d)
{
	const struct failover_forgotten rest = failover_decide_forget(&d->record);

	d->record.intent = d->booting = false;
	if (d->recorded && !failover_domain_decided(d, rest.decision, rest.role))
		return false;
	EVENT(d, "unprotected", "protection has ended, nothing is left of it on either host");
	failover_domain_settle(d, EXIT_CODE_OK, "%s", "");
	return true;
}

bool failover_do_leave(struct failover_domain *d)
{
	d->request = failover_request_free(d->request);
	if (!failover_domain_decided(d, FAILOVER_DECISION_LEFT, PROTO_ROLE_PRIMARY))
		return false;
	EVENT(d, "over", "%s has taken it over: the stale guest here is destroyed, unheard",
		failover_domain_peer_name(d));
	failover_domain_worker_or(d, PROTO_ORDER_DISCARD, failover_domain_discard);
	return true;
}

bool failover_do_note_left(struct failover_domain *d)
{
	d->vacant = false;
	/* From here on a guest of that name would be another one, and is not ours to destroy. */
	failover_domain_decided(d, FAILOVER_DECISION_RELEASED, PROTO_ROLE_PRIMARY);
	EVENT(d, "left", "the stale guest is gone; %s runs it", failover_domain_peer_name(d));
	failover_domain_settle(
		d, EXIT_CODE_WRONG_STATE, "%s runs it now", failover_domain_peer_name(d));
	return true;
}

/* It was never released and is not to be: another attempt to protect it would let it speak. */
bool failover_do_note_stale(struct failover_domain *d)
{
	char text[WHY_MAX];

	snprintf(text, sizeof(text),
		"%s runs it, but the stale guest here could not be destroyed (%.250s); it is mute: "
		"xl destroy it, then restart romulusd here, which clears up after it",
		failover_domain_peer_name(d), d->why);
	EVENT(d, "failed", "%s", text);
	failover_domain_settle(d, EXIT_CODE_FAILED, "%s", text);
	return true;
}

/* The backup's promise never to take it over is on its disk: the guest is this host's alone. */
bool failover_do_reclaim(struct failover_domain *d)
{
	d->guest_died = true;
	if (!failover_domain_decided(d, FAILOVER_DECISION_SOLO, PROTO_ROLE_PRIMARY))
		return false;
	EVENT(d, "grant",
		"both hosts have lost the guest, %s has let go of generation %lu: it goes on from "
		"the disks of this host",
		failover_domain_peer_name(d), (unsigned long)d->record.generation);
	failover_domain_try_later(d);
	failover_domain_guest_died(d);
	return true;
}

bool failover_do_alarm(struct failover_domain *d)
{
	static const char text[] = "both hosts claim it: destroy the wrong one by hand, at once";

	if (strcmp(d->why, text) != 0)
		EVENT(d, "alarm", "%s", text);
	snprintf(d->why, sizeof(d->why), "%s", text);
	return true;
}
