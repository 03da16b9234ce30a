/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saving a running domain again and again: xc_domain_save with XC_STREAM_REMUS.
 *
 * Between the suspension and the resumption only the save core runs and calls->captured. The order
 * of the callbacks is that of tools/libs/guest/xg_sr_save.c, save(). Whatever fails, the guest is
 * running again when hv_xen_save returns.
 */
#include "replicator/hv_capture.h"
#include "replicator/hv_xen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fault.h"
#include "common/why.h"
#include "replicator/saver.h"

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

static int suspend_guest(struct save *s)
{
	int r = hv_xen_suspend(s->hv, &s->begun_ns, s->why);

	if (r)
		return r;
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
	int r = s->calls->precopy(s->calls->opaque, stats.iteration, stats.dirty_count);

	s->err = r < 0 ? r : 0;
	return r < 0 ? XGS_POLICY_ABORT
	       : r   ? XGS_POLICY_STOP_AND_COPY
		     : XGS_POLICY_CONTINUE_PRECOPY;
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
