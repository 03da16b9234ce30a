/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nothing of DRBD's administration is in the path of an epoch: a marker is one write, and it runs
 * beside the capture of the memory.
 */
#include "diskrep/primary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "diskrep/drbd.h"
#include "diskrep/marker.h"
#include "diskrep/marker_write.h"
#include "diskrep/selftest.h"

struct diskrep_primary {
	char resource[64];
	struct diskrep_drbd_status status; /* when opened; minors do not change */
	struct diskrep_marker marker;
	int fd; /* of the marker volume */
	struct diskrep_marker_write write;
	uint8_t *block; /* aligned; busy while a mark is pending */
	struct diskrep_selftest test;
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
	r = diskrep_marker_write_open(&p->write, p->fd);
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
	diskrep_marker_write_close(&p->write);
	if (p->fd >= 0)
		close(p->fd);
	free(p->block);
	free(p);
	return NULL;
}

int diskrep_primary_covers(struct diskrep_primary *p, const char *path, struct why *why)
{
	if (access(path, F_OK))
		return why_set(why, -errno, "cannot look at disk %s: %s", path, strerror(errno));
	if (diskrep_drbd_volume(&p->status, path) >= 0)
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
	int r;

	p->marker.generation = generation;
	/* Zeros: no marker, so no boundary. */
	n = pwrite(p->fd, p->block, DISKREP_MARKER_BYTES, 0);
	if (n != DISKREP_MARKER_BYTES)
		return aio_failed(p, n < 0 ? -errno : -EIO, why);
	if (lseek(p->fd, 0, SEEK_END) < (off_t)DISKREP_SELFTEST_BYTES)
		return 0;
	r = diskrep_selftest_run(&p->write, &p->marker, &p->test);
	return r ? aio_failed(p, r, why) : 0;
}

void diskrep_primary_tested(
	const struct diskrep_primary *p, uint32_t seen, uint32_t violations, char *ret)
{
	if (!p->test.probes)
		snprintf(ret, DISKREP_PRIMARY_LINE_MAX,
			"the order of disk writes is not tested: the marker volume has no room "
			"(%u KiB)",
			DISKREP_SELFTEST_BYTES / 1024);
	else
		snprintf(ret, DISKREP_PRIMARY_LINE_MAX,
			"self-test of the order of disk writes: %u of %u probes seen, %u out of "
			"order; a marker takes %u us",
			seen, p->test.probes, violations, p->test.us);
}

int diskrep_primary_mark(struct diskrep_primary *p, uint64_t epoch, struct why *why)
{
	int r;

	p->marker.epoch = epoch;
	diskrep_marker_encode(p->block, &p->marker);
	r = diskrep_marker_write_begin(&p->write, p->block);
	return r ? aio_failed(p, r, why) : 0;
}

int diskrep_primary_mark_wait(struct diskrep_primary *p, struct why *why)
{
	int r = diskrep_marker_write_wait(&p->write);

	return r ? aio_failed(p, r, why) : 0;
}

void diskrep_primary_obstacle(struct diskrep_primary *p, struct why *ret)
{
	struct diskrep_drbd_status now;

	if (diskrep_drbd_status(p->resource, &now, ret) == 0 &&
		diskrep_drbd_obstacle(&now, p->resource, ret) == 0)
		ret->text[0] = '\0';
}
