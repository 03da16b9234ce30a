/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/rollback_write.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/crc32c.h"
#include "common/why.h"
#include "diskrep/directory.h"
#include "diskrep/marker.h"
#include "diskrep/rollback_format.h"
#include "diskrep/undo.h"

struct writer {
	FILE *file;
	uint32_t crc;
	uint64_t records, bytes;
};

static void put_header(struct writer *w, const struct diskrep_marker *at, uint32_t volumes)
{
	struct rollback_header h = {
		.magic = ROLLBACK_MAGIC,
		.version = htole32(ROLLBACK_VERSION),
		.volumes = htole32(volumes),
		.generation = htole64(at->generation),
		.epoch = htole64(at->epoch),
	};

	memcpy(h.uuid, at->uuid, sizeof(h.uuid));
	w->crc = crc32c(0, &h, offsetof(struct rollback_header, crc));
	h.crc = htole32(w->crc);
	fwrite(&h, sizeof(h), 1, w->file);
}

static void put_record_head(struct writer *w, struct rollback_record *r)
{
	r->crc = htole32(w->crc);
	fwrite(r, sizeof(*r), 1, w->file);
}

/* Neighbours [from, to) become one record: fewer and larger writes while the guest waits. */
static void put_run(
	struct writer *w, const struct diskrep_undo *undo, size_t from, size_t to, uint32_t length)
{
	const struct diskrep_undo_item first = diskrep_undo_item(undo, from);
	struct rollback_record r = {
		.volume = htole32(first.volume),
		.length = htole32(length),
		.offset = htole64(first.offset),
	};

	w->crc = crc32c(w->crc, &r, ROLLBACK_RECORD_SUMMED);
	for (size_t i = from; i < to; i++) {
		const struct diskrep_undo_item item = diskrep_undo_item(undo, i);

		w->crc = crc32c(w->crc, item.content, item.length);
	}
	put_record_head(w, &r);
	for (size_t i = from; i < to; i++) {
		const struct diskrep_undo_item item = diskrep_undo_item(undo, i);

		fwrite(item.content, item.length, 1, w->file);
	}
	w->records++;
	w->bytes += length;
}

static void put_records(struct writer *w, const struct diskrep_undo *undo, size_t n)
{
	size_t to;

	for (size_t from = 0; from < n; from = to) {
		const struct diskrep_undo_item first = diskrep_undo_item(undo, from);
		uint32_t length = first.length;

		for (to = from + 1; to < n; to++) {
			const struct diskrep_undo_item next = diskrep_undo_item(undo, to);

			if (next.volume != first.volume || next.offset != first.offset + length ||
				length + next.length > ROLLBACK_DATA_MAX)
				break;
			length += next.length;
		}
		put_run(w, undo, from, to, length);
	}
}

static void put_end(struct writer *w)
{
	struct rollback_record r = {.volume = htole32(ROLLBACK_END), .offset = htole64(w->records)};

	w->crc = crc32c(w->crc, &r, ROLLBACK_RECORD_SUMMED);
	put_record_head(w, &r);
}

static int failed(const char *path, const char *what, struct why *why)
{
	const int err = errno ? errno : EIO;

	unlink(path);
	return why_set(why, -err,
		"cannot %s the rollback file %s: %s; make room there, a takeover needs it", what,
		path, strerror(err));
}

int diskrep_rollback_write(const char *path, struct diskrep_undo *undo,
	const struct diskrep_marker *at, uint32_t volumes, uint64_t *ret_bytes, struct why *why)
{
	char tmp[PATH_MAX];
	CLEANUP_FCLOSE FILE *file = NULL;
	struct writer w = {0};
	size_t n;
	int fd, r = diskrep_undo_rollback(undo, at->epoch, &n);

	if (r == -ENOSPC)
		return why_set(why, r,
			"the undo store overflowed, so the disks cannot be taken back to boundary "
			"%llu",
			(unsigned long long)at->epoch);
	if (r)
		return why_set(why, r, "the undo store does not hold boundary %llu",
			(unsigned long long)at->epoch);
	if (snprintf(tmp, sizeof(tmp), "%s.tmp", path) >= (int)sizeof(tmp))
		return why_set(why, -ENAMETOOLONG, "the path %s is too long", path);
	unlink(tmp); /* what a store that died here left; ours is created anew, not written over */
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return failed(tmp, "create", why);
	w.file = file = fdopen(fd, "we");
	if (!file) {
		close(fd);
		return failed(tmp, "create", why);
	}
	errno = 0;
	put_header(&w, at, volumes);
	put_records(&w, undo, n);
	put_end(&w);
	if (fflush(file) || ferror(file))
		return failed(tmp, "write", why);
	if (fsync(fd))
		return failed(tmp, "sync", why);
	if (rename(tmp, path))
		return failed(tmp, "rename", why);
	r = diskrep_sync_directory_of(path);
	if (r)
		return why_set(why, r, "cannot sync the directory of %s: %s", path, strerror(-r));
	*ret_bytes = w.bytes;
	return 0;
}
