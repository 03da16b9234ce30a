/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/meta.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/crc32c.h"

#define ALIGN_SECTORS UINT64_C(2048) /* 1 MiB: the label's own, and where shares begin */
#define SUPER_AND_LOG_KIB 36u        /* super block, activity log: drbd_int.h, md_* offsets */
#define LEAST_SHARE_SECTORS 256u     /* drbdmeta refuses less than 68 KiB */

static const char magic[8] = "ROMmeta1";

struct on_disk {
	char magic[8];
	uint32_t crc; /* of the whole block with this as 0 */
	uint32_t volumes;
	char resource[DISKREP_DRBD_NAME_MAX];
	struct {
		uint64_t start, sectors;
	} share[DISKREP_MAX_VOLUMES];
};
_Static_assert(sizeof(struct on_disk) <= DISKREP_META_LABEL_BYTES, "the label is one block");

static uint64_t round_up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

uint64_t diskrep_meta_needed(uint64_t sectors)
{
	/* One bit for 4 KiB, in words of 64 bits, in blocks of 4 KiB. */
	uint64_t bytes = round_up(round_up(round_up(sectors, 8) / 8, 64) / 8, 4096);
	uint64_t needed = (SUPER_AND_LOG_KIB << 10) / 512 + bytes / 512;

	return needed < LEAST_SHARE_SECTORS ? LEAST_SHARE_SECTORS : needed;
}

int diskrep_meta_divide(const char *resource, size_t volumes, uint64_t largest,
	uint64_t device_sectors, struct diskrep_meta_label *ret, struct why *why)
{
	uint64_t needed = diskrep_meta_needed(largest), share = 0;

	if (!volumes || volumes > DISKREP_MAX_VOLUMES || strlen(resource) > DISKREP_DRBD_NAME_MAX)
		return why_set(
			why, -EINVAL, "resource %s cannot have %zu volumes", resource, volumes);
	if (device_sectors > ALIGN_SECTORS)
		share = (device_sectors - ALIGN_SECTORS) / volumes / 8 * 8;
	if (share < needed)
		return why_set(why, -ENOSPC,
			"the metadata device of resource %s is too small: it has %" PRIu64
			" KiB and needs %" PRIu64 " KiB",
			resource, device_sectors / 2,
			(ALIGN_SECTORS + round_up(needed, 8) * volumes) / 2);
	*ret = (struct diskrep_meta_label){.volumes = (uint32_t)volumes};
	snprintf(ret->resource, sizeof(ret->resource), "%s", resource);
	for (size_t i = 0; i < volumes; i++) {
		ret->share[i].start = ALIGN_SECTORS + i * share;
		ret->share[i].sectors = share;
	}
	return 0;
}

void diskrep_meta_encode(
	const struct diskrep_meta_label *label, uint8_t block[DISKREP_META_LABEL_BYTES])
{
	struct on_disk d = {.volumes = htole32(label->volumes)};

	memcpy(d.magic, magic, sizeof(magic));
	memcpy(d.resource, label->resource, strnlen(label->resource, sizeof(d.resource)));
	for (size_t i = 0; i < label->volumes; i++) {
		d.share[i].start = htole64(label->share[i].start);
		d.share[i].sectors = htole64(label->share[i].sectors);
	}
	memset(block, 0, DISKREP_META_LABEL_BYTES);
	memcpy(block, &d, sizeof(d));
	d.crc = htole32(crc32c(0, block, DISKREP_META_LABEL_BYTES));
	memcpy(block, &d, sizeof(d));
}

static bool only_zeros(const uint8_t block[DISKREP_META_LABEL_BYTES])
{
	return block[0] == 0 && memcmp(block, block + 1, DISKREP_META_LABEL_BYTES - 1) == 0;
}

int diskrep_meta_decode(
	const uint8_t block[DISKREP_META_LABEL_BYTES], struct diskrep_meta_label *ret)
{
	uint8_t checked[DISKREP_META_LABEL_BYTES];
	struct on_disk d;

	if (only_zeros(block))
		return -ENODATA;
	memcpy(&d, block, sizeof(d));
	memcpy(checked, block, sizeof(checked));
	memset(checked + offsetof(struct on_disk, crc), 0, sizeof(d.crc));
	if (memcmp(d.magic, magic, sizeof(magic)) ||
		le32toh(d.crc) != crc32c(0, checked, sizeof(checked)) || !d.volumes ||
		le32toh(d.volumes) > DISKREP_MAX_VOLUMES)
		return -EBADMSG;
	*ret = (struct diskrep_meta_label){.volumes = le32toh(d.volumes)};
	memcpy(ret->resource, d.resource, sizeof(d.resource));
	for (size_t i = 0; i < ret->volumes; i++) {
		ret->share[i].start = le64toh(d.share[i].start);
		ret->share[i].sectors = le64toh(d.share[i].sectors);
	}
	return 0;
}

int diskrep_meta_read(const char *device, struct diskrep_meta_label *ret, struct why *why)
{
	CLEANUP_CLOSE int fd = open(device, O_RDONLY | O_CLOEXEC);
	uint8_t block[DISKREP_META_LABEL_BYTES];
	ssize_t n = fd < 0 ? -1 : pread(fd, block, sizeof(block), 0);
	int r;

	if (n < 0)
		return why_set(why, -errno, "cannot read the metadata device %s: %s", device,
			strerror(errno));
	r = n < (ssize_t)sizeof(block) ? -EBADMSG : diskrep_meta_decode(block, ret);
	if (r == -ENODATA)
		why_set(why, r, "the metadata device %s is blank: romulus disk prepare divides it",
			device);
	else if (r)
		why_set(why, r,
			"the metadata device %s has content that is not Romulus's, or is damaged",
			device);
	return r;
}

int diskrep_meta_write(const char *device, const struct diskrep_meta_label *label, struct why *why)
{
	CLEANUP_CLOSE int fd = open(device, O_WRONLY | O_CLOEXEC);
	uint8_t block[DISKREP_META_LABEL_BYTES];

	diskrep_meta_encode(label, block);
	if (fd < 0 || pwrite(fd, block, sizeof(block), 0) != (ssize_t)sizeof(block) ||
		fsync(fd) < 0)
		return why_set(why, errno ? -errno : -EIO,
			"cannot write the metadata device %s: %s", device, strerror(errno));
	return 0;
}
