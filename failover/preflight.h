/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a guest can be protected on another host, or moved there: what it needs and what both
 * hosts are, compared point by point. A pure function over facts that workers have collected
 * (replicator/facts.h) and the daemons have added to; half of them come from a peer and may say
 * anything. The rows are in a table, and their order is that of the output.
 */
#ifndef FAILOVER_PREFLIGHT_H
#define FAILOVER_PREFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/exit_codes.h"
#include "common/why.h"
#include "proto/proto.h"

enum failover_result { FAILOVER_PASS, FAILOVER_WARN, FAILOVER_FAIL };

struct failover_preflight {
	const char *host, *peer; /* where the guest is, where it is to go */
	const Romulus__Check *guest;
	const Romulus__Checked *here, *there;
	int64_t ahead_ns;       /* the clock of the peer, against ours */
	uint64_t staging_bytes; /* memory that the backup takes beside the guest's */
};

struct failover_check_row {
	const char *name;
	bool refuses; /* nobody else looks at it when the guest is protected or moved; */
	bool lets_go; /* but it keeps none from its standby: where it is may be what is wrong */
	enum failover_result result;
	char found[WHY_MAX]; /* a phrase */
	char todo[WHY_MAX];  /* what to do; "" when it passes */
};

#define FAILOVER_CHECKS 18u

/* Fill all rows. Returns how many fail. */
size_t failover_preflight(
	const struct failover_preflight *p, struct failover_check_row ret[FAILOVER_CHECKS]);

/* "pass", "warn", "fail" */
const char *failover_result_name(enum failover_result result);

/* ---- cpu_features.c -------------------------------------------------------------------------- */

/* The name of bit @bit of a featureset, or NULL. */
const char *failover_cpu_feature(size_t bit);

#endif
