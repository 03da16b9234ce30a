/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which heartbeats of a peer are new, when somebody on the link records them and sends them again.
 * Pure; whether a datagram is the peer's at all is the tag's business.
 *
 * A host's `boot` grows with every start of its daemon, `sequence` within a boot. A heartbeat
 * counts only if it names our own boot: it was sent after this daemon had started, so a daemon that
 * has forgotten everything cannot be fed old ones. Within that, sequences grow on each path, and no
 * path may lag far behind the others.
 */
#ifndef FAILOVER_REPLAY_H
#define FAILOVER_REPLAY_H

#include <stddef.h>
#include <stdint.h>

#include "failover/config.h"

/* Heartbeats that a path may lag behind the others, for cables of different length. */
#define FAILOVER_REPLAY_LAG 64u

struct failover_replay {
	uint64_t boot; /* highest heard: what our heartbeats answer with; 0: none */
	uint64_t newest;
	uint64_t sequence[FAILOVER_MAX_PATHS];
};

/* What was said last, whichever path it came on. */
struct failover_newest {
	uint64_t boot, sequence;
};

enum failover_news {
	FAILOVER_NEWS_NONE, /* the same beat on another path, or one that was overtaken */
	FAILOVER_NEWS,
	FAILOVER_NEWS_RESTARTED, /* and nothing of what was said before holds any more */
};

/* What a heartbeat brings; it is the newest from then on. */
enum failover_news failover_newest_take(
	struct failover_newest *n, uint64_t boot, uint64_t sequence);

enum failover_freshness {
	FAILOVER_BEAT_FRESH,
	FAILOVER_BEAT_UNANSWERED, /* authentic, but its sender has not heard this daemon yet */
	FAILOVER_BEAT_OLD,        /* a repetition */
};

/* @answers: the boot of the receiver that the heartbeat names; @own_boot: what that is. */
enum failover_freshness failover_replay_judge(struct failover_replay *r, size_t path, uint64_t boot,
	uint64_t sequence, uint64_t answers, uint64_t own_boot);

#endif
