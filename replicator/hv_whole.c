/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain saved whole, by libxl: what `xl save` does, device model included. */
#include "replicator/hv_xen.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

#include "common/clock.h"
#include "common/why.h"

/* A guest that has taken a request suspends in less, or does not. */
#define ACKNOWLEDGED_NS (10 * NSEC_PER_SEC)

int hv_xen_resume(struct hv *hv, uint32_t domid, struct why *why)
{
	/* The guest goes on as from a suspension that was called off, its device model too. */
	if (libxl_domain_resume(hv->xl, domid, 1, NULL))
		return why_set(why, -EIO,
			"domain %" PRIu32 " STANDS SUSPENDED, libxl did not resume it: look into "
			"/var/log/xen and `xl dmesg`",
			domid);
	return 0;
}

int hv_xen_write_out(struct hv *hv, uint32_t domid, int fd, bool live, struct why *why)
{
	int r = libxl_domain_suspend(hv->xl, domid, fd, live ? LIBXL_SUSPEND_LIVE : 0, NULL);

	if (!r)
		return 0;
	if (hv_xen_is_suspended(hv, domid) && hv_xen_resume(hv, domid, why))
		return -ENOTRECOVERABLE;
	return why_set(why, -EIO,
		"libxl could not save domain %" PRIu32
		" (libxl error %d), which runs on; what it said is above",
		domid, r);
}

int hv_xen_take_back(struct hv *hv, uint32_t domid, struct why *why)
{
	const struct timespec pause = {.tv_nsec = 100 * (long)NSEC_PER_MSEC};
	const uint64_t begun = clock_now_ns();
	unsigned int reason;
	bool shutdown;

	if (hv_xen_shutdown_state(hv, domid, &shutdown, &reason))
		return why_set(why, -ESRCH, "domain %" PRIu32 " is gone", domid);
	xc_domain_subscribe_for_suspend(hv->xc, domid, 0);
	/* Fails when log-dirty is off already, which is what we want. */
	xc_shadow_control(hv->xc, domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0);
	if (!hv_xen_is_suspended(hv, domid) && hv_xen_withdraw(hv, domid) == HV_REQUEST_WITHDRAWN)
		return 0;
	while (!hv_xen_is_suspended(hv, domid)) {
		if (clock_now_ns() - begun > ACKNOWLEDGED_NS)
			return 0; /* it was never asked */
		nanosleep(&pause, NULL);
	}
	return hv_xen_resume(hv, domid, why);
}
