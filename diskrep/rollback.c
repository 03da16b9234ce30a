/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/rollback.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/crc32c.h"
#include "common/why.h"
#include "diskrep/directory.h"
#include "diskrep/rollback_format.h"
#include "diskrep/undo.h"

#define ALIGNMENT 4096 /* of memory, enough for O_DIRECT on every device */

struct target {
	const char *path;
	int fd;
	uint64_t size;
};

struct walk {
	const char *path;
	FILE *file;
	uint8_t *data; /* ROLLBACK_DATA_MAX, aligned */
	struct diskrep_rollback_info info;
	struct target *targets; /* NULL: only check the file */
	bool write;             /* false: only check that it fits */
};

static int damaged(const struct walk *w, const char *what, struct why *why)
{
	return why_set(why, -EBADMSG,
		"the rollback file %s is damaged (%s), so these disks cannot be taken back to "
		"their checkpoint",
		w->path, what);
}

static bool get(struct walk *w, void *ret, size_t length)
{
	return fread(ret, 1, length, w->file) == length;
}

static int get_header(struct walk *w, uint32_t *ret_crc, struct why *why)
{
	struct rollback_header h;

	if (!get(w, &h, sizeof(h)) || memcmp(h.magic, ROLLBACK_MAGIC, sizeof(h.magic)) != 0)
		return damaged(w, "no header", why);
	*ret_crc = crc32c(0, &h, offsetof(struct rollback_header, crc));
	if (le32toh(h.crc) != *ret_crc)
		return damaged(w, "header checksum", why);
	if (le32toh(h.version) != ROLLBACK_VERSION || h.reserved)
		return damaged(w, "unknown version", why);
	w->info = (struct diskrep_rollback_info){
		.volumes = le32toh(h.volumes),
		.generation = le64toh(h.generation),
		.epoch = le64toh(h.epoch),
	};
	memcpy(w->info.uuid, h.uuid, sizeof(h.uuid));
	if (w->info.volumes < 1 || w->info.volumes > DISKREP_UNDO_VOLUMES_MAX)
		return damaged(w, "number of volumes", why);
	return 0;
}

static int write_at(struct target *t, const uint8_t *data, size_t length, uint64_t offset)
{
	while (length) {
		const ssize_t n = pwrite(t->fd, data, length, (off_t)offset);
		const int flags = n < 0 && errno == EINVAL ? fcntl(t->fd, F_GETFL) : 0;

		if (n < 0 && errno == EINVAL && (flags & O_DIRECT)) {
			/* A short last block on a device of larger sectors: buffered from here. */
			if (fcntl(t->fd, F_SETFL, flags & ~O_DIRECT) < 0)
				return -errno;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		data += n;
		length -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int on_record(
	struct walk *w, uint32_t volume, uint32_t length, uint64_t offset, struct why *why)
{
	struct target *t;
	int r;

	if (!w->targets)
		return 0;
	t = &w->targets[volume];
	if (offset > t->size || length > t->size - offset)
		return why_set(why, -ERANGE,
			"the rollback file %s reaches beyond the end of %s: it is not for this "
			"disk",
			w->path, t->path);
	r = w->write ? write_at(t, w->data, length, offset) : 0;
	return r ? why_set(why, r,
			   "cannot roll back %s: %s; the disks are between two checkpoints until "
			   "this has been repeated",
			   t->path, strerror(-r))
		 : 0;
}

/* One pass over the file; every record's checksum has been verified when on_record() sees it. */
static int walk_file(struct walk *w, struct why *why)
{
	struct rollback_record rec;
	uint32_t crc = 0, length;
	uint64_t offset;
	int r;

	rewind(w->file);
	r = get_header(w, &crc, why);
	while (!r) {
		if (!get(w, &rec, sizeof(rec)))
			return damaged(w, "it ends too early", why);
		length = le32toh(rec.length);
		offset = le64toh(rec.offset);
		if (length > ROLLBACK_DATA_MAX || (length && !get(w, w->data, length)))
			return damaged(w, "a record's length", why);
		crc = crc32c(crc32c(crc, &rec, ROLLBACK_RECORD_SUMMED), w->data, length);
		if (le32toh(rec.crc) != crc)
			return damaged(w, "a record's checksum", why);
		if (le32toh(rec.volume) == ROLLBACK_END)
			break;
		if (le32toh(rec.volume) >= w->info.volumes || !length ||
			(length | offset) % ROLLBACK_UNIT)
			return damaged(w, "a record", why);
		r = on_record(w, le32toh(rec.volume), length, offset, why);
		w->info.records++;
		w->info.bytes += length;
	}
	if (r)
		return r;
	if (offset != w->info.records || length)
		return damaged(w, "number of records", why);
	return fgetc(w->file) == EOF ? 0 : damaged(w, "something follows its end", why);
}

static int open_file(struct walk *w, struct why *why)
{
	w->file = fopen(w->path, "re");
	if (!w->file)
		return why_set(why, -errno, "cannot open the rollback file %s: %s", w->path,
			strerror(errno));
	if (posix_memalign((void **)&w->data, ALIGNMENT, ROLLBACK_DATA_MAX))
		return why_set(why, -ENOMEM, "no memory to read the rollback file");
	return 0;
}

static void close_file(struct walk *w)
{
	if (w->file)
		fclose(w->file);
	free(w->data);
}

int diskrep_rollback_check(const char *path, struct diskrep_rollback_info *ret, struct why *why)
{
	struct walk w = {.path = path};
	int r = open_file(&w, why);

	if (!r)
		r = walk_file(&w, why);
	if (!r && ret)
		*ret = w.info;
	close_file(&w);
	return r;
}

static int open_target(struct target *t, const char *path, struct why *why)
{
	off_t size;

	t->path = path;
	/* Exclusive: a device that a guest has open already must not change beneath it. */
	t->fd = open(path, O_RDWR | O_DIRECT | O_EXCL | O_CLOEXEC);
	if (t->fd < 0 && errno == EINVAL) /* tmpfs */
		t->fd = open(path, O_RDWR | O_CLOEXEC);
	size = t->fd < 0 ? -1 : lseek(t->fd, 0, SEEK_END);
	if (size < 0)
		return why_set(
			why, -errno, "cannot open %s to roll it back: %s", path, strerror(errno));
	t->size = (uint64_t)size;
	return 0;
}

static int write_back(struct walk *w, size_t n, struct why *why)
{
	int r;

	w->write = true;
	r = walk_file(w, why);
	for (size_t i = 0; !r && i < n; i++)
		if (fsync(w->targets[i].fd) < 0)
			r = why_set(why, -errno, "cannot sync %s after rolling it back: %s",
				w->targets[i].path, strerror(errno));
	return r;
}

int diskrep_rollback_replay(const char *path, const char *const *devices, size_t n,
	struct diskrep_rollback_stats *ret_stats, struct why *why)
{
	struct target targets[DISKREP_UNDO_VOLUMES_MAX];
	struct walk w = {.path = path};
	size_t opened = 0;
	int r = open_file(&w, why);

	if (!r)
		r = walk_file(&w, why);
	if (!r && w.info.volumes != n)
		r = why_set(why, -EINVAL, "the rollback file %s is for %u volumes, not %zu", path,
			w.info.volumes, n);
	for (; !r && opened < n; opened++)
		r = open_target(&targets[opened], devices[opened], why);
	if (!r) {
		w.targets = targets;
		r = walk_file(&w, why);
	}
	if (!r)
		r = write_back(&w, n, why);
	if (!r && ret_stats)
		*ret_stats = (struct diskrep_rollback_stats){w.info.records, w.info.bytes};
	for (size_t i = 0; i < opened; i++)
		if (targets[i].fd >= 0)
			close(targets[i].fd);
	close_file(&w);
	return r;
}

int diskrep_rollback_forget(const char *path, struct why *why)
{
	int r = unlink(path) < 0 && errno != ENOENT ? -errno : 0;

	if (!r)
		r = diskrep_sync_directory_of(path);
	return r ? why_set(why, r,
			   "cannot remove the rollback file %s: %s; remove it by hand, or "
			   "old content will be written again",
			   path, strerror(-r))
		 : 0;
}
