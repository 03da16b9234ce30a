/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A watchdog below this host's kernel: unless it is petted it resets the host. It is armed while a
 * guest runs here that another host may take over, so that a host which hangs with such a guest
 * does not stay that way. It grants nothing: nobody takes its time for a proof that the host is
 * off.
 *
 * It outlives the daemon, which a crash must not make the end of the host: its number is kept in
 * run-dir, and the daemon that follows pets the same one.
 */
#ifndef FAILOVER_WATCHDOG_H
#define FAILOVER_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

struct failover_events;
struct why;

struct failover_watchdog_ops {
	/* *ret is given to the others. Returns 0 or a negative errno with a sentence. */
	int (*open)(void **ret, struct why *why);
	/*
	 * @id 0: make one that resets the host after @seconds, and return its number. Else start it
	 * anew, or with @seconds 0 remove it, and return 0. -EINVAL: there is none of that number.
	 */
	int (*set)(void *data, uint32_t id, uint32_t seconds);
	void (*close)(void *data);
};

extern const struct failover_watchdog_ops failover_watchdog_xen;

struct failover_watchdog {
	const struct failover_watchdog_ops *ops; /* NULL: not wanted, or not to be had */
	void *data;
	struct failover_events *events;
	char file[128];
	uint32_t id, seconds; /* 0: not armed */
	uint64_t petted_ns;
	bool complained;
};

/*
 * Take over what an earlier daemon has armed; with @seconds 0, for it is not wanted any more,
 * disarm it. Returns 0 or a negative errno with a sentence.
 */
int failover_watchdog_open(struct failover_watchdog *w, const struct failover_watchdog_ops *ops,
	const char *run_dir, uint32_t seconds, struct failover_events *events, struct why *why);
/* The same for a step before the daemon that follows: pet it once, or disarm it. */
void failover_watchdog_bridge(const struct failover_watchdog_ops *ops, const char *run_dir,
	uint32_t seconds, struct failover_events *events);
/* Arm, pet or disarm it; called from the loop, which is what it watches. */
void failover_watchdog_tick(struct failover_watchdog *w, bool wanted, uint64_t now_ns);
/* The daemon ends as it should: disarmed. */
void failover_watchdog_close(struct failover_watchdog *w);

#endif
