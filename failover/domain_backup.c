/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a backup does when the lifecycle table says so: receive, hold, release, take over. */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fault.h"
#include "failover/autostart.h"
#include "failover/domain_roles.h"
#include "failover/worker.h"

bool failover_do_spawn_backup(struct failover_domain *d)
{
	struct why why;

	if (failover_autostart_find(d->fo->config->xendomains, NAME(d), &why) == 0 &&
		failover_domain_spawn_backup(d, &why) == 0)
		return true;
	failover_inbound_refuse(d->asker, d->uuid, d->record.generation, why.text);
	return false;
}

bool failover_do_answer_prepared(struct failover_domain *d)
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
	EVENT(d, "receiving", "receiving from %s, generation %lu", failover_domain_peer_name(d),
		(unsigned long)d->record.generation);
	return true; /* the report with port and token is answered by domain_work.c */
}

bool failover_do_answer_refused(struct failover_domain *d)
{
	bool later = d->exit_code == EXIT_CODE_NOT_YET;

	if (!later) /* the other host says once that it waits */
		EVENT(d, "failed", "cannot be its backup: %s", d->why);
	failover_inbound_put_off(d->asker, d->uuid, d->record.generation, d->why, later);
	return true;
}

bool failover_do_note_ready(struct failover_domain *d)
{
	EVENT(d, "protected", "holds an acked checkpoint of %s, generation %lu",
		failover_domain_peer_name(d), (unsigned long)d->record.generation);
	return true;
}

bool failover_do_note_holding(struct failover_domain *d)
{
	snprintf(d->why, sizeof(d->why), "stream lost; the last acked checkpoint is held");
	EVENT(d, "stream-lost", "%s", d->why);
	return true;
}

bool failover_do_release(struct failover_domain *d)
{
	if (!failover_domain_decided(d, FAILOVER_DECISION_RELEASED, PROTO_ROLE_BACKUP))
		return false;
	EVENT(d, "released", "generation %lu will never be taken over here; the standby goes",
		(unsigned long)d->record.generation);
	failover_domain_worker_or(d, PROTO_ORDER_DISCARD, failover_domain_discard);
	return true;
}

bool failover_do_note_released(struct failover_domain *d)
{
	Romulus__Unprotected m = ROMULUS__UNPROTECTED__INIT;

	if (!d->asker || !d->asker_unprotects)
		return true;
	d->record.intent = false;
	m.uuid = d->record.uuid;
	m.generation = d->record.generation;
	failover_inbound_answer(d->asker, PROTO_UNPROTECTED, &m.base);
	EVENT(d, "unprotected", "%s has ended the protection", failover_domain_peer_name(d));
	return true;
}

bool failover_do_take_over(struct failover_domain *d)
{
	if (!failover_domain_decided(d, FAILOVER_DECISION_TAKEOVER, PROTO_ROLE_BACKUP))
		return false;
	EVENT(d, "grant", "takeover granted for generation %lu, epoch %lu",
		(unsigned long)d->record.generation, (unsigned long)d->figures.epoch);
	fault_point(FAULT_TAKEOVER_GRANT);
	failover_domain_worker_or(d, PROTO_ORDER_TAKEOVER, failover_domain_discard);
	return true;
}

bool failover_do_announce(struct failover_domain *d)
{
	failover_domain_decided(d, FAILOVER_DECISION_TAKEOVER, PROTO_ROLE_PRIMARY);
	EVENT(d, "running", "runs here now, generation %lu", (unsigned long)d->record.generation);
	snprintf(d->why, sizeof(d->why), "taken over from %s%s", failover_domain_peer_name(d),
		failover_domain_outlook(d));
	failover_client_exit(TAKE_PTR(d->client), EXIT_CODE_OK, NULL);
	failover_domain_try_later(d);
	return true;
}

/* A half-built standby and disks that may be half rolled back: no state to start a guest from. */
bool failover_do_clear(struct failover_domain *d)
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

bool failover_do_note_broken(struct failover_domain *d)
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

bool failover_do_note_stuck(struct failover_domain *d)
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
