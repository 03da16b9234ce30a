/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fault points: named places where a test can make the product fail or wait. Armed by the
 * environment only, ROMULUS_FAULT="NAME=ACTION[,NAME=ACTION...]", where ACTION is
 *   delay:MS   sleep there, every time
 *   fail       fault_point() returns true: the caller behaves as if the operation had failed
 *   crash      the process kills itself with SIGKILL
 * The table of names is in fault.c; an unknown name is refused at start-up, so a test cannot
 * silently arm nothing.
 */
#ifndef COMMON_FAULT_H
#define COMMON_FAULT_H

#include <stdbool.h>

struct why;

enum fault {
	FAULT_ACK_DELAY,      /* backup: epoch complete, ack not yet sent */
	FAULT_SHIP,           /* primary: epoch captured, nothing shipped yet */
	FAULT_PLUG_BYPASS,    /* primary: skip the plug (a test must then go red) */
	FAULT_CAPTURED,       /* primary: inside the pause, after the capture */
	FAULT_TAKEOVER_GRANT, /* backup daemon: grant persisted, takeover not begun */
	FAULT_LAST_EPOCH,     /* primary, moving: all is acked, its daemon does not know */
	FAULT_HANDED_OVER,    /* primary's daemon: that is persisted, the backup does not know */
	FAULT_HELLO_VERSION,  /* speak another protocol version */
	/* backup, taking over its disks: */
	FAULT_DISKS_DISCONNECTED, /* nothing arrives any more */
	FAULT_DISKS_DUMPED,       /* what to roll back is on disk */
	FAULT_DISKS_PROMOTED,
	FAULT_DISKS_ROLLED_BACK,
	FAULT_ROLLBACK_SKIP,    /* leave the disk ahead of the checkpoint (a test must go red) */
	FAULT_ROLLBACK_BENEATH, /* behind DRBD's back (a test must go red) */
	FAULT_LINEAGE_SKIP,     /* take any boundary for one (a test must go red) */
	FAULT_LOWER_SWITCH,     /* a lower device is suspended, its new table not yet in place */
	FAULT_SAVE_WRITE,       /* save: the next piece cannot be written */
	FAULT_SAVE_COMMIT,      /* save: all is written, the file has no name yet */
	FAULT_SAVE_LINKED,      /* save: the file is there beside the one that it replaces */
	FAULT_SAVE_NAMED,       /* save: the file has its name, which is not on disk yet */
	FAULT_SAVE_KEPT,        /* save: the file is there, and so is the domain */
	FAULT_RESTORE_BUILT,    /* restore: the domain is built and has not run */
	FAULT_DRILL_ROOM,       /* drill: nothing is there yet but a socket */
	FAULT_DRILL_COPIED,     /* drill: the instance is built, and stands */
	FAULT_DRILL_STARTED,    /* drill: it runs */
	FAULT_DRILL_CHECKED,    /* drill: it was looked at, nothing is removed */
	FAULT_COUNT,
};

/*
 * Parse ROMULUS_FAULT. Returns 0 or -EINVAL with a sentence in @why. Call once in main().
 */
int fault_init(struct why *why);

/* Act as armed; true when the caller must fail. Costs one load when nothing is armed. */
bool fault_point(enum fault fault);

const char *fault_name(enum fault fault);

#endif
