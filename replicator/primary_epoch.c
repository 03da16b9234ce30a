/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/primary_epoch.h"

#include <errno.h>

#include "proto/proto.h"

static const char *const state_names[PRIMARY_STATES] = {
	[PRIMARY_COPYING] = "copying",
	[PRIMARY_PAUSING] = "pausing",
	[PRIMARY_CAPTURED] = "captured",
	[PRIMARY_SHIPPING] = "shipping",
	[PRIMARY_WAITING] = "waiting",
	[PRIMARY_RUNNING] = "running",
	[PRIMARY_STANDING] = "standing still",
	[PRIMARY_LOST] = "lost",
	[PRIMARY_ENDED] = "ended",
};

static const struct transition {
	bool legal;
	enum primary_state next;
	unsigned int actions;
} transitions[PRIMARY_STATES][PRIMARY_EVENTS] = {
	[PRIMARY_COPYING] =
		{
			[PRIMARY_EV_SUSPEND] = {true, PRIMARY_PAUSING, PRIMARY_INSTALL},
			[PRIMARY_EV_SOLO] = {true, PRIMARY_ENDED, 0},
			[PRIMARY_EV_STOP] = {true, PRIMARY_ENDED, 0},
		},
	[PRIMARY_PAUSING] =
		{
			[PRIMARY_EV_CAPTURED] = {true, PRIMARY_CAPTURED, PRIMARY_CLOSE},
			[PRIMARY_EV_STREAM_LOST] = {true, PRIMARY_LOST, PRIMARY_REPORT_LOST},
		},
	[PRIMARY_CAPTURED] =
		{
			[PRIMARY_EV_RESUMED] = {true, PRIMARY_SHIPPING, PRIMARY_SHIP},
			[PRIMARY_EV_STAYS] = {true, PRIMARY_SHIPPING, PRIMARY_SHIP},
			[PRIMARY_EV_STREAM_LOST] = {true, PRIMARY_LOST, PRIMARY_REPORT_LOST},
		},
	[PRIMARY_SHIPPING] =
		{
			[PRIMARY_EV_SHIPPED] = {true, PRIMARY_WAITING, 0},
			[PRIMARY_EV_STREAM_LOST] = {true, PRIMARY_LOST, PRIMARY_REPORT_LOST},
		},
	[PRIMARY_WAITING] =
		{
			[PRIMARY_EV_ACK] = {true, PRIMARY_RUNNING, PRIMARY_RELEASE},
			[PRIMARY_EV_STREAM_LOST] = {true, PRIMARY_LOST, PRIMARY_REPORT_LOST},
		},
	[PRIMARY_RUNNING] =
		{
			[PRIMARY_EV_SUSPEND] = {true, PRIMARY_PAUSING, 0},
			[PRIMARY_EV_STREAM_LOST] = {true, PRIMARY_LOST, PRIMARY_REPORT_LOST},
			/* An unprotect that failed: decided while the stream was still up. */
			[PRIMARY_EV_SOLO] = {true, PRIMARY_ENDED, PRIMARY_RELEASE_ALL},
			[PRIMARY_EV_STOP] = {true, PRIMARY_ENDED, PRIMARY_RELEASE_ALL},
			[PRIMARY_EV_DISCARD] = {true, PRIMARY_ENDED, PRIMARY_DESTROY},
		},
	/* Acked to its end, and owned by whom the daemon says: nothing but an order moves it. */
	[PRIMARY_STANDING] =
		{
			[PRIMARY_EV_SOLO] = {true, PRIMARY_ENDED, PRIMARY_RELEASE_ALL},
			[PRIMARY_EV_STOP] = {true, PRIMARY_ENDED, PRIMARY_RELEASE_ALL},
			[PRIMARY_EV_DISCARD] = {true, PRIMARY_ENDED, PRIMARY_DESTROY},
		},
	[PRIMARY_LOST] =
		{
			[PRIMARY_EV_SOLO] = {true, PRIMARY_ENDED, PRIMARY_RELEASE_ALL},
			[PRIMARY_EV_STOP] = {true, PRIMARY_ENDED, PRIMARY_RELEASE_ALL},
			[PRIMARY_EV_DISCARD] = {true, PRIMARY_ENDED, PRIMARY_DESTROY},
		},
};

const char *primary_state_name(enum primary_state state)
{
	return state < PRIMARY_STATES ? state_names[state] : "?";
}

int primary_epoch_step(struct primary_epoch *m, enum primary_event event, uint64_t epoch)
{
	const struct transition *t = &transitions[m->state][event];

	if (!t->legal)
		return -EPROTO;
	if (event == PRIMARY_EV_ACK) {
		if (epoch != m->epoch)
			return -EPROTO;
		m->committed = epoch;
	}
	if (event == PRIMARY_EV_SUSPEND)
		m->epoch++;
	if (event == PRIMARY_EV_STAYS)
		m->last = true;
	m->state = event == PRIMARY_EV_ACK && m->last ? PRIMARY_STANDING : t->next;
	return (int)t->actions;
}

bool primary_epoch_ordered(int order, enum primary_event *ret)
{
	switch (order) {
	case PROTO_ORDER_SOLO:
		*ret = PRIMARY_EV_SOLO;
		return true;
	case PROTO_ORDER_STOP:
		*ret = PRIMARY_EV_STOP;
		return true;
	case PROTO_ORDER_DISCARD:
		*ret = PRIMARY_EV_DISCARD;
		return true;
	default:
		return false;
	}
}
