/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a backup does when the lifecycle table says so: receive, hold, release, take over. */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fault.h"
#include "failover/autostart.h"
#include "failover/domain_roles.h"
#include "failover/worker.h"

void failover_do_spawn_backup(struct failover_domain *d)
{
	struct why why;

	d->guest_died = false; /* its next one is somewhere else */
	if (failover_autostart_find(d->fo->config->xendomains, NAME(d), &why) == 0 &&
		failover_domain_spawn_backup(d, &why) == 0)
		return;
	d->exit_code = EXIT_CODE_FAILED;
	snprintf(d->why, sizeof(d->why), "%s", why.text);
	failover_domain_on(d, FAILOVER_ON_FAILED);
}

/* domain_work.c answers, with the port and the token of the report. */
void failover_do_answer_prepared(struct failover_domain *d)
{
	d->figures = (struct failover_figures){0};
	d->reverses = false;
	d->peer = d->attempt_peer;
	EVENT(d, "receiving", "receiving from %s, generation %lu", failover_domain_peer_name(d),
		(unsigned long)d->record.generation);
}

void failover_do_answer_refused(struct failover_domain *d)
{
	bool later = d->exit_code == EXIT_CODE_NOT_YET;

	if (!later) /* the other host says once that it waits */
		EVENT(d, "failed", "cannot be its backup: %s", d->why);
	failover_inbound_put_off(d->asker, d->uuid, d->record.generation, d->why, later);
}

void failover_do_note_ready(struct failover_domain *d)
{
	EVENT(d, "protected", "holds an acked checkpoint of %s, generation %lu",
		failover_domain_peer_name(d), (unsigned long)d->record.generation);
}

void failover_do_note_holding(struct failover_domain *d)
{
	snprintf(d->why, sizeof(d->why), "stream lost; the last acked checkpoint is held");
	EVENT(d, "stream-lost", "%s", d->why);
}

void failover_do_release(struct failover_domain *d)
{
	EVENT(d, "released", "generation %lu will never be taken over here; the standby goes",
		(unsigned long)d->record.generation);
}

void failover_do_note_released(struct failover_domain *d)
{
	Romulus__Unprotected m = ROMULUS__UNPROTECTED__INIT;

	if (!d->asker || !d->asker_unprotects)
		return;
	d->record.intent = false;
	m.uuid = d->record.uuid;
	m.generation = d->record.generation;
	failover_inbound_answer(d->asker, PROTO_UNPROTECTED, &m.base);
	EVENT(d, "unprotected", "%s has ended the protection", failover_domain_peer_name(d));
}

void failover_do_take_over(struct failover_domain *d)
{
	EVENT(d, "grant", "takeover granted for generation %lu, epoch %lu",
		(unsigned long)d->record.generation, (unsigned long)d->figures.epoch);
	fault_point(FAULT_TAKEOVER_GRANT);
}

void failover_do_announce(struct failover_domain *d)
{
	d->guest_ended = false;
	EVENT(d, "running", "runs here now, generation %lu", (unsigned long)d->record.generation);
	snprintf(d->why, sizeof(d->why), "taken over from %s%s", failover_domain_peer_name(d),
		failover_domain_outlook(d));
	failover_client_exit(TAKE_PTR(d->client), EXIT_CODE_OK, NULL);
}

/* A half-built standby and disks that may be half rolled back: no state to start a guest from. */
void failover_do_clear(struct failover_domain *d)
{
	snprintf(d->cause, sizeof(d->cause), "%s", d->why);
	EVENT(d, "failed", "the takeover failed: %s; what it left is cleared away", d->cause);
	snprintf(d->why, sizeof(d->why),
		"the takeover failed (%.300s): do not start it yet, what it left is being cleared",
		d->cause);
}

static const char *resource_of(const struct failover_domain *d)
{
	const struct failover_domain_config *conf = failover_config_domain(d->fo->config, NAME(d));

	return conf ? conf->disks.resource : NULL;
}

void failover_do_note_broken(struct failover_domain *d)
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
}

void failover_do_note_stuck(struct failover_domain *d)
{
	char text[WHY_MAX];

	snprintf(text, sizeof(text),
		"the takeover failed, and so did clearing up after it (%.250s): do not start it%s; "
		"mend that and restart romulusd here, which tries again",
		d->why, resource_of(d) ? ", its disks may be half rolled back" : "");
	EVENT(d, "failed", "%s", text);
	failover_domain_settle(d, EXIT_CODE_FAILED, "%s", text);
}
