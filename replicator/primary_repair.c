/* SPDX-License-Identifier: GPL-2.0-or-later */
/* romulus-primary as a command: what a worker, or a host, that died left behind. */
#include "replicator/primary.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/exit_codes.h"
#include "common/log.h"
#include "diskrep/command.h"
#include "diskrep/drbd.h"
#include "replicator/asked.h"
#include "replicator/restrain.h"
#include "replicator/saver.h"

#define XL "/usr/sbin/xl"
#define CREATE_MS 240000              /* less than START_MS of failover/domain_start.c */
#define RETURN_NS (30 * NSEC_PER_SEC) /* in which xl starts a guest that has ended again */
#define LOOK_MS 250

/* The guest has ended: nothing to mend but its network, and what it still had to say is dropped. */
static int sweep(struct primary *p)
{
	if (!p->worker.uuid)
		return EXIT_CODE_OK;
	/* Released, one that is just starting again may run; else it is as good as gone. */
	if (!p->worker.release)
		restrain_forget(p->worker.run_dir, p->worker.uuid);
	else if (restrain_let_go(p->ops, p->hv, p->worker.run_dir, p->worker.uuid, &p->why))
		log_error("%s", p->why.text);
	if (netbuf_sweep(p->netbuf_dir, p->worker.uuid, 0, &p->why) >= 0)
		return EXIT_CODE_OK;
	log_error("%s", p->why.text);
	return EXIT_CODE_FAILED;
}

/* It stands suspended for another hand, which alone knows whether it runs elsewhere by now. */
static bool is_anothers(struct primary *p)
{
	struct hv_sight s;

	return saver_noted(p->worker.run_dir, p->dom.uuid, p->dom.domid) &&
	       !p->ops->look(p->hv, p->dom.uuid, p->dom.domid, &s, &p->why) && s.shut_down &&
	       s.end == HV_END_SUSPEND;
}

int primary_repair(struct primary *p)
{
	const struct worker *w = &p->worker;
	int r, swept = 0;

	/* One that has started again meanwhile was waiting for this. */
	if (w->release && w->uuid && restrain_let_go(p->ops, p->hv, w->run_dir, w->uuid, &p->why))
		log_error("%s", p->why.text);
	if (!w->release)
		return sweep(p);
	r = p->ops->find(p->hv, w->repair, &p->dom, &p->why);
	if (r == -ENOENT)
		return sweep(p);
	/* First: what it may say must not wait for what it is still to do. */
	if (netbuf_sweep(p->netbuf_dir, w->uuid ? w->uuid : p->dom.uuid, 1, &p->why) < 0)
		swept = -EIO;
	if (swept)
		log_error("%s", p->why.text);
	if (!r && !is_anothers(p))
		r = p->ops->repair(p->hv, p->dom.domid,
			asked_noted(w->run_dir, p->dom.uuid, p->dom.domid), &p->why);
	if (!r)
		asked_forget(w->run_dir, p->dom.uuid);
	if (r)
		log_error("%s", p->why.text);
	return r || swept ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

/*
 * Destroy what is there with the uuid of the guest. 0 and *ret_final: that is the end of it, for
 * nobody starts one again that ran.
 */
static int kill_guest(struct primary *p, bool *ret_found, bool *ret_final)
{
	const char *uuid = p->worker.uuid;
	struct hv_sight s;
	uint32_t domid;
	int r = p->ops->look(p->hv, uuid, 0, &s, &p->why);

	*ret_found = *ret_final = false;
	domid = s.other;
	if (r || !domid)
		return r;
	*ret_found = true;
	r = p->ops->look(p->hv, uuid, domid, &s, &p->why);
	*ret_final = !r && hv_sight_runs(&s);
	return r ? r : p->ops->kill(p->hv, domid, &p->why);
}

/*
 * Destroy a guest whose generation belongs to the other host; what it still had to say is dropped.
 * One that has just ended by itself may be started again by xl: that one is destroyed as well.
 */
int primary_discard(struct primary *p)
{
	const uint64_t until = clock_now_ns() + RETURN_NS;
	bool found, final, first = true;
	int r = 0;

	if (!p->worker.uuid)
		return EXIT_CODE_USAGE;
	do {
		r = kill_guest(p, &found, &final);
		if (!r && (final || (found && !first)))
			break;
		first = false;
		poll(NULL, 0, LOOK_MS);
	} while (!r && clock_now_ns() < until);
	if (r) {
		log_error("%s", p->why.text);
		return EXIT_CODE_FAILED;
	}
	r = sweep(p);
	primary_demote(p);
	return r;
}

void primary_demote(const struct primary *p)
{
	const char *resource = p->worker.resource;
	struct why why;

	/*
	 * One that stands alone connects as the backup whose data is the older one; one that goes
	 * on connecting by itself finds first that both sides have changed. If it does not come to
	 * that now, then when this host becomes the backup.
	 */
	if (resource &&
		(diskrep_drbd_disconnect(resource, &why) || diskrep_drbd_secondary(resource, &why)))
		log_warning("%s; that is tried again when this host becomes the backup", why.text);
}

/*
 * Promoting is refused while the other host uses the disks: nothing is started twice. With the uuid
 * that it had it is the same guest, whatever its file says: its record and its protection go on.
 */
int primary_start(struct primary *p)
{
	const struct worker *w = &p->worker;
	char uuid[64];
	int r;

	if (!w->uuid)
		return EXIT_CODE_USAGE;
	snprintf(uuid, sizeof(uuid), "uuid='%s'", w->uuid);
	r = p->ops->find(p->hv, w->domain, &p->dom, &p->why);
	if (r == 0)
		return EXIT_CODE_OK;
	if (r == -ENOENT)
		r = w->resource ? diskrep_drbd_primary(w->resource, false, &p->why) : 0;
	if (!r)
		r = diskrep_command((const char *const[]){XL, "create", "-q", w->start, uuid, NULL},
			CREATE_MS, &p->why, "start '%s' from %s", w->domain, w->start);
	if (r)
		log_error("%s", p->why.text);
	/* xl clears up after itself unless it is killed, and half a guest would never be started.
	 */
	if (r == -ETIMEDOUT && p->ops->destroy(p->hv, w->domain, &p->why))
		log_error("%s", p->why.text);
	return r ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}
