/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands that clear up after a worker, or start a guest: romulus-primary and -backup, run
 * once. */
#include "tests/sim/sim.h"

static void finish(struct host *h, uint64_t life, bool done)
{
	if (h->life != life || !h->daemon)
		return;
	h->commanding = false;
	daemon_on(h, done ? FAILOVER_ON_DONE : FAILOVER_ON_NOT_DONE);
}

static void run(struct host *h, sim_handler *command)
{
	h->commanding = true;
	sim_after(sim_between(20 * MS, SECOND), h, command, h->life, h->boot);
}

static void repair(struct host *h, uint64_t life, uint64_t boot)
{
	const bool done = sim.healing || !sim_chance(30);

	if (!h->power || h->boot != boot)
		return;
	h->guest.suspended = false;
	if (done)
		guest_release_all(h);
	finish(h, life, done);
}

static void discard_guest(struct host *h, uint64_t life, uint64_t boot)
{
	const bool done = sim.healing || !sim_chance(100);

	if (!h->power || h->boot != boot)
		return;
	/* It is about to start again, and is destroyed when it has. */
	if (h->back_at) {
		sim_after(h->back_at - sim.now, h, discard_guest, life, boot);
		return;
	}
	if (done)
		guest_end(h);
	finish(h, life, done);
}

/* The standby is no guest yet; a rollback that was begun is finished. */
static void discard_standby(struct host *h, uint64_t life, uint64_t boot)
{
	if (h->power && h->boot == boot)
		finish(h, life, (sim.healing || !sim_chance(50)) && disk_repair(h));
}

static void start(struct host *h, uint64_t life, uint64_t boot)
{
	struct memory known = h->guest.memory;

	if (!h->power || h->boot != boot)
		return;
	if (!h->guest.exists && sim.disks && disk_start(h, &known))
		guest_begin(h, &known, "its disks");
	if (h->life == life && h->daemon)
		daemon_note_started(h);
}

/* What a guest that is no more had still to say is dropped: there is nothing left to let go. */
static void sweep(struct host *h, uint64_t life, uint64_t boot)
{
	if (h->power && h->boot == boot)
		finish(h, life, sim.healing || !sim_chance(30));
}

void command_sweep(struct host *h)
{
	run(h, sweep);
}

void command_repair(struct host *h)
{
	run(h, repair);
}

void command_discard(struct host *h)
{
	run(h, failover_decide_standby(h->state) ? discard_standby : discard_guest);
}

/* Without disks there is nothing to start it from: a person has to create it anew. */
void command_start(struct host *h)
{
	if (!sim.disks)
		sim.ended = true;
	h->guest_died = true;
	run(h, start);
}
