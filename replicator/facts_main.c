/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * romulus-facts: tells its romulusd what is true of this host and of a guest, then is gone. Where
 * the guest is it goes on sending probe frames from its bridges until the daemon has heard of them;
 * on the other host (--elsewhere) it is ordered what to look for, and listens.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/exit_codes.h"
#include "common/log.h"
#include "replicator/facts.h"

#define PROBE_NS (100 * NSEC_PER_MSEC) /* between two frames */
#define PROBES_NS (60 * NSEC_PER_SEC)  /* for longer nobody asks */
#define LISTEN_NS (5 * NSEC_PER_SEC)   /* a frame that has not come by then does not come */
#define LISTEN_MS 50

static int report(struct facts *f, bool guest)
{
	Romulus__Report r = ROMULUS__REPORT__INIT;

	r.kind = PROTO_REPORT_FACTS;
	r.check = guest ? &f->check : NULL;
	r.checked = &f->checked;
	return worker_report(&f->worker, &r);
}

static void probe(struct facts *f)
{
	const uint64_t until = clock_now_ns() + PROBES_NS;

	while (clock_now_ns() < until &&
		worker_order(&f->worker, clock_now_ns() + PROBE_NS, NULL) == 0)
		facts_send(f);
}

static int about_own(struct facts *f)
{
	int r = facts_of_guest(f);

	if (r)
		return r;
	facts_listen(f, &f->check);
	r = facts_of_host(f, &f->check);
	if (r)
		return r;
	facts_send(f); /* whether that can be done is a fact too */
	if (!report(f, true))
		probe(f);
	return 0;
}

/* What another host sends may be anything. */
static int accept_question(const Romulus__Check *q, struct why *why)
{
	if (q && q->nonce.len == PROTO_NONCE_BYTES)
		return 0;
	return why_set(why, -EBADMSG, "the question has no nonce");
}

static int about_other(struct facts *f)
{
	const Romulus__Order *order = NULL;
	uint64_t until;
	int r = worker_order(&f->worker, UINT64_MAX, &order);

	if (r != PROTO_ORDER_CHECK)
		return why_set(&f->why, -ECANCELED, "nothing was asked");
	r = accept_question(order->check, &f->why);
	if (r)
		return r;
	facts_listen(f, order->check);
	r = facts_of_host(f, order->check);
	if (r)
		return r;
	until = clock_now_ns() + LISTEN_NS;
	while (facts_hear(f, order->check) && clock_now_ns() < until)
		poll(NULL, 0, LISTEN_MS);
	return report(f, false);
}

int main(int argc, char **argv)
{
	static struct facts f = {.ops = &hv_xen_ops};
	struct worker *w = &f.worker;
	int r;

	log_open("romulus-facts");
	if (worker_parse(w, argc, argv, &f.why)) {
		log_error("%s", f.why.text);
		return EXIT_CODE_USAGE;
	}
	if (worker_open(w, NULL))
		return EXIT_CODE_USAGE;
	f.hv = f.ops->open(&f.why);
	r = !f.hv ? -ENODEV : w->elsewhere ? about_other(&f) : about_own(&f);
	if (r)
		worker_say(w, PROTO_REPORT_FAILED, f.why.text, worker_exit_code(r));
	if (f.hv)
		f.ops->close(f.hv);
	hv_domain_clear(&f.dom);
	proto_session_free(w->daemon);
	return r ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}
