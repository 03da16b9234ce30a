/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Xen's watchdog of a domain (SCHEDOP_watchdog: xen/include/public/sched.h). That of dom0 ends in a
 * reset of the host. A hypercall that sets a timer; it waits for nothing.
 */
#include <errno.h>
#include <string.h>

#include <xenctrl.h>

#include "common/why.h"
#include "failover/watchdog.h"

static int xen_open(void **ret, struct why *why)
{
	xc_interface *xc = xc_interface_open(NULL, NULL, 0);

	if (!xc)
		return why_set(why, -errno,
			"Xen cannot be reached on this host (%s): its watchdog is neither armed "
			"nor "
			"disarmed",
			strerror(errno));
	*ret = xc;
	return 0;
}

static int xen_set(void *data, uint32_t id, uint32_t seconds)
{
	const int r = xc_watchdog(data, id, seconds);

	return r < 0 ? -errno : r;
}

static void xen_close(void *data)
{
	xc_interface_close(data);
}

const struct failover_watchdog_ops failover_watchdog_xen = {
	.open = xen_open,
	.set = xen_set,
	.close = xen_close,
};
