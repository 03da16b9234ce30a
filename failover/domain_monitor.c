/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The monitor of a domain's guest (romulus-monitor): it says when the guest ends and whether it
 * starts again, and does what the guest's configuration asks for where no process of xl's is left
 * to do it. Here it is started, told what it may do, and heard.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "failover/domain_roles.h"
#include "failover/worker.h"

#define AGAIN_NS (5 * NSEC_PER_SEC) /* after one that died */

/*
 * A guest that Romulus itself has started, in a takeover or after its end, has nobody else who
 * watches it: that goes on when its protection is over. The file is the monitor's.
 */
static bool adopted(const struct failover_domain *d)
{
	char path[PATH_MAX];

	if (!d->recorded || d->state != FAILOVER_IDLE || d->record.role != PROTO_ROLE_PRIMARY ||
		d->record.decision == FAILOVER_DECISION_RELEASED)
		return false;
	snprintf(path, sizeof(path), "%s/adopted-%s", d->fo->config->run_dir, d->record.uuid);
	return access(path, F_OK) == 0;
}

static bool wanted(const struct failover_domain *d)
{
	if (!d->recorded || d->guest_died || d->guest_ended)
		return false;
	return failover_decide_watches(d->state, &d->record) || adopted(d);
}

static void take_ended(struct failover_domain *d)
{
	d->monitor_leaving = true; /* it may still have to destroy what is left of it */
	failover_domain_on(d, FAILOVER_ON_GUEST_ENDED);
	/* What could not be written is said again by the next monitor. */
	d->guest_ended = !failover_decide_watches(d->state, &d->record);
}

static void take_restarted(struct failover_domain *d)
{
	d->attempts.retry_at_ns = 0;
	EVENT(d, "guest-restarted", "the guest has started again%s",
		d->restrained ? ", and waits for the decision who owns it" : "");
}

static void on_report(void *data, const Romulus__Report *r)
{
	struct failover_domain *d = data;

	if (r->text[0])
		log_warning("%s: %s", NAME(d), r->text);
	/* Of one that nobody wants protected any more status has nothing to say. */
	if (r->text[0] && failover_decide_watches(d->state, &d->record))
		snprintf(d->why, sizeof(d->why), "%s", r->text);
	switch (r->kind) {
	case PROTO_REPORT_GUEST_ENDED:
		take_ended(d);
		return;
	case PROTO_REPORT_GUEST_RESTARTS:
		failover_domain_on(d, FAILOVER_ON_GUEST_RESTARTS);
		return;
	case PROTO_REPORT_GUEST_RESTARTED:
		take_restarted(d);
		return;
	}
}

static void on_ended(void *data, const char *how)
{
	struct failover_domain *d = data;

	if (!d->monitor_leaving)
		log_warning("%s: its monitor %s", NAME(d), how);
	d->monitor = NULL;
	d->monitor_leaving = false;
	d->monitor_at_ns = clock_now_ns() + AGAIN_NS;
}

static const struct failover_worker_ops ops = {.report = on_report, .ended = on_ended};

static void start(struct failover_domain *d, bool restrain)
{
	const bool adopt = d->state == FAILOVER_TAKEN_OVER;
	char program[PATH_MAX];
	struct why why;

	snprintf(program, sizeof(program), "%s/romulus-monitor", d->fo->libexec);
	snprintf(d->monitored, sizeof(d->monitored), "%s", d->record.uuid);
	d->restrained = restrain;
	if (failover_worker_start(d->fo->event,
		    (char *const[]){program, "--domain", NAME(d), "--uuid", d->monitored,
			    "--run-dir", d->fo->config->run_dir,
			    restrain ? "--restrain"
			    : adopt  ? "--adopt"
				     : NULL,
			    NULL},
		    &ops, d, &d->monitor, &why) == 0)
		return;
	log_error("%s: %s", NAME(d), why.text);
	d->monitor_at_ns = clock_now_ns() + AGAIN_NS;
}

void failover_domain_monitor(struct failover_domain *d, uint64_t now_ns)
{
	const bool restrain = failover_decide_restrains(d->state, &d->record);
	struct why why;

	if (d->monitor_leaving)
		return;
	if (d->monitor && (!wanted(d) || strcmp(d->monitored, d->record.uuid) != 0))
		d->monitor = failover_worker_free(d->monitor);
	if (!d->monitor && wanted(d) && now_ns >= d->monitor_at_ns) {
		start(d, restrain);
		return;
	}
	if (!d->monitor || d->restrained == restrain)
		return;
	d->restrained = restrain;
	if (failover_worker_tell(
		    d->monitor, restrain ? PROTO_ORDER_RESTRAIN : PROTO_ORDER_SOLO, &why) < 0)
		log_error("%s: order not taken: %s", NAME(d), why.text);
}
