/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether this host has stood still: stopped by whatever is below its hypervisor, asleep, or in a
 * pause of its firmware. A process that wakes takes for news what has waited for it, and its clocks
 * alone do not say how long.
 */
#ifndef REPLICATOR_AWAKE_H
#define REPLICATOR_AWAKE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/why.h"

/* A thread that looks at the clock, and nothing else. */
struct awake {
	pthread_t thread;
	int over_fd;
	uint64_t limit_ns;
	atomic_uint_fast64_t looked_ns, woke_ns; /* woke_ns: 0: it has not stood still */
	bool begun;
};

/* @limit_ms: how late the thread may be. 0 or a negative errno; awake_end in either case. */
int awake_begin(struct awake *a, unsigned int limit_ms, struct why *why);
void awake_end(struct awake *a);

/* A clock that goes on while the host sleeps; for awake_since only. */
uint64_t awake_now(void);

/* False: since awake_now was @since_ns the host has stood still for more than the limit. */
bool awake_since(struct awake *a, uint64_t since_ns);

#endif
