/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What must survive the daemon: one small JSON file per domain, STATE/domains/UUID.json. It is
 * replaced whole (write aside, fsync, rename, fsync of the folder), so a reader sees the old or the
 * new one and never half of either. No promise is gossiped and no grant acted upon before its
 * record is on disk.
 */
#ifndef FAILOVER_STATE_H
#define FAILOVER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/proto.h"

struct why;

#define FAILOVER_NAME_MAX 128
#define FAILOVER_UUID_MAX 40
#define FAILOVER_GENERATION_MAX ((uint64_t)INT64_MAX) /* what a record can hold */

enum failover_decision {
	FAILOVER_DECISION_NONE, /* the generation is still a pair */
	FAILOVER_DECISION_TAKEOVER,
	FAILOVER_DECISION_SOLO,
	FAILOVER_DECISION_RELEASED, /* this side will never own the generation */
	FAILOVER_DECISION_ENDED, /* the guest ended by itself: nothing here to own or take over */
	FAILOVER_DECISION_LEFT,  /* the peer owns it; a stale guest may still be here */
	/* As RELEASED, on purpose: the guest stands suspended here until the peer owns it. */
	FAILOVER_DECISION_HANDED,
};

struct failover_record {
	char name[FAILOVER_NAME_MAX];
	char uuid[FAILOVER_UUID_MAX];
	char peer[FAILOVER_NAME_MAX];
	uint64_t generation;
	enum proto_role role;
	enum failover_decision decision;
	bool intent;  /* protect again whenever possible */
	bool passing; /* this generation is for a move only: nobody wanted it protected before */
	/* Of the kernel when the role was taken on; "none" while the guest is still to be started.
	 */
	char boot[FAILOVER_UUID_MAX];
};

/* True when @uuid is one, in the 8-4-4-4-12 form: it becomes a file name. */
bool failover_uuid_valid(const char *uuid);

/*
 * True when @name can be a domain's or host's: UTF-8 without control characters, blanks and
 * slashes, and not too long.
 */
bool failover_name_valid(const char *name);

int failover_state_save(const char *dir, const struct failover_record *r, struct why *why);
int failover_state_read(const char *file, struct failover_record *ret, struct why *why);
int failover_state_remove(const char *dir, const char *uuid, struct why *why);

/*
 * Read every record under @dir, creating the folders. @each is called with the record, or with
 * NULL and the sentence for a file that cannot be trusted (it is left alone).
 */
int failover_state_load(const char *dir,
	void (*each)(void *data, const struct failover_record *r, const struct why *why),
	void *data, struct why *why);

const char *failover_decision_name(enum failover_decision d);

/*
 * A number for this start of the daemon, above that of every start before: the wall clock's
 * nanoseconds, or one more than the number kept in @dir where that is higher, because clocks are
 * set back. Returns 0, or a negative errno with the clock's number all the same.
 */
int failover_state_start(const char *dir, uint64_t wall_ns, uint64_t *ret, struct why *why);

/* The kernel's boot id, "" when it cannot be read. */
void failover_boot_id(char ret[FAILOVER_UUID_MAX]);

#endif
