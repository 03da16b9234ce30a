/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of a domain a standby is built from and an operator can change while the guest runs: its
 * memory, vCPUs and devices. Pure.
 */
#ifndef REPLICATOR_SHAPE_H
#define REPLICATOR_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHAPE_PARTS 96

struct shape {
	size_t n;
	struct shape_part {
		char name[32];  /* "vif 1", "vcpu 0", "memory" */
		uint64_t value; /* of memory: KiB; else 0 */
	} parts[SHAPE_PARTS];
};

/* Beyond SHAPE_PARTS nothing is kept: who has so many changes that one too. */
void shape_put(struct shape *s, const char *name, uint64_t value);

/* What is other now than it was, for a person: "vif 1 was added". False: nothing. */
bool shape_differs(const struct shape *was, const struct shape *is, char *ret, size_t size);

#endif
