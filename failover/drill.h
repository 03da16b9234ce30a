/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drills, as the daemon of the backup sees them: a worker (romulus-drill) for each, beside the
 * state of the domain, which a drill never changes.
 */
#ifndef FAILOVER_DRILL_H
#define FAILOVER_DRILL_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

struct failover;
struct failover_child;
struct failover_client;
struct failover_domain;
struct failover_worker;

/* Of a domain; all zeros to begin with. */
struct failover_drill {
	struct failover_worker *worker;
	struct failover_client *client;
	struct failover_child *sweep; /* removes what one that died has left */
	bool called_off, spoke;       /* its last word was heard */
	bool looks;                   /* at the guest itself, which runs here */
};

/* `romulus drill`; the answer goes to @client when it is over. @look: the check alone, see there.
 */
void failover_drill(
	struct failover *fo, struct failover_client *client, const char *name, bool look);
/* Add to the history what the operator's tool has rehearsed: @drill, as `romulus drills` has it. */
void failover_drill_note(struct failover *fo, struct failover_client *client, const json_t *drill);
/* `romulus drills`, of @name or of all (NULL). */
void failover_drill_list(struct failover *fo, struct failover_client *client, const char *name);

/* What a daemon before this one has left is removed. */
void failover_drill_resume(struct failover_domain *d);
/* One whose domain is not held here any more, or whose operator has gone, is called off. */
void failover_drill_tend(struct failover_domain *d);
void failover_drill_dispose(struct failover_drill *drill);

#endif
