/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/why.h"

enum fault_action { FAULT_OFF, FAULT_DELAY, FAULT_FAIL, FAULT_CRASH };

static const char *const fault_names[FAULT_COUNT] = {
	[FAULT_ACK_DELAY] = "ack-delay",
	[FAULT_SHIP] = "ship",
	[FAULT_PLUG_BYPASS] = "plug-bypass",
	[FAULT_CAPTURED] = "captured",
	[FAULT_TAKEOVER_GRANT] = "takeover-grant",
	[FAULT_LAST_EPOCH] = "last-epoch",
	[FAULT_HANDED_OVER] = "handed-over",
	[FAULT_HELLO_VERSION] = "hello-version",
	[FAULT_DISKS_DISCONNECTED] = "disks-disconnected",
	[FAULT_DISKS_DUMPED] = "disks-dumped",
	[FAULT_DISKS_PROMOTED] = "disks-promoted",
	[FAULT_DISKS_ROLLED_BACK] = "disks-rolled-back",
	[FAULT_ROLLBACK_SKIP] = "rollback-skip",
	[FAULT_ROLLBACK_BENEATH] = "rollback-beneath",
	[FAULT_LINEAGE_SKIP] = "lineage-skip",
	[FAULT_LOWER_SWITCH] = "lower-switch",
	[FAULT_SAVE_WRITE] = "save-write",
	[FAULT_SAVE_COMMIT] = "save-commit",
	[FAULT_SAVE_LINKED] = "save-linked",
	[FAULT_SAVE_NAMED] = "save-named",
	[FAULT_SAVE_KEPT] = "save-kept",
	[FAULT_RESTORE_BUILT] = "restore-built",
	[FAULT_DRILL_ROOM] = "drill-room",
	[FAULT_DRILL_COPIED] = "drill-copied",
	[FAULT_DRILL_STARTED] = "drill-started",
	[FAULT_DRILL_CHECKED] = "drill-checked",
};

static struct {
	enum fault_action action;
	long delay_ms;
} fault_armed[FAULT_COUNT];

const char *fault_name(enum fault fault)
{
	return fault_names[fault];
}

static int fault_arm(char *item, struct why *why)
{
	char *action = strchr(item, '=');
	size_t i;

	if (!action)
		return why_set(why, -EINVAL, "ROMULUS_FAULT: '%s' is not NAME=ACTION", item);
	*action++ = '\0';
	for (i = 0; i < FAULT_COUNT; i++)
		if (!strcmp(item, fault_names[i]))
			break;
	if (i == FAULT_COUNT)
		return why_set(why, -EINVAL, "ROMULUS_FAULT: there is no fault point '%s'", item);

	if (!strcmp(action, "fail")) {
		fault_armed[i].action = FAULT_FAIL;
	} else if (!strcmp(action, "crash")) {
		fault_armed[i].action = FAULT_CRASH;
	} else if (!strncmp(action, "delay:", 6)) {
		fault_armed[i].action = FAULT_DELAY;
		fault_armed[i].delay_ms = strtol(action + 6, NULL, 10);
	} else {
		return why_set(
			why, -EINVAL, "ROMULUS_FAULT: unknown action '%s' for %s", action, item);
	}
	return 0;
}

int fault_init(struct why *why)
{
	const char *env = getenv("ROMULUS_FAULT");
	CLEANUP_FREE char *copy = NULL;
	char *item, *next;
	int r;

	memset(fault_armed, 0, sizeof(fault_armed));
	if (!env)
		return 0;
	copy = strdup(env);
	if (!copy)
		return -ENOMEM;
	for (item = strtok_r(copy, ",", &next); item; item = strtok_r(NULL, ",", &next)) {
		r = fault_arm(item, why);
		if (r)
			return r;
	}
	return 0;
}

bool fault_point(enum fault fault)
{
	struct timespec t;

	switch (fault_armed[fault].action) {
	case FAULT_OFF:
		return false;
	case FAULT_DELAY:
		t.tv_sec = fault_armed[fault].delay_ms / 1000;
		t.tv_nsec = fault_armed[fault].delay_ms % 1000 * 1000000;
		nanosleep(&t, NULL);
		return false;
	case FAULT_FAIL:
		return true;
	case FAULT_CRASH:
		kill(getpid(), SIGKILL);
	}
	return true;
}
