/* SPDX-License-Identifier: GPL-2.0-or-later */
/* romulus-primary as a command: what a worker, or a host, that died left behind. */
#include "replicator/primary.h"

#include <errno.h>

#include "common/exit_codes.h"
#include "common/log.h"
#include "diskrep/command.h"
#include "diskrep/drbd.h"

#define XL "/usr/sbin/xl"
#define CREATE_MS 90000

int primary_repair(struct primary *p)
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
int primary_discard(struct primary *p)
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
