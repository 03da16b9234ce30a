/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * romulus-primary: replicates one running domain to romulus-backup on another host. Started by
 * romulusd, which it tells what happens and whose orders it takes; it decides nothing about who may
 * run.
 */
#include "replicator/primary.h"

#include <errno.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/exit_codes.h"
#include "common/fault.h"
#include "common/log.h"
#include "diskrep/primary.h"
#include "replicator/asked.h"
#include "replicator/saver.h"

#define SETTLE_NS (250 * NSEC_PER_MSEC) /* between two looks */

static int fail(struct primary *p, int err)
{
	worker_say(&p->worker, PROTO_REPORT_FAILED, p->why.text, worker_exit_code(err));
	return EXIT_CODE_FAILED;
}

static bool is_gone(int r)
{
	return r == -ESHUTDOWN || r == -ESRCH;
}

int primary_end(struct primary *p, int r)
{
	const bool gone = is_gone(r);
	bool owed;

	/* However it ended, the guest runs, and nothing of ours is left on it or on its network. */
	if (gone)
		netbuf_sweep(p->netbuf_dir, p->dom.uuid, 0, NULL);
	else if (p->epoch.state != PRIMARY_ENDED && netbuf_remove(p->netbuf, NULL))
		log_error("%s: the network buffer could not be removed", p->dom.name);
	/* One that is paused suspends when it is unpaused, and nobody else would resume it. */
	do {
		owed = !gone && p->ops->settle(p->hv);
	} while (owed && worker_order(&p->worker, clock_now_ns() + SETTLE_NS, NULL) >= 0);
	if (!owed)
		asked_forget(p->worker.run_dir, p->dom.uuid);
	p->ops->close(p->hv);
	if (p->stream)
		proto_session_bye(p->stream, r == -ECANCELED ? PROTO_BYE_DONE : PROTO_BYE_FAILED,
			r == -ECANCELED ? "protection ended" : p->why.text);
	p->stream = proto_session_free(p->stream);
	if (p->destroyed) {
		p->disks = diskrep_primary_close(p->disks);
		primary_demote(p);
	}
	if (r == -ECANCELED || !r)
		worker_say(&p->worker, PROTO_REPORT_DONE, "", 0);
	else
		worker_say(&p->worker, gone ? PROTO_REPORT_GUEST_GONE : PROTO_REPORT_FAILED,
			p->why.text, worker_exit_code(r));
	diskrep_primary_close(p->disks);
	netbuf_free(p->netbuf);
	staging_close(&p->staging);
	hv_domain_clear(&p->dom);
	proto_session_free(p->worker.daemon);
	return EXIT_CODE_OK;
}

int main(int argc, char **argv)
{
	static struct primary p = {.ops = &hv_xen_ops, .staging.fd = -1};
	struct worker *w = &p.worker;
	bool alone;
	int r;

	log_open("romulus-primary");
	if (worker_parse(w, argc, argv, &p.why) || fault_init(&p.why)) {
		log_error("%s", p.why.text);
		return EXIT_CODE_USAGE;
	}
	snprintf(p.netbuf_dir, sizeof(p.netbuf_dir), "%s/netbuf", w->run_dir);
	p.hv = p.ops->open(&p.why);
	if (p.hv && w->repair)
		return primary_repair(&p);
	if (p.hv && w->discard)
		return primary_discard(&p);
	if (p.hv && w->start)
		return primary_start(&p);
	alone = w->repair || w->discard || w->start;
	if (!alone && worker_open(w, NULL))
		return EXIT_CODE_USAGE;
	if (!p.hv) {
		log_error("%s", p.why.text);
		return alone ? EXIT_CODE_FAILED : fail(&p, -ENODEV);
	}

	r = primary_find(&p);
	if (!r && saver_noted(w->run_dir, p.dom.uuid, p.dom.domid))
		r = why_set(&p.why, -EAGAIN,
			"'%s' is being saved or migrated by another hand: protection can begin "
			"when that is over",
			p.dom.name);
	if (r || primary_say_found(&p))
		return fail(&p, r ? r : -EIO);
	saver_forget(w->run_dir, p.dom.uuid);
	r = primary_connect(&p);
	if (!r)
		r = primary_replicate(&p);
	/* A checkpoint that failed decides nothing about who may run: hold the output and ask. */
	if (r && r != -ECANCELED && p.epoch.committed && !is_gone(r))
		r = primary_hold(&p);
	return primary_end(&p, r);
}
