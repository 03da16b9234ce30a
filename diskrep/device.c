/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "common/cleanup.h"

int diskrep_device_look(const char *path, struct diskrep_device *ret, struct why *why)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint64_t bytes;

	if (fd < 0 || fstat(fd, &st) < 0)
		return why_set(why, -errno, "cannot open the disk %s: %s", path, strerror(errno));
	if (!S_ISBLK(st.st_mode))
		return why_set(why, -ENOTBLK, "%s is not a block device", path);
	if (ioctl(fd, BLKGETSIZE64, &bytes) < 0)
		return why_set(
			why, -errno, "cannot learn the size of %s: %s", path, strerror(errno));
	ret->number = st.st_rdev;
	ret->sectors = bytes / DISKREP_SECTOR;
	return 0;
}

int diskrep_device_attribute(dev_t number, const char *attribute, char *text, size_t size)
{
	CLEANUP_CLOSE int fd = -1;
	char path[DISKREP_PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(number), minor(number),
		attribute);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return 0;
}

void diskrep_device_path(dev_t number, char *path, size_t size)
{
	CLEANUP_FREE char *line = NULL;
	CLEANUP_FCLOSE FILE *f = NULL;
	char text[DISKREP_PATH_MAX];
	size_t capacity = 0;

	if (diskrep_device_attribute(number, "dm/name", text, sizeof(text)) == 0) {
		snprintf(path, size, "/dev/mapper/%s", text);
		return;
	}
	snprintf(text, sizeof(text), "/sys/dev/block/%u:%u/uevent", major(number), minor(number));
	f = fopen(text, "re");
	while (f && getline(&line, &capacity, f) > 0)
		if (strncmp(line, "DEVNAME=", 8) == 0) {
			line[strcspn(line, "\n")] = '\0';
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
