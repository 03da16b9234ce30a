/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A rehearsed failover: an instance of a protected domain is made on the backup of its last acked
 * checkpoint, in a network of its own, looked at, and removed again. The protection goes on
 * meanwhile. romulus-drill is one drill; what one that died has left is removed by the next.
 */
#ifndef REPLICATOR_DRILL_H
#define REPLICATOR_DRILL_H

#include <net/if.h>

#include <jansson.h>

#include "common/why.h"
#include "diskrep/drill.h"
#include "replicator/drill_source.h"
#include "replicator/hv.h"
#include "replicator/standby.h"
#include "replicator/worker.h"

enum drill_phase { DRILL_ROOM, DRILL_COPY, DRILL_START, DRILL_CHECK, DRILL_CLEAN, DRILL_PHASES };

struct drill {
	struct worker worker;
	const struct hv_ops *ops;
	struct hv *hv;
	char name[256]; /* of the instance */
	char uuid[37];  /* of its own */
	int lock_fd, listen_fd;
	int source_fd; /* open as long as the disks are needed; -1 */
	struct diskrep_drill disks;
	char path[108]; /* of the socket */
	struct standby standby;
	uint32_t domid;
	char bridge[IFNAMSIZ]; /* where the check is asked from */
	bool called_off;
	struct drill_head head;
	uint64_t begun_ns, age_ns; /* age of the checkpoint when its memory was there */
	uint64_t phase_ns[DRILL_PHASES];
	char said[256]; /* last line of the check */
	struct why why;
};

/* All of it, what is left behind removed whatever happens. Exit code. */
int drill_run(struct drill *d);
/*
 * After a planned switchover: the check alone, of the guest itself, from this host on the guest's
 * bridge. Makes nothing and leaves nothing. Exit code.
 */
int drill_visit(struct drill *d);
/* Remove what a drill that died has left, if any has; exit code. */
int drill_clean(struct drill *d);

/*
 * Until @fd (-1: none) is readable (0), the daemon calls the drill off or is gone (-ECANCELED, with
 * d->why), or it is @until_ns (-ETIMEDOUT). For the steps.
 */
int drill_await(struct drill *d, int fd, uint64_t until_ns);

/* drill_room.c. One drill of a domain at a time; @wait: for one that is leaving. */
int drill_lock(struct drill *d, bool wait);
int drill_make_room(struct drill *d);
int drill_note(struct drill *d, const char *text); /* a line for who has to remove it */
/* Remove all that there is of a drill, of this one or of one before that died. */
int drill_leave(struct drill *d, struct why *why);

int drill_copy(struct drill *d); /* drill_copy.c: the instance is built, and stands */
int drill_start(struct drill *d);
int drill_look(struct drill *d); /* drill_look.c: it does what it is there for */

/* drill_domain.c: how the instance differs from @config_json; the caller's to free, or NULL. */
char *drill_domain(
	const struct drill *d, const char *config_json, unsigned int *ret_bridges, struct why *why);

/*
 * drill_check.c: in the namespace of the bubble, with its address. 0, or a negative errno. Blocks
 * until the check has passed or its time is over; for a process of its own. What a command said
 * last goes to standard output.
 */
int drill_check(const struct drill *d, struct why *why);

extern const char *const drill_phase_names[DRILL_PHASES];

#endif
