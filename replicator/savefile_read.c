/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/savefile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zstd.h>

#include "proto/romulus.pb-c.h"
#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/text.h"
#include "common/why.h"
#include "replicator/xenstream.h"

struct reader {
	int fd;
	savefile_take_fn take;
	void *opaque;
	struct savefile_about *about;
	struct why *why;

	uint8_t *payload, *raw;
	ZSTD_DCtx *zstd;
	gnutls_hash_hd_t sum;
	uint64_t chunks;
	struct xenstream stream;
};

void savefile_about_clear(struct savefile_about *a)
{
	free(a->config_json);
	free(a->host);
	free(a->note);
	*a = (struct savefile_about){0};
}

/* How many of @n bytes there were, or a negative errno. */
static ssize_t read_up_to(int fd, void *data, size_t n, struct why *why)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = read(fd, (uint8_t *)data + done, n - done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return why_set(why, -errno, "the file cannot be read: %s", strerror(errno));
		if (r == 0)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

int savefile_read_exactly(int fd, void *data, size_t n, struct why *why)
{
	const ssize_t got = read_up_to(fd, data, n, why);

	if (got < 0)
		return (int)got;
	return (size_t)got == n ? 0
				: why_set(why, -EBADMSG, "the file is cut short: it has no end");
}

static int no_memory(struct why *why)
{
	return why_set(why, -ENOMEM, "no memory to read the file");
}

static int pass(struct reader *r, const void *data, size_t n)
{
	int err = xenstream_put(&r->stream, data, n, r->why);

	r->about->stream_bytes += n;
	if (!err && r->take)
		err = r->take(r->opaque, data, n, r->why);
	return err;
}

/* ---- our own -------------------------------------------------------------------------------- */

static int read_about(struct reader *r, const struct savefile_frame *f)
{
	Romulus__SavedDomain *m = romulus__saved_domain__unpack(NULL, f->length, r->payload);

	if (!m || !m->config[0]) {
		if (m)
			romulus__saved_domain__free_unpacked(m, NULL);
		return why_set(r->why, -EBADMSG,
			"the file does not say what domain it is of: it is damaged");
	}
	r->about->config_json = strdup(m->config);
	r->about->host = strdup(m->host);
	r->about->memory_kb = m->memory_kb;
	r->about->saved_ns = m->saved_ns;
	r->about->checkpoint = m->checkpoint;
	romulus__saved_domain__free_unpacked(m, NULL);
	if (!r->about->config_json || !r->about->host)
		return no_memory(r->why);
	text_clean(r->about->host);
	return 0;
}

/* Exactly one zstd frame of exactly @f->raw bytes. */
static int read_chunk(struct reader *r, const struct savefile_frame *f)
{
	size_t n = ZSTD_findFrameCompressedSize(r->payload, f->length);

	if (!ZSTD_isError(n) && n == f->length)
		n = ZSTD_decompressDCtx(r->zstd, r->raw, f->raw, r->payload, f->length);
	else
		n = 0;
	if (n != f->raw)
		return why_set(r->why, -EBADMSG,
			"the file is damaged: frame %" PRIu64 " cannot be decompressed",
			f->sequence);
	r->chunks++;
	return pass(r, r->raw, n);
}

static int read_note(struct reader *r, const struct savefile_frame *f)
{
	r->about->note = strndup((const char *)r->payload, f->length);
	if (!r->about->note)
		return no_memory(r->why);
	text_clean(r->about->note);
	return 0;
}

/* The sum is of all before this frame. */
static int read_end(struct reader *r, const uint8_t sum[SAVEFILE_SUM_BYTES])
{
	uint8_t more;
	ssize_t n;

	if (bytes_get_le64(r->payload) != r->about->stream_bytes ||
		bytes_get_le64(r->payload + 8) != r->chunks ||
		memcmp(r->payload + 16, sum, SAVEFILE_SUM_BYTES) != 0)
		return why_set(r->why, -EBADMSG,
			"the file is damaged: its parts are intact, but are not all that was "
			"written, or not in that order");
	n = read_up_to(r->fd, &more, 1, r->why);
	if (n < 0)
		return (int)n;
	return n ? why_set(r->why, -EBADMSG, "the file is damaged: it goes on behind its end") : 0;
}

static int read_frame(
	struct reader *r, uint64_t sequence, struct savefile_frame *ret, uint8_t sum[])
{
	uint8_t header[SAVEFILE_FRAME_BYTES];
	int err = savefile_read_exactly(r->fd, header, sizeof(header), r->why);

	if (!err)
		err = savefile_frame_decode(header, sequence, ret, r->why);
	if (!err)
		err = savefile_read_exactly(r->fd, r->payload, ret->length, r->why);
	if (err)
		return err;
	if (!savefile_frame_intact(ret, r->payload))
		return why_set(r->why, -EBADMSG,
			"the file is damaged: the checksum of its frame %" PRIu64 " is wrong",
			sequence);
	if (ret->type == SAVEFILE_END)
		gnutls_hash_output(r->sum, sum);
	else if (gnutls_hash(r->sum, header, sizeof(header)) < 0 ||
		 gnutls_hash(r->sum, r->payload, ret->length) < 0)
		return no_memory(r->why);
	return 0;
}

static int read_frames(struct reader *r)
{
	struct savefile_frame f = {.type = SAVEFILE_ABOUT};
	uint8_t sum[SAVEFILE_SUM_BYTES] = {0};
	int err = 0;

	for (uint64_t sequence = 0; !err && f.type != SAVEFILE_END; sequence++) {
		const enum savefile_type last = f.type;

		err = read_frame(r, sequence, &f, sum);
		if (!err && (f.type < last || (f.type == SAVEFILE_NOTE && f.type == last)))
			err = why_set(r->why, -EBADMSG,
				"the file is damaged: its frames are out of order");
		if (err)
			break;
		switch (f.type) {
		case SAVEFILE_ABOUT:
			err = read_about(r, &f);
			break;
		case SAVEFILE_STREAM:
			err = read_chunk(r, &f);
			break;
		case SAVEFILE_NOTE:
			err = read_note(r, &f);
			break;
		case SAVEFILE_END:
			err = read_end(r, sum);
			break;
		}
	}
	return err;
}

static int read_own(struct reader *r, const uint8_t *header)
{
	int err = savefile_header_decode(header, r->why);

	if (err)
		return err;
	r->about->format = SAVEFILE_ROMULUS;
	r->payload = malloc(SAVEFILE_PACKED_MAX);
	r->raw = malloc(SAVEFILE_CHUNK);
	r->zstd = ZSTD_createDCtx();
	if (!r->payload || !r->raw || !r->zstd ||
		gnutls_hash_init(&r->sum, GNUTLS_DIG_SHA256) < 0 ||
		gnutls_hash(r->sum, header, SAVEFILE_HEADER_BYTES) < 0)
		return no_memory(r->why);
	return read_frames(r);
}

/* ---- xl's ----------------------------------------------------------------------------------- */

/* Before the stream, in order: the length of the configuration, that, and what a later xl may add.
 */
static int read_xl_config(struct reader *r, uint32_t length)
{
	CLEANUP_FREE uint8_t *bytes = malloc(length);
	uint32_t n;
	int err = bytes ? savefile_read_exactly(r->fd, bytes, length, r->why) : no_memory(r->why);

	if (err)
		return err;
	n = bytes_get_le32(bytes);
	if (n == 0 || n > length - 4)
		return why_set(r->why, -EBADMSG,
			"the file of `xl save` has no configuration, or is damaged");
	r->about->config_json = strndup((const char *)bytes + 4, n);
	return r->about->config_json ? 0 : no_memory(r->why);
}

static int read_xl(struct reader *r, uint32_t config_bytes)
{
	ssize_t n;
	int err;

	r->about->format = SAVEFILE_XL;
	r->raw = malloc(SAVEFILE_CHUNK);
	err = r->raw ? read_xl_config(r, config_bytes) : no_memory(r->why);
	while (!err && (n = read_up_to(r->fd, r->raw, SAVEFILE_CHUNK, r->why)) != 0)
		err = n < 0 ? (int)n : pass(r, r->raw, (size_t)n);
	return err;
}

static int read_any(struct reader *r)
{
	uint8_t head[SAVEFILE_XL_BYTES];
	uint32_t config_bytes = 0;
	int err = savefile_read_exactly(r->fd, head, SAVEFILE_HEADER_BYTES, r->why);

	if (err)
		return why_set(r->why, err == -EBADMSG ? -ENODATA : err,
			"the file is too short to be one of a saved domain");
	if (memcmp(head, SAVEFILE_MAGIC, 4) == 0)
		return read_own(r, head);
	err = savefile_read_exactly(r->fd, head + SAVEFILE_HEADER_BYTES,
		SAVEFILE_XL_BYTES - SAVEFILE_HEADER_BYTES, r->why);
	if (!err)
		err = savefile_xl_decode(head, &config_bytes, r->why);
	if (err == -ENODATA) /* neither */
		return savefile_header_decode(head, r->why);
	return err ? err : read_xl(r, config_bytes);
}

int savefile_read(
	int fd, savefile_take_fn take, void *opaque, struct savefile_about *ret, struct why *why)
{
	struct savefile_about about = {0};
	struct reader r = {.fd = fd, .take = take, .opaque = opaque, .about = &about, .why = why};
	int err = read_any(&r);

	if (!err)
		err = xenstream_end(&r.stream, why);
	free(r.payload);
	free(r.raw);
	ZSTD_freeDCtx(r.zstd);
	if (r.sum)
		gnutls_hash_deinit(r.sum, NULL);
	if (ret)
		*ret = about;
	else
		savefile_about_clear(&about);
	return err;
}
