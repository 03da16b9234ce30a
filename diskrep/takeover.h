/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The order in which a backup's disks become those of the checkpoint. It is what makes a takeover
 * repeatable: nothing arrives any more before the list of what to roll back is complete, the list
 * is on disk before the first block is written back, and writing it back twice is writing it back
 * once. Tables, driven by diskrep/backup.c and by the simulator.
 */
#ifndef DISKREP_TAKEOVER_H
#define DISKREP_TAKEOVER_H

#include "common/fault.h"

enum diskrep_takeover_do {
	DISKREP_TAKEOVER_END,
	DISKREP_TAKEOVER_DISCONNECT, /* nothing arrives any more */
	DISKREP_TAKEOVER_DUMP,       /* what to roll back, to a file that outlives all of this */
	DISKREP_TAKEOVER_ATTACH,     /* DRBD may have lost its disk with the store */
	DISKREP_TAKEOVER_PROMOTE,    /* forced, if a resync had begun: the store has all of it */
	DISKREP_TAKEOVER_CLAIM,      /* the same without force: there is no store to say so */
	DISKREP_TAKEOVER_ROLL_BACK,  /* through DRBD, so that its bitmap knows */
	DISKREP_TAKEOVER_FORGET,     /* the file */
	DISKREP_TAKEOVER_STEPS,
};

struct diskrep_takeover_step {
	enum diskrep_takeover_do what;
	enum fault after; /* FAULT_COUNT: none */
};

/* The takeover, and what finishes one whose file is there. Each ends with DISKREP_TAKEOVER_END. */
extern const struct diskrep_takeover_step diskrep_takeover[], diskrep_takeover_repair[];

#endif
