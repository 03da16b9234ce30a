/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/lifecycle.h"

#include <stdio.h>

static const struct {
	const char *did, *key;
} ends[HV_ENDS] = {
	[HV_END_POWEROFF] = {"has powered off", "on_poweroff"},
	[HV_END_REBOOT] = {"has rebooted", "on_reboot"},
	[HV_END_SUSPEND] = {"was suspended", ""},
	[HV_END_CRASH] = {"has crashed", "on_crash"},
	[HV_END_WATCHDOG] = {"was ended by its watchdog", "on_watchdog"},
	[HV_END_SOFT_RESET] = {"has asked for a soft reset", "on_soft_reset"},
};

static const struct {
	const char *text;
	bool restarts;
} thens[] = {
	[HV_THEN_DESTROY] = {"is destroyed", false},
	[HV_THEN_RESTART] = {"is started again", true},
	[HV_THEN_RENAME_RESTART] = {"is kept under another name and started again", true},
	[HV_THEN_PRESERVE] = {"is kept as it is", false},
	[HV_THEN_DUMP_DESTROY] = {"is dumped and destroyed", false},
	[HV_THEN_DUMP_RESTART] = {"is dumped and started again", true},
	[HV_THEN_SOFT_RESET] = {"is reset", true},
};

static const char *const fates[] = {
	[LIFECYCLE_DESTROYED] = "the domain was destroyed",
	/* A checkpoint suspends it too, and somebody may have destroyed it just then. */
	[LIFECYCLE_AWAY] = "the domain was saved, migrated away or destroyed by another hand",
	[LIFECYCLE_LOST] = "the domain is gone from this host",
};

bool lifecycle_restarts(enum hv_then then)
{
	return thens[then].restarts;
}

void lifecycle_text(const struct lifecycle *l, char *ret, size_t size)
{
	const bool late = l->state == LIFECYCLE_OVER && lifecycle_restarts(l->then);

	if (l->fate != LIFECYCLE_BY_ITSELF)
		snprintf(ret, size, "%s", fates[l->fate]);
	else if (late)
		snprintf(ret, size, "the guest %s, and was not started again as %s asks for",
			ends[l->end].did, ends[l->end].key);
	else
		snprintf(ret, size, "the guest %s and %s (%s)", ends[l->end].did,
			thens[l->then].text, ends[l->end].key);
}

void lifecycle_begin(struct lifecycle *l, uint32_t domid, uint64_t now_ns)
{
	*l = (struct lifecycle){.domid = domid};
	if (domid)
		return;
	l->state = LIFECYCLE_AWAITED;
	l->fate = LIFECYCLE_LOST;
	l->until_ns = now_ns + LIFECYCLE_TRACE_NS;
}

static unsigned int over(struct lifecycle *l, enum lifecycle_fate fate)
{
	l->fate = fate;
	l->state = LIFECYCLE_OVER;
	return LIFECYCLE_SAY_ENDED;
}

static unsigned int back(struct lifecycle *l, uint32_t domid)
{
	l->domid = domid;
	l->state = LIFECYCLE_RUNS;
	l->fate = LIFECYCLE_BY_ITSELF;
	return LIFECYCLE_SAY_RESTARTED;
}

static unsigned int shut_down(
	struct lifecycle *l, const enum hv_then then[HV_ENDS], enum hv_end end, uint64_t now_ns)
{
	l->end = end;
	l->then = then[end];
	if (l->then == HV_THEN_PRESERVE)
		return over(l, LIFECYCLE_BY_ITSELF);
	l->fate = LIFECYCLE_BY_ITSELF;
	l->state = LIFECYCLE_SHUT_DOWN;
	l->acted_upon = false;
	l->until_ns = now_ns + LIFECYCLE_HAND_NS;
	return lifecycle_restarts(l->then) ? LIFECYCLE_SAY_RESTARTS : LIFECYCLE_SAY_ENDED;
}

static unsigned int in_runs(struct lifecycle *l, const enum hv_then then[HV_ENDS],
	const struct hv_sight *s, uint64_t now_ns)
{
	if (s->exists && s->shut_down && s->end != HV_END_SUSPEND)
		return shut_down(l, then, s->end, now_ns);
	if (s->exists && s->dying)
		return over(l, s->shut_down ? LIFECYCLE_AWAY : LIFECYCLE_DESTROYED);
	if (s->exists)
		return 0;
	lifecycle_begin(l, 0, now_ns);
	return 0;
}

static unsigned int in_shut_down(struct lifecycle *l, const struct hv_sight *s, uint64_t now_ns)
{
	const bool restarts = lifecycle_restarts(l->then);

	if (s->exists && !s->dying && !s->shut_down)
		return back(l, l->domid); /* reset in its place */
	if (!s->exists || s->dying || (restarts && s->other)) {
		l->state = restarts ? LIFECYCLE_AWAITED : LIFECYCLE_OVER;
		l->until_ns = now_ns + LIFECYCLE_RESTART_NS;
		return 0;
	}
	/* Destroying a domain begins with pausing it, and the scripts of its devices take time. */
	if (s->paused && !l->acted_upon) {
		l->acted_upon = true;
		l->until_ns = now_ns + LIFECYCLE_RESTART_NS;
	}
	/* Before that it is dumped, however long that takes. */
	if (s->dumped && l->until_ns < now_ns + LIFECYCLE_HAND_NS)
		l->until_ns = now_ns + LIFECYCLE_HAND_NS;
	return now_ns >= l->until_ns ? LIFECYCLE_ACT : 0;
}

static unsigned int in_awaited(struct lifecycle *l, const struct hv_sight *s, uint64_t now_ns)
{
	unsigned int first = 0;

	/* It was done between two looks. */
	if (s->other && l->fate == LIFECYCLE_LOST) {
		l->end = HV_END_REBOOT;
		l->then = HV_THEN_RESTART;
		first = LIFECYCLE_SAY_RESTARTS;
	}
	if (s->other)
		return first | back(l, s->other);
	return now_ns >= l->until_ns ? over(l, l->fate) : 0;
}

unsigned int lifecycle_step(struct lifecycle *l, const enum hv_then then[HV_ENDS],
	const struct hv_sight *s, uint64_t now_ns)
{
	switch (l->state) {
	case LIFECYCLE_RUNS:
		return in_runs(l, then, s, now_ns);
	case LIFECYCLE_SHUT_DOWN:
		return in_shut_down(l, s, now_ns);
	case LIFECYCLE_AWAITED:
		return in_awaited(l, s, now_ns);
	case LIFECYCLE_OVER:
		break;
	}
	return 0;
}

unsigned int lifecycle_acted(struct lifecycle *l, uint32_t domid, uint64_t now_ns)
{
	if (!lifecycle_restarts(l->then)) {
		l->state = LIFECYCLE_OVER; /* its end was said already */
		return 0;
	}
	if (domid)
		return back(l, domid);
	l->state = LIFECYCLE_AWAITED;
	l->until_ns = now_ns + LIFECYCLE_RESTART_NS;
	return 0;
}
