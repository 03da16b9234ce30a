/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The domain as a number, and its client, who checks what reaches him. */
#include "tests/sim/sim.h"

#define TICK (20 * MS)

/*
 * A host that wakes may find the ack of the checkpoint from which its guest was replaced: that
 * frame is late, but the guest that goes on knows it.
 */
static void frame(struct host *h, uint64_t count)
{
	const unsigned int lineage = h->guest.lineage;

	if (lineage != sim.lineage && count > sim.began[(lineage + 1) % LINEAGES])
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

void guest_begin(struct host *h, uint64_t count, const char *from)
{
	sim_say(h, "guest runs from %llu (%s), client has seen %llu", (unsigned long long)count,
		from, (unsigned long long)sim.seen);
	h->guest = (struct guest){.exists = true,
		.lineage = ++sim.lineage,
		.count = count,
		.closed = count,
		.out = count};
	sim.began[sim.lineage % LINEAGES] = count;
	if (count < sim.seen)
		sim_violated("the client has seen more than the guest knows (invariants 1, 4)");
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
		let_out(h, h->guest.count);
}

/* A host that stands still has no guest that counts. */
void guest_tick(struct host *h, uint64_t a, uint64_t b)
{
	struct guest *g = &h->guest;

	sim_after(TICK, h, guest_tick, a, b);
	if (!sim_awake(h) || !g->exists || g->suspended)
		return;
	g->count++;
	h->disk = g->count;
	if (!g->plugged)
		let_out(h, g->count);
}
