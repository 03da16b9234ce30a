/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * romulus-primary: replicates one running domain to romulus-backup on another host. Started by
 * romulusd, which it tells what happens and whose orders it takes; it decides nothing about who may
 * run. The epoch machine (primary_epoch.c) says what to do, this file does it.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/exit_codes.h"
#include "common/fault.h"
#include "common/log.h"
#include "netbuf/netbuf.h"
#include "replicator/hv.h"
#include "replicator/primary_epoch.h"
#include "replicator/ship.h"
#include "replicator/staging.h"
#include "replicator/worker.h"

#define CONNECT_TIMEOUT_NS (10 * NSEC_PER_SEC)
#define REPORT_INTERVAL_NS (250 * NSEC_PER_MSEC)

struct primary {
	struct worker worker;
	const struct hv_ops *ops;
	struct hv *hv;
	struct hv_domain dom;
	struct netbuf *netbuf;
	char netbuf_dir[256]; /* where netbuf records what it owns */
	struct staging staging;
	struct proto_session *stream;
	struct ship_copy copy;
	bool copying; /* the copy thread runs */
	int io_fd;    /* what the save core writes to: the pipe, then the staging buffer */
	struct primary_epoch epoch;
	uint64_t resumed_ns, reported_ns, bytes;
	uint64_t shipped_at_ns; /* the last epoch left this host */
	uint64_t ship_ns, ack_ns;
	struct why why;
};

/* A step that the protocol between this file and the save core makes legal. */
static unsigned int step(struct primary *p, enum primary_event event, uint64_t epoch)
{
	int actions = primary_epoch_step(&p->epoch, event, epoch);

	if (actions < 0) {
		log_error("%s: event %d in state %s: this is a bug", p->dom.name, event,
			primary_state_name(p->epoch.state));
		abort();
	}
	return (unsigned int)actions;
}

static uint64_t ack_deadline(const struct primary *p)
{
	return clock_now_ns() + p->worker.ack_timeout_ms * NSEC_PER_MSEC;
}

/* ---- callbacks of the save core, in chronological order ----------------------------------- */

static int on_precopy(void *opaque, unsigned int round, uint64_t pages_written, int64_t dirty)
{
	struct primary *p = opaque;

	if (atomic_load(&p->copy.stop))
		return why_set(&p->why, -ECANCELED, "stopped during the initial copy");
	return 0;
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
	return netbuf_install(p->netbuf, &p->why);
}

static int before_suspend(void *opaque)
{
	struct primary *p = opaque;
	unsigned int actions = step(p, PRIMARY_EV_SUSPEND, 0);

	return actions & PRIMARY_INSTALL ? finish_copy(p) : 0;
}

/* Inside the pause. The vifs are quiet now, so nothing of the next epoch is closed with this one.
 */
static int captured(void *opaque)
{
	struct primary *p = opaque;

	step(p, PRIMARY_EV_CAPTURED, 0);
	staging_taken(&p->staging);
	return netbuf_close_epoch(p->netbuf, &p->why);
}

/* Ship the captured epoch and wait for its ack. Non-zero: the stream is lost. */
static int commit(struct primary *p)
{
	uint64_t begun = clock_now_ns(), shipped;
	struct proto_frame frame;
	int r;

	if (fault_point(FAULT_SHIP))
		return why_set(&p->why, -EIO, "fault point ship");
	r = ship_epoch(p->stream, p->epoch.epoch, &p->staging, ack_deadline(p), &p->why);
	if (r)
		return r;
	shipped = clock_now_ns();
	p->shipped_at_ns = shipped;
	p->ship_ns = shipped - begun;
	p->bytes += p->staging.length;
	step(p, PRIMARY_EV_SHIPPED, 0);

	r = proto_session_receive(p->stream, ack_deadline(p), &frame, &p->why);
	if (r < 0)
		return r;
	if (r == 0)
		return why_set(&p->why, -ETIMEDOUT,
			"%s has not acknowledged epoch %lu of '%s' for %u ms", p->worker.peer,
			p->epoch.epoch, p->dom.name, p->worker.ack_timeout_ms);
	p->ack_ns = clock_now_ns() - shipped;
	if (frame.type != PROTO_ACK ||
		primary_epoch_step(&p->epoch, PRIMARY_EV_ACK,
			((Romulus__Ack *)frame.message)->epoch) != PRIMARY_RELEASE)
		return why_set(&p->why, -EBADMSG,
			"%s sent a %s frame where the ack of epoch %lu belongs", p->worker.peer,
			proto_type_name(frame.type), p->epoch.epoch);
	staging_committed(&p->staging);
	return netbuf_release_epoch(p->netbuf, &p->why);
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
	worker_report(&p->worker, &report);
	log_debug(
		"epoch %lu: %zu bytes, suspend %.1f capture %.1f resume %.1f ship %.1f ack %.1f ms",
		p->epoch.committed, p->staging.length, pause->suspend_ns / 1e6,
		pause->capture_ns / 1e6, pause->resume_ns / 1e6, p->ship_ns / 1e6, p->ack_ns / 1e6);
}

/* Carry out an order that ends replication. -ECANCELED ends the save core. */
static int obey(struct primary *p, int order)
{
	static const enum primary_event events[] = {
		[PROTO_ORDER_SOLO] = PRIMARY_EV_SOLO,
		[PROTO_ORDER_STOP] = PRIMARY_EV_STOP,
		[PROTO_ORDER_DISCARD] = PRIMARY_EV_DISCARD,
	};
	int actions;

	if (order <
		0) /* The daemon is gone: no grant can come. Stay mute; it repairs on restart. */
		exit(EXIT_CODE_FAILED);
	if (order >= (int)(sizeof(events) / sizeof(events[0])) || !events[order])
		return 0;
	actions = primary_epoch_step(&p->epoch, events[order], 0);
	if (actions < 0)
		return 0;
	if (actions & PRIMARY_RELEASE_ALL && netbuf_remove(p->netbuf, &p->why))
		log_error("%s: %s", p->dom.name, p->why.text);
	if (actions & PRIMARY_DESTROY) {
		if (p->ops->destroy(p->hv, p->dom.name, &p->why))
			log_error("%s", p->why.text);
		netbuf_sweep(p->netbuf_dir, p->dom.uuid, 0, &p->why);
	}
	return -ECANCELED;
}

static int hold_until_ordered(struct primary *p)
{
	int r;

	step(p, PRIMARY_EV_STREAM_LOST, 0);
	proto_session_bye(p->stream, PROTO_BYE_FAILED, p->why.text);
	worker_say(&p->worker, PROTO_REPORT_LOST, p->why.text, 0);
	do {
		r = obey(p, worker_order(&p->worker, UINT64_MAX, NULL));
	} while (!r);
	return r;
}

/* Let the epoch last, listening to the daemon and to the backup. */
static int run_epoch(struct primary *p, uint64_t until_ns)
{
	struct pollfd fds[] = {
		{.fd = proto_session_fd(p->worker.daemon), .events = POLLIN},
		{.fd = proto_session_fd(p->stream), .events = POLLIN},
	};
	struct proto_frame frame;
	uint64_t now;
	int r = 0;

	while (!r) {
		r = worker_order(&p->worker, 0, NULL);
		if (r)
			return obey(p, r);
		r = proto_session_receive(p->stream, 0, &frame, &p->why);
		if (r > 0)
			why_set(&p->why, -EBADMSG, "%s sent a %s frame out of order",
				p->worker.peer, proto_type_name(frame.type));
		if (r)
			return hold_until_ordered(p);
		now = clock_now_ns();
		if (now >= until_ns)
			break;
		poll(fds, 2, (int)((until_ns - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC));
	}
	return r;
}

/*
 * Guest runs. It is left alone for the interval once its epoch has left this host: shipping takes
 * CPU from it where the two share one, and an epoch that were spent on shipping the one before
 * would be all cost. Waiting for the ack takes nothing and is part of the interval.
 */
static int running(void *opaque, const struct hv_pause *pause)
{
	struct primary *p = opaque;

	step(p, PRIMARY_EV_RESUMED, 0);
	if (commit(p))
		return hold_until_ordered(p);
	report_epoch(p, pause);
	return run_epoch(p, p->shipped_at_ns + p->worker.interval_ms * NSEC_PER_MSEC);
}

/* ---- setting up, and putting everything back ---------------------------------------------- */

static int fail(struct primary *p, int err)
{
	worker_say(&p->worker, PROTO_REPORT_FAILED, p->why.text, worker_exit_code(err));
	return EXIT_CODE_FAILED;
}

static int say_found(struct primary *p)
{
	static const char *const types[] = {
		[HV_TYPE_PV] = "pv",
		[HV_TYPE_PVH] = "pvh",
		[HV_TYPE_HVM] = "hvm",
	};
	Romulus__Report report = ROMULUS__REPORT__INIT;

	report.kind = PROTO_REPORT_FOUND;
	report.domain = p->dom.name;
	report.uuid = p->dom.uuid;
	report.memory_kb = p->dom.memory_kb;
	report.type = (char *)types[p->dom.type];
	report.hypervisor = p->dom.hypervisor;
	report.domid = p->dom.domid;
	report.staging_limit = p->worker.staging_bytes;
	return worker_report(&p->worker, &report);
}

static struct netbuf *make_netbuf(struct primary *p)
{
	const char *vifs[HV_MAX_NICS];
	size_t i;

	for (i = 0; i < p->dom.nic_count; i++)
		vifs[i] = p->dom.nics[i].vif;
	return netbuf_new(&netbuf_kernel_ops, p->dom.uuid, vifs, p->dom.nic_count,
		p->worker.netbuf_limit, p->netbuf_dir);
}

/* Wait for the daemon to say where the backup listens, and greet it. */
static int connect_stream(struct primary *p)
{
	Romulus__DomainConfig config = ROMULUS__DOMAIN_CONFIG__INIT;
	const Romulus__Order *order = NULL;
	uint64_t deadline;
	Romulus__Hello *hello = NULL;
	int r, fd;

	r = worker_order(&p->worker, UINT64_MAX, &order);
	if (r != PROTO_ORDER_CONNECT)
		return why_set(&p->why, -ECANCELED, "stopped before the initial copy began");
	if (order->token.len != PROTO_TOKEN_BYTES)
		return why_set(
			&p->why, -EBADMSG, "romulusd handed out a token of the wrong length");
	deadline = clock_now_ns() + CONNECT_TIMEOUT_NS;
	p->worker.generation = order->generation;
	fd = proto_connect(NULL, order->address, (uint16_t)order->port, deadline, &p->why);
	if (fd < 0)
		return fd;
	p->stream = proto_session_new(fd);
	if (!p->stream)
		return -ENOMEM;
	r = proto_handshake(p->stream, p->worker.host, "stream", order->token.data, NULL, deadline,
		&hello, &p->why);
	if (r)
		return r;
	romulus__hello__free_unpacked(hello, NULL);
	config.domain = p->dom.name;
	config.uuid = p->dom.uuid;
	config.generation = p->worker.generation;
	config.json = p->dom.config_json;
	return proto_session_send(p->stream, PROTO_DOMAIN_CONFIG, &config.base, deadline, &p->why);
}

static int replicate(struct primary *p)
{
	const struct hv_save_calls calls = {
		.precopy = on_precopy,
		.before_suspend = before_suspend,
		.captured = captured,
		.running = running,
		.opaque = p,
	};
	int r;

	r = ship_copy_start(&p->copy, &p->worker, p->stream, p->dom.memory_kb, &p->io_fd, &p->why);
	if (r)
		return r;
	p->copying = true;
	r = p->ops->save(p->hv, p->io_fd, &calls, &p->why);
	close(p->io_fd);
	if (p->copying && ship_copy_finish(&p->copy) && r != -ECANCELED)
		why_set(&p->why, r,
			"the initial copy of '%s' failed: %s; the domain runs on, "
			"unprotected",
			p->dom.name, p->copy.why.text);
	return r;
}

static int repair(struct primary *p)
{
	int r;

	r = p->ops->find(p->hv, p->worker.repair, &p->dom, &p->why);
	if (r == -ENOENT)
		return EXIT_CODE_OK;
	if (!r)
		r = p->ops->repair(p->hv, p->dom.domid, &p->why);
	if (p->worker.release && netbuf_sweep(p->netbuf_dir, p->dom.uuid, 1, &p->why) < 0)
		r = -EIO;
	if (r)
		log_error("%s", p->why.text);
	return r ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

/* Destroy a guest whose generation belongs to the other host; what it still had to say is dropped.
 */
static int discard(struct primary *p)
{
	int r;

	r = p->ops->find(p->hv, p->worker.discard, &p->dom, &p->why);
	if (r == -ENOENT)
		return EXIT_CODE_OK;
	if (!r)
		r = p->ops->destroy(p->hv, p->worker.discard, &p->why);
	if (!r && netbuf_sweep(p->netbuf_dir, p->dom.uuid, 0, &p->why) < 0)
		r = -EIO;
	if (r)
		log_error("%s", p->why.text);
	return r ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

int main(int argc, char **argv)
{
	static struct primary p = {.ops = &hv_xen_ops, .staging.fd = -1};
	struct worker *w = &p.worker;
	bool alone, gone;
	int r;

	log_open("romulus-primary");
	if (worker_parse(w, argc, argv, &p.why) || fault_init(&p.why)) {
		log_error("%s", p.why.text);
		return EXIT_CODE_USAGE;
	}
	snprintf(p.netbuf_dir, sizeof(p.netbuf_dir), "%s/netbuf", w->run_dir);
	p.hv = p.ops->open(&p.why);
	if (p.hv && w->repair)
		return repair(&p);
	if (p.hv && w->discard)
		return discard(&p);
	alone = w->repair || w->discard;
	if (!alone && worker_open(w, NULL))
		return EXIT_CODE_USAGE;
	if (!p.hv) {
		log_error("%s", p.why.text);
		return alone ? EXIT_CODE_FAILED : fail(&p, -ENODEV);
	}

	r = p.ops->find(p.hv, w->domain, &p.dom, &p.why);
	if (!r)
		r = p.ops->can_protect(p.hv, &p.dom, &p.why);
	if (!r)
		r = staging_open(&p.staging, w->staging_bytes, &p.why);
	if (!r)
		r = p.ops->attach(p.hv, &p.dom, &p.why);
	if (r)
		return fail(&p, r);
	p.netbuf = make_netbuf(&p);
	/* A dead worker before us may have left the guest's output held. */
	if (!p.netbuf || netbuf_sweep(p.netbuf_dir, p.dom.uuid, 1, &p.why) < 0 || say_found(&p))
		return fail(&p, -EIO);

	r = connect_stream(&p);
	if (!r)
		r = replicate(&p);
	/* A checkpoint that failed decides nothing about who may run: hold the output and ask. */
	gone = r == -ESHUTDOWN || r == -ESRCH;
	if (r && r != -ECANCELED && p.epoch.committed && !gone)
		r = hold_until_ordered(&p);
	/* However it ended, the guest runs, and nothing of ours is left on it or on its network. */
	if (gone)
		netbuf_sweep(p.netbuf_dir, p.dom.uuid, 0, NULL);
	else if (p.epoch.state != PRIMARY_ENDED && netbuf_remove(p.netbuf, NULL))
		log_error("%s: the network buffer could not be removed", p.dom.name);
	p.ops->close(p.hv);
	if (p.stream)
		proto_session_bye(p.stream, r == -ECANCELED ? PROTO_BYE_DONE : PROTO_BYE_FAILED,
			r == -ECANCELED ? "protection ended" : p.why.text);
	p.stream = proto_session_free(p.stream);
	if (r == -ECANCELED || !r)
		worker_say(w, PROTO_REPORT_DONE, "", 0);
	else
		worker_say(w, gone ? PROTO_REPORT_GUEST_GONE : PROTO_REPORT_FAILED, p.why.text,
			worker_exit_code(r));
	netbuf_free(p.netbuf);
	staging_close(&p.staging);
	hv_domain_clear(&p.dom);
	proto_session_free(w->daemon);
	return EXIT_CODE_OK;
}
