/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"

int diskrep_device_look(const char *path, struct diskrep_device *ret, struct why *why)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint64_t bytes;
	int block;

	if (fd < 0 || fstat(fd, &st) < 0)
		return why_set(why, -errno, "cannot open the disk %s: %s", path, strerror(errno));
	if (!S_ISBLK(st.st_mode))
		return why_set(why, -ENOTBLK, "%s is not a block device", path);
	if (ioctl(fd, BLKGETSIZE64, &bytes) < 0 || ioctl(fd, BLKSSZGET, &block) < 0)
		return why_set(
			why, -errno, "cannot learn the size of %s: %s", path, strerror(errno));
	ret->number = st.st_rdev;
	ret->sectors = bytes / DISKREP_SECTOR;
	ret->block = (uint32_t)block;
	return 0;
}

int diskrep_read_text(const char *path, char *text, size_t size)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t n = 0;

	if (fd < 0)
		return -errno;
	while (length < size - 1 && (n = read(fd, text + length, size - 1 - length)) > 0)
		length += (size_t)n;
	if (n < 0)
		return -errno;
	text[length] = '\0';
	return 0;
}

int diskrep_device_attribute(dev_t number, const char *attribute, char *text, size_t size)
{
	char path[DISKREP_PATH_MAX];
	int r;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(number), minor(number),
		attribute);
	r = diskrep_read_text(path, text, size);
	if (r == 0)
		text[strcspn(text, "\n")] = '\0';
	return r;
}

void diskrep_device_path(dev_t number, char *path, size_t size)
{
	char text[1024], *line, *rest = NULL;

	if (diskrep_device_attribute(number, "dm/name", text, sizeof(text)) == 0) {
		snprintf(path, size, "/dev/mapper/%s", text);
		return;
	}
	snprintf(path, size, "/sys/dev/block/%u:%u/uevent", major(number), minor(number));
	if (diskrep_read_text(path, text, sizeof(text)) == 0)
		for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
			if (!strncmp(line, "DEVNAME=", 8)) {
				snprintf(path, size, "/dev/%s", line + 8);
				return;
			}
	snprintf(path, size, "/dev/block/%u:%u", major(number), minor(number));
}

int diskrep_path_exists(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0)
		return 1;
	return errno == ENOENT ? 0 : -errno;
}
