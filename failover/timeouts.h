/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All timing arithmetic of the daemon, in one place; milliseconds unless the name says otherwise.
 */
#ifndef FAILOVER_TIMEOUTS_H
#define FAILOVER_TIMEOUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct failover_config;

struct failover_timeouts {
	uint64_t heartbeat;       /* between two heartbeats on a path */
	uint64_t dead_after;      /* silence of all paths until the peer is suspected */
	uint64_t stall;           /* own lateness that voids the silence measured so far */
	uint64_t start_grace;     /* silence allowed to a peer never heard since our start */
	uint64_t connect;         /* TCP connect and Hello, for one path */
	uint64_t reply;           /* Prepare or Unprotect until the answer */
	uint64_t reprotect_delay; /* first path heard for so long before a new attempt */
	uint64_t retry_first, retry_last; /* backoff of protection attempts */
	uint64_t fence_first, fence_last; /* backoff of fencing attempts */
	uint64_t etcd_first, etcd_last;   /* between two rounds over etcd's endpoints */
	uint64_t etcd_probe;              /* between two looks at whether it still answers */
	uint64_t listen_retry;            /* an address of ours is not there yet */
	uint64_t watchdog;                /* told to the service manager, at most */
};

void failover_timeouts_init(struct failover_timeouts *t, const struct failover_config *c);

/* One line each, for a person: name, milliseconds, what it is for. */
void failover_timeouts_print(FILE *out, const struct failover_timeouts *t);

/* Doubling backoff: the wait after @attempts failures (1, 2 ...). */
uint64_t failover_backoff(uint64_t first, uint64_t last, unsigned int attempts);

/* Attempts to protect a domain that have failed since it was protected last. */
struct failover_attempts {
	unsigned int n;
	bool not_yet; /* the last one was only put off: the next one comes at the same pace */
	uint64_t retry_at_ns;
};

/* One more, at @now_ns: says when the next one may be made. */
void failover_attempts_fail(
	struct failover_attempts *a, const struct failover_timeouts *t, uint64_t now_ns);

#endif
