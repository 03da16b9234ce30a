/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/watchdog.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/why.h"
#include "failover/events.h"

#define PET_NS NSEC_PER_SEC /* a small part of the shortest time that can be configured */

static void complain(struct failover_watchdog *w, const char *what, int err)
{
	if (!w->complained)
		failover_event(w->events, NULL, "watchdog",
			"the hypervisor's watchdog cannot be %s: %s; this host is not reset when "
			"it hangs",
			what, strerror(-err));
	w->complained = true;
}

/* Before it is needed: a daemon that ends abruptly writes nothing. */
static void note(const struct failover_watchdog *w)
{
	FILE *f = fopen(w->file, "we");
	const bool written = f && fprintf(f, "%u\n", w->id) > 0;

	if ((f && fclose(f)) || !written)
		failover_event(w->events, NULL, "watchdog",
			"its number cannot be written to %s (%s): should romulusd end abruptly, "
			"this host is reset %u s later; make room there",
			w->file, strerror(errno), w->seconds);
}

static void arm(struct failover_watchdog *w, uint64_t now_ns)
{
	const int id = w->ops->set(w->data, 0, w->seconds);

	if (id <= 0) {
		complain(w, "armed", id);
		return;
	}
	w->id = (uint32_t)id;
	w->petted_ns = now_ns;
	w->complained = false;
	note(w);
	failover_event(w->events, NULL, "watchdog",
		"armed: when romulusd stands still for %u s, the hypervisor resets this host",
		w->seconds);
}

static void disarm(struct failover_watchdog *w)
{
	const int r = w->ops->set(w->data, w->id, 0);

	if (r < 0 && r != -EINVAL) {
		complain(w, "disarmed", r);
		return;
	}
	w->id = 0;
	w->complained = false;
	unlink(w->file);
	failover_event(w->events, NULL, "watchdog", "disarmed");
}

static void pet(struct failover_watchdog *w, uint64_t now_ns)
{
	const int r = w->ops->set(w->data, w->id, w->seconds);

	w->petted_ns = now_ns;
	if (r == -EINVAL) { /* somebody has removed it: the next tick says whether it is wanted */
		w->id = 0;
		unlink(w->file);
	} else if (r < 0) {
		complain(w, "petted", r);
	}
}

/* The number that an earlier daemon has noted; 0: none. */
static uint32_t noted(const char *file)
{
	CLEANUP_FCLOSE FILE *f = fopen(file, "re");
	uint32_t id;

	return f && fscanf(f, "%9u", &id) == 1 ? id : 0;
}

int failover_watchdog_open(struct failover_watchdog *w, const struct failover_watchdog_ops *ops,
	const char *run_dir, uint32_t seconds, struct failover_events *events, struct why *why)
{
	int r;

	*w = (struct failover_watchdog){.seconds = seconds, .events = events};
	if (snprintf(w->file, sizeof(w->file), "%s/watchdog", run_dir) >= (int)sizeof(w->file))
		return why_set(
			why, -ENAMETOOLONG, "%s is too long a folder for the watchdog", run_dir);
	w->id = noted(w->file);
	if (!w->id && !seconds)
		return 0;
	r = ops->open(&w->data, why);
	if (r < 0)
		return r;
	w->ops = ops;
	if (w->id && seconds)
		pet(w, clock_now_ns());
	else if (w->id)
		failover_watchdog_close(w);
	return 0;
}

void failover_watchdog_bridge(const struct failover_watchdog_ops *ops, const char *run_dir,
	uint32_t seconds, struct failover_events *events)
{
	struct failover_watchdog w;
	struct why why;

	if (failover_watchdog_open(&w, ops, run_dir, seconds, events, &why) == 0 && w.ops)
		w.ops->close(w.data);
}

void failover_watchdog_tick(struct failover_watchdog *w, bool wanted, uint64_t now_ns)
{
	if (!w->ops)
		return;
	if (!w->id && wanted && now_ns - w->petted_ns >= PET_NS) {
		w->petted_ns = now_ns; /* also of an attempt */
		arm(w, now_ns);
	} else if (w->id && !wanted) {
		disarm(w);
	} else if (w->id && now_ns - w->petted_ns >= PET_NS) {
		pet(w, now_ns);
	}
}

void failover_watchdog_close(struct failover_watchdog *w)
{
	if (!w->ops)
		return;
	if (w->id)
		disarm(w);
	w->ops->close(w->data);
	w->ops = NULL;
}
