/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The standby's memory, claimed from Xen before the initial copy has filled it: what another domain
 * takes meanwhile would be missing in the middle of the copy. libxl makes the domain in a process
 * of its own, so it is asked again and again until it is there.
 */
#ifndef REPLICATOR_CLAIM_H
#define REPLICATOR_CLAIM_H

#include <stdbool.h>
#include <stdint.h>

struct hv;
struct hv_ops;
struct why;

struct claim {
	bool settled; /* it is made, or cannot be made here */
	unsigned int tries;
};

/*
 * 0, also while there is nothing to claim for, or -ENOMEM with a sentence for the primary's
 * operator: there is no room any more. Costs nothing when it is settled.
 */
int claim_try(struct claim *c, const struct hv_ops *ops, struct hv *hv, const char *domain,
	const char *standby, uint64_t memory_kb, struct why *why);

#endif
