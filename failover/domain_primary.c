/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a primary does when the lifecycle table says so: protect, run on alone, let go. */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "failover/autostart.h"
#include "failover/domain_roles.h"
#include "failover/worker.h"

void failover_do_spawn_primary(struct failover_domain *d)
{
	struct why why;

	d->exit_code = EXIT_CODE_PREFLIGHT;
	if (failover_autostart_find(d->fo->config->xendomains, NAME(d), &why) == 0) {
		if (!d->attempts.not_yet)
			EVENT(d, "protect-begin", "protecting on %s", d->attempt_peer->conf->name);
		if (failover_domain_spawn_primary(d, &why) == 0)
			return;
		d->exit_code = EXIT_CODE_FAILED;
	}
	snprintf(d->why, sizeof(d->why), "%s", why.text);
	failover_domain_on(d, FAILOVER_ON_FAILED);
}

static void on_prepare_answer(void *data, const struct proto_frame *frame, enum exit_code exit_code,
	const struct why *why)
{
	struct failover_domain *d = data;
	Romulus__Order order = ROMULUS__ORDER__INIT;
	const Romulus__Prepared *prepared;
	const Romulus__Refused *refused;
	struct failover_peer *p = d->attempt_peer;
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
		d->exit_code = EXIT_CODE_FAILED; /* of writing it down */
		failover_domain_on(d, FAILOVER_ON_PREPARED);
		if (d->state == FAILOVER_SYNCING) {
			order.kind = PROTO_ORDER_CONNECT;
			order.address = p->conf->paths[0].remote;
			order.port = prepared->port;
			order.token = prepared->token;
			order.generation = d->record.generation;
			order.peer = p->conf->name;
			if (d->worker && failover_worker_order(d->worker, &order, &w) < 0)
				log_error("%s: %s", NAME(d), w.text);
			return;
		}
	}
	failover_domain_on(d, FAILOVER_ON_REFUSED);
}

void failover_do_ask_peer(struct failover_domain *d)
{
	const struct failover_terms terms = failover_peer_terms(d->attempt_peer);
	Romulus__Prepare m = ROMULUS__PREPARE__INIT;

	d->attempt_generation = failover_decide_generation(
		&d->record, d->attempt_generation, failover_peer_gossip(d->attempt_peer, d->uuid));
	m.domain = NAME(d);
	m.uuid = d->uuid;
	m.generation = d->attempt_generation;
	m.memory_kb = d->memory_kb;
	m.type = d->type;
	m.hypervisor = d->hypervisor;
	m.arbiter = (char *)terms.arbiter;
	m.etcd_prefix = (char *)terms.etcd_prefix;
	m.etcd_cluster = terms.etcd_cluster;
	m.staging_bytes =
		(uint64_t)failover_config_staging_mb(d->fo->config, NAME(d)) * 1024 * 1024;
	d->request = failover_request_start(
		d->attempt_peer, PROTO_PREPARE, &m.base, on_prepare_answer, d);
}

/* Then on_prepare_answer orders it of the worker. */
void failover_do_connect(struct failover_domain *d)
{
	d->peer = d->attempt_peer;
	d->figures = (struct failover_figures){0};
}

void failover_do_note_protected(struct failover_domain *d)
{
	d->attempts = (struct failover_attempts){0};
	d->booting = d->reverses = false;
	d->cause[0] = '\0';
	EVENT(d, "protected", "protected on %s, generation %lu", failover_domain_peer_name(d),
		(unsigned long)d->record.generation);
	if (!d->moves) /* else that comes first */
		failover_domain_settle(d, EXIT_CODE_OK, "%s", "");
}

void failover_do_want_solo(struct failover_domain *d)
{
	/* What the worker or the peer said last is why: an operator must still find it when the
	 * guest runs alone. */
	snprintf(d->cause, sizeof(d->cause), "%s", d->why);
	snprintf(d->why, sizeof(d->why),
		"the stream to %s is lost%s%.300s: mute until the generation is decided",
		failover_domain_peer_name(d), d->cause[0] ? ": " : "", d->cause);
	EVENT(d, "stream-lost", "%s", d->why);
}

void failover_do_go_solo(struct failover_domain *d)
{
	EVENT(d, "grant", "solo granted for generation %lu", (unsigned long)d->record.generation);
}

void failover_do_note_solo(struct failover_domain *d)
{
	EVENT(d, "solo", "runs on alone, unprotected%s", failover_domain_outlook(d));
	failover_domain_settle(d, d->client ? EXIT_CODE_FAILED : EXIT_CODE_OK,
		"runs alone: protection by %s ended%s%.400s", failover_domain_peer_name(d),
		d->cause[0] ? ": " : " before it was complete", d->cause);
}

void failover_do_note_unrepaired(struct failover_domain *d)
{
	char text[WHY_MAX];

	snprintf(text, sizeof(text),
		"the guest may stand still or be mute, for what its worker left could not be "
		"repaired (%.300s): it is tried again; no other host runs it",
		d->why);
	failover_domain_settle(d, EXIT_CODE_FAILED, "%s", text);
}

void failover_do_run_on(struct failover_domain *d)
{
	char text[WHY_MAX];

	snprintf(text, sizeof(text), "%s", d->why);
	EVENT(d, "failed", "replication failed, the guest runs on unprotected: %s", text);
	failover_domain_settle(d, d->exit_code, "%s", text);
}

void failover_do_report_failure(struct failover_domain *d)
{
	bool gone = d->guest_died && d->exit_code == EXIT_CODE_UNKNOWN;
	bool waits = gone || d->booting || d->exit_code == EXIT_CODE_NOT_YET;
	char text[WHY_MAX];

	snprintf(text, sizeof(text), "%s", d->why);
	if (!waits)
		EVENT(d, "failed", "%s", text);
	else if (!d->attempts.not_yet && !gone)
		EVENT(d, "waiting", "%s", text);
	d->attempts.not_yet = waits;
	if (gone && !d->client)
		failover_domain_guest_died(d);
	else
		failover_domain_settle(
			d, d->exit_code ? d->exit_code : EXIT_CODE_FAILED, "%s", text);
}

/* Whether it comes back its monitor will say; its standby is of no use in any case. */
void failover_do_note_gone(struct failover_domain *d)
{
	snprintf(d->cause, sizeof(d->cause), "%s", d->why);
	snprintf(d->why, sizeof(d->why), "%.300s: %s is to give its standby up", d->cause,
		failover_domain_peer_name(d));
	EVENT(d, "guest-gone", "%s", d->why);
}

static void guest_ended(struct failover_domain *d, enum exit_code code)
{
	const bool closing = d->state == FAILOVER_CLOSING;
	char text[WHY_MAX];

	snprintf(d->cause, sizeof(d->cause), "%s", d->why);
	d->booting = false;
	snprintf(text, sizeof(text), "%.300s; protection %s%s%s", d->cause,
		closing ? "ends when " : "has ended", closing ? failover_domain_peer_name(d) : "",
		closing ? " has let its standby go" : "");
	EVENT(d, "guest-ended", "%s", text);
	failover_domain_settle(d, code, "%s", text);
}

void failover_do_guest_ended(struct failover_domain *d)
{
	guest_ended(d, EXIT_CODE_FAILED);
}

/* Who asked for the end of its protection has it. */
void failover_do_guest_ended_too(struct failover_domain *d)
{
	guest_ended(d, EXIT_CODE_OK);
}

void failover_do_guest_restarts(struct failover_domain *d)
{
	char text[WHY_MAX];

	snprintf(d->cause, sizeof(d->cause), "%s", d->why);
	d->booting = true;
	d->attempts = (struct failover_attempts){0};
	snprintf(text, sizeof(text), "%.300s%s", d->cause, failover_domain_outlook(d));
	EVENT(d, "guest-restarts", "%s", text);
	failover_domain_settle(d, EXIT_CODE_FAILED, "%s", text);
}

void failover_do_note_closed(struct failover_domain *d)
{
	EVENT(d, "unprotected", "%s has let go: protection has ended on both hosts",
		failover_domain_peer_name(d));
	failover_domain_settle(d, EXIT_CODE_OK, "%s; protection has ended", d->cause);
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
void failover_do_ask_unprotect(struct failover_domain *d)
{
	Romulus__Unprotect m = ROMULUS__UNPROTECT__INIT;

	snprintf(d->why, sizeof(d->why), "%s", d->cause);
	m.uuid = d->record.uuid;
	m.generation = d->record.generation;
	d->request =
		failover_request_start(d->peer, PROTO_UNPROTECT, &m.base, on_unprotect_answer, d);
}

void failover_do_forget(struct failover_domain *d)
{
	d->booting = d->reverses = false;
	EVENT(d, "unprotected", "protection has ended, nothing is left of it on either host");
	failover_domain_settle(d, EXIT_CODE_OK, "%s", "");
}

/* Nothing of it has been promised to anybody; a backup that is ready waits in vain, and lets go. */
void failover_do_cancel(struct failover_domain *d)
{
	char text[WHY_MAX];

	snprintf(text, sizeof(text), "the protection of %s on %s had not begun: it was called off",
		NAME(d), d->attempt_peer->conf->name);
	EVENT(d, "unprotected", "%s", text);
	failover_client_exit(TAKE_PTR(d->client), EXIT_CODE_OK, text);
	failover_domain_settle(d, EXIT_CODE_OK, "%s", "");
}

void failover_do_leave(struct failover_domain *d)
{
	EVENT(d, "over", "%s has taken it over: the stale guest here is destroyed, unheard",
		failover_domain_peer_name(d));
	failover_domain_note_taken(d);
}

void failover_do_note_left(struct failover_domain *d)
{
	d->vacant = false;
	EVENT(d, "left", "the stale guest is gone; %s %s it", failover_domain_peer_name(d),
		d->moves ? "takes" : "runs");
	if (!d->moves) /* else who asked for that hears when it runs there */
		failover_domain_settle(
			d, EXIT_CODE_WRONG_STATE, "%s runs it now", failover_domain_peer_name(d));
}

/* It was never released and is not to be: another attempt to protect it would let it speak. */
void failover_do_note_stale(struct failover_domain *d)
{
	char text[WHY_MAX];

	snprintf(text, sizeof(text),
		"%s runs it, but the stale guest here could not be destroyed (%.250s); it is mute, "
		"and it is tried again: xl destroy it if that does not help",
		failover_domain_peer_name(d), d->why);
	EVENT(d, "failed", "%s", text);
	failover_domain_settle(d, EXIT_CODE_FAILED, "%s", text);
}

void failover_do_reclaim(struct failover_domain *d)
{
	EVENT(d, "grant",
		"both hosts have lost the guest, %s has let go of generation %lu: it goes on from "
		"the disks of this host",
		failover_domain_peer_name(d), (unsigned long)d->record.generation);
}

void failover_do_alarm(struct failover_domain *d)
{
	static const char text[] = "both hosts claim it: destroy the wrong one by hand, at once";

	if (strcmp(d->why, text) != 0)
		EVENT(d, "alarm", "%s", text);
	snprintf(d->why, sizeof(d->why), "%s", text);
}
