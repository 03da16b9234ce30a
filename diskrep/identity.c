/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/identity.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/crc32c.h"
#include "common/why.h"
#include "diskrep/device.h"

#define SAMPLE_BYTES 4096u
#define SAMPLES 64u /* over all of it, the first and the last among them */
#define MOUNTS_MAX (256u << 10)

/* SCSI and NVMe, virtio, device mapper; the last knows LVM's volumes by their uuid. */
static void read_wwn(dev_t number, char ret[DISKREP_WWN_MAX])
{
	static const char *const attributes[] = {
		"device/wwid", "wwid", "device/serial", "serial", "dm/uuid"};

	ret[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(attributes) && !ret[0]; i++)
		if (diskrep_device_attribute(number, attributes[i], ret, DISKREP_WWN_MAX))
			ret[0] = '\0';
}

static int read_samples(int fd, uint64_t bytes, uint64_t *ret)
{
	const uint64_t last = bytes > SAMPLE_BYTES ? bytes - SAMPLE_BYTES : 0;
	uint8_t sample[SAMPLE_BYTES];
	uint32_t first = 0, second = 0;

	for (unsigned int i = 0; i < SAMPLES; i++) {
		const uint64_t at =
			last / (SAMPLES - 1) * i + (i == SAMPLES - 1 ? last % (SAMPLES - 1) : 0);
		const ssize_t n = pread(fd, sample, sizeof(sample), (off_t)at);

		if (n < 0)
			return -errno;
		first = crc32c(first, sample, (size_t)n);
		second = crc32c(second ^ first, sample, (size_t)n);
	}
	*ret = (uint64_t)first << 32 | second;
	return 0;
}

/* Reading these may do things, and a peer says which. */
static bool is_of_kernel(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && (fs.f_type == SYSFS_MAGIC || fs.f_type == PROC_SUPER_MAGIC);
}

int diskrep_identity_read(const char *path, struct diskrep_identity *ret, struct why *why)
{
	CLEANUP_CLOSE int fd = -1;
	struct stat st;
	int r;

	*ret = (struct diskrep_identity){.bytes = 0};
	if (path[0] != '/')
		return why_set(why, -EINVAL, "\"%.200s\" is no absolute path", path);
	/* Before it is opened: opening some devices does things. */
	if (stat(path, &st) < 0)
		return why_set(why, -errno, "cannot look at %.200s: %s", path, strerror(errno));
	if ((!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode)) || is_of_kernel(path))
		return why_set(why, -ENOTBLK, "%.200s is neither a disk nor a file", path);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ret->bytes = (uint64_t)st.st_size;
	if (fd < 0 || (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, &ret->bytes) < 0))
		return why_set(why, -errno, "cannot open %.200s: %s", path, strerror(errno));
	if (S_ISBLK(st.st_mode))
		read_wwn(st.st_rdev, ret->wwn);
	r = ret->bytes ? read_samples(fd, ret->bytes, &ret->fingerprint) : 0;
	return r ? why_set(why, r, "cannot read %.200s: %s", path, strerror(-r)) : 0;
}

/* ---- in use ---------------------------------------------------------------------------------- */

bool diskrep_identity_mounted(const char *text, dev_t number, char ret[DISKREP_HELD_MAX])
{
	unsigned int major_number, minor_number;
	char at[DISKREP_HELD_MAX];

	for (; text; text = strchr(text, '\n')) {
		text += *text == '\n';
		if (sscanf(text, "%*d %*d %u:%u %*s %127s", &major_number, &minor_number, at) !=
				3 ||
			major_number != major(number) || minor_number != minor(number))
			continue;
		snprintf(ret, DISKREP_HELD_MAX, "%s", at);
		return true;
	}
	return false;
}

static void cleanup_closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

static void name_of_holder(const char *kernel_name, char ret[DISKREP_HELD_MAX])
{
	char path[300];

	snprintf(path, sizeof(path), "/sys/class/block/%.200s/dm/name", kernel_name);
	if (diskrep_read_text(path, ret, DISKREP_HELD_MAX))
		snprintf(ret, DISKREP_HELD_MAX, "%.127s", kernel_name);
	ret[strcspn(ret, "\n")] = '\0';
}

static bool find_holder(dev_t number, const char *mapper, char ret[DISKREP_HELD_MAX])
{
	__attribute__((cleanup(cleanup_closedirp))) DIR *holders = NULL;
	const struct dirent *entry;
	char path[64];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/holders", major(number), minor(number));
	holders = opendir(path);
	while (holders && (entry = readdir(holders))) {
		if (entry->d_name[0] == '.')
			continue;
		name_of_holder(entry->d_name, ret);
		if (strcmp(ret, mapper) != 0)
			return true;
	}
	return false;
}

static int find_mount(dev_t number, char ret[DISKREP_HELD_MAX], struct why *why)
{
	CLEANUP_FREE char *mounts = calloc(1, MOUNTS_MAX);
	int r = mounts ? diskrep_read_text("/proc/self/mountinfo", mounts, MOUNTS_MAX) : -ENOMEM;

	if (r)
		return why_set(why, r, "cannot read what is mounted: %s", strerror(-r));
	if (!diskrep_identity_mounted(mounts, number, ret))
		ret[0] = '\0';
	return 0;
}

int diskrep_identity_held(
	const char *path, const char *mapper, char ret[DISKREP_HELD_MAX], struct why *why)
{
	struct diskrep_device d;
	int r = diskrep_device_look(path, &d, why);

	ret[0] = '\0';
	if (r || find_holder(d.number, mapper, ret))
		return r;
	return find_mount(d.number, ret, why);
}
