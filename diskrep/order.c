/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/order.h"

void diskrep_order_arrived(struct diskrep_order *o, const struct diskrep_probe *p)
{
	struct diskrep_order_count *c = &o->count;

	c->probes++;
	c->all = p->all;
	if (p->round > o->round) {
		o->round = p->round;
		o->written = 0;
		o->marked = false;
	}
	if (p->round < o->round)
		c->violations++;
	else if (p->kind == DISKREP_PROBE_MARKER)
		c->violations += (uint32_t)__builtin_popcount(p->completed & ~o->written);
	else if (p->kind == DISKREP_PROBE_LATE)
		c->violations += !o->marked;
}

void diskrep_order_written(struct diskrep_order *o, const struct diskrep_probe *p)
{
	if (p->round != o->round)
		return;
	if (p->kind == DISKREP_PROBE_EARLY)
		o->written |= UINT32_C(1) << p->index;
	else if (p->kind == DISKREP_PROBE_MARKER)
		o->marked = true;
}
