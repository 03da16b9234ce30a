/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Block devices: what they are called, how large they are, what sysfs says of them. */
#ifndef DISKREP_DEVICE_H
#define DISKREP_DEVICE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/why.h"

#define DISKREP_PATH_MAX 256
#define DISKREP_SECTOR 512u

struct diskrep_device {
	dev_t number;
	uint64_t sectors; /* of 512 bytes */
	uint32_t block;   /* bytes: its logical sector, 512 or 4096 */
};

/*
 * Look at the block device @path. 0 and *ret, or a negative errno with a sentence: -ENOENT,
 * -ENOTBLK.
 */
int diskrep_device_look(const char *path, struct diskrep_device *ret, struct why *why);

/* The usual path of device @number, /dev/mapper/NAME for device mapper: @size bytes at @path. */
void diskrep_device_path(dev_t number, char *path, size_t size);

/*
 * One line of the device's directory in sysfs, such as "queue/write_cache", without line end:
 * @size bytes at @text. 0 or a negative errno: -ENOENT.
 */
int diskrep_device_attribute(dev_t number, const char *attribute, char *text, size_t size);

/*
 * The first @size - 1 bytes of the file @path, of sysfs, proc or DRBD's configuration, as a string
 * at @text. 0 or a negative errno.
 */
int diskrep_read_text(const char *path, char *text, size_t size);

/* Whether @path exists (1), does not (0), or the errno of the failure, negative. */
int diskrep_path_exists(const char *path);

#endif
