/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/drill.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/why.h"
#include "diskrep/device.h"
#include "diskrep/nbd.h"
#include "diskrep/store.h"
#include "diskrep/store_process.h"

#define CLOSE_NS (30 * NSEC_PER_SEC)
#define CUT_NS (10 * NSEC_PER_SEC)
#define AGAIN_MS 200
#define SECTORS_ALIGN 4096 /* enough for O_DIRECT on every device */

int diskrep_drill_open(
	const char *resource, const char *run_dir, struct diskrep_drill *d, struct why *why)
{
	const struct diskrep_store_spec spec = {.name = resource, .run_dir = run_dir};
	struct store_paths paths;
	int r = diskrep_drbd_status(resource, &d->status, why);

	if (!r)
		r = store_paths_set(&paths, &spec, why);
	if (!r)
		snprintf(d->socket, sizeof(d->socket), "%s", paths.nbd);
	return r;
}

int diskrep_drill_attach(struct diskrep_drill *d, const char *disk,
	char ret_note[DISKREP_DRILL_NOTE_MAX], struct why *why)
{
	char export[32], *device = d->devices[d->n];
	struct diskrep_device size;
	int r = diskrep_device_look(disk, &size, why);

	snprintf(export, sizeof(export), "drill-%zu", d->n);
	if (!r)
		r = diskrep_nbd_attach(
			d->socket, export, size.block, device, sizeof(d->devices[0]), why);
	if (r)
		return r;
	d->n++;
	snprintf(
		ret_note, DISKREP_DRILL_NOTE_MAX, "%s %ld", device, diskrep_nbd_connection(device));
	return 0;
}

const char *diskrep_drill_device(const struct diskrep_drill *d, const char *path)
{
	const int v = diskrep_drbd_volume(&d->status, path);

	return v >= 0 && (size_t)v < d->n ? d->devices[v] : NULL;
}

static int read_first(const char *device, void *buffer)
{
	CLEANUP_CLOSE int fd = open(device, O_RDONLY | O_DIRECT | O_CLOEXEC);

	return fd >= 0 && pread(fd, buffer, SECTORS_ALIGN, 0) == SECTORS_ALIGN ? 0 : -EIO;
}

int diskrep_drill_sound(const struct diskrep_drill *d, struct why *why)
{
	CLEANUP_FREE void *buffer = aligned_alloc(SECTORS_ALIGN, SECTORS_ALIGN);
	int r = buffer ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < d->n; i++)
		r = read_first(d->devices[i], buffer);
	return r ? why_set(why, r,
			   "the snapshot of its disks has ended: too much was overwritten, or "
			   "state-dir is full")
		 : 0;
}

/* The device of @note, if it is still what the note was of. */
static bool parse(const char *note, char ret_device[64])
{
	long connection;

	return sscanf(note, "%63s %ld", ret_device, &connection) == 2 &&
	       strncmp(ret_device, "/dev/nbd", 8) == 0 && connection >= 0 &&
	       connection == diskrep_nbd_connection(ret_device);
}

static int detach_within(const char *note, uint64_t ns, struct why *why)
{
	const uint64_t until = clock_now_ns() + ns;
	char device[64];
	int r = 0;

	while (parse(note, device) && (r = diskrep_nbd_detach(device, why)) == -EBUSY &&
		clock_now_ns() < until)
		poll(NULL, 0, AGAIN_MS);
	return r;
}

/*
 * Never cut while it may be answered: nbdkit 1.32 ends, and DRBD's disks with it, when a connection
 * goes away beneath a request (an assertion in its connections.c).
 */
int diskrep_drill_detach(const char *note, struct why *why)
{
	char device[64];
	int r = detach_within(note, CLOSE_NS, why);

	if (r != -EBUSY || !parse(note, device))
		return r;
	diskrep_nbd_cut(device, why);
	return detach_within(note, CUT_NS, why);
}
