/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/undo_store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/why.h"
#include "diskrep/rollback_write.h"

#define BLOCK DISKREP_UNDO_BLOCK
#define KEEP_NS (500 * NSEC_PER_MSEC) /* of a commit, for a drill */
#define SPARE_BYTES (64u << 20)       /* and undo-limit: what a drill leaves of its file system */

static int open_backing(struct diskrep_backing *b, const char *path, struct why *why)
{
	int r = diskrep_backing_open(b, path, why);

	if (!r && b->align == 1)
		log_warning("%s refuses O_DIRECT; its writes are buffered and synced one by one, "
			    "which is slow",
			path);
	return r;
}

static int open_disks(struct diskrep_undo_store *s, const char *const *volumes, size_t volumes_n,
	const char *marker, uint64_t undo_limit, struct why *why)
{
	uint64_t sizes[DISKREP_UNDO_VOLUMES_MAX];
	int r;

	for (s->volumes_n = 0; s->volumes_n < volumes_n; s->volumes_n++) {
		r = open_backing(&s->volumes[s->volumes_n], volumes[s->volumes_n], why);
		if (r)
			return r;
		sizes[s->volumes_n] = s->volumes[s->volumes_n].size;
	}
	r = open_backing(&s->marker, marker, why);
	if (r)
		return r;
	if (s->marker.size < DISKREP_MARKER_BYTES)
		return why_set(
			why, -EINVAL, "the marker volume %s is too small for a marker", marker);
	return diskrep_undo_open(sizes, volumes_n, undo_limit, &s->undo, why);
}

static void close_disks(struct diskrep_undo_store *s)
{
	s->undo = diskrep_undo_close(s->undo);
	while (s->volumes_n > 0)
		diskrep_backing_close(&s->volumes[--s->volumes_n]);
	diskrep_backing_close(&s->marker);
}

int diskrep_undo_store_open(struct diskrep_undo_store *s, const char *const *volumes,
	size_t volumes_n, const char *marker, uint64_t undo_limit, diskrep_undo_store_news *news,
	void *news_data, struct why *why)
{
	pthread_rwlockattr_t attr;
	int r;

	if (volumes_n < 1 || volumes_n > DISKREP_UNDO_VOLUMES_MAX)
		return why_set(why, -EINVAL, "an undo store has 1 to %d volumes, not %zu",
			DISKREP_UNDO_VOLUMES_MAX, volumes_n);
	memset(s, 0, sizeof(*s));
	s->news = news;
	s->news_data = news_data;
	r = open_disks(s, volumes, volumes_n, marker, undo_limit, why);
	if (!r && diskrep_buffers_open(&s->buffers) < 0)
		r = why_set(why, -ENOMEM, "no memory for the undo store's buffers");
	if (r) {
		close_disks(s);
		return r;
	}
	/* A boundary must not starve behind a stream of writes that overlap one another. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&s->barrier, &attr);
	pthread_rwlockattr_destroy(&attr);
	pthread_mutex_init(&s->map, NULL);
	pthread_mutex_init(&s->drill, NULL);
	pthread_mutex_init(&s->drill_io, NULL);
	return 0;
}

void diskrep_undo_store_close(struct diskrep_undo_store *s)
{
	diskrep_snapshot_close(s->snapshot);
	close_disks(s);
	diskrep_buffers_close(&s->buffers);
	pthread_rwlock_destroy(&s->barrier);
	pthread_mutex_destroy(&s->map);
	pthread_mutex_destroy(&s->drill);
	pthread_mutex_destroy(&s->drill_io);
}

static struct diskrep_backing *backing_of(struct diskrep_undo_store *s, uint32_t volume)
{
	return volume == DISKREP_STORE_MARKER ? &s->marker : &s->volumes[volume];
}

uint64_t diskrep_undo_store_size(const struct diskrep_undo_store *s, uint32_t volume)
{
	return volume == DISKREP_STORE_MARKER ? s->marker.size : s->volumes[volume].size;
}

int diskrep_undo_store_read(
	struct diskrep_undo_store *s, uint32_t volume, void *ret, uint32_t length, uint64_t offset)
{
	void *bounce = diskrep_buffer_get(&s->buffers);
	int r = diskrep_backing_read(backing_of(s, volume), ret, length, offset, bounce);

	diskrep_buffer_put(&s->buffers, bounce);
	return r;
}

/* ---- saving what a write is about to replace ---------------------------------------------- */

/* Narrow blocks [*from, *to) to what must be saved, ends only; false for nothing. */
static bool narrow(struct diskrep_undo_store *s, uint32_t volume, uint64_t *from, uint64_t *to)
{
	pthread_mutex_lock(&s->map);
	while (*from < *to && !diskrep_undo_wants(s->undo, volume, *from))
		++*from;
	while (*from < *to && !diskrep_undo_wants(s->undo, volume, *to - 1))
		--*to;
	pthread_mutex_unlock(&s->map);
	return *from < *to;
}

static void save_blocks(struct diskrep_undo_store *s, uint32_t volume, uint64_t from, uint64_t to,
	const uint8_t *content)
{
	bool overflow = false;

	pthread_mutex_lock(&s->map);
	for (uint64_t block = from; block < to && !overflow; block++)
		overflow = diskrep_undo_save(s->undo, volume, block,
				   content + (block - from) * BLOCK) == -ENOSPC;
	s->spoiled |= overflow;
	pthread_mutex_unlock(&s->map);
	if (overflow)
		s->news(s->news_data, "overflow");
}

/*
 * Read outside `map`, save inside: two writes of one block may both read it, but only the first
 * saves, and nobody has written before that; both are on the same side of every boundary.
 */
static int save_range(struct diskrep_undo_store *s, uint32_t volume, uint64_t length,
	uint64_t offset, uint8_t *bounce)
{
	const struct diskrep_backing *b = &s->volumes[volume];
	const uint64_t end = (offset + length + BLOCK - 1) / BLOCK;
	int r = 0;

	for (uint64_t from = offset / BLOCK, next; !r && from < end; from = next) {
		uint64_t to = from + DISKREP_BUFFER_BYTES / BLOCK;
		uint64_t bytes;

		to = next = to < end ? to : end;
		if (!narrow(s, volume, &from, &to))
			continue;
		bytes = to * BLOCK < b->size ? to * BLOCK : b->size;
		bytes -= from * BLOCK;
		r = diskrep_backing_read(b, bounce, bytes, from * BLOCK, bounce);
		if (!r)
			save_blocks(s, volume, from, to, bounce);
	}
	return r;
}

/* ---- boundaries ------------------------------------------------------------------------------ */

static bool is_expected(const struct diskrep_undo_store *s, const struct diskrep_marker *m)
{
	return s->expected.nonce && m->nonce == s->expected.nonce &&
	       m->generation == s->expected.generation &&
	       memcmp(m->uuid, s->expected.uuid, sizeof(m->uuid)) == 0;
}

/* With `barrier` held alone: every write before the marker is on the disk, none after it is. */
static void open_boundary(struct diskrep_undo_store *s, const struct diskrep_marker *m)
{
	struct diskrep_undo_info info;
	char line[96];
	bool overflowed;
	int r;

	pthread_mutex_lock(&s->map);
	if (!is_expected(s, m)) {
		pthread_mutex_unlock(&s->map);
		return;
	}
	diskrep_undo_info(s->undo, &info);
	overflowed = info.state == DISKREP_UNDO_OVERFLOW;
	r = diskrep_undo_boundary(s->undo, m->epoch);
	s->spoiled |= r == -ENOSPC;
	pthread_mutex_unlock(&s->map);

	snprintf(line, sizeof(line), "boundary %llu", (unsigned long long)m->epoch);
	if (r == -EPROTO)
		snprintf(line, sizeof(line), "error boundary %llu came instead of %llu",
			(unsigned long long)m->epoch, (unsigned long long)info.newest + 1);
	else if (r == -ENOSPC)
		snprintf(line, sizeof(line), "overflow");
	if (!overflowed) /* said already, when it happened */
		s->news(s->news_data, line);
}

/* ---- the self-test ----------------------------------------------------------------------------
 */

typedef void note_probe(struct diskrep_order *o, const struct diskrep_probe *p);

/* Count the probes among what is written to the marker volume: queues may have joined several. */
static void note_probes(struct diskrep_undo_store *s, const uint8_t *data, uint32_t length,
	uint64_t offset, note_probe *note)
{
	struct diskrep_probe p;

	for (uint64_t at = -offset % BLOCK; at + BLOCK <= length; at += BLOCK) {
		if (diskrep_probe_decode(data + at, &p))
			continue;
		pthread_mutex_lock(&s->map);
		if (is_expected(s, &p.session))
			note(&s->order, &p);
		pthread_mutex_unlock(&s->map);
	}
}

/* ---- writing --------------------------------------------------------------------------------- */

static int write_through(struct diskrep_undo_store *s, uint32_t volume, const void *data,
	uint32_t length, uint64_t offset, bool durable, void *bounce)
{
	const struct diskrep_backing *b = backing_of(s, volume);

	return data ? diskrep_backing_write(b, data, length, offset, durable, bounce)
		    : diskrep_backing_zero(b, length, offset, durable, bounce);
}

int diskrep_undo_store_write(struct diskrep_undo_store *s, uint32_t volume, const void *data,
	uint32_t length, uint64_t offset, bool durable)
{
	const bool to_marker = volume == DISKREP_STORE_MARKER;
	struct diskrep_marker m;
	const bool marker = to_marker && data && offset == 0 && length >= DISKREP_MARKER_BYTES &&
			    diskrep_marker_decode(data, &m) == 0;
	uint8_t *bounce;
	int r = 0;

	if (to_marker && data)
		note_probes(s, data, length, offset, diskrep_order_arrived);
	if (marker || diskrep_backing_is_partial(backing_of(s, volume), offset, length))
		pthread_rwlock_wrlock(&s->barrier);
	else
		pthread_rwlock_rdlock(&s->barrier);
	bounce = diskrep_buffer_get(&s->buffers);
	/* Before the marker is on its disk: the worker waits for the news, nobody for that block.
	 */
	if (marker)
		open_boundary(s, &m);
	if (!to_marker)
		r = save_range(s, volume, length, offset, bounce);
	if (!r)
		r = write_through(s, volume, data, length, offset, durable, bounce);
	if (to_marker && data && !r)
		note_probes(s, data, length, offset, diskrep_order_written);
	diskrep_buffer_put(&s->buffers, bounce);
	pthread_rwlock_unlock(&s->barrier);
	return r;
}

int diskrep_undo_store_flush(struct diskrep_undo_store *s, uint32_t volume)
{
	return diskrep_backing_flush(backing_of(s, volume));
}

/* ---- the worker ------------------------------------------------------------------------------ */

void diskrep_undo_store_expect(struct diskrep_undo_store *s, const struct diskrep_marker *expected)
{
	diskrep_undo_store_release(s);
	pthread_rwlock_wrlock(&s->barrier);
	pthread_mutex_lock(&s->map);
	s->expected = *expected;
	s->order = (struct diskrep_order){0};
	diskrep_undo_reset(s->undo);
	s->spoiled = true;
	pthread_mutex_unlock(&s->map);
	s->news(s->news_data, "ok");
	pthread_rwlock_unlock(&s->barrier);
}

/*
 * Its files may be gigabytes, which take time to be given back: nobody waits for that. With `drill`
 * held.
 */
static void *close_snapshot(void *snapshot)
{
	diskrep_snapshot_close(snapshot);
	return NULL;
}

static void drop_snapshot(struct diskrep_undo_store *s)
{
	struct diskrep_snapshot *p = s->snapshot;
	pthread_attr_t attr;
	pthread_t thread;

	s->snapshot = NULL;
	if (!p)
		return;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, close_snapshot, p))
		diskrep_snapshot_close(p);
	pthread_attr_destroy(&attr);
}

static void keep_block(struct diskrep_undo_store *s, const struct diskrep_undo_item *item,
	uint64_t boundary, const uint8_t *content)
{
	const uint64_t block = item->offset / BLOCK;

	pthread_mutex_lock(&s->drill);
	if (s->snapshot && boundary >= s->snapshot_epoch &&
		!diskrep_snapshot_has(s->snapshot, item->volume, block) &&
		diskrep_snapshot_put(s->snapshot, item->volume, block, content, item->length))
		drop_snapshot(s);
	pthread_mutex_unlock(&s->drill);
}

/*
 * What a commit of @epoch drops and the snapshot lacks. The acknowledgement of the next checkpoint
 * waits for this: where the files are too slow, it is the drill that ends.
 */
static void keep_dropped(struct diskrep_undo_store *s, uint64_t epoch)
{
	const uint64_t until = clock_now_ns() + KEEP_NS;
	uint8_t content[BLOCK];
	struct diskrep_undo_item item;
	uint64_t boundary;

	pthread_mutex_lock(&s->map);
	while (!s->spoiled && diskrep_undo_dropped(s->undo, epoch, &boundary, &item)) {
		s->spoiled = clock_now_ns() > until;
		memcpy(content, item.content, item.length);
		pthread_mutex_unlock(&s->map);
		keep_block(s, &item, boundary, content);
		pthread_mutex_lock(&s->map);
		diskrep_undo_drop(s->undo);
	}
	pthread_mutex_unlock(&s->map);
}

static bool has_snapshot(struct diskrep_undo_store *s)
{
	bool has;

	pthread_mutex_lock(&s->drill);
	has = s->snapshot;
	pthread_mutex_unlock(&s->drill);
	return has;
}

int diskrep_undo_store_commit(struct diskrep_undo_store *s, uint64_t epoch)
{
	int r;

	if (has_snapshot(s))
		keep_dropped(s, epoch);
	pthread_mutex_lock(&s->map);
	r = diskrep_undo_commit(s->undo, epoch);
	pthread_mutex_unlock(&s->map);
	return r;
}

int diskrep_undo_store_dump(struct diskrep_undo_store *s, uint64_t epoch, const char *path,
	uint64_t *ret_bytes, struct why *why)
{
	struct diskrep_marker at;
	int r;

	pthread_rwlock_wrlock(&s->barrier);
	pthread_mutex_lock(&s->map);
	at = s->expected;
	at.epoch = epoch;
	r = diskrep_rollback_write(path, s->undo, &at, (uint32_t)s->volumes_n, ret_bytes, why);
	pthread_mutex_unlock(&s->map);
	pthread_rwlock_unlock(&s->barrier);
	return r;
}

void diskrep_undo_store_settle(struct diskrep_undo_store *s)
{
	pthread_rwlock_wrlock(&s->barrier); /* for ever */
	for (size_t v = 0; v < s->volumes_n; v++)
		if (diskrep_backing_flush(&s->volumes[v]) < 0)
			log_error(
				"cannot sync %s at the end of the undo store", s->volumes[v].path);
}

void diskrep_undo_store_info(struct diskrep_undo_store *s, struct diskrep_undo_info *ret)
{
	pthread_mutex_lock(&s->map);
	diskrep_undo_info(s->undo, ret);
	pthread_mutex_unlock(&s->map);
}

void diskrep_undo_store_order(struct diskrep_undo_store *s, struct diskrep_order_count *ret)
{
	pthread_mutex_lock(&s->map);
	*ret = s->order.count;
	pthread_mutex_unlock(&s->map);
}

/* ---- a drill --------------------------------------------------------------------------------- */

int diskrep_undo_store_snapshot(
	struct diskrep_undo_store *s, uint64_t epoch, const char *dir, struct why *why)
{
	uint64_t sizes[DISKREP_UNDO_VOLUMES_MAX];
	struct diskrep_snapshot *p = NULL;
	struct diskrep_undo_info info;
	int r;

	for (size_t v = 0; v < s->volumes_n; v++)
		sizes[v] = s->volumes[v].size;
	diskrep_undo_store_info(s, &info);
	r = diskrep_snapshot_open(sizes, s->volumes_n, dir, info.limit + SPARE_BYTES, &p, why);
	pthread_mutex_lock(&s->drill);
	pthread_mutex_lock(&s->map);
	diskrep_undo_info(s->undo, &info);
	if (!r && s->snapshot)
		r = why_set(why, -EBUSY, "there is a snapshot of the disks already");
	if (!r && (info.state != DISKREP_UNDO_SAVING || epoch < info.oldest || epoch > info.newest))
		r = why_set(why, -EINVAL, "boundary %llu is not kept any more",
			(unsigned long long)epoch);
	if (!r) {
		s->snapshot = p;
		s->snapshot_epoch = epoch;
		s->snapshot_n++;
		s->spoiled = false;
		p = NULL;
	}
	pthread_mutex_unlock(&s->map);
	pthread_mutex_unlock(&s->drill);
	diskrep_snapshot_close(p);
	return r;
}

void diskrep_undo_store_release(struct diskrep_undo_store *s)
{
	pthread_mutex_lock(&s->drill);
	drop_snapshot(s);
	pthread_mutex_unlock(&s->drill);
}

/* What the snapshot knows of a block: 1 with *ret filled, 0 for nothing. With `drill` held. */
static int drill_known(struct diskrep_undo_store *s, uint32_t volume, uint64_t block,
	uint32_t length, uint8_t *ret)
{
	const uint8_t *old;
	int r = 0;

	if (!s->snapshot)
		return -EIO;
	if (diskrep_snapshot_has(s->snapshot, volume, block)) {
		r = diskrep_snapshot_get(s->snapshot, volume, block, ret, length);
		return r ? r : 1;
	}
	pthread_mutex_lock(&s->map);
	old = diskrep_undo_content(s->undo, volume, block, s->snapshot_epoch);
	if (s->spoiled)
		r = -EIO;
	else if (old)
		memcpy(ret, old, length);
	pthread_mutex_unlock(&s->map);
	return r ? r : old != NULL;
}

/*
 * A block as the drill sees it. The disk is read before the snapshot is asked, and without its
 * lock: what neither the map nor the files know then had not been overwritten when it was read, for
 * a commit puts it into the one before it drops it from the other.
 */
static int drill_block(struct diskrep_undo_store *s, uint32_t volume, uint64_t block,
	uint32_t length, uint8_t *ret, uint8_t *bounce)
{
	int r = diskrep_backing_read(&s->volumes[volume], ret, length, block * BLOCK, bounce);

	if (r)
		return r;
	pthread_mutex_lock(&s->drill);
	r = drill_known(s, volume, block, length, ret);
	pthread_mutex_unlock(&s->drill);
	return r < 0 ? r : 0;
}

static int drill_put(struct diskrep_undo_store *s, uint64_t n, uint32_t volume, uint64_t block,
	const uint8_t *content, uint32_t length)
{
	int r = -EIO;

	pthread_mutex_lock(&s->drill);
	if (s->snapshot && s->snapshot_n == n) /* not of another drill */
		r = diskrep_snapshot_put(s->snapshot, volume, block, content, length);
	if (r)
		drop_snapshot(s);
	pthread_mutex_unlock(&s->drill);
	return r;
}

static uint64_t which_snapshot(struct diskrep_undo_store *s)
{
	uint64_t n;

	pthread_mutex_lock(&s->drill);
	n = s->snapshot_n;
	pthread_mutex_unlock(&s->drill);
	return n;
}

/* Block by block; @to and @from: what is read into, or written (both NULL: zeros). */
static int drill_range(struct diskrep_undo_store *s, uint32_t volume, uint8_t *to,
	const uint8_t *from, uint32_t length, uint64_t offset)
{
	const uint64_t snapshot = which_snapshot(s);
	uint32_t at, n, whole;
	uint8_t *bounce, *content;
	int r = 0;

	pthread_mutex_lock(&s->drill_io);
	bounce = diskrep_buffer_get(&s->buffers); /* one for all of a drill */
	content = bounce + BLOCK;
	for (uint32_t done = 0; !r && done < length; done += n) {
		const uint64_t block = (offset + done) / BLOCK;

		at = (uint32_t)((offset + done) % BLOCK);
		n = BLOCK - at < length - done ? BLOCK - at : length - done;
		whole = diskrep_undo_length(s->undo, volume, block);
		if (to || n < whole)
			r = drill_block(s, volume, block, whole, content, bounce);
		if (!r && to)
			memcpy(to + done, content + at, n);
		if (r || to)
			continue;
		if (from)
			memcpy(content + at, from + done, n);
		else
			memset(content + at, 0, n);
		r = drill_put(s, snapshot, volume, block, content, whole);
	}
	diskrep_buffer_put(&s->buffers, bounce);
	pthread_mutex_unlock(&s->drill_io);
	return r;
}

int diskrep_undo_store_drill_read(
	struct diskrep_undo_store *s, uint32_t volume, void *ret, uint32_t length, uint64_t offset)
{
	return drill_range(s, volume, ret, NULL, length, offset);
}

int diskrep_undo_store_drill_write(struct diskrep_undo_store *s, uint32_t volume, const void *data,
	uint32_t length, uint64_t offset)
{
	return drill_range(s, volume, NULL, data, length, offset);
}
