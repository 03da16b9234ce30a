/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * romulus-primary when replication cannot go on: who may run the guest is the daemon's to say, and
 * until it has the guest is not heard and does not get away.
 */
#include "replicator/primary.h"

#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/exit_codes.h"
#include "common/log.h"
#include "replicator/asked.h"
#include "replicator/restrain.h"
#include "replicator/saver.h"

#define LOOK_NS (250 * NSEC_PER_MSEC) /* for another hand that saves it */

/* A step that the protocol between this file and the save core makes legal. */
unsigned int primary_step(struct primary *p, enum primary_event event, uint64_t epoch)
{
	int actions = primary_epoch_step(&p->epoch, event, epoch);

	if (actions < 0) {
		log_error("%s: event %d in state %s: this is a bug", p->dom.name, event,
			primary_state_name(p->epoch.state));
		abort();
	}
	return (unsigned int)actions;
}

int primary_obey(struct primary *p, int order)
{
	struct hv_sight sight;
	enum primary_event event;
	int actions;

	if (order <
		0) /* The daemon is gone: no grant can come. Stay mute; it repairs on restart. */
		exit(EXIT_CODE_FAILED);
	if (order == PROTO_ORDER_MOVE)
		p->moving = true;
	if (!primary_epoch_ordered(order, &event))
		return 0;
	actions = primary_epoch_step(&p->epoch, event, 0);
	if (actions < 0)
		return 0;
	if (actions & PRIMARY_RELEASE_ALL &&
		restrain_let_go(p->ops, p->hv, p->worker.run_dir, p->dom.uuid, &p->why))
		log_error("%s: %s", p->dom.name, p->why.text);
	if (actions & PRIMARY_RELEASE_ALL && netbuf_remove(p->netbuf, &p->why))
		log_error("%s: %s", p->dom.name, p->why.text);
	if (actions & PRIMARY_DESTROY) {
		if (p->ops->look(p->hv, p->dom.uuid, p->dom.domid, &sight, &p->why) == 0 &&
			!hv_sight_runs(&sight))
			return why_set(&p->why, -ESRCH,
				"the guest in '%s' has ended, and may be started again",
				p->dom.name);
		if (p->ops->destroy(p->hv, p->dom.name, &p->why)) {
			log_error("%s", p->why.text);
			exit(EXIT_CODE_FAILED); /* the daemon has it tried again */
		}
		p->destroyed = true;
		netbuf_sweep(p->netbuf_dir, p->dom.uuid, 0, &p->why);
	}
	return -ECANCELED;
}

void primary_pause(struct primary *p)
{
	struct why why;

	if (restrain_pause(p->ops, p->hv, p->worker.run_dir, p->dom.uuid, p->dom.domid, &why))
		log_error("%s: %s", p->dom.name, why.text);
}

/* What is left of log-dirty mode, and its suspensions, are another hand's from now on. */
static void give_way(struct primary *p)
{
	if (saver_note("/proc", p->worker.run_dir, p->dom.uuid, p->dom.domid))
		log_error("%s: who saves or migrates it cannot be noted in %s: if romulusd ends "
			  "before that is over, see that the guest runs on one host only",
			p->dom.name, p->worker.run_dir);
	p->ops->give_way(p->hv);
	asked_note(p->asked, 0);
	p->taken = true;
}

/* One that migrates it now would have it run elsewhere, whoever is to own it. */
static void keep_from_others(struct primary *p)
{
	if (p->taken || !saver_find("/proc", p->dom.domid))
		return;
	give_way(p);
	primary_pause(p);
}

int primary_hold(struct primary *p)
{
	int r, order;

	primary_step(p, PRIMARY_EV_STREAM_LOST, 0);
	proto_session_bye(p->stream, PROTO_BYE_FAILED, p->why.text);
	worker_say(&p->worker, PROTO_REPORT_LOST, p->why.text, 0);
	do {
		keep_from_others(p);
		order = worker_order(&p->worker, clock_now_ns() + LOOK_NS, NULL);
		r = order ? primary_obey(p, order) : 0;
	} while (!r);
	return r;
}

/* The guest stands still until it is decided who owns it. Then as when the stream is lost. */
int primary_hold_still(struct primary *p)
{
	primary_pause(p);
	return primary_hold(p);
}

/*
 * Another hand saves or migrates the domain, and gets its way once the backup has let go: until
 * then the guest must not get away.
 */
void primary_taken(void *opaque)
{
	struct primary *p = opaque;

	give_way(p);
	exit(primary_end(p, primary_hold_still(p)));
}
