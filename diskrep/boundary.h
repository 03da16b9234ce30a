/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which way the boundaries of a protection are made. Waiting is right everywhere; the bracket is
 * taken only where it is known to be right, was seen to be right, and saves something. Pure: no
 * I/O.
 */
#ifndef DISKREP_BOUNDARY_H
#define DISKREP_BOUNDARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "diskrep/order.h"
#include "diskrep/probe.h"
#include "diskrep/selftest.h"

#define DISKREP_BOUNDARY_WHY_MAX 160

struct diskrep_boundary_facts {
	char drbd[16];        /* version of the kernel's DRBD, "8.4.11"; "" when it is not known */
	char write_cache[32]; /* what the marker's DRBD device says; "" when it is not known */
	struct diskrep_selftest test;                   /* no probes: it could not be run */
	struct diskrep_order_count count[DISKREP_WAYS]; /* by the backup */
};

/* Decide; @why gets the reason, for a person: @size bytes, DISKREP_BOUNDARY_WHY_MAX do. */
enum diskrep_way diskrep_boundary_choose(
	const struct diskrep_boundary_facts *facts, char *why, size_t size);

const char *diskrep_way_name(enum diskrep_way way); /* "wait", "bracket" */

#endif
