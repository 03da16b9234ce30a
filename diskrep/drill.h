/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disks of a drill as block devices of this host: the exports of the undo store's snapshot (see
 * store.h), attached through the kernel's NBD client. For romulus-drill, which is not the worker
 * that the store belongs to.
 */
#ifndef DISKREP_DRILL_H
#define DISKREP_DRILL_H

#include <stddef.h>
#include <stdint.h>

#include "diskrep/drbd.h"

struct diskrep_drill {
	size_t n;
	char devices[DISKREP_MAX_VOLUMES][64]; /* "/dev/nbd3", by volume */
	struct diskrep_drbd_status status;
};

/*
 * Attach all volumes of @resource but the marker's. @volumes: the real disks, comma between, the
 * marker's last; their sector sizes count. Each device is in *d as soon as it is attached, also
 * when a later one fails: 0 or a negative errno.
 */
int diskrep_drill_attach(const char *resource, const char *run_dir, const char *volumes,
	struct diskrep_drill *d, struct why *why);

/* The device for the disk that the domain has at @path; NULL: it is none of the resource's. */
const char *diskrep_drill_device(const struct diskrep_drill *d, const char *path);

/* Detach @device once nobody has it open any more, which is waited for. 0 or a negative errno. */
int diskrep_drill_detach(const char *device, struct why *why);

#endif
