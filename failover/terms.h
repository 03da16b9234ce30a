/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the two hosts of a pair must have in common before one protects a guest on the other: who
 * decides between them. A host that fences and one that asks etcd know nothing of each other's
 * grants, and two prefixes of an etcd are two owners. Every pairing begins with a Prepare, which
 * carries this; a host whose configuration has changed has begun its pairings anew.
 */
#ifndef FAILOVER_TERMS_H
#define FAILOVER_TERMS_H

#include <stdint.h>

struct why;

struct failover_terms {
	const char *host;
	const char *arbiter;     /* as in romulus.conf */
	const char *etcd_prefix; /* "": etcd is not asked */
	uint64_t etcd_cluster;   /* as etcd says; 0: it has not answered yet */
};

/* 0, or -EPERM with a sentence that says what differs. What one of them does not know yet is none.
 */
int failover_terms_agree(
	const struct failover_terms *ours, const struct failover_terms *theirs, struct why *why);

#endif
