/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What peers and operators ask of a domain: checked here, then handed to the machine. */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "failover/daemon.h"

/* ---- peers ------------------------------------------------------------------------------------
 */

/* Why @d cannot be received now, "" when it can. One that is let go of is asked to hurry. */
static void refusal(struct failover_domain *d, uint64_t known, const struct failover_inbound *in,
	const Romulus__Prepare *m, char reason[WHY_MAX])
{
	switch (failover_decide_prepare(d->state, known, m->generation, d->command || d->worker)) {
	case FAILOVER_ADMIT:
		return;
	case FAILOVER_REFUSE_GENERATION:
		snprintf(reason, WHY_MAX, "generation %lu is known here already",
			(unsigned long)known);
		return;
	case FAILOVER_REFUSE_OWNER:
		snprintf(reason, WHY_MAX, "%s is %s on this host", m->domain,
			failover_state_name(d->state));
		return;
	case FAILOVER_REFUSE_BUSY:
		if (d->peer == failover_inbound_peer(in))
			failover_domain_on(d, FAILOVER_ON_PREPARE);
		snprintf(reason, WHY_MAX,
			"an earlier standby of %s is still being cleared away: try again",
			m->domain);
		return;
	case FAILOVER_REFUSE_SHOT:
	case FAILOVER_DONE_ALREADY:
		return; /* no answers to this wish */
	}
}

/* Were it received, the two hosts would not decide by the same rules who goes on. */
static bool disagree(
	const struct failover_inbound *in, const Romulus__Prepare *m, char reason[WHY_MAX])
{
	const struct failover_peer *p = failover_inbound_peer(in);
	const struct failover_terms ours = failover_peer_terms(p);
	const struct failover_terms theirs = {
		p->conf->name, m->arbiter, m->etcd_prefix, m->etcd_cluster};
	struct why why;

	if (failover_terms_agree(&ours, &theirs, &why) == 0)
		return false;
	failover_event(&p->fo->events, m->domain, "refused", "%s", why.text);
	snprintf(reason, WHY_MAX, "%s", why.text);
	return true;
}

void failover_domain_prepare(
	struct failover *fo, struct failover_inbound *in, const Romulus__Prepare *m)
{
	struct failover_domain *d = failover_domain_by_uuid(fo, m->uuid);
	uint64_t known = d ? d->record.generation : 0;
	char reason[WHY_MAX] = "";

	/* All three go into a record, which must be understood when romulusd starts again. */
	if (!failover_uuid_valid(m->uuid) || !failover_name_valid(m->domain) || !m->generation ||
		m->generation > FAILOVER_GENERATION_MAX) {
		failover_inbound_refuse(in, m->uuid, 0, "the name, uuid or generation is not one");
		return;
	}
	if (disagree(in, m, reason)) {
		failover_inbound_refuse(in, m->uuid, known, reason);
		return;
	}
	if (!d)
		d = failover_domain_by_name(fo, m->domain);
	if (d && d->recorded && strcmp(d->record.uuid, m->uuid) != 0 &&
		!failover_decide_free(d->state)) {
		snprintf(reason, sizeof(reason), "another guest named %s is known here (%s)",
			m->domain, d->record.uuid);
	} else if (d) {
		refusal(d, known, in, m, reason);
	} else {
		d = failover_domain_new(fo, m->domain);
		if (!d)
			snprintf(reason, sizeof(reason), "this host knows too many domains");
	}
	if (reason[0]) {
		failover_inbound_refuse(in, m->uuid, known, reason);
		return;
	}
	snprintf(d->uuid, sizeof(d->uuid), "%s", m->uuid);
	snprintf(d->type, sizeof(d->type), "%s", m->type);
	snprintf(d->hypervisor, sizeof(d->hypervisor), "%s", m->hypervisor);
	d->memory_kb = m->memory_kb;
	d->staging_bytes = m->staging_bytes;
	d->attempt_generation = m->generation;
	d->attempt_peer = failover_inbound_peer(in);
	d->asker_unprotects = false;
	failover_inbound_keep(in, &d->asker);
	if (!failover_domain_on(d, FAILOVER_ON_PREPARE))
		failover_inbound_refuse(in, m->uuid, known, "not in a state to receive it");
}

void failover_domain_unprotect_asked(
	struct failover *fo, struct failover_inbound *in, const Romulus__Unprotect *m)
{
	struct failover_domain *d = failover_domain_by_uuid(fo, m->uuid);
	Romulus__Unprotected answer = ROMULUS__UNPROTECTED__INIT;
	struct failover_peer *peer = failover_inbound_peer(in);
	enum failover_admission may = FAILOVER_DONE_ALREADY;

	if (d)
		may = d->peer == peer ? failover_decide_unprotect(
						d->state, failover_arbiter_busy(&peer->arbiter))
				      : FAILOVER_REFUSE_OWNER;
	if (d && d->resumes) { /* and so nothing of it is promised yet */
		failover_inbound_refuse(in, m->uuid, d->record.generation, d->why);
		return;
	}
	if (may == FAILOVER_REFUSE_OWNER || may == FAILOVER_REFUSE_SHOT) {
		failover_inbound_refuse(in, m->uuid, d->record.generation,
			may == FAILOVER_REFUSE_SHOT
				? "this host is just switching yours off"
				: "this host runs it, or it is paired with another host");
		return;
	}
	if (may == FAILOVER_ADMIT) {
		d->record.intent = false; /* written with the decision to release */
		d->asker_unprotects = true;
		failover_inbound_keep(in, &d->asker);
		if (failover_domain_on(d, FAILOVER_ON_UNPROTECT_ASKED) ||
			d->state == FAILOVER_RELEASING)
			return; /* answered when the standby is gone */
		failover_inbound_refuse(
			in, m->uuid, d->record.generation, failover_state_name(d->state));
		return;
	}
	answer.uuid = m->uuid;
	answer.generation = m->generation;
	failover_inbound_answer(in, PROTO_UNPROTECTED, &answer.base);
}

/* ---- operators ------------------------------------------------------------------------------- */

static void answer(struct failover_client *client, enum exit_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void answer(struct failover_client *client, enum exit_code code, const char *fmt, ...)
{
	char text[WHY_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	failover_client_exit(client, code, text);
}

void failover_domain_protect(
	struct failover *fo, struct failover_client *client, const char *name, const char *host)
{
	struct failover_domain *d = failover_domain_by_name(fo, name);
	struct failover_peer *peer = failover_peer_find(fo, host);
	bool fresh = !d;

	if (!peer) {
		answer(client, EXIT_CODE_UNKNOWN, "%s is no configured peer of this host", host);
		return;
	}
	if (!failover_name_valid(name)) {
		answer(client, EXIT_CODE_USAGE, "\"%s\" is no name of a domain", name);
		return;
	}
	if (d && d->state == FAILOVER_PROTECTED && d->peer == peer) {
		answer(client, EXIT_CODE_WRONG_STATE, "%s is protected on %s already", name, host);
		return;
	}
	if (!d)
		d = failover_domain_new(fo, name);
	if (!d || d->command || d->request || d->client) {
		answer(client, EXIT_CODE_WRONG_STATE, "%s is busy (%s): try again", name,
			d ? failover_state_name(d->state) : "too many domains");
		return;
	}
	d->passing = false;
	failover_domain_begin(d, peer, client);
	if (fresh && !d->recorded && d->state == FAILOVER_IDLE)
		failover_domain_free(d);
}

void failover_domain_begin(
	struct failover_domain *d, struct failover_peer *peer, struct failover_client *client)
{
	d->attempt_peer = peer;
	failover_client_keep(client, &d->client);
	if (!failover_domain_on(d, FAILOVER_ON_PROTECT))
		failover_domain_settle(d, EXIT_CODE_WRONG_STATE,
			"%s is %s: it cannot be protected from here now", d->record.name,
			failover_state_name(d->state));
}

void failover_domain_unprotect(
	struct failover *fo, struct failover_client *client, const char *name)
{
	struct failover_domain *d = failover_domain_by_name(fo, name);
	struct failover_step step;

	/* What a failed attempt left behind for `status` is no protection that could end. */
	if (d && !d->recorded && d->state == FAILOVER_IDLE) {
		failover_domain_free(d);
		d = NULL;
	}
	if (!d) {
		answer(client, EXIT_CODE_UNKNOWN, "%s is not known to this host", name);
		return;
	}
	if (!d->peer && failover_machine_needs_grant(d->state)) {
		answer(client, EXIT_CODE_WRONG_STATE,
			"%s was protected with %s, which is not in romulus.conf any more and has "
			"to let go first: put its peer section back and restart romulusd",
			name, d->record.peer);
		return;
	}
	if (!failover_domain_takes(d, FAILOVER_ON_UNPROTECT, &step)) {
		answer(client, EXIT_CODE_WRONG_STATE, "%s is %s here: run it on %s, or wait", name,
			failover_state_name(d->state), d->record.peer);
		return;
	}
	if (d->client) /* who waited for the protection is told that it was called off */
		answer(TAKE_PTR(d->client), EXIT_CODE_FAILED,
			d->passing ? "called off: %s stays here" : "%s was unprotected meanwhile",
			name);
	failover_client_keep(client, &d->client);
	d->exit_code = EXIT_CODE_OK;
	failover_domain_on(d, FAILOVER_ON_UNPROTECT);
}

void failover_domain_failover(struct failover *fo, struct failover_client *client, const char *name)
{
	struct failover_domain *d = failover_domain_by_name(fo, name);

	if (!d) {
		answer(client, EXIT_CODE_UNKNOWN, "%s is not known to this host", name);
		return;
	}
	if (d->state == FAILOVER_RELEASED) {
		answer(client, EXIT_CODE_WRONG_STATE,
			"this host has no checkpoint of %s and cannot take it over: %s has it",
			name, d->record.peer);
		return;
	}
	if (!d->peer ||
		(!failover_machine_needs_grant(d->state) && d->state != FAILOVER_HANDED_OVER)) {
		answer(client, EXIT_CODE_WRONG_STATE, "%s is %s: there is nothing to decide", name,
			failover_state_name(d->state));
		return;
	}
	if (!failover_peer_silent(d->peer)) {
		answer(client, EXIT_CODE_WRONG_STATE,
			"%s is still heard (or not yet given up): two hosts would run %s; switch "
			"it off "
			"or unplug it first",
			d->peer->conf->name, name);
		return;
	}
	if (d->claim.state == FAILOVER_CLAIM_LOST) {
		answer(client, EXIT_CODE_WRONG_STATE,
			"etcd says that %s owns %s, and has acted on it: this host must not have "
			"it",
			d->peer->conf->name, name);
		return;
	}
	failover_event(&fo->events, name, "operator", "an operator says that %s is off",
		d->peer->conf->name);
	if (d->client)
		answer(TAKE_PTR(d->client), EXIT_CODE_FAILED, "decided by an operator meanwhile");
	failover_client_keep(client, &d->client);
	failover_domain_on(d, FAILOVER_ON_GRANT);
}

void failover_peer_confirm_dead(
	struct failover *fo, struct failover_client *client, const char *host)
{
	struct failover_peer *peer = failover_peer_find(fo, host);

	if (!peer) {
		answer(client, EXIT_CODE_UNKNOWN, "%s is no configured peer of this host", host);
		return;
	}
	if (!failover_peer_silent(peer)) {
		answer(client, EXIT_CODE_WRONG_STATE,
			"%s is still heard (or not yet given up): its guests would run twice; "
			"switch "
			"it off or unplug it first",
			host);
		return;
	}
	if (peer->conf->arbiter == FAILOVER_ARBITER_ETCD) {
		answer(client, EXIT_CODE_WRONG_STATE,
			"etcd alone decides who goes on when %s is silent, whether it is off or "
			"not: see romulus status for what waits; if etcd is lost for good, "
			"romulus failover DOMAIN",
			host);
		return;
	}
	failover_event(&fo->events, NULL, "operator",
		"an operator has made sure that %s is off: what waits for it goes on", host);
	failover_arbiter_confirm(&peer->arbiter);
	failover_client_exit(client, EXIT_CODE_OK, NULL);
}
