/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The domain as a number, what it writes, and its client, who checks what reaches him. */
#include "tests/sim/sim.h"

#define TICK (20 * MS)
#define SPOT 6u  /* blocks that it writes to for a while, */
#define STAY 64u /* so many writes; what lies elsewhere stays as it is */

/*
 * A host that wakes may find the ack of the checkpoint from which its guest was replaced: that
 * frame is late, but the guest that goes on knows it.
 */
static void frame(struct host *h, uint64_t count)
{
	const unsigned int lineage = h->guest.lineage;

	if (lineage != sim.lineage)
		sim_violated("two owners: a guest that was replaced is heard (invariant 2)");
	if (count > sim.seen)
		sim.seen = count;
}

static void let_out(struct host *h, uint64_t last)
{
	struct guest *g = &h->guest;

	if (last > g->out) {
		g->out = last;
		frame(h, last);
	}
}

void guest_begin(struct host *h, const struct memory *m, const char *from)
{
	h->back_at = 0;
	sim_say(h, "guest runs from %llu (%s), client has seen %llu", (unsigned long long)m->count,
		from, (unsigned long long)sim.seen);
	h->guest = (struct guest){.exists = true,
		.lineage = ++sim.lineage,
		.memory = *m,
		.closed = m->count,
		.out = m->count};
	sim.began[sim.lineage % LINEAGES] = m->count;
	if (m->count < sim.seen)
		sim_violated("the client has seen more than the guest knows (invariants 1, 4)");
	if (m->writing) /* its block front end issues it again */
		disk_write(h, m->at, m->stamp);
}

void guest_end(struct host *h)
{
	h->guest.exists = false;
}

void guest_release_closed(struct host *h)
{
	if (h->guest.exists)
		let_out(h, h->guest.closed);
}

void guest_release_all(struct host *h)
{
	h->guest.plugged = h->guest.suspended = false;
	if (h->guest.exists)
		let_out(h, h->guest.memory.count);
}

/* One write at a time; it counts when it is completed. False: it is not yet. */
static bool write_on(struct host *h)
{
	struct guest *g = &h->guest;
	struct memory *m = &g->memory;

	if (m->writing && !g->written)
		return false;
	if (m->writing) {
		m->block[m->at] = m->stamp;
		m->count++;
	}
	m->writing = true;
	g->written = false;
	m->at = (unsigned int)((m->count / STAY * SPOT +
				       sim_random(sim.healing ? SPOT / 2 : SPOT)) %
			       BLOCKS);
	m->stamp = (uint64_t)g->lineage << 32 | (m->count + 1);
	disk_write(h, m->at, m->stamp);
	return true;
}

/*
 * The same guest from its disks, so its lineage is that of the one before it: where the other host
 * has taken over meanwhile this one is replaced already. Whoever watched it pauses it if it must
 * not be heard, without a daemon too.
 */
static void start_again(struct host *h, uint64_t boot, uint64_t b)
{
	if (!h->power || h->boot != boot || !h->back_at)
		return;
	h->back_at = 0;
	if ((!sim.healing && sim_chance(100)) || (sim.disks && !disk_start(h, &h->guest.memory))) {
		sim_say(h, "its guest does not start again");
		sim.ended = true;
		return;
	}
	sim_say(h, "its guest has started again%s", h->restrained ? ", restrained" : "");
	h->guest.exists = true;
	h->guest.suspended = false;
	h->guest.plugged = h->restrained && sim.bug != BUG_RESTART_SPEAKS;
	h->guest.closed = h->guest.out = h->guest.memory.count;
	h->guest.written = h->guest.memory.writing = false;
	daemon_note_restarted(h);
}

void guest_reboot(struct host *h)
{
	if (!h->guest.exists || h->back_at || h->guest.suspended)
		return;
	sim_say(h, "its guest reboots");
	guest_end(h);
	h->back_at = sim.now + sim_between(SECOND, 5 * SECOND);
	sim_after(h->back_at - sim.now, h, start_again, h->boot, 0);
}

/* A host that stands still has no guest that counts. */
void guest_tick(struct host *h, uint64_t a, uint64_t b)
{
	struct guest *g = &h->guest;

	sim_after(TICK, h, guest_tick, a, b);
	if (!sim_awake(h) || !g->exists || g->suspended)
		return;
	if (h->recorded && h->on_disk.decision == FAILOVER_DECISION_HANDED)
		sim_violated("a guest that was handed over runs on (invariant 2)");
	if (!sim.disks)
		g->memory.count++;
	else if (!write_on(h))
		return;
	if (!g->plugged)
		let_out(h, g->memory.count);
}
