/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of a guest: what is seen of a domain from time to time -> what became of the guest, and
 * what is to be done. Pure: no I/O, clock or memory.
 *
 * A guest that has shut down is left to whoever has created it (xl's own process of that domain):
 * that one does what the configuration asks for (on_poweroff, on_reboot, ...) at once. Only when
 * nobody has done anything for LIFECYCLE_HAND_NS is it done here, for a domain that came by a
 * takeover, say, has nobody. A shutdown with reason suspend is a checkpoint and means nothing.
 */
#ifndef REPLICATOR_LIFECYCLE_H
#define REPLICATOR_LIFECYCLE_H

#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "replicator/hv.h"

#define LIFECYCLE_HAND_NS (20 * NSEC_PER_SEC)     /* for somebody else to act */
#define LIFECYCLE_RESTART_NS (120 * NSEC_PER_SEC) /* from the end of the old one to the new one */
/* One that is gone without a trace may have been restarted between two looks, by xl in seconds. */
#define LIFECYCLE_TRACE_NS (15 * NSEC_PER_SEC)

enum lifecycle_state {
	LIFECYCLE_RUNS,
	LIFECYCLE_SHUT_DOWN, /* somebody is to act */
	LIFECYCLE_AWAITED,   /* gone, and may come back */
	LIFECYCLE_OVER,
};

enum lifecycle_fate {
	LIFECYCLE_BY_ITSELF, /* it shut down in some way: see `end` and `then` */
	LIFECYCLE_DESTROYED,
	LIFECYCLE_AWAY, /* suspended and gone: saved or migrated, as a rule */
	LIFECYCLE_LOST, /* gone without a trace */
};

/* What follows, in this order. */
#define LIFECYCLE_SAY_RESTARTS 0x01u
#define LIFECYCLE_SAY_RESTARTED 0x02u /* and `domid` is the new one */
#define LIFECYCLE_SAY_ENDED 0x04u
#define LIFECYCLE_ACT 0x08u /* carry out `then`; lifecycle_acted() takes the outcome */

struct lifecycle {
	enum lifecycle_state state;
	enum lifecycle_fate fate;
	uint32_t domid;
	enum hv_end end;
	enum hv_then then;
	uint64_t until_ns;
	bool acted_upon; /* by somebody else */
};

/* @domid: of the guest; 0: it is not there. */
void lifecycle_begin(struct lifecycle *l, uint32_t domid, uint64_t now_ns);

/* @then: what the guest's configuration asks for; @s: of l->domid and its uuid. Returns actions. */
unsigned int lifecycle_step(struct lifecycle *l, const enum hv_then then[HV_ENDS],
	const struct hv_sight *s, uint64_t now_ns);

/*
 * @domid: of the guest that was started, 0: none, and perhaps because somebody else was at it all
 * the same. Returns actions.
 */
unsigned int lifecycle_acted(struct lifecycle *l, uint32_t domid, uint64_t now_ns);

/* Whether something is going to happen to it without a sign: look again soon. */
static inline bool lifecycle_waits(const struct lifecycle *l)
{
	return l->state == LIFECYCLE_SHUT_DOWN || l->state == LIFECYCLE_AWAITED;
}

/* Whether the guest starts again when that is done. */
bool lifecycle_restarts(enum hv_then then);

/* What became of it, for a person: "the guest has rebooted and is started again (on_reboot)". */
void lifecycle_text(const struct lifecycle *l, char *ret, size_t size);

#endif
