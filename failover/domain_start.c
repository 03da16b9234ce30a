/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest that died with its host, which owns it: started from its disks, or said how. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "failover/child.h"
#include "failover/daemon.h"

#define START_MS 300000

static void say_how_to_start(struct failover_domain *d, const char *resource)
{
	snprintf(d->why, sizeof(d->why),
		"the guest died when this host was restarted: start it from its disks (%s%s%s"
		"xl create)%s",
		resource ? "drbdadm primary " : "", resource ? resource : "",
		resource ? ", then " : "",
		d->record.intent ? "; protection then begins by itself" : "");
}

static void on_started(void *data, int status, const char *output)
{
	struct failover_domain *d = data;
	struct why why;

	d->command = NULL;
	if (status == 0) {
		d->guest_died = false;
		/* Of this boot: what becomes of it from here on is nobody's to undo. */
		if (failover_domain_persist(d, &d->record, &why) < 0)
			log_error("%s: %s", d->record.name, why.text);
		snprintf(d->why, sizeof(d->why),
			"started from its disks after this host was restarted; protection begins "
			"when %s is steady",
			d->record.peer);
		failover_event(&d->fo->events, d->record.name, "started", "%s", d->why);
		return;
	}
	snprintf(d->why, sizeof(d->why),
		"the guest died when this host was restarted, and starting it failed: %.300s; it "
		"is tried again",
		output[0] == '<' && strchr(output, ' ') ? strchr(output, ' ') + 1 : output);
	failover_event(&d->fo->events, d->record.name, "failed", "%s", d->why);
}

void failover_domain_guest_died(struct failover_domain *d)
{
	const struct failover_domain_config *conf =
		failover_config_domain(d->fo->config, d->record.name);
	const char *resource = conf ? conf->disks.resource : NULL;
	char program[PATH_MAX];
	struct why why;

	d->guest_died = true;
	if (!conf || !conf->start || !d->record.intent) {
		say_how_to_start(d, resource);
		return;
	}
	snprintf(d->why, sizeof(d->why),
		"the guest died when this host was restarted: it is being started from its disks");
	snprintf(program, sizeof(program), "%s/romulus-primary", d->fo->libexec);
	d->command = failover_child_free(d->command);
	if (failover_child_run(d->fo->event,
		    (char *const[]){program, "--start", conf->start, "--domain", d->record.name,
			    "--uuid", d->record.uuid, "--run-dir", d->fo->config->run_dir,
			    resource ? "--resource" : NULL, (char *)resource, NULL},
		    NULL, START_MS, on_started, d, &d->command, &why) < 0)
		on_started(d, -1, why.text);
}
