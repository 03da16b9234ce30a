/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * romulus-primary at work: what is done at each call of the save core. The epoch machine
 * (primary_epoch.c) says what, this file does it.
 */
#include "replicator/primary.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/exit_codes.h"
#include "common/fault.h"
#include "common/log.h"
#include "diskrep/primary.h"
#include "replicator/asked.h"
#include "replicator/restrain.h"
#include "replicator/saver.h"

#define REPORT_INTERVAL_NS (250 * NSEC_PER_MSEC)

static uint64_t ack_deadline(const struct primary *p)
{
	return clock_now_ns() + p->worker.ack_timeout_ms * NSEC_PER_MSEC;
}

static int on_precopy(void *opaque, unsigned int round, int64_t dirty)
{
	struct primary *p = opaque;
	int r;

	if (atomic_load(&p->copy.stop))
		return why_set(&p->why, -ECANCELED, "stopped during the initial copy");
	r = p->ops->changed(p->hv, &p->why);
	if (r || dirty < 0)
		return r;
	/* The first round is told as the guest's address space, most of which is empty. */
	if (!round && (uint64_t)dirty > p->copy.pages_total)
		dirty = (int64_t)p->copy.pages_total;
	ship_copy_round(&p->copy, round + 1, (uint64_t)dirty);
	return precopy_is_last(&p->precopy, round, (uint64_t)dirty, clock_now_ns(), p->last_round);
}

/* Nothing of the copy changes while it is made: a guest that is not to run beside it. */
static int keep_still(struct primary *p)
{
	return p->worker.no_live ? restrain_pause(p->ops, p->hv, p->worker.run_dir, p->dom.uuid,
					   p->dom.domid, &p->why)
				 : 0;
}

static int let_run(struct primary *p)
{
	return p->worker.no_live
		       ? restrain_let_go(p->ops, p->hv, p->worker.run_dir, p->dom.uuid, &p->why)
		       : 0;
}

/* The last thing before the first suspension: all of the copy is out, output is held from here. */
static int finish_copy(struct primary *p)
{
	int r;

	/* Replaces the pipe's write end, so that the copy thread reads to the end. */
	if (dup2(p->staging.fd, p->io_fd) < 0)
		return why_set(&p->why, -errno, "cannot switch to the staging buffer: %s",
			strerror(errno));
	p->copying = false;
	r = ship_copy_finish(&p->copy);
	if (r)
		return why_set(&p->why, r,
			"the initial copy of '%s' failed: %s; the domain runs on, "
			"unprotected",
			p->dom.name, p->copy.why.text);
	p->bytes = p->copy.bytes;
	worker_say(&p->worker, PROTO_REPORT_STAGE, p->last_round, 0);
	/* One that came with the last pages: it is given once, and nobody looks again. */
	if (atomic_load(&p->copy.stop))
		return why_set(&p->why, -ECANCELED, "stopped at the end of the initial copy");
	if (p->disks)
		r = diskrep_primary_prime(p->disks, p->worker.generation, &p->why);
	if (!r)
		r = netbuf_install(p->netbuf, &p->why);
	return r ? r : let_run(p);
}

static int cannot_note(struct primary *p, int err)
{
	return why_set(&p->why, err,
		"that '%s' is asked to suspend cannot be noted in %s (%s): it runs on, without "
		"protection. Make room there",
		p->dom.name, p->worker.run_dir, strerror(-err));
}

static int before_suspend(void *opaque)
{
	struct primary *p = opaque;
	unsigned int actions = primary_step(p, PRIMARY_EV_SUSPEND, 0);
	int r = actions & PRIMARY_INSTALL ? finish_copy(p) : 0;

	if (r)
		return r;
	r = asked_note(p->asked, p->dom.domid);
	return r ? cannot_note(p, r) : 0;
}

/* Inside the pause, before the capture: the boundary of the disks travels beside it. */
static int suspended(void *opaque)
{
	struct primary *p = opaque;
	int r = 0;

	p->marked_ns = clock_now_ns();
	if (p->disks)
		r = diskrep_primary_mark(p->disks, p->epoch.epoch, &p->why);
	p->boundary_wait_ns = clock_now_ns() - p->marked_ns;
	return r;
}

static int stand_still(struct primary *p);

/* Inside the pause. The vifs are quiet now, so nothing of the next epoch is closed with this one.
 */
static int captured(void *opaque)
{
	struct primary *p = opaque;
	uint64_t begun = clock_now_ns(), end;
	int r = p->disks ? diskrep_primary_mark_wait(p->disks, &p->why) : 0;

	end = clock_now_ns();
	p->boundary_ns = end - p->marked_ns;
	p->boundary_wait_ns += end - begun;
	if (r)
		return r;
	primary_step(p, PRIMARY_EV_CAPTURED, 0);
	staging_taken(&p->staging);
	/* The plug knows one closed epoch at a time: what is added now goes with the one after. */
	r = p->withholds ? 0 : netbuf_close_epoch(p->netbuf, &p->why);
	return r || !p->moving ? r : stand_still(p);
}

/* The backup has refused the first checkpoint if the order was not right: this is for the log. */
static void log_selftest(struct primary *p, const Romulus__Ack *ack)
{
	char line[DISKREP_PRIMARY_LINE_MAX];

	diskrep_primary_tested(p->disks, ack->probes, ack->violations, line);
	log_info("%s: %s", p->dom.name, line);
}

/* Its disks are the likelier half of an epoch to be missing: DRBD has a connection of its own. */
static int not_acked(struct primary *p)
{
	struct why obstacle = {""};

	if (p->disks)
		diskrep_primary_obstacle(p->disks, &obstacle);
	return why_set(&p->why, -ETIMEDOUT,
		"%s has not acknowledged epoch %lu of '%s' for %u ms%s%s", p->worker.peer,
		p->epoch.epoch, p->dom.name, p->worker.ack_timeout_ms, obstacle.text[0] ? ": " : "",
		obstacle.text);
}

/*
 * An ack that was found upon waking may be older than a takeover. The backup acks nothing more
 * after one, so what this ack covers waits for the next.
 */
static int release(struct primary *p, uint64_t since_ns)
{
	p->withholds = !awake_since(&p->awake, since_ns);
	if (!p->withholds)
		return netbuf_release_epoch(p->netbuf, &p->why);
	log_warning("%s: this host stood still: what epoch %lu covers is held until the next is "
		    "acknowledged",
		p->dom.name, p->epoch.committed);
	return 0;
}

/* Ship the captured epoch and wait for its ack. Non-zero: the stream is lost. */
static int commit(struct primary *p)
{
	const uint64_t since = awake_now();
	uint64_t begun = clock_now_ns(), shipped;
	struct proto_frame frame;
	int r;

	if (fault_point(FAULT_SHIP))
		return why_set(&p->why, -EIO, "fault point ship");
	r = ship_epoch(p->stream, p->epoch.epoch, &p->staging, ack_deadline(p), &p->why);
	if (r)
		return r;
	shipped = clock_now_ns();
	p->ship_ns = shipped - begun;
	p->bytes += p->staging.length;
	primary_step(p, PRIMARY_EV_SHIPPED, 0);

	r = proto_session_receive(p->stream, ack_deadline(p), &frame, &p->why);
	if (r < 0)
		return r;
	if (r == 0)
		return not_acked(p);
	p->ack_ns = clock_now_ns() - shipped;
	if (frame.type != PROTO_ACK ||
		primary_epoch_step(&p->epoch, PRIMARY_EV_ACK,
			((Romulus__Ack *)frame.message)->epoch) != PRIMARY_RELEASE)
		return why_set(&p->why, -EBADMSG,
			"%s sent a %s frame where the ack of epoch %lu belongs", p->worker.peer,
			proto_type_name(frame.type), p->epoch.epoch);
	if (p->disks && p->epoch.committed == 1)
		log_selftest(p, (const Romulus__Ack *)frame.message);
	staging_committed(&p->staging);
	return release(p, since);
}

static void report_epoch(struct primary *p, const struct hv_pause *pause)
{
	Romulus__Report report = ROMULUS__REPORT__INIT;
	bool first = p->epoch.committed == 1;

	if (!first && clock_now_ns() - p->reported_ns < REPORT_INTERVAL_NS)
		return;
	p->reported_ns = clock_now_ns();
	report.kind = first ? PROTO_REPORT_PROTECTED : PROTO_REPORT_EPOCH;
	report.epoch = p->epoch.committed;
	report.bytes = p->bytes;
	report.staging_bytes = p->staging.largest;
	report.staging_limit = p->staging.limit;
	report.suspend_ns = pause->suspend_ns;
	report.capture_ns = pause->capture_ns;
	report.resume_ns = pause->resume_ns;
	report.pause_ns = pause->suspend_ns + pause->capture_ns + pause->resume_ns;
	report.ship_ns = p->ship_ns;
	report.ack_ns = p->ack_ns;
	if (p->disks) {
		report.boundary_ns = p->boundary_ns;
		report.boundary_wait_ns = p->boundary_wait_ns;
	}
	worker_report(&p->worker, &report);
	log_debug(
		"epoch %lu: %zu bytes, suspend %.1f capture %.1f resume %.1f ship %.1f ack %.1f ms",
		p->epoch.committed, p->staging.length, pause->suspend_ns / 1e6,
		pause->capture_ns / 1e6, pause->resume_ns / 1e6, p->ship_ns / 1e6, p->ack_ns / 1e6);
}

/*
 * The last epoch of a guest that is moved, inside the pause, which ends only if the guest is to go
 * on here: with an error, upon which the caller holds, or with the order to run on alone. Whoever
 * is to run it else is the daemon's to say.
 */
static int stand_still(struct primary *p)
{
	int r, order;

	primary_step(p, PRIMARY_EV_STAYS, 0);
	/* What another hand has changed is seen now, or never. */
	r = p->ops->changed(p->hv, &p->why);
	if (r) { /* as in hold_changed: what was added must not speak when the pause ends */
		primary_pause(p);
		return r;
	}
	r = commit(p);
	if (r)
		return r;
	if (fault_point(FAULT_LAST_EPOCH))
		exit(EXIT_CODE_FAILED);
	worker_say(&p->worker, PROTO_REPORT_COMPLETE, "", 0);
	do {
		order = worker_order(&p->worker, UINT64_MAX, NULL);
		r = primary_obey(p, order);
	} while (!r);
	/* There is nothing left to resume. */
	if (order == PROTO_ORDER_DISCARD)
		exit(primary_end(p, r));
	return r;
}

/*
 * The domain is not what its standby was built for (@r: -ESTALE), and what was added may speak
 * unheld; or it is being saved, or is no more.
 */
static int hold_changed(struct primary *p, int r)
{
	if (r == -EALREADY)
		primary_taken(p);
	return r == -ESRCH ? r : primary_hold_still(p);
}

/* Let the epoch last, listening to the daemon and to the backup. */
static int run_epoch(struct primary *p, uint64_t until_ns)
{
	struct pollfd fds[] = {
		{.fd = proto_session_fd(p->worker.daemon), .events = POLLIN},
		{.fd = proto_session_fd(p->stream), .events = POLLIN},
		{.fd = p->changes, .events = POLLIN},
	};
	struct proto_frame frame;
	uint64_t now;
	int r = 0, changed;

	while (!r) {
		r = worker_order(&p->worker, 0, NULL);
		if (r)
			return primary_obey(p, r);
		r = proto_session_receive(p->stream, 0, &frame, &p->why);
		if (r > 0)
			why_set(&p->why, -EBADMSG, "%s sent a %s frame out of order",
				p->worker.peer, proto_type_name(frame.type));
		if (r)
			return primary_hold(p);
		changed = fds[2].revents ? p->ops->changed(p->hv, &p->why) : 0;
		if (changed)
			return hold_changed(p, changed);
		now = clock_now_ns();
		if (now >= until_ns)
			break;
		poll(fds, 3, (int)((until_ns - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC));
	}
	return r;
}

/*
 * Guest runs. The interval begins when its epoch is committed, as that of `xl remus` does: shipping
 * takes CPU from the guest where the two share one, and an epoch that were spent on shipping the
 * one before would be all cost.
 */
static int go_on(struct primary *p, const struct hv_pause *pause)
{
	int changed;

	primary_step(p, PRIMARY_EV_RESUMED, 0);
	/* This checkpoint may be of what no standby was built for: it must not be acked. */
	changed = p->ops->changed(p->hv, &p->why);
	if (changed)
		return hold_changed(p, changed);
	if (commit(p))
		return primary_hold(p);
	report_epoch(p, pause);
	return run_epoch(p, clock_now_ns() + p->worker.interval_ms * NSEC_PER_MSEC);
}

/* The save core ends with log-dirty mode, which must not happen to another hand. */
static int running(void *opaque, const struct hv_pause *pause)
{
	struct primary *p = opaque;
	int r;

	asked_note(p->asked, 0);
	r = go_on(p, pause);

	if (r && saver_find("/proc", p->dom.domid))
		exit(primary_end(p, r));
	return r;
}

int primary_replicate(struct primary *p)
{
	const struct hv_save_calls calls = {
		.precopy = on_precopy,
		.before_suspend = before_suspend,
		.suspended = suspended,
		.captured = captured,
		.running = running,
		.taken = primary_taken,
		.opaque = p,
	};
	int r;

	p->asked = asked_open(p->worker.run_dir, p->dom.uuid);
	if (p->asked < 0)
		return cannot_note(p, p->asked);
	r = awake_begin(&p->awake, p->worker.stall_ms, &p->why);
	if (r)
		return r;
	r = ship_copy_start(&p->copy, &p->worker, p->stream, p->dom.memory_kb, &p->io_fd, &p->why);
	if (r)
		return r;
	p->copying = true;
	p->precopy.terms = p->worker.precopy;
	r = keep_still(p);
	if (!r)
		r = p->ops->save(p->hv, p->io_fd, &calls, &p->why);
	awake_end(&p->awake);
	close(p->io_fd);
	/* Nothing was promised of it yet. That the copy has ended is what counts, and p->why. */
	if (p->worker.no_live && !p->epoch.committed)
		restrain_let_go(p->ops, p->hv, p->worker.run_dir, p->dom.uuid, &(struct why){""});
	if (!p->ops->settle(p->hv)) /* else a request of ours has not been answered yet */
		asked_note(p->asked, 0);
	/* Room that is taken during the copy is refused like room that was not there. */
	if (p->copying && ship_copy_finish(&p->copy) && r != -ECANCELED)
		r = why_set(&p->why, proto_session_gave_up(p->stream) ? -ENOMEM : r,
			"the initial copy of '%s' failed: %s; the domain runs on, "
			"unprotected",
			p->dom.name, p->copy.why.text);
	return r;
}
