/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "diskrep/buffers.h"

#define SECTOR 512u

/* The smallest transfer that O_DIRECT takes here, or 0: asked by trying, right for files and
 * devices.
 */
static uint32_t probe_alignment(int fd, uint64_t size)
{
	static const uint32_t candidates[] = {SECTOR, DISKREP_BUFFER_ALIGN};
	CLEANUP_FREE void *buffer = NULL;

	if (posix_memalign(&buffer, DISKREP_BUFFER_ALIGN, DISKREP_BUFFER_ALIGN))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(candidates); i++)
		if (size % candidates[i] == 0 &&
			pread(fd, buffer, candidates[i], (off_t)(size - candidates[i])) ==
				(ssize_t)candidates[i])
			return candidates[i];
	return 0;
}

int diskrep_backing_open(struct diskrep_backing *b, const char *path, struct why *why)
{
	CLEANUP_CLOSE int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	uint32_t align = 0;
	off_t size;

	if (fd < 0 && errno != EINVAL)
		return why_set(why, -errno, "cannot open %s: %s; the undo store cannot serve it",
			path, strerror(errno));
	size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	if (size > 0)
		align = probe_alignment(fd, (uint64_t)size);
	if (!align) {
		if (fd >= 0)
			close(TAKE_FD(fd));
		/* Then each write waits for the device itself: no promise is weaker than without
		 * us. */
		fd = open(path, O_RDWR | O_DSYNC | O_CLOEXEC);
		size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
		align = 1;
	}
	if (size < 0)
		return why_set(why, -errno, "cannot open %s: %s; the undo store cannot serve it",
			path, strerror(errno));
	if (size == 0 || size % SECTOR)
		return why_set(why, -EINVAL, "%s has %lld bytes, not a multiple of %u", path,
			(long long)size, SECTOR);
	b->path = strdup(path);
	if (!b->path)
		return why_set(why, -ENOMEM, "no memory for %s", path);
	b->size = (uint64_t)size;
	b->align = align;
	b->fd = TAKE_FD(fd);
	return 0;
}

void diskrep_backing_close(struct diskrep_backing *b)
{
	if (!b->path)
		return;
	close(b->fd);
	free(TAKE_PTR(b->path));
}

static int read_all(int fd, uint8_t *to, size_t length, uint64_t offset)
{
	while (length) {
		const ssize_t n = pread(fd, to, length, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		to += n;
		length -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int write_all(int fd, const uint8_t *from, size_t length, uint64_t offset, bool durable)
{
	while (length) {
		const struct iovec iov = {(void *)from, length};
		const ssize_t n = pwritev2(fd, &iov, 1, (off_t)offset, durable ? RWF_DSYNC : 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		from += n;
		length -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* The part of [offset, offset + length) that one bounce buffer can take, widened to the alignment.
 */
struct span {
	uint64_t from;       /* aligned */
	uint32_t whole;      /* bytes, aligned */
	uint32_t skip, part; /* where in it what was asked for lies */
};

static struct span next_span(const struct diskrep_backing *b, uint64_t length, uint64_t offset)
{
	struct span s = {.skip = (uint32_t)(offset % b->align)};
	const uint64_t room = DISKREP_BUFFER_BYTES - s.skip;

	s.from = offset - s.skip;
	s.part = (uint32_t)(length < room ? length : room);
	s.whole = (s.skip + s.part + b->align - 1) / b->align * b->align;
	return s;
}

int diskrep_backing_read(
	const struct diskrep_backing *b, void *ret, uint64_t length, uint64_t offset, void *bounce)
{
	uint8_t *to = ret;
	int r = 0;

	while (!r && length) {
		const struct span s = next_span(b, length, offset);

		r = read_all(b->fd, bounce, s.whole, s.from);
		if (!r && to != bounce)
			memcpy(to, (uint8_t *)bounce + s.skip, s.part);
		to += s.part;
		offset += s.part;
		length -= s.part;
	}
	return r;
}

/* @data NULL: zeros. */
static int write_spans(const struct diskrep_backing *b, const uint8_t *data, uint64_t length,
	uint64_t offset, bool durable, void *bounce)
{
	int r = 0;

	while (!r && length) {
		const struct span s = next_span(b, length, offset);

		if (s.part != s.whole)
			r = read_all(b->fd, bounce, s.whole, s.from);
		if (r)
			break;
		if (data)
			memcpy((uint8_t *)bounce + s.skip, data, s.part);
		else
			memset((uint8_t *)bounce + s.skip, 0, s.part);
		r = write_all(b->fd, bounce, s.whole, s.from, durable);
		data = data ? data + s.part : NULL;
		offset += s.part;
		length -= s.part;
	}
	return r;
}

int diskrep_backing_write(const struct diskrep_backing *b, const void *data, uint64_t length,
	uint64_t offset, bool durable, void *bounce)
{
	return write_spans(b, data, length, offset, durable, bounce);
}

int diskrep_backing_zero(const struct diskrep_backing *b, uint64_t length, uint64_t offset,
	bool durable, void *bounce)
{
	/* Reads as zeros afterwards, on files and, since Linux 4.9, on block devices. */
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	/* A file that will be fully allocated must stay so: ENOSPC later would be a dead disk. */
	if (fallocate(b->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
		    (off_t)length) == 0 ||
		fallocate(b->fd, punch, (off_t)offset, (off_t)length) == 0)
		return durable || b->align == 1 ? diskrep_backing_flush(b) : 0;
	return write_spans(b, NULL, length, offset, durable, bounce);
}

int diskrep_backing_flush(const struct diskrep_backing *b)
{
	return fdatasync(b->fd) < 0 ? -errno : 0;
}
