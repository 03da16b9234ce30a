/* SPDX-License-Identifier: GPL-2.0-or-later */
/* After a takeover: say where the guest is now, several times, from timers. */
#include <stdlib.h>
#include <string.h>

#include "failover/announce.h"
#include "failover/daemon.h"

/* A back end that its guest has not taken up yet is a bridge port that does not forward: go on
 * until one round reaches everything, or this is over. */
#define PATIENCE_ROUNDS 40
#define PATIENCE_MS 500

struct failover_announcement {
	struct failover_domain *domain;
	Romulus__Report *running; /* a copy */
	sd_event_source *timer;
	size_t next;
	size_t sent; /* interfaces times rounds */
};

static void schedule(struct failover_announcement *a, uint64_t ms);

static int on_timer(sd_event_source *s, uint64_t usec, void *data)
{
	struct failover_announcement *a = data;
	struct failover_domain *d = a->domain;
	const struct failover_domain_config *c =
		failover_config_domain(d->fo->config, d->record.name);
	const Romulus__Report *r = a->running;
	struct why why = {""};
	bool all = true;

	for (size_t i = 0; i < r->n_vifs && i < r->n_macs && i < r->n_bridges; i++) {
		if (failover_announce(r->vifs[i], r->bridges[i], r->macs[i],
			    c ? (const char *const *)c->addresses : NULL, c ? c->addresses_n : 0,
			    &why) == 0)
			a->sent++;
		else
			all = false;
	}
	a->next++;
	if (a->next < ANNOUNCE_ROUNDS)
		schedule(a, failover_announce_schedule_ms[a->next] -
				    failover_announce_schedule_ms[a->next - 1]);
	else if (!all && a->next < ANNOUNCE_ROUNDS + PATIENCE_ROUNDS)
		schedule(a, PATIENCE_MS);
	else
		failover_event(&d->fo->events, d->record.name, all ? "announced" : "failed",
			"announced %zu times in %zu rounds on %zu interfaces%s%s", a->sent, a->next,
			r->n_vifs, all ? "" : "; last trouble: ", all ? "" : why.text);
	return 0;
}

static void schedule(struct failover_announcement *a, uint64_t ms)
{
	a->timer = sd_event_source_disable_unref(a->timer);
	sd_event_add_time_relative(
		a->domain->fo->event, &a->timer, CLOCK_MONOTONIC, ms * 1000, 1000, on_timer, a);
}

struct failover_announcement *failover_announcement_start(
	struct failover_domain *d, const Romulus__Report *running)
{
	struct failover_announcement *a = calloc(1, sizeof(*a));
	uint8_t *packed = malloc(romulus__report__get_packed_size(running) + 1);

	if (!a || !packed)
		abort();
	a->domain = d;
	a->running = romulus__report__unpack(NULL, romulus__report__pack(running, packed), packed);
	free(packed);
	if (!a->running)
		abort();
	schedule(a, 0);
	return a;
}

struct failover_announcement *failover_announcement_free(struct failover_announcement *a)
{
	if (!a)
		return NULL;
	sd_event_source_disable_unref(a->timer);
	romulus__report__free_unpacked(a->running, NULL);
	free(a);
	return NULL;
}
