/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which rows of the workers' tables were taken: the linker leads their steps through here. */
#include <stdio.h>

#include "tests/sim/sim.h"

static uint64_t primary_taken[PRIMARY_STATES][PRIMARY_EVENTS];
static uint64_t backup_taken[BACKUP_STATES][BACKUP_EVENTS];

int __real_primary_epoch_step(struct primary_epoch *m, enum primary_event event, uint64_t epoch);
int __wrap_primary_epoch_step(struct primary_epoch *m, enum primary_event event, uint64_t epoch);
int __real_backup_epoch_step(struct backup_epoch *m, enum backup_event event, uint64_t epoch);
int __wrap_backup_epoch_step(struct backup_epoch *m, enum backup_event event, uint64_t epoch);

int __wrap_primary_epoch_step(struct primary_epoch *m, enum primary_event event, uint64_t epoch)
{
	const enum primary_state before = m->state;
	const int r = __real_primary_epoch_step(m, event, epoch);

	if (r >= 0)
		primary_taken[before][event]++;
	return r;
}

int __wrap_backup_epoch_step(struct backup_epoch *m, enum backup_event event, uint64_t epoch)
{
	const enum backup_state before = m->state;
	const bool early = event == BACKUP_EV_END && m->disks && epoch > m->boundary;
	const int r = __real_backup_epoch_step(m, event, epoch);

	if (r >= 0)
		backup_taken[before][early ? BACKUP_EV_END_EARLY : event]++;
	return r;
}

/*
 * Nobody unprotects a guest that stands, handed over; but an order that had no place where orders
 * are read would be lost.
 */
static bool primary_has(int state, int event)
{
	struct primary_epoch m = {.state = (enum primary_state)state, .epoch = 1};

	return (state != PRIMARY_STANDING || event != PRIMARY_EV_STOP) &&
	       __real_primary_epoch_step(&m, (enum primary_event)event, 1) >= 0;
}

static bool backup_has(int state, int event)
{
	struct backup_epoch m = {.state = (enum backup_state)state, .epoch = 1, .acked = 1};

	return __real_backup_epoch_step(&m, (enum backup_event)event, 1) >= 0;
}

bool epochs_covered(bool all)
{
	unsigned int rows = 0, taken = 0;

	for (int s = 0; s < PRIMARY_STATES; s++)
		for (int e = 0; e < PRIMARY_EVENTS; e++) {
			rows += primary_has(s, e);
			taken += primary_taken[s][e] > 0;
			if (all && primary_has(s, e) && !primary_taken[s][e])
				printf("  never taken: event %d of a primary's worker that is %s\n",
					e, primary_state_name((enum primary_state)s));
		}
	for (int s = 0; s < BACKUP_STATES; s++)
		for (int e = 0; e < BACKUP_EVENTS; e++) {
			rows += backup_has(s, e);
			taken += backup_taken[s][e] > 0;
			if (all && backup_has(s, e) && !backup_taken[s][e])
				printf("  never taken: event %d of a backup's worker that is %s\n",
					e, backup_state_name((enum backup_state)s));
		}
	printf("%u of %u of the workers'; ", taken, rows);
	return !all || taken == rows;
}
