/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/backup_epoch.h"

#include <errno.h>

static const char *const state_names[BACKUP_STATES] = {
	[BACKUP_GREETING] = "greeting",
	[BACKUP_BETWEEN] = "between epochs",
	[BACKUP_RECEIVING] = "receiving",
	[BACKUP_HOLDING] = "waiting for the boundary of the disks",
	[BACKUP_LOST] = "lost",
	[BACKUP_TAKING_OVER] = "taking over",
	[BACKUP_ENDED] = "ended",
};

static const struct transition {
	bool legal;
	enum backup_state next;
	unsigned int actions;
} transitions[BACKUP_STATES][BACKUP_EVENTS] = {
	[BACKUP_GREETING] =
		{
			[BACKUP_EV_CONFIG] = {true, BACKUP_BETWEEN, BACKUP_START},
			[BACKUP_EV_STREAM_LOST] = {true, BACKUP_ENDED, BACKUP_DESTROY},
			[BACKUP_EV_DISCARD] = {true, BACKUP_ENDED, BACKUP_DESTROY},
		},
	[BACKUP_BETWEEN] =
		{
			[BACKUP_EV_BEGIN] = {true, BACKUP_RECEIVING, 0},
			[BACKUP_EV_BOUNDARY] = {true, BACKUP_BETWEEN, 0},
			[BACKUP_EV_STREAM_LOST] = {true, BACKUP_LOST, BACKUP_REPORT_LOST},
			[BACKUP_EV_TAKEOVER] = {true, BACKUP_TAKING_OVER, BACKUP_COMPLETE},
			[BACKUP_EV_DISCARD] = {true, BACKUP_ENDED, BACKUP_DESTROY},
			[BACKUP_EV_STANDBY_LOST] = {true, BACKUP_ENDED, BACKUP_DESTROY},
		},
	[BACKUP_RECEIVING] =
		{
			[BACKUP_EV_PAGES] = {true, BACKUP_RECEIVING, BACKUP_STORE},
			[BACKUP_EV_END] = {true, BACKUP_BETWEEN, BACKUP_COMMIT},
			[BACKUP_EV_END_EARLY] = {true, BACKUP_HOLDING, 0},
			[BACKUP_EV_BOUNDARY] = {true, BACKUP_RECEIVING, 0},
			[BACKUP_EV_STREAM_LOST] = {true, BACKUP_LOST,
				BACKUP_DROP | BACKUP_REPORT_LOST},
			[BACKUP_EV_TAKEOVER] = {true, BACKUP_TAKING_OVER,
				BACKUP_DROP | BACKUP_COMPLETE},
			[BACKUP_EV_DISCARD] = {true, BACKUP_ENDED, BACKUP_DROP | BACKUP_DESTROY},
			[BACKUP_EV_STANDBY_LOST] = {true, BACKUP_ENDED,
				BACKUP_DROP | BACKUP_DESTROY},
		},
	[BACKUP_HOLDING] =
		{
			[BACKUP_EV_BOUNDARY] = {true, BACKUP_BETWEEN, BACKUP_COMMIT},
			[BACKUP_EV_STREAM_LOST] = {true, BACKUP_LOST,
				BACKUP_DROP | BACKUP_REPORT_LOST},
			[BACKUP_EV_TAKEOVER] = {true, BACKUP_TAKING_OVER,
				BACKUP_DROP | BACKUP_COMPLETE},
			[BACKUP_EV_DISCARD] = {true, BACKUP_ENDED, BACKUP_DROP | BACKUP_DESTROY},
			[BACKUP_EV_STANDBY_LOST] = {true, BACKUP_ENDED,
				BACKUP_DROP | BACKUP_DESTROY},
		},
	[BACKUP_LOST] =
		{
			[BACKUP_EV_BOUNDARY] = {true, BACKUP_LOST, 0},
			[BACKUP_EV_TAKEOVER] = {true, BACKUP_TAKING_OVER, BACKUP_COMPLETE},
			[BACKUP_EV_DISCARD] = {true, BACKUP_ENDED, BACKUP_DESTROY},
			[BACKUP_EV_STANDBY_LOST] = {true, BACKUP_ENDED, BACKUP_DESTROY},
		},
};

const char *backup_state_name(enum backup_state state)
{
	return state < BACKUP_STATES ? state_names[state] : "?";
}

int backup_epoch_step(struct backup_epoch *m, enum backup_event event, uint64_t epoch)
{
	const struct transition *t;

	if (event == BACKUP_EV_END && m->disks && epoch > m->boundary)
		event = BACKUP_EV_END_EARLY;
	t = &transitions[m->state][event];
	if (!t->legal)
		return -EPROTO;
	switch (event) {
	case BACKUP_EV_BEGIN:
	case BACKUP_EV_END:
	case BACKUP_EV_END_EARLY:
		if (epoch != m->epoch)
			return -EPROTO;
		break;
	case BACKUP_EV_BOUNDARY:
		/* The primary sets the next one only after the ack of the one before. */
		if (epoch != m->boundary + 1 || (m->epoch > 0 && epoch > m->epoch))
			return -EPROTO;
		m->boundary = epoch;
		break;
	case BACKUP_EV_TAKEOVER:
		if (!m->acked)
			return -EPROTO;
		break;
	default:
		break;
	}
	if (t->actions & BACKUP_COMMIT) {
		m->acked = m->epoch;
		m->epoch++;
	}
	m->state = t->next;
	return (int)t->actions;
}
