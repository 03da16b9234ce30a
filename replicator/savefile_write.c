/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/savefile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zstd.h>

#include "proto/romulus.pb-c.h"
#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/why.h"

#define LEVEL 1 /* of zstd: the disk is to be the limit, not the processor */

int savefile_write_all(int fd, const void *data, size_t n, struct why *why)
{
	const uint8_t *p = data;

	while (n > 0) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return why_set(
				why, -errno, "the file cannot be written: %s", strerror(errno));
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

static int no_memory(struct why *why)
{
	return why_set(why, -ENOMEM, "no memory to write the file");
}

static int put(struct savefile_writer *w, const void *data, size_t n, struct why *why)
{
	int r = savefile_write_all(w->fd, data, n, why);

	w->written += n;
	if (!r && w->sum && gnutls_hash(w->sum, data, n) < 0)
		return no_memory(why);
	return r;
}

static int put_frame(struct savefile_writer *w, enum savefile_type type, const void *payload,
	size_t length, size_t raw, struct why *why)
{
	const struct savefile_frame f = {.type = type,
		.length = (uint32_t)length,
		.raw = (uint32_t)raw,
		.sequence = w->sequence++};
	uint8_t header[SAVEFILE_FRAME_BYTES];
	int r;

	savefile_frame_encode(header, &f, payload);
	r = put(w, header, sizeof(header), why);
	return r ? r : put(w, payload, length, why);
}

static int put_about(struct savefile_writer *w, const struct savefile_about *about,
	const char *hypervisor, struct why *why)
{
	static char software[] = "romulus " ROMULUS_VERSION, nothing[] = "";
	Romulus__SavedDomain m = ROMULUS__SAVED_DOMAIN__INIT;
	CLEANUP_FREE uint8_t *bytes = NULL;
	size_t n;

	m.config = about->config_json;
	m.memory_kb = about->memory_kb;
	m.saved_ns = about->saved_ns;
	m.checkpoint = about->checkpoint;
	m.host = about->host ? about->host : nothing;
	m.software = software;
	m.hypervisor = (char *)(uintptr_t)hypervisor;
	n = romulus__saved_domain__get_packed_size(&m);
	if (n > SAVEFILE_ABOUT_MAX)
		return why_set(why, -E2BIG, "the configuration of the domain is too large");
	bytes = malloc(n);
	if (!bytes)
		return no_memory(why);
	romulus__saved_domain__pack(&m, bytes);
	return put_frame(w, SAVEFILE_ABOUT, bytes, n, 0, why);
}

static int open_xl(struct savefile_writer *w, const struct savefile_about *about, struct why *why)
{
	const size_t n = strlen(about->config_json) + 1; /* xl writes its NUL too */
	uint8_t head[SAVEFILE_XL_BYTES + 4];
	int r;

	if (n > SAVEFILE_ABOUT_MAX)
		return why_set(why, -E2BIG, "the configuration of the domain is too large");
	savefile_xl_encode(head, (uint32_t)n);
	r = put(w, head, sizeof(head), why);
	return r ? r : put(w, about->config_json, n, why);
}

int savefile_writer_open(struct savefile_writer *w, int fd, const struct savefile_about *about,
	const char *hypervisor, struct why *why)
{
	uint8_t header[SAVEFILE_HEADER_BYTES];
	int r;

	*w = (struct savefile_writer){.fd = fd, .format = about->format};
	if (w->format == SAVEFILE_XL)
		return open_xl(w, about, why);
	w->raw = malloc(SAVEFILE_CHUNK);
	w->packed = malloc(SAVEFILE_PACKED_MAX);
	w->zstd = ZSTD_createCCtx();
	if (!w->raw || !w->packed || !w->zstd || gnutls_hash_init(&w->sum, GNUTLS_DIG_SHA256) < 0)
		return no_memory(why);
	ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, LEVEL);
	ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_checksumFlag, 1);
	savefile_header_encode(header);
	r = put(w, header, sizeof(header), why);
	return r ? r : put_about(w, about, hypervisor, why);
}

static int put_chunk(struct savefile_writer *w, struct why *why)
{
	size_t n, raw = w->raw_n;

	if (!raw)
		return 0;
	n = ZSTD_compress2(w->zstd, w->packed, SAVEFILE_PACKED_MAX, w->raw, raw);
	if (ZSTD_isError(n))
		return why_set(why, -EIO, "zstd: %s", ZSTD_getErrorName(n));
	w->raw_n = 0;
	w->chunks++;
	return put_frame(w, SAVEFILE_STREAM, w->packed, n, raw, why);
}

int savefile_writer_put(struct savefile_writer *w, const void *data, size_t n, struct why *why)
{
	const uint8_t *p = data;
	int r = 0;

	w->stream_bytes += n;
	if (w->format == SAVEFILE_XL)
		return put(w, data, n, why);
	while (n > 0 && !r) {
		const size_t room = SAVEFILE_CHUNK - w->raw_n, take = n < room ? n : room;

		memcpy(w->raw + w->raw_n, p, take);
		w->raw_n += take;
		p += take;
		n -= take;
		if (w->raw_n == SAVEFILE_CHUNK)
			r = put_chunk(w, why);
	}
	return r;
}

int savefile_writer_end(struct savefile_writer *w, const char *note, struct why *why)
{
	uint8_t end[SAVEFILE_END_BYTES];
	int r;

	if (w->format == SAVEFILE_XL)
		return 0;
	r = put_chunk(w, why);
	if (!r && note && note[0])
		r = put_frame(w, SAVEFILE_NOTE, note, strnlen(note, SAVEFILE_NOTE_MAX), 0, why);
	if (r)
		return r;
	bytes_put_le64(end, w->stream_bytes);
	bytes_put_le64(end + 8, w->chunks);
	gnutls_hash_output(w->sum, end + 16); /* of all before this frame */
	return put_frame(w, SAVEFILE_END, end, sizeof(end), 0, why);
}

void savefile_writer_close(struct savefile_writer *w)
{
	free(w->raw);
	free(w->packed);
	ZSTD_freeCCtx(w->zstd);
	if (w->sum)
		gnutls_hash_deinit(w->sum, NULL);
	*w = (struct savefile_writer){.fd = -1};
}
