/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happened: a ring in memory for `romulus events`, and one log line each. */
#ifndef FAILOVER_EVENTS_H
#define FAILOVER_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#define FAILOVER_EVENTS_MAX 512u

struct failover_event_entry {
	uint64_t number; /* from 1; grows for ever */
	uint64_t wall_ns, monotonic_ns;
	char domain[64]; /* "" : about the host */
	char kind[24];
	char *text;
};

struct failover_events {
	const char *host;
	uint64_t last; /* number of the newest entry */
	struct failover_event_entry ring[FAILOVER_EVENTS_MAX];
	/* Called for each new entry; may be NULL. */
	void (*follow)(void *data, const struct failover_event_entry *e);
	void *data;
};

/* @domain may be NULL. The text is one sentence. */
void failover_event(struct failover_events *ev, const char *domain, const char *kind,
	const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The entry of that number, or NULL when it has left the ring or is not there yet. */
const struct failover_event_entry *failover_events_get(
	const struct failover_events *ev, uint64_t number);

void failover_events_clear(struct failover_events *ev);

#endif
