/* SPDX-License-Identifier: GPL-2.0-or-later */
/* romulus-primary as a command: what a worker, or a host, that died left behind. */
#include "replicator/primary.h"

#include <errno.h>
#include <string.h>

#include "common/exit_codes.h"
#include "common/log.h"
#include "diskrep/command.h"
#include "diskrep/drbd.h"
#include "replicator/restrain.h"

#define XL "/usr/sbin/xl"
#define CREATE_MS 90000

/* The guest has ended: nothing to mend but its network, and what it still had to say is dropped. */
static int sweep(struct primary *p)
{
	if (!p->worker.uuid || netbuf_sweep(p->netbuf_dir, p->worker.uuid, 0, &p->why) >= 0)
		return EXIT_CODE_OK;
	log_error("%s", p->why.text);
	return EXIT_CODE_FAILED;
}

int primary_repair(struct primary *p)
{
	const struct worker *w = &p->worker;
	int r;

	/* One that has started again meanwhile was waiting for this. */
	if (w->release && w->uuid &&
		restrain_let_go(p->ops, p->hv, w->run_dir, w->uuid, &p->why))
		log_error("%s", p->why.text);
	if (!w->release)
		return sweep(p);
	r = p->ops->find(p->hv, w->repair, &p->dom, &p->why);
	if (r == -ENOENT)
		return sweep(p);
	if (!r)
		r = p->ops->repair(p->hv, p->dom.domid, &p->why);
	if (netbuf_sweep(p->netbuf_dir, w->uuid ? w->uuid : p->dom.uuid, 1, &p->why) < 0)
		r = -EIO;
	if (r)
		log_error("%s", p->why.text);
	return r ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

/* Destroy a guest whose generation belongs to the other host; what it still had to say is dropped.
 */
int primary_discard(struct primary *p)
{
	int r;

	r = p->ops->find(p->hv, p->worker.discard, &p->dom, &p->why);
	/* Another guest of that name is not ours to destroy. */
	if (r == -ENOENT || (!r && p->worker.uuid && strcmp(p->worker.uuid, p->dom.uuid) != 0))
		return sweep(p);
	if (!r)
		r = p->ops->destroy(p->hv, p->worker.discard, &p->why);
	if (!r && netbuf_sweep(p->netbuf_dir, p->dom.uuid, 0, &p->why) < 0)
		r = -EIO;
	if (r)
		log_error("%s", p->why.text);
	return r ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

/* Promoting is refused while the other host uses the disks: nothing is started twice. */
int primary_start(struct primary *p)
{
	const struct worker *w = &p->worker;
	int r = p->ops->find(p->hv, w->domain, &p->dom, &p->why);

	if (r == 0)
		return EXIT_CODE_OK;
	if (r == -ENOENT)
		r = w->resource ? diskrep_drbd_primary(w->resource, false, &p->why) : 0;
	if (!r)
		r = diskrep_command((const char *const[]){XL, "create", "-q", w->start, NULL},
			CREATE_MS, &p->why, "start '%s' from %s", w->domain, w->start);
	if (r)
		log_error("%s", p->why.text);
	return r ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}
