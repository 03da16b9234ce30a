/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When the initial copy of a running guest has gone on for long enough: a pure rule, asked before
 * each round. What is dirty then is sent once more while the guest runs, and what it dirties
 * meanwhile is what it has to stand still for.
 */
#ifndef REPLICATOR_PRECOPY_H
#define REPLICATOR_PRECOPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an operator may say; 0: no such limit. */
struct precopy_terms {
	uint32_t max_rounds;      /* when so many are over, the next one is the last */
	uint32_t dirty_threshold; /* pages; fewer are not worth a round */
	uint32_t max_downtime_ms; /* for what is left when the guest stands still */
};

struct precopy {
	struct precopy_terms terms;
	uint64_t begun_ns;          /* of the round under way */
	uint64_t pages, last_dirty; /* that it sends; of the round before */
	uint64_t downtime_ms;       /* if it were the last one; 0: not known yet */
	unsigned int in_vain;       /* rounds that have left as much to do as they found */
};

#define PRECOPY_REASON_MAX 160

/*
 * @round rounds are over, @dirty pages are to be sent in the next one. True: it is the last one,
 * and @reason says why.
 */
bool precopy_is_last(struct precopy *p, unsigned int round, uint64_t dirty, uint64_t now_ns,
	char reason[PRECOPY_REASON_MAX]);

#endif
