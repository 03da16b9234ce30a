/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A takeover whose romulusd ends in the middle of it. The grant is on disk and the other host may
 * have destroyed its guest: the worker goes on to the end without a daemon, and the next one starts
 * another worker that waits for it and says what has become of the guest.
 */
#ifndef REPLICATOR_ADOPT_H
#define REPLICATOR_ADOPT_H

#include "replicator/hv.h"
#include "replicator/worker.h"

/*
 * From here on this process outlives its daemon; only one is at the takeover of a guest. -EBUSY:
 * the next daemon is asking already, and has been told, or will be, that nothing came of it. Where
 * it cannot be noted (no room in run-dir) the takeover goes on all the same, and dies with its
 * daemon: 0.
 */
int adopt_begin(const struct worker *w, struct why *why);

/* What was begun is over; the process may end later. */
void adopt_end(const struct worker *w);

/* Wait for the end of whoever has begun, if there is one. */
int adopt_await(const struct worker *w, struct why *why);

/*
 * Then: 0 and *ret (hv_domain_clear it) when the guest of @w runs under its own name, and one that
 * has that name and is paused is let run; a negative errno when it does not.
 */
int adopt_guest(const struct worker *w, const struct hv_ops *ops, struct hv *hv,
	struct hv_domain *ret, struct why *why);

#endif
