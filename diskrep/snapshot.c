/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/why.h"
#include "diskrep/undo.h"

#define WORD_BITS 64u
#define PUTS_A_LOOK 256u

struct diskrep_snapshot {
	uint64_t spare;
	unsigned int puts;
	bool full;
	size_t volumes_n;
	struct {
		int fd;
		uint64_t *has; /* a bit for each block */
	} volumes[DISKREP_UNDO_VOLUMES_MAX];
};

struct diskrep_snapshot *diskrep_snapshot_close(struct diskrep_snapshot *p)
{
	for (size_t v = 0; p && v < p->volumes_n; v++) {
		if (p->volumes[v].fd >= 0)
			close(p->volumes[v].fd);
		free(p->volumes[v].has);
	}
	free(p);
	return NULL;
}

int diskrep_snapshot_open(const uint64_t *sizes, size_t volumes_n, const char *dir, uint64_t spare,
	struct diskrep_snapshot **ret, struct why *why)
{
	struct diskrep_snapshot *p = calloc(1, sizeof(*p));
	int r = p ? 0 : -ENOMEM;

	for (size_t v = 0; !r && v < volumes_n; v++) {
		const uint64_t blocks = (sizes[v] + DISKREP_UNDO_BLOCK - 1) / DISKREP_UNDO_BLOCK;

		p->volumes_n = v + 1;
		p->volumes[v].has = calloc(blocks / WORD_BITS + 1, sizeof(uint64_t));
		p->volumes[v].fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (p->volumes[v].fd < 0 || ftruncate(p->volumes[v].fd, (off_t)sizes[v]) < 0)
			r = -errno;
		else if (!p->volumes[v].has)
			r = -ENOMEM;
	}
	if (r) {
		diskrep_snapshot_close(p);
		return why_set(why, r, "no snapshot of the disks in %s: %s", dir, strerror(-r));
	}
	p->spare = spare;
	*ret = p;
	return 0;
}

/* Asked now and then: others write there as well. */
static bool has_room(struct diskrep_snapshot *p, int fd)
{
	struct statvfs st;

	if (p->puts++ % PUTS_A_LOOK == 0)
		p->full = fstatvfs(fd, &st) < 0 || st.f_bavail * st.f_frsize < p->spare;
	return !p->full;
}

static bool is_zeros(const uint8_t *content, uint32_t length)
{
	return content[0] == 0 && memcmp(content, content + 1, length - 1) == 0;
}

bool diskrep_snapshot_has(const struct diskrep_snapshot *p, uint32_t volume, uint64_t block)
{
	return p->volumes[volume].has[block / WORD_BITS] >> block % WORD_BITS & 1;
}

int diskrep_snapshot_put(struct diskrep_snapshot *p, uint32_t volume, uint64_t block,
	const void *content, uint32_t length)
{
	const int fd = p->volumes[volume].fd;
	ssize_t n = (ssize_t)length;

	/* A hole reads as zeros: what a guest discards, or formats, takes no room. */
	if (diskrep_snapshot_has(p, volume, block) || !is_zeros(content, length)) {
		if (!has_room(p, fd))
			return -ENOSPC;
		n = pwrite(fd, content, length, (off_t)(block * DISKREP_UNDO_BLOCK));
	}
	if (n != (ssize_t)length)
		return n < 0 ? -errno : -ENOSPC;
	p->volumes[volume].has[block / WORD_BITS] |= UINT64_C(1) << block % WORD_BITS;
	return 0;
}

int diskrep_snapshot_get(const struct diskrep_snapshot *p, uint32_t volume, uint64_t block,
	void *ret, uint32_t length)
{
	const ssize_t n =
		pread(p->volumes[volume].fd, ret, length, (off_t)(block * DISKREP_UNDO_BLOCK));

	if (n != (ssize_t)length)
		return n < 0 ? -errno : -EIO;
	return 0;
}
