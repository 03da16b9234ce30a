/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/drill.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/why.h"
#include "diskrep/device.h"
#include "diskrep/nbd.h"
#include "diskrep/store.h"
#include "diskrep/store_process.h"

#define CLOSE_NS (60 * NSEC_PER_SEC)
#define AGAIN_MS 200

static int attach_one(const char *socket, size_t v, const char *volume, char *ret_device,
	size_t size, struct why *why)
{
	struct diskrep_device disk;
	char export[32];
	int r = diskrep_device_look(volume, &disk, why);

	snprintf(export, sizeof(export), "drill-%zu", v);
	return r ? r : diskrep_nbd_attach(socket, export, disk.block, ret_device, size, why);
}

int diskrep_drill_attach(const char *resource, const char *run_dir, const char *volumes,
	struct diskrep_drill *d, struct why *why)
{
	const struct diskrep_store_spec spec = {.name = resource, .run_dir = run_dir};
	CLEANUP_FREE char *list = strdup(volumes);
	struct store_paths paths;
	char *next, *volume = list ? strtok_r(list, ",", &next) : NULL;
	int r = diskrep_drbd_status(resource, &d->status, why);

	if (!r)
		r = store_paths_set(&paths, &spec, why);
	for (size_t v = 0; !r && v + 1 < d->status.volumes && volume; v++) {
		r = attach_one(paths.nbd, v, volume, d->devices[v], sizeof(d->devices[v]), why);
		d->n += !r;
		volume = strtok_r(NULL, ",", &next);
	}
	return r;
}

const char *diskrep_drill_device(const struct diskrep_drill *d, const char *path)
{
	const int v = diskrep_drbd_volume(&d->status, path);

	return v >= 0 && (size_t)v < d->n ? d->devices[v] : NULL;
}

int diskrep_drill_detach(const char *device, struct why *why)
{
	const uint64_t until = clock_now_ns() + CLOSE_NS;
	int r;

	while ((r = diskrep_nbd_detach(device, why)) == -EBUSY && clock_now_ns() < until)
		poll(NULL, 0, AGAIN_MS);
	return r;
}
