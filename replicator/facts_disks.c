/* SPDX-License-Identifier: GPL-2.0-or-later */
/* romulus-facts: the domain's DRBD resource as it is on this host, and disks outside of it. */
#include "replicator/facts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "diskrep/lineage.h"
#include "diskrep/resource.h"

static void of_volume(struct facts *f, size_t v, const char *real)
{
	const struct diskrep_drbd_volume *drbd = &f->drbd.volume[v];
	Romulus__CheckVolume *ret = &f->volume[v];
	char lower[DISKREP_LOWER_NAME_MAX];
	struct why why;

	romulus__check_volume__init(ret);
	f->volumes[v] = ret;
	ret->minor = (uint32_t)drbd->minor;
	ret->good = drbd->disk == DISKREP_DRBD_UP_TO_DATE;
	ret->peer_good = drbd->peer_disk == DISKREP_DRBD_UP_TO_DATE;
	ret->size_kib = drbd->size_kib;
	if (diskrep_lineage_current(drbd->minor, &ret->generation, &why))
		log_debug("%s: %s", f->worker.domain, why.text);
	f->held[v][0] = '\0';
	ret->held = f->held[v];
	diskrep_resource_lower(f->worker.resource, v, lower);
	if (real && diskrep_identity_held(real, lower, f->held[v], &why))
		snprintf(f->held[v], sizeof(f->held[v]), "%.120s", why.text);
}

void facts_of_resource(struct facts *f)
{
	const struct worker *w = &f->worker;
	Romulus__CheckResource *ret = &f->resource;
	char volumes[DISKREP_MAX_VOLUMES * 128] = "";
	char *rest = volumes, *real = NULL;
	struct why why;

	romulus__check_resource__init(ret);
	f->checked.resource = ret;
	if (!w->resource)
		return;
	ret->name = (char *)w->resource;
	ret->configured = true;
	ret->summary = f->summary;
	if (diskrep_drbd_status(w->resource, &f->drbd, &why)) {
		snprintf(f->summary, sizeof(f->summary), "%.90s", why.text);
		return;
	}
	diskrep_drbd_summary(&f->drbd, f->summary);
	ret->up = f->drbd.up;
	if (!ret->up)
		return;
	ret->connected = f->drbd.connection == DISKREP_DRBD_CONNECTED;
	ret->alone = f->drbd.connection == DISKREP_DRBD_STANDALONE;
	ret->primary = f->drbd.role == DISKREP_DRBD_PRIMARY;
	ret->peer_primary = f->drbd.peer_role == DISKREP_DRBD_PRIMARY;
	snprintf(volumes, sizeof(volumes), "%s", w->volumes ? w->volumes : "");
	for (size_t v = 0; v < f->drbd.volumes; v++) {
		real = rest ? strsep(&rest, ",") : NULL;
		of_volume(f, v, real && *real ? real : NULL);
	}
	ret->volumes = f->volumes;
	ret->n_volumes = f->drbd.volumes;
}

bool facts_covers(const struct facts *f, const char *path)
{
	return f->resource.up && diskrep_drbd_volume(&f->drbd, path) >= 0;
}

void facts_of_disk(struct facts *f, size_t i, const char *vdev, const char *path)
{
	Romulus__CheckDisk *ret = &f->disk[i];
	struct why why;
	int r;

	romulus__check_disk__init(ret);
	f->disks[i] = ret;
	ret->vdev = (char *)vdev;
	ret->path = (char *)path;
	ret->covered = facts_covers(f, path);
	r = diskrep_identity_read(path, &f->identity[i], &why);
	ret->found = !r;
	ret->unreadable = r && r != -ENOENT && r != -ENOTDIR;
	ret->wwn = f->identity[i].wwn;
	ret->bytes = f->identity[i].bytes;
	ret->fingerprint = f->identity[i].fingerprint;
}
