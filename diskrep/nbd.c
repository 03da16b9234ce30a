/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/nbd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "diskrep/command.h"
#include "diskrep/device.h"

#define NBD_CLIENT "/usr/sbin/nbd-client"
#define CLIENT_MS 20000
#define SETTLE_MS 10000
#define AGAIN_MS 200
#define DEVICES 256            /* more than the kernel makes by itself */
#define WANTED_REQUEST_KB 1024 /* DRBD's largest (DRBD_MAX_BIO_SIZE) */

static void sysfs_path(const char *device, const char *attribute, char *path, size_t size)
{
	const char *base = strrchr(device, '/');

	snprintf(path, size, "/sys/block/%s/%s", base ? base + 1 : device, attribute);
}

static long sysfs_number(const char *device, const char *attribute)
{
	char path[DISKREP_PATH_MAX], text[32];

	sysfs_path(device, attribute, path, sizeof(path));
	return diskrep_read_text(path, text, sizeof(text)) ? -1 : strtol(text, NULL, 10);
}

/* The process that has made it. */
long diskrep_nbd_connection(const char *device)
{
	return sysfs_number(device, "pid");
}

bool diskrep_nbd_in_use(const char *device)
{
	char path[DISKREP_PATH_MAX];

	sysfs_path(device, "pid", path, sizeof(path));
	return diskrep_path_exists(path) == 1 || sysfs_number(device, "size") > 0;
}

static bool wait_until(const char *device, bool used)
{
	const struct timespec pause = {.tv_nsec = 20 * (long)NSEC_PER_MSEC};
	uint64_t deadline = clock_now_ns() + SETTLE_MS * NSEC_PER_MSEC;

	while (used ? sysfs_number(device, "size") <= 0 : diskrep_nbd_in_use(device)) {
		if (clock_now_ns() >= deadline)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

/* The default of 128 KiB would cut every large request of a resync in eight. */
static int raise_request_size(const char *device, struct why *why)
{
	long most = sysfs_number(device, "queue/max_hw_sectors_kb");
	char path[DISKREP_PATH_MAX], text[32];
	CLEANUP_CLOSE int fd = -1;
	int n;

	sysfs_path(device, "queue/max_sectors_kb", path, sizeof(path));
	n = snprintf(text, sizeof(text), "%ld\n",
		most > 0 && most < WANTED_REQUEST_KB ? most : WANTED_REQUEST_KB);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, (size_t)n) != n)
		return why_set(why, -errno, "cannot write %s: %s", path, strerror(errno));
	return 0;
}

static int attach_to(const char *device, const char *socket, const char *export_name,
	uint32_t block, struct why *why)
{
	char bytes[16];
	const char *const argv[] = {
		NBD_CLIENT, "-unix", socket, device, "-N", export_name, "-b", bytes, NULL};
	int r;

	snprintf(bytes, sizeof(bytes), "%" PRIu32, block);
	r = diskrep_command(
		argv, CLIENT_MS, why, "attach %s to export %s of %s", device, export_name, socket);
	if (r)
		return r;
	if (!wait_until(device, true))
		r = why_set(why, -ETIMEDOUT, "%s was attached to export %s of %s and has no size",
			device, export_name, socket);
	if (r == 0)
		r = raise_request_size(device, why);
	if (r)
		diskrep_nbd_detach(device, NULL);
	return r;
}

/* -EAGAIN: the first that is free could not be attached; @why says how that failed. */
static int attach_to_any(const char *socket, const char *export_name, uint32_t block,
	char *ret_device, size_t size, struct why *why)
{
	char device[32], path[DISKREP_PATH_MAX];

	for (int i = 0; i < DEVICES; i++) {
		snprintf(device, sizeof(device), "/dev/nbd%d", i);
		sysfs_path(device, "size", path, sizeof(path));
		if (diskrep_path_exists(path) != 1)
			break;
		if (diskrep_nbd_in_use(device))
			continue;
		if (attach_to(device, socket, export_name, block, why) == 0) {
			snprintf(ret_device, size, "%s", device);
			return 0;
		}
		/* Somebody else may have been faster. */
		if (!diskrep_nbd_in_use(device))
			return -EAGAIN;
	}
	return why_set(why, -EBUSY,
		"no NBD device is free for export %s of %s: load the module nbd with a larger "
		"nbds_max",
		export_name, socket);
}

/*
 * Whoever has a device open keeps it from being attached (Linux: nbd_open, nbd_genl_connect), and
 * udev opens each one that has just come, or been let go of.
 */
int diskrep_nbd_attach(const char *socket, const char *export_name, uint32_t block,
	char *ret_device, size_t size, struct why *why)
{
	const uint64_t until = clock_now_ns() + SETTLE_MS * NSEC_PER_MSEC;
	const struct timespec pause = {.tv_nsec = AGAIN_MS * (long)NSEC_PER_MSEC};
	int r = diskrep_load_module("nbd", why);

	if (r)
		return r;
	while ((r = attach_to_any(socket, export_name, block, ret_device, size, why)) == -EAGAIN &&
		clock_now_ns() < until)
		nanosleep(&pause, NULL);
	return r == -EAGAIN ? -EIO : r;
}

/* The kernel would also let a device go that is mounted, or beneath a lower device. */
static bool is_open(const char *device)
{
	int fd = open(device, O_RDWR | O_EXCL | O_CLOEXEC);

	if (fd < 0)
		return errno == EBUSY;
	close(fd);
	return false;
}

int diskrep_nbd_cut(const char *device, struct why *why)
{
	return diskrep_command((const char *const[]){NBD_CLIENT, "-d", device, NULL}, CLIENT_MS,
		why, "detach %s", device);
}

int diskrep_nbd_detach(const char *device, struct why *why)
{
	int r;

	if (!diskrep_nbd_in_use(device))
		return 0;
	if (is_open(device))
		return why_set(why, -EBUSY, "%s is in use, its connection stays", device);
	r = diskrep_nbd_cut(device, why);
	if (r)
		return r;
	return wait_until(device, false)
		       ? 0
		       : why_set(why, -ETIMEDOUT, "%s was detached and is still connected", device);
}
