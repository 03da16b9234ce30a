/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The product's fault points (common/fault.h), every one of them, and how it is shown what comes of
 * it: the simulator dies there, or goes wrong there on purpose and is found out, or another test
 * arms it, because there is nothing of it here. A point that is not in this table, and one that is
 * never met, fails `make sim`.
 */
#include "tests/sim/sim.h"

#include <string.h>

#include "common/cleanup.h"

static const char *const bugs[BUG_COUNT] = {
	[BUG_ACK_BEFORE_COMPLETE] = "ack-before-complete",
	[BUG_RELEASE_BEFORE_ACK] = "release-before-ack",
	[BUG_GRANT_TWICE] = "grant-twice",
	[BUG_FORGET_ON_RESTART] = "forget-on-restart",
	[BUG_SOLO_WITHOUT_GRANT] = "solo-without-grant",
	[BUG_PUT_WITHOUT_COMPARE] = "put-without-compare",
	[BUG_CLAIM_IS_DECISION] = "claim-is-decision",
	[BUG_RESTART_SPEAKS] = "restart-speaks",
	[BUG_PLUG_BYPASS] = "plug-bypass",
	[BUG_ROLLBACK_SKIP] = "rollback-skip",
	[BUG_ROLLBACK_BENEATH] = "rollback-beneath",
	[BUG_LINEAGE_SKIP] = "lineage-skip",
	[BUG_RESUME_HANDED_OVER] = "resume-handed-over",
	[BUG_WAKE_AND_SPEAK] = "wake-and-speak",
};

/* Where it dies besides. */
static const char *const places[CRASH_POINTS] = {
	[CRASH_BEFORE_RECORD] = "before-record",
	[CRASH_AFTER_RECORD] = "after-record",
	[CRASH_BEFORE_ORDER] = "before-order",
	[CRASH_SUSPENDED] = "suspended",
	[CRASH_SHIPPED] = "shipped",
	[CRASH_AFTER_ACK] = "after-ack",
	[CRASH_FENCING] = "fencing",
};

static const struct {
	bool dies;
	enum bug bug;
	const char *test; /* that arms it */
} shown[FAULT_COUNT] = {
	[FAULT_ACK_DELAY] = {.dies = true},
	[FAULT_SHIP] = {.dies = true},
	[FAULT_PLUG_BYPASS] = {.bug = BUG_PLUG_BYPASS},
	[FAULT_CAPTURED] = {.dies = true},
	[FAULT_TAKEOVER_GRANT] = {.dies = true},
	[FAULT_LAST_EPOCH] = {.dies = true},
	[FAULT_HANDED_OVER] = {.dies = true},
	[FAULT_HELLO_VERSION] = {.test = "tests/unit/handshake.c"},
	[FAULT_DISKS_DISCONNECTED] = {.dies = true},
	[FAULT_DISKS_DUMPED] = {.dies = true},
	[FAULT_DISKS_PROMOTED] = {.dies = true},
	[FAULT_DISKS_ROLLED_BACK] = {.dies = true},
	[FAULT_ROLLBACK_SKIP] = {.bug = BUG_ROLLBACK_SKIP},
	[FAULT_ROLLBACK_BENEATH] = {.bug = BUG_ROLLBACK_BENEATH},
	[FAULT_LINEAGE_SKIP] = {.bug = BUG_LINEAGE_SKIP},
	[FAULT_LOWER_SWITCH] = {.test = "tests/unit/disk_kernel.c"},
	[FAULT_SAVE_WRITE] = {.test = "tests/unit/save_death.c"},
	[FAULT_SAVE_COMMIT] = {.test = "tests/unit/save_death.c"},
	[FAULT_SAVE_LINKED] = {.test = "tests/unit/save_death.c"},
	[FAULT_SAVE_NAMED] = {.test = "tests/unit/save_death.c"},
	[FAULT_SAVE_KEPT] = {.test = "tests/unit/save_death.c"},
	[FAULT_RESTORE_BUILT] = {.test = "tests/unit/save_death.c"},
	[FAULT_DRILL_ROOM] = {.test = "tests/unit/drill.c"},
	[FAULT_DRILL_COPIED] = {.test = "tests/unit/drill.c"},
	[FAULT_DRILL_STARTED] = {.test = "tests/unit/drill.c"},
	[FAULT_DRILL_CHECKED] = {.test = "tests/unit/drill.c"},
};

uint64_t crashes_taken[CRASH_POINTS];

const char *point_name(unsigned int point)
{
	return point < FAULT_COUNT ? fault_name((enum fault)point) : places[point];
}

const char *bug_name(enum bug bug)
{
	return bugs[bug];
}

enum bug bug_named(const char *name)
{
	for (int i = BUG_NONE + 1; i < BUG_COUNT; i++)
		if (strcmp(bugs[i], name) == 0)
			return (enum bug)i;
	return BUG_NONE;
}

static bool dies_at(unsigned int point)
{
	return point >= FAULT_COUNT || shown[point].dies;
}

void points_list(FILE *f)
{
	for (int i = BUG_NONE + 1; i < BUG_COUNT; i++)
		fprintf(f, "bug %s\n", bugs[i]);
	for (unsigned int i = 0; i < FAULT_COUNT; i++)
		fprintf(f, "point %s %s\n", point_name(i),
			shown[i].dies   ? "dies"
			: shown[i].bug  ? "bug"
			: shown[i].test ? shown[i].test
					: "nowhere");
}

bool points_met(FILE *f, bool all)
{
	bool good = true;

	fprintf(f, "died at:");
	for (unsigned int i = 0; i < CRASH_POINTS; i++)
		if (dies_at(i)) {
			fprintf(f, " %s %llu", point_name(i), (unsigned long long)crashes_taken[i]);
			good = good && (!all || crashes_taken[i]);
		}
	fprintf(f, "\n");
	return good;
}
