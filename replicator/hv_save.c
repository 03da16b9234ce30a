/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saving a running domain again and again: xc_domain_save with XC_STREAM_REMUS, and the fastest
 * known way to suspend a stock guest.
 *
 * Between the suspension and the resumption only the save core runs and calls->captured. The order
 * of the callbacks is that of tools/libs/guest/xg_sr_save.c, save(). Whatever fails, the guest is
 * running again when hv_xen_save returns.
 */
#include "replicator/hv_capture.h"
#include "replicator/hv_xen.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fault.h"
#include "common/why.h"
#include "replicator/saver.h"

/* A guest that has not suspended by then is told to forget it. Freezing a busy guest can take long
 * on a loaded host; it runs on meanwhile. */
#define SUSPEND_TIMEOUT_NS (30 * NSEC_PER_SEC)
/* In which a guest that has acknowledged, and is not paused, suspends. */
#define OWED_NS (120 * NSEC_PER_SEC)

/* Initial copy: hand over to the first checkpoint below so many dirty pages, or after so many
 * rounds. Every further round of a busy guest costs as much as an epoch and protects nothing. */
#define PRECOPY_ENOUGH 1024
#define PRECOPY_MAX_ROUNDS 4

struct save {
	struct hv *hv;
	const struct hv_save_calls *calls;
	struct why *why;
	int io_fd;
	int err; /* first failure of a callback */
	bool suspended;
	uint64_t begun_ns, suspended_ns, captured_ns;
	struct hv_pause pause;
};

int hv_xen_attach(struct hv *hv, const struct hv_domain *dom, struct why *why)
{
	int remote;

	hv->domid = dom->domid;
	hv->hvm = dom->type != HV_TYPE_PV;
	snprintf(hv->name, sizeof(hv->name), "%s", dom->name);
	snprintf(hv->shutdown_path, sizeof(hv->shutdown_path),
		"/local/domain/%" PRIu32 "/control/shutdown", dom->domid);

	/*
	 * Xen signals d->suspend_evtchn instead of VIRQ_DOM_EXC when one is subscribed
	 * (xen/common/domain.c, domain_shutdown_finished); the guest need not know.
	 */
	hv->evtchn = xenevtchn_open(hv->log, 0);
	if (hv->evtchn) {
		remote = xc_evtchn_alloc_unbound(hv->xc, dom->domid, 0);
		if (remote >= 0)
			hv->suspend_port = xenevtchn_bind_interdomain(
				hv->evtchn, dom->domid, (uint32_t)remote);
		if (hv->suspend_port >= 0 &&
			!xc_domain_subscribe_for_suspend(hv->xc, dom->domid, (evtchn_port_t)remote))
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

void hv_xen_detach(struct hv *hv)
{
	if (!hv->evtchn)
		return;
	/* Otherwise Xen goes on signalling a dead port and later saves of the domain time out. */
	xc_domain_subscribe_for_suspend(hv->xc, hv->domid, 0);
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

/*
 * Take the request back. False: the guest has acknowledged it by clearing the node, and will
 * suspend whenever it gets to it.
 */
static bool cancel_suspend(struct hv *hv)
{
	for (;;) {
		xs_transaction_t t = xs_transaction_start(hv->xs);
		bool acknowledged;
		char *value;

		if (t == XBT_NULL)
			return false;
		value = xs_read(hv->xs, t, hv->shutdown_path, NULL);
		acknowledged = value && !value[0];
		if (value && !strcmp(value, "suspend"))
			xs_write(hv->xs, t, hv->shutdown_path, "", 0);
		free(value);
		if (xs_transaction_end(hv->xs, t, false) || errno != EAGAIN)
			return !acknowledged;
	}
}

static int suspended_by_another(struct save *s)
{
	return why_set(s->why, -EALREADY,
		"'%s' was suspended by another hand, which saves or migrates it: protection can "
		"begin again when that is over",
		s->hv->name);
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
		cancel_suspend(hv);
	return !saver_find("/proc", hv->domid);
}

static int suspend_guest(struct save *s)
{
	struct hv *hv = s->hv;
	unsigned int reason;
	bool shutdown;
	int r, asked;

	r = hv_xen_shutdown_state(hv, hv->domid, &shutdown, &reason);
	if (!r && shutdown && reason == SHUTDOWN_suspend)
		return suspended_by_another(s);
	s->begun_ns = clock_now_ns();
	asked = r ? 0 : ask_to_suspend(hv);
	for (;;) {
		r = hv_xen_shutdown_state(hv, hv->domid, &shutdown, &reason);
		if (r)
			return why_set(s->why, r, "domain '%s' was destroyed", hv->name);
		if (asked == -EALREADY)
			return suspended_by_another(s);
		if (asked < 0)
			return why_set(s->why, -EIO,
				"cannot ask '%s' to suspend: xenstore refused the write", hv->name);
		if (shutdown && reason == SHUTDOWN_suspend)
			break;
		if (shutdown)
			return why_set(s->why, -ESHUTDOWN, "the guest in '%s' %s", hv->name,
				reason == SHUTDOWN_crash    ? "crashed"
				: reason == SHUTDOWN_reboot ? "rebooted"
							    : "shut down");
		if (clock_now_ns() - s->begun_ns > SUSPEND_TIMEOUT_NS) {
			if (asked && !cancel_suspend(hv))
				hv->owed_until_ns = clock_now_ns() + OWED_NS;
			return why_set(s->why, -ETIMEDOUT,
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
			asked = ask_to_suspend(hv);
	}
	if (!asked || !is_for_us(hv))
		return suspended_by_another(s);
	s->suspended = true;
	s->suspended_ns = clock_now_ns();
	return 0;
}

static int resume_guest(struct save *s)
{
	struct hv *hv = s->hv;

	if (xc_domain_resume(hv->xc, hv->domid, 1))
		return why_set(s->why, -EIO,
			"domain '%s' stands suspended: Xen did not resume it (%s)", hv->name,
			strerror(errno));
	s->suspended = false;
	hv->resume_late = true;
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
	/* It may have been for another hand as well, which resumes what it could not save. */
	if (shutdown && reason == SHUTDOWN_suspend && !saver_find("/proc", hv->domid) &&
		!xc_domain_resume(hv->xc, hv->domid, 1))
		xs_resume_domain(hv->xs, hv->domid);
	return 0;
}

/* xenstored may learn after the guest runs again that it does: a round trip saved in the pause. */
static void resume_late(struct hv *hv)
{
	if (hv->resume_late)
		xs_resume_domain(hv->xs, hv->domid);
	hv->resume_late = false;
}

static int on_precopy(struct precopy_stats stats, void *opaque)
{
	struct save *s = opaque;

	s->err = s->calls->precopy(
		s->calls->opaque, stats.iteration, stats.total_written, stats.dirty_count);
	if (s->err)
		return XGS_POLICY_ABORT;
	if ((stats.dirty_count >= 0 && stats.dirty_count < PRECOPY_ENOUGH) ||
		stats.iteration >= PRECOPY_MAX_ROUNDS)
		return XGS_POLICY_STOP_AND_COPY;
	return XGS_POLICY_CONTINUE_PRECOPY;
}

/* Does not return: see hv_save_calls. Who suspended the guest has to resume it. */
static void give_way(struct save *s)
{
	if (s->suspended)
		resume_guest(s);
	resume_late(s->hv);
	s->calls->taken(s->calls->opaque);
	abort();
}

/*
 * A checkpoint has failed, and the save core ends with log-dirty mode, for whoever uses it: must
 * not return to it while another hand does. What was stopped by order has been given up already,
 * and a guest that has ended is nobody's.
 */
static void before_failing(struct save *s)
{
	if (s->err != -ECANCELED && s->err != -ESRCH && s->err != -ESHUTDOWN &&
		saver_find("/proc", s->hv->domid))
		give_way(s);
}

static int on_suspend(void *opaque)
{
	struct save *s = opaque;

	s->err = s->calls->before_suspend(s->calls->opaque);
	if (!s->err)
		s->err = suspend_guest(s);
	if (s->err == -EALREADY && !s->suspended)
		give_way(s);
	if (!s->err)
		s->err = s->calls->suspended(s->calls->opaque);
	if (s->err)
		before_failing(s);
	return !s->err;
}

static int on_postcopy(void *opaque)
{
	struct save *s = opaque;
	uint64_t end;
	int r;

	s->captured_ns = clock_now_ns();
	s->err = fault_point(FAULT_CAPTURED) ? why_set(s->why, -EIO, "fault point captured")
					     : s->calls->captured(s->calls->opaque);
	r = resume_guest(s);
	if (r && !s->err)
		s->err = r;
	end = clock_now_ns();
	s->pause.suspend_ns = s->suspended_ns - s->begun_ns;
	s->pause.capture_ns = s->captured_ns - s->suspended_ns;
	s->pause.resume_ns = end - s->captured_ns;
	if (s->err)
		before_failing(s);
	return !s->err;
}

static void run(struct save *s)
{
	resume_late(s->hv);
	s->err = s->calls->running(s->calls->opaque, &s->pause);
}

/* One epoch without libxenguest. */
static void own_epoch(struct save *s, struct hv_capture *capture)
{
	if (!on_suspend(s))
		return;
	s->err = hv_capture_write(capture, s->io_fd, s->why);
	if (s->err == -EALREADY)
		give_way(s);
	if (s->err)
		before_failing(s);
	if (s->err || !on_postcopy(s))
		return;
	hv_capture_unmap(capture);
	run(s);
}

/*
 * Called after the first checkpoint, and does not return until the end when this kind of domain can
 * be captured without libxenguest.
 */
static int on_checkpoint(void *opaque)
{
	struct save *s = opaque;
	struct hv_capture *capture = NULL;

	run(s);
	if (s->err || !s->hv->hvm)
		return !s->err;
	s->err = hv_capture_open(s->hv, &capture, s->why);
	while (!s->err)
		own_epoch(s, capture);
	hv_capture_close(capture);
	return 0;
}

/* A PVH domain has no device model whose writes would have to be tracked, but libxenguest asks. */
static int on_logdirty(uint32_t domid, unsigned int enable, void *opaque)
{
	return 0;
}

int hv_xen_save(struct hv *hv, int io_fd, const struct hv_save_calls *calls, struct why *why)
{
	struct save s = {.hv = hv, .calls = calls, .why = why, .io_fd = io_fd};
	struct save_callbacks callbacks = {
		.suspend = on_suspend,
		.precopy_policy = on_precopy,
		.postcopy = on_postcopy,
		.checkpoint = on_checkpoint,
		.switch_qemu_logdirty = on_logdirty,
		.data = &s,
	};
	int r, saved_errno;

	r = xc_domain_save(hv->xc, io_fd, hv->domid, XCFLAGS_LIVE, &callbacks, XC_STREAM_REMUS, -1);
	saved_errno = errno;
	if (s.suspended && resume_guest(&s))
		return -EIO;
	resume_late(hv);
	if (s.err)
		return s.err;
	if (r)
		return why_set(why, -(saved_errno ? saved_errno : EIO),
			"libxenguest could not save '%s': %s", hv->name, strerror(saved_errno));
	return 0;
}
