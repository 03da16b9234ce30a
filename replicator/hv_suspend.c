/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Suspending a guest: the fastest known way for a stock one, beside other hands that may want the
 * same of it, and what becomes of a suspension that is asked for and comes too late.
 */
#include "replicator/hv_xen.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/why.h"
#include "replicator/saver.h"

/* A guest that has not suspended by then is told to forget it. Freezing a busy guest can take long
 * on a loaded host; it runs on meanwhile. */
#define SUSPEND_TIMEOUT_NS (30 * NSEC_PER_SEC)
/* In which a guest that has acknowledged, and is not paused, suspends. */
#define OWED_NS (120 * NSEC_PER_SEC)
/* The same, when it was a dead worker that has asked; the daemon gives a repair 60 s. */
#define REPAIR_NS (45 * NSEC_PER_SEC)
#define REPAIR_POLL_MS 100

/*
 * Xen signals d->suspend_evtchn instead of VIRQ_DOM_EXC when one is subscribed
 * (xen/common/domain.c, domain_shutdown_finished); the guest need not know. VIRQ_DOM_EXC is what
 * another hand's save of the domain waits for, so it is taken away for our own requests only.
 */
static void subscribe(struct hv *hv, bool on)
{
	if (hv->evtchn)
		xc_domain_subscribe_for_suspend(
			hv->xc, hv->domid, on ? (evtchn_port_t)hv->remote_port : 0);
}

static bool is(struct hv *hv, uint32_t domid, const char *node, const char *value)
{
	CLEANUP_FREE char *found = NULL;
	char path[128];

	snprintf(path, sizeof(path), "/local/domain/%" PRIu32 "/%s", domid, node);
	found = xs_read(hv->xs, XBT_NULL, path, NULL);
	return found && strcmp(found, value) == 0;
}

/* Whether a driver of the guest's has connected to one of its devices of a class. */
static bool is_connected(struct hv *hv, uint32_t domid, const char *class)
{
	char path[128];
	unsigned int n = 0;
	char **devices;
	bool found = false;

	snprintf(path, sizeof(path), "/local/domain/%" PRIu32 "/device/%s", domid, class);
	devices = xs_directory(hv->xs, XBT_NULL, path, &n);
	for (unsigned int i = 0; devices && i < n && !found; i++) {
		snprintf(path, sizeof(path), "device/%s/%.32s/state", class, devices[i]);
		found = is(hv, domid, path, "4");
	}
	free(devices);
	return found;
}

/*
 * Linux announces what it can be asked for once, when it boots and before its drivers connect
 * (drivers/xen/manage.c). One that is up and announces nothing at all has come here by another
 * hand's `xl migrate` or `xl restore`, whose new nodes it knows nothing of: it has been suspended
 * before.
 */
bool hv_xen_can_suspend(struct hv *hv, uint32_t domid)
{
	if (is(hv, domid, "control/feature-suspend", "1"))
		return true;
	return !is(hv, domid, "control/feature-poweroff", "1") &&
	       (is_connected(hv, domid, "vif") || is_connected(hv, domid, "vbd"));
}

static void shutdown_path(char ret[SHUTDOWN_PATH_MAX], uint32_t domid)
{
	snprintf(ret, SHUTDOWN_PATH_MAX, "/local/domain/%" PRIu32 "/control/shutdown", domid);
}

static void address(struct hv *hv, uint32_t domid)
{
	hv->domid = domid;
	shutdown_path(hv->shutdown_path, domid);
}

int hv_xen_attach(struct hv *hv, const struct hv_domain *dom, struct why *why)
{
	address(hv, dom->domid);
	hv->hvm = dom->type != HV_TYPE_PV;
	snprintf(hv->name, sizeof(hv->name), "%s", dom->name);
	hv->evtchn = xenevtchn_open(hv->log, 0);
	if (hv->evtchn) {
		hv->remote_port = xc_evtchn_alloc_unbound(hv->xc, dom->domid, 0);
		if (hv->remote_port >= 0)
			hv->suspend_port = xenevtchn_bind_interdomain(
				hv->evtchn, dom->domid, (uint32_t)hv->remote_port);
		if (hv->suspend_port >= 0)
			return 0;
		xenevtchn_close(hv->evtchn);
		hv->evtchn = NULL;
		hv->suspend_port = -1;
	}
	/* Fall back to xenstored, which hears VIRQ_DOM_EXC and fires this watch. */
	if (!xs_watch(hv->xs, "@releaseDomain", "suspend"))
		return why_set(why, -EIO, "cannot watch for the suspension of '%s' in xenstore",
			dom->name);
	return 0;
}

void hv_xen_give_way(struct hv *hv)
{
	hv->owed_until_ns = 0;
	hv_xen_detach(hv);
}

void hv_xen_detach(struct hv *hv)
{
	if (!hv->evtchn)
		return;
	subscribe(hv, false);
	xenevtchn_unbind(hv->evtchn, (evtchn_port_t)hv->suspend_port);
	xenevtchn_close(hv->evtchn);
	hv->evtchn = NULL;
	hv->suspend_port = -1;
}

/* Wait for a sign that the domain may have suspended. Either source may be spurious. */
static void wait_for_sign(struct hv *hv, int timeout_ms)
{
	struct pollfd p = {
		.fd = hv->evtchn ? xenevtchn_fd(hv->evtchn) : xs_fileno(hv->xs),
		.events = POLLIN,
	};

	if (poll(&p, 1, timeout_ms) <= 0)
		return;
	if (hv->evtchn) {
		int port = xenevtchn_pending(hv->evtchn);

		if (port >= 0)
			xenevtchn_unmask(hv->evtchn, (evtchn_port_t)port);
	} else {
		free(xs_check_watch(hv->xs));
	}
}

enum hv_request hv_xen_withdraw(struct hv *hv, uint32_t domid)
{
	char path[SHUTDOWN_PATH_MAX];

	shutdown_path(path, domid);
	for (;;) {
		xs_transaction_t t = xs_transaction_start(hv->xs);
		enum hv_request found;
		char *value;

		if (t == XBT_NULL)
			return HV_REQUEST_TAKEN;
		value = xs_read(hv->xs, t, path, NULL);
		found = !value                      ? HV_REQUEST_NONE
			: !value[0]                 ? HV_REQUEST_TAKEN
			: !strcmp(value, "suspend") ? HV_REQUEST_WITHDRAWN
						    : HV_REQUEST_NONE;
		if (found == HV_REQUEST_WITHDRAWN)
			xs_write(hv->xs, t, path, "", 0);
		free(value);
		if (xs_transaction_end(hv->xs, t, false) || errno != EAGAIN)
			return found;
	}
}

static int suspended_by_another(struct hv *hv, struct why *why)
{
	return why_set(why, -EALREADY,
		"'%s' was suspended by another hand, which saves or migrates it: protection can "
		"begin again when that is over",
		hv->name);
}

/*
 * Ask the guest to suspend, unless somebody has asked it for something else that it has not taken
 * yet (`xl shutdown`, `xl reboot`): there is one node for all requests, and that one would be lost.
 * 1: asked; 0: not yet; -EALREADY: another hand has asked it to suspend, and the guest would do it
 * once for both; -EIO.
 */
static int ask_to_suspend(struct hv *hv)
{
	bool free_of_others, taken, done, heard = false;
	xs_transaction_t t;
	char *value;

	do {
		t = xs_transaction_start(hv->changes);
		if (t == XBT_NULL)
			return -EIO;
		value = xs_read(hv->changes, t, hv->shutdown_path, NULL);
		/* All that came before; what comes now makes the transaction fail. */
		heard = hv_xen_requests(hv) > 0 || heard;
		taken = (value && !strcmp(value, "suspend")) ||
			(heard && saver_find("/proc", hv->domid));
		free_of_others = !value || !value[0];
		free(value);
		done = !taken && free_of_others &&
		       xs_write(hv->changes, t, hv->shutdown_path, "suspend", 7);
		if (xs_transaction_end(hv->changes, t, !done))
			return taken ? -EALREADY : !free_of_others ? 0 : done ? 1 : -EIO;
	} while (errno == EAGAIN);
	return -EIO;
}

/*
 * Whether the guest has suspended because we have asked. Another hand may have asked as well,
 * before the guest took our request or after it took theirs, and would lose its guest to our
 * resumption. A request and the answer to it are one event each. The scan of all processes is for
 * when there are more, or fewer even after xenstored has been heard.
 */
static bool is_for_us(struct hv *hv)
{
	unsigned int events = hv_xen_requests(hv);
	bool pending;
	char *value;

	if (events == 2)
		return true;
	value = xs_read(hv->changes, XBT_NULL, hv->shutdown_path, NULL);
	pending = value && !strcmp(value, "suspend");
	free(value);
	events += hv_xen_requests(hv);
	/* One that came after ours was taken waits for its turn. */
	if (events == 2 || (events > 2 && pending))
		return true;
	if (pending)
		hv_xen_withdraw(hv, hv->domid);
	return !saver_find("/proc", hv->domid);
}

/* Subscribed from before the request is made; how it went as ask_to_suspend. */
static int ask_and_listen(struct hv *hv)
{
	int r;

	subscribe(hv, true);
	r = ask_to_suspend(hv);
	if (r != 1)
		subscribe(hv, false);
	return r;
}

static int wait_until_suspended(struct hv *hv, uint64_t *ret_begun_ns, struct why *why)
{
	unsigned int reason;
	bool shutdown;
	int r, asked;

	r = hv_xen_shutdown_state(hv, hv->domid, &shutdown, &reason);
	if (!r && shutdown && reason == SHUTDOWN_suspend)
		return suspended_by_another(hv, why);
	*ret_begun_ns = clock_now_ns();
	asked = r ? 0 : ask_and_listen(hv);
	for (;;) {
		r = hv_xen_shutdown_state(hv, hv->domid, &shutdown, &reason);
		if (r)
			return why_set(why, r, "domain '%s' was destroyed", hv->name);
		if (asked == -EALREADY)
			return suspended_by_another(hv, why);
		if (asked < 0)
			return why_set(why, -EIO,
				"cannot ask '%s' to suspend: xenstore refused the write", hv->name);
		if (shutdown && reason == SHUTDOWN_suspend)
			break;
		if (shutdown)
			return why_set(why, -ESHUTDOWN, "the guest in '%s' %s", hv->name,
				reason == SHUTDOWN_crash    ? "crashed"
				: reason == SHUTDOWN_reboot ? "rebooted"
							    : "shut down");
		if (clock_now_ns() - *ret_begun_ns > SUSPEND_TIMEOUT_NS) {
			if (asked && hv_xen_withdraw(hv, hv->domid) == HV_REQUEST_TAKEN)
				hv->owed_until_ns = clock_now_ns() + OWED_NS;
			return why_set(why, -ETIMEDOUT,
				hv_xen_is_paused(hv)
					? "'%s' was paused by another hand for more than %d s: it "
					  "cannot be checkpointed; protection can begin again when "
					  "it is unpaused"
					: "the guest in '%s' did not suspend within %d s; it runs "
					  "on, without protection. Look at its console",
				hv->name, (int)(SUSPEND_TIMEOUT_NS / NSEC_PER_SEC));
		}
		wait_for_sign(hv, asked ? 250 : 20);
		if (!asked)
			asked = ask_and_listen(hv);
	}
	return asked && is_for_us(hv) ? 0 : suspended_by_another(hv, why);
}

int hv_xen_suspend(struct hv *hv, uint64_t *ret_begun_ns, struct why *why)
{
	int r = wait_until_suspended(hv, ret_begun_ns, why);

	subscribe(hv, false);
	return r;
}

/* A suspension that nobody waits for. 0 also when it does not stand suspended, or not for us. */
static int resume_left(struct hv *hv)
{
	/* It may have been for another hand as well, which resumes what it could not save. */
	if (!hv_xen_is_suspended(hv, hv->domid) || saver_find("/proc", hv->domid))
		return 0;
	if (xc_domain_resume(hv->xc, hv->domid, 1))
		return -EIO;
	xs_resume_domain(hv->xs, hv->domid);
	return 0;
}

int hv_xen_settle(struct hv *hv)
{
	unsigned int reason = 0;
	bool shutdown = false;

	if (!hv->owed_until_ns)
		return 0;
	if (!hv_xen_shutdown_state(hv, hv->domid, &shutdown, &reason) && !shutdown &&
		(hv_xen_is_paused(hv) || clock_now_ns() < hv->owed_until_ns))
		return 1;
	hv->owed_until_ns = 0;
	resume_left(hv);
	return 0;
}

/* A dead worker has asked it to suspend: take that back, or wait until it has. */
static int settle_for_another(struct hv *hv, struct why *why)
{
	const uint64_t until = clock_now_ns() + REPAIR_NS;

	if (hv_xen_withdraw(hv, hv->domid) != HV_REQUEST_TAKEN)
		return 0;
	hv->owed_until_ns = until;
	while (hv_xen_settle(hv)) {
		if (clock_now_ns() > until)
			return why_set(why, -EAGAIN,
				"the guest in domain %" PRIu32
				" is paused, and suspends when it is unpaused, as a worker that "
				"died has asked it to: xl unpause %" PRIu32,
				hv->domid, hv->domid);
		poll(NULL, 0, REPAIR_POLL_MS);
	}
	return 0;
}

int hv_xen_repair(struct hv *hv, uint32_t domid, bool asked, struct why *why)
{
	unsigned int reason;
	bool shutdown;
	int r;

	r = hv_xen_shutdown_state(hv, domid, &shutdown, &reason);
	if (r)
		return why_set(why, r, "domain %" PRIu32 " is gone", domid);
	address(hv, domid);
	xc_domain_subscribe_for_suspend(hv->xc, domid, 0);
	if (saver_find("/proc", domid))
		return 0; /* the rest is another hand's */
	/* Fails when log-dirty is off already, which is what we want. */
	xc_shadow_control(hv->xc, domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0);
	if (asked && !shutdown)
		return settle_for_another(hv, why);
	if (resume_left(hv))
		return why_set(why, -EIO,
			"domain %" PRIu32 " stands suspended and could not be resumed", domid);
	return 0;
}
