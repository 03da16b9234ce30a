/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What nobody decides: power, crashes, cables, standing still. It all stops when the run heals. */
#include "tests/sim/sim.h"

#include "common/cleanup.h"

#define FATE_EVERY_MIN (200 * MS)
#define FATE_EVERY_MAX (8 * SECOND)

bool fate_spares[STROKES_MAX];

/*
 * One more stroke of fate; false: it is spared. What it draws until spent() is its own, so that
 * one that is spared leaves the rest of the world as it was.
 */
static bool strikes(uint64_t *ret_world)
{
	const uint64_t n = sim.strokes++;

	if (n < STROKES_MAX && fate_spares[n])
		return false;
	*ret_world = sim.random;
	sim.random = (sim.seed << 16) + n;
	sim_random(1);
	return true;
}

static void spent(uint64_t world)
{
	sim.random = world;
}

static void power_on(struct host *h, uint64_t a, uint64_t b)
{
	if (h->power)
		return;
	h->power = true;
	h->boot++;
	h->paused_until = 0;
	sim_say(h, "power is back, boot %u", h->boot);
	sim_after(sim_between(500 * MS, 3 * SECOND), h, daemon_start, 0, 0);
}

void host_lose_power(struct host *h, const char *why)
{
	if (!h->power)
		return;
	sim_say(h, "loses its power (%s)", why);
	daemon_kill(h);
	worker_kill(h);
	guest_end(h);
	h->back_at = 0;
	h->power = false;
	disk_power_off(h);
	/* Somebody switches it on again. */
	sim_after(sim_between(SECOND, 20 * SECOND), h, power_on, 0, 0);
}

static void kill_daemon(struct host *h)
{
	if (!h->daemon)
		return;
	sim_say(h, "romulusd dies");
	daemon_kill(h);
	sim_after(sim_between(100 * MS, 8 * SECOND), h, daemon_start, 0, 0);
}

bool fate_crash(struct host *h, unsigned int point)
{
	const unsigned int life = h->life;
	uint64_t world;

	if (sim.healing || !sim.crashes_left ||
		!sim_chance(point == CRASH_BEFORE_RECORD ? 25 : 15) || !strikes(&world))
		return false;
	sim.crashes_left--;
	crashes_taken[point]++;
	switch (sim_random(3)) {
	case 0:
		sim_say(h, "its worker dies at %s", point_name(point));
		if (h->worker.kind != WORKER_NONE)
			worker_dies(h);
		break;
	case 1:
		sim_say(h, "romulusd dies at %s", point_name(point));
		kill_daemon(h);
		break;
	default:
		host_lose_power(h, point_name(point));
	}
	spent(world);
	return !h->daemon || h->life != life;
}

static void stand_still(struct host *h, uint64_t a, uint64_t b)
{
	if (sim.healing)
		return;
	h->paused_until = sim.now + sim_between(100 * MS, 12 * SECOND);
	if (h->paused_until - sim.now > sim.timeouts.stall * MS)
		h->woke_at = h->paused_until;
	sim_say(h, "stands still until %.3f s", (double)h->paused_until / SECOND);
}

static void shut_down(struct host *h, uint64_t a, uint64_t b)
{
	if (sim.healing || !h->guest.exists)
		return;
	sim_say(h, "its guest shuts down");
	guest_end(h);
	sim.ended = true;
}

static void reboot(struct host *h, uint64_t a, uint64_t b)
{
	if (!sim.healing)
		guest_reboot(h);
}

static void power_fails(struct host *h, uint64_t a, uint64_t b)
{
	if (!sim.healing)
		host_lose_power(h, "fate");
}

static void unprotect(struct host *h, uint64_t a, uint64_t b)
{
	if (!sim.healing)
		daemon_ask_unprotect(h);
}

void fate_cross(struct host *h)
{
	uint64_t world;

	if (sim.healing ||
		!sim_chance(h->worker.kind == WORKER_BACKUP    ? 20
			    : h->worker.kind == WORKER_PRIMARY ? 300
							       : 0) ||
		!strikes(&world))
		return;
	if (h->worker.kind == WORKER_BACKUP)
		worker_standby_lost(h);
	else
		worker_fails(h);
	spent(world);
}

static void cut(struct host *h, uint64_t path, uint64_t both)
{
	for (int i = 0; i < HOSTS; i++)
		if (both || i == h->number)
			sim.cut[path][i] = true;
	sim_say(h, "path %d is cut%s", (int)path, both ? "" : ", one way");
}

static void mend(struct host *h, uint64_t path, uint64_t b)
{
	for (int i = 0; i < HOSTS; i++)
		sim.cut[path][i] = false;
	sim_say(NULL, "path %d is mended", (int)path);
}

/* Before the next word is said. */
static void cut_off(struct host *h)
{
	for (uint64_t path = 0; path < PATHS; path++) {
		cut(h, path, true);
		sim_after(sim_between(SECOND, 20 * SECOND), NULL, mend, path, 0);
	}
}

void fate_tempt(struct host *h, uint64_t within)
{
	static sim_handler *const happens[] = {
		stand_still, shut_down, unprotect, reboot, power_fails};

	uint64_t world;

	if (sim.healing || !sim_chance(130) || !strikes(&world))
		return;
	if (sim_chance(250))
		cut_off(h);
	else
		sim_after(sim_random(within), h, happens[sim_random(ARRAY_SIZE(happens))], 0, 0);
	spent(world);
}

/* @protect: in the other direction afterwards. */
static void move(struct host *h, uint64_t protect, uint64_t b)
{
	if (!sim.healing)
		daemon_ask_migrate(h, protect);
}

void fate_move(struct host *h)
{
	uint64_t world;

	if (sim.healing || !sim_chance(400) || !strikes(&world))
		return;
	sim_after(sim_random(4 * SECOND), h, move, sim_chance(800), 0);
	spent(world);
}

void fate_break_disks(struct host *h)
{
	uint64_t world;

	if (sim.healing || !sim.disks || !sim_chance(6) || !strikes(&world))
		return;
	disk_break();
	if (sim_chance(400)) /* of the same cause */
		sim_after(sim_between(500 * MS, 2 * SECOND), h, power_fails, 0, 0);
	spent(world);
}

static void let_heartbeats_through(struct host *h, uint64_t a, uint64_t b)
{
	for (int i = 0; i < HOSTS; i++)
		sim.deaf[i] = false;
}

void fate_half_heal(void)
{
	if (sim.healing)
		return;
	sim.deaf[0] = sim.deaf[1] = true;
	sim_say(NULL, "heartbeats are dropped on their way");
	sim_after(0, NULL, mend, 1, 0);
	sim_after(sim_chance(500) ? 0 : 8 * SECOND, NULL, mend, 0, 0);
	sim_after(10 * SECOND, NULL, let_heartbeats_through, 0, 0);
}

static void happen(void)
{
	struct host *h = &sim.host[sim_random(HOSTS)];
	uint64_t path;

	switch (sim_random(12)) {
	case 0:
		host_lose_power(h, "fate");
		break;
	case 1:
		if (sim_chance(300)) /* both at once */
			host_lose_power(sim_other(h), "fate");
		kill_daemon(h);
		break;
	case 2:
		if (h->worker.kind == WORKER_NONE)
			break;
		sim_say(h, "its worker dies");
		worker_dies(h);
		break;
	case 3:
	case 4:
	case 5:
		path = sim_random(PATHS);
		cut(h, path, sim_chance(700));
		if (sim_chance(500))
			cut(h, 1 - path, 1);
		for (uint64_t p = 0; p < PATHS; p++)
			sim_after(sim_between(100 * MS, 15 * SECOND), NULL, mend, p, 0);
		break;
	case 6:
		stand_still(h, 0, 0);
		break;
	case 11:
		if (sim_chance(500)) {
			disk_break();
			break;
		}
		h->slow_until = sim.now + sim_between(SECOND, 15 * SECOND);
		sim_say(h, "its disk is slow until %.3f s", (double)h->slow_until / SECOND);
		break;
	case 7:
		for (int i = 0; i < HOSTS; i++)
			if (i == h->number || sim_chance(500))
				store_cut(
					&sim.host[i], sim.now + sim_between(100 * MS, 15 * SECOND));
		break;
	default:
		switch (sim_random(12)) {
		case 0:
		case 1:
			daemon_ask_unprotect(h);
			break;
		case 6:
			sim_say(h, "an operator protects it here");
			daemon_ask_protect(h);
			break;
		case 2:
			worker_standby_lost(h);
			break;
		case 3:
			shut_down(h, 0, 0);
			break;
		case 7:
		case 8:
			reboot(h, 0, 0);
			break;
		case 4:
		case 5:
			sim_say(h, "heartbeats are dropped on their way");
			sim.deaf[h->number] = true;
			sim.deaf[1 - h->number] = sim_chance(500);
			sim.cut[0][h->number] = sim_chance(500);
			/* An operator has to notice first. */
			sim_after(sim_between(sim.arbiter == FAILOVER_ARBITER_MANUAL ? 10 * SECOND
										     : SECOND,
					  20 * SECOND),
				NULL, let_heartbeats_through, 0, 0);
			sim_after(sim_between(SECOND, 20 * SECOND), NULL, mend, 0, 0);
			break;
		default:
			break;
		}
	}
}

static void strike(struct host *unused, uint64_t a, uint64_t b)
{
	uint64_t world;

	if (sim.healing)
		return;
	sim_after(sim_between(FATE_EVERY_MIN, FATE_EVERY_MAX), NULL, strike, 0, 0);
	if (!strikes(&world))
		return;
	happen();
	spent(world);
}

void fate_begin(void)
{
	sim.crashes_left = 6;
	sim_after(sim_between(FATE_EVERY_MIN, FATE_EVERY_MAX), NULL, strike, 0, 0);
}

void fate_heal(void)
{
	sim.healing = true;
	for (uint64_t p = 0; p < PATHS; p++)
		mend(NULL, p, 0);
	let_heartbeats_through(NULL, 0, 0);
	for (int i = 0; i < HOSTS; i++)
		store_cut(&sim.host[i], sim.now);
	sim_say(NULL, "from here on nothing more happens to anybody");
}
