/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counts, where the writes arrive, what comes out of order in the self-test: an early probe that
 * had completed on the primary and is not on the disk when its round's marker arrives, a late one
 * that arrives before that marker is on the disk, anything of a round that is over. Two writes that
 * are under way together have no order, so that counts too. Pure: no I/O, no locks.
 */
#ifndef DISKREP_ORDER_H
#define DISKREP_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "diskrep/probe.h"

struct diskrep_order_count {
	uint32_t probes; /* that arrived, markers among them */
	uint32_t all;    /* that the test has, as each of them says; 0 before the first */
	uint32_t violations;
};

struct diskrep_order {
	struct diskrep_order_count count;
	uint32_t round, written; /* round: the newest seen; written: its early probes, as bits */
	bool marked;             /* its marker is on the disk */
};

/* All zeros is a count that has not begun. A probe arrives, and later it is on the disk. */
void diskrep_order_arrived(struct diskrep_order *o, const struct diskrep_probe *p);
void diskrep_order_written(struct diskrep_order *o, const struct diskrep_probe *p);

#endif
