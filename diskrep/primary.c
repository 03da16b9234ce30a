/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why waiting for the marker is right on every DRBD: a write that has completed here closes its
 * DRBD epoch, so a barrier lies between the guest's completed writes and the marker, and another
 * between the marker and whatever is written after it has completed (drbd_req.c,
 * start_new_tl_epoch). The wait is for this host's disk only, and runs beside the capture of the
 * memory.
 */
#include "diskrep/primary.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <libaio.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "diskrep/drbd.h"
#include "diskrep/marker.h"

#define MARK_TIMEOUT_S 30
#define DRBD_MAJOR 147 /* Linux: Documentation/admin-guide/devices.txt */

struct diskrep_primary {
	char resource[64];
	struct diskrep_drbd_status status; /* when opened; minors do not change */
	struct diskrep_marker marker;
	int fd; /* of the marker volume */
	io_context_t aio;
	uint8_t *block; /* aligned; busy while `pending` */
	bool pending;
};

static const struct diskrep_drbd_volume *marker_volume(const struct diskrep_primary *p)
{
	return &p->status.volume[p->status.volumes - 1];
}

static int check_status(struct diskrep_primary *p, struct why *why)
{
	int r = diskrep_drbd_status(p->resource, &p->status, why);

	if (r)
		return r;
	if (!p->status.up || p->status.volumes < 2)
		return why_set(why, -ENODEV,
			"DRBD resource '%s' is not up on this host, or has no marker volume; see "
			"`romulus disk check`",
			p->resource);
	if (p->status.role != DISKREP_DRBD_PRIMARY)
		return why_set(why, -EINVAL,
			"DRBD resource '%s' is not primary on this host, although its domain runs "
			"here; run `romulus disk check`",
			p->resource);
	if (p->status.connection == DISKREP_DRBD_STANDALONE)
		return diskrep_drbd_connect(p->resource, false, why);
	return 0;
}

static int aio_failed(const struct diskrep_primary *p, long err, struct why *why)
{
	return why_set(why, (int)err,
		"the marker of '%s' could not be written: %s; without it no checkpoint of its "
		"disks "
		"is complete",
		p->resource, strerror((int)-err));
}

static int open_marker(struct diskrep_primary *p, struct why *why)
{
	char path[32];
	int r;

	snprintf(path, sizeof(path), "/dev/drbd%d", marker_volume(p)->minor);
	p->fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (p->fd < 0)
		return why_set(why, -errno, "cannot open the marker volume %s of resource '%s': %s",
			path, p->resource, strerror(errno));
	if (posix_memalign((void **)&p->block, DISKREP_MARKER_BYTES, DISKREP_MARKER_BYTES))
		return why_set(why, -ENOMEM, "no memory for a marker");
	memset(p->block, 0, DISKREP_MARKER_BYTES);
	r = io_setup(1, &p->aio);
	return r < 0 ? aio_failed(p, r, why) : 0;
}

int diskrep_primary_open(
	const char *resource, const char *uuid, struct diskrep_primary **ret, struct why *why)
{
	struct diskrep_primary *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return why_set(why, -ENOMEM, "no memory for the disks of '%s'", resource);
	p->fd = -1;
	snprintf(p->resource, sizeof(p->resource), "%s", resource);
	while (!p->marker.nonce)
		if (getrandom(&p->marker.nonce, sizeof(p->marker.nonce), 0) < 0)
			abort();
	r = diskrep_uuid_parse(uuid, p->marker.uuid);
	if (r)
		why_set(why, r, "'%s' is not a uuid", uuid);
	if (!r)
		r = check_status(p, why);
	if (!r)
		r = open_marker(p, why);
	if (r)
		diskrep_primary_close(p);
	else
		*ret = p;
	return r;
}

struct diskrep_primary *diskrep_primary_close(struct diskrep_primary *p)
{
	if (!p)
		return NULL;
	if (p->aio)
		io_destroy(p->aio); /* waits for a marker on its way */
	if (p->fd >= 0)
		close(p->fd);
	free(p->block);
	free(p);
	return NULL;
}

int diskrep_primary_covers(struct diskrep_primary *p, const char *path, struct why *why)
{
	struct stat st;
	size_t i;

	if (stat(path, &st))
		return why_set(why, -errno, "cannot look at disk %s: %s", path, strerror(errno));
	for (i = 0; i + 1 < p->status.volumes; i++)
		if (S_ISBLK(st.st_mode) && major(st.st_rdev) == DRBD_MAJOR &&
			minor(st.st_rdev) == (unsigned int)p->status.volume[i].minor)
			return 0;
	return why_set(why, -EOPNOTSUPP,
		"disk %s is not a volume of DRBD resource '%s': the backup would not have it. "
		"Nothing was changed; add it with `romulus disk prepare`",
		path, p->resource);
}

uint64_t diskrep_primary_nonce(const struct diskrep_primary *p)
{
	return p->marker.nonce;
}

int diskrep_primary_prime(struct diskrep_primary *p, uint64_t generation, struct why *why)
{
	ssize_t n;

	p->marker.generation = generation;
	/* Zeros: no marker, so no boundary. */
	n = pwrite(p->fd, p->block, DISKREP_MARKER_BYTES, 0);
	return n == DISKREP_MARKER_BYTES ? 0 : aio_failed(p, n < 0 ? -errno : -EIO, why);
}

int diskrep_primary_mark(struct diskrep_primary *p, uint64_t epoch, struct why *why)
{
	struct iocb cb, *list = &cb;
	int r;

	assert(!p->pending);
	p->marker.epoch = epoch;
	diskrep_marker_encode(p->block, &p->marker);
	io_prep_pwrite(&cb, p->fd, p->block, DISKREP_MARKER_BYTES, 0);
	r = io_submit(p->aio, 1, &list);
	if (r != 1)
		return aio_failed(p, r < 0 ? r : -EIO, why);
	p->pending = true;
	return 0;
}

int diskrep_primary_mark_wait(struct diskrep_primary *p, struct why *why)
{
	struct timespec limit = {.tv_sec = MARK_TIMEOUT_S};
	struct io_event event;
	int r;

	assert(p->pending);
	r = io_getevents(p->aio, 1, 1, &event, &limit);
	if (r == 0)
		return aio_failed(p, -ETIMEDOUT, why);
	if (r < 0)
		return aio_failed(p, r, why);
	p->pending = false;
	if (event.res != DISKREP_MARKER_BYTES)
		return aio_failed(p, (long)event.res < 0 ? (long)event.res : -EIO, why);
	return 0;
}
