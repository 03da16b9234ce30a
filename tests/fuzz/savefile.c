/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file of a saved domain (docs/save-format.md), Romulus' own or xl's. An input is tried as it is,
 * and once more with its checksums, sequence and totals put right, so that each change reaches what
 * lies behind them.
 */
#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include <zstd.h>

#include "common/cleanup.h"
#include "common/crc32c.h"
#include "common/why.h"
#include "proto/romulus.pb-c.h"
#include "replicator/savefile.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/made_stream.h"

#define HEADER 16u
#define FRAME 24u
#define ENDING 48u
#define MANY (8u << 20) /* bytes of a stream; an input that has more is left alone */

unsigned long fuzz_accepted;

static struct {
	uint8_t bytes[MANY];
	size_t n;
} took, again;

/* ---- a second reading ----------------------------------------------------------------------- */

static size_t padded(uint32_t n)
{
	return ((size_t)n + 7) & ~(size_t)7;
}

static uint32_t big(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Records from @p to the one that ends them; NULL: they do not end. *memory: libxc's is in them. */
static const uint8_t *records(const uint8_t *p, const uint8_t *end, bool *memory)
{
	while (end - p >= 8) {
		const uint32_t type = fuzz_get32(p), length = fuzz_get32(p + 4);

		p += 8;
		if (type == 0)
			return length ? NULL : p;
		if (memory && type == 1) {
			if (*memory || length || end - p < 40)
				return NULL;
			*memory = true;
			if (fuzz_get64(p) != UINT64_MAX || memcmp(p + 8, "XENF", 4) != 0 ||
				big(p + 12) < 2 || big(p + 12) > 3 || fuzz_get64(p + 16) ||
				fuzz_get32(p + 24) < 1 || fuzz_get32(p + 24) > 2 ||
				fuzz_get32(p + 28) != 12)
				return NULL;
			p = records(p + 40, end, NULL);
			if (!p)
				return NULL;
			continue;
		}
		if (length > 128u << 20 || padded(length) > (size_t)(end - p))
			return NULL;
		p += padded(length);
	}
	return NULL;
}

static bool whole(const uint8_t *p, size_t n)
{
	bool memory = false;

	return n >= 16 && memcmp(p, "LibxlFmt", 8) == 0 && big(p + 8) == 2 && big(p + 12) <= 2 &&
	       big(p + 12) != 1 && records(p + 16, p + n, &memory) == p + n && memory;
}

static bool unpacks(const uint8_t *p, uint32_t length)
{
	Romulus__SavedDomain *m = romulus__saved_domain__unpack(NULL, length, p);
	const bool good = m && m->config[0];

	if (m)
		romulus__saved_domain__free_unpacked(m, NULL);
	return good;
}

static uint32_t checksum(const uint8_t *f, uint32_t length)
{
	uint8_t header[FRAME];

	memcpy(header, f, FRAME);
	fuzz_put32(header + 12, 0);
	return crc32c(crc32c(0, header, FRAME), f + FRAME, length);
}

static bool decompresses(const uint8_t *p, uint32_t length, uint32_t raw)
{
	size_t n;

	if (!length || length > (1u << 20) + (1u << 12) + 64 || !raw || raw > 1u << 20 ||
		raw > MANY - again.n || ZSTD_findFrameCompressedSize(p, length) != length)
		return false;
	n = ZSTD_decompress(again.bytes + again.n, raw, p, length);
	again.n += ZSTD_isError(n) ? 0 : n;
	return n == raw;
}

static bool ends(const uint8_t *file, const uint8_t *f, uint32_t length, uint64_t chunks)
{
	uint8_t sum[32];

	FUZZ_EXPECT(gnutls_hash_fast(GNUTLS_DIG_SHA256, file, (size_t)(f - file), sum) == 0);
	return length == ENDING && fuzz_get64(f + FRAME) == again.n &&
	       fuzz_get64(f + FRAME + 8) == chunks && memcmp(f + FRAME + 16, sum, 32) == 0;
}

static bool right(const uint8_t *file, size_t n)
{
	const uint8_t *p = file + HEADER, *end = file + n;
	uint64_t sequence = 0, chunks = 0;
	uint32_t last = 1;

	again.n = 0;
	if (n < HEADER || memcmp(file, "ROMsave\n\1\0\0\0\0\0\0\0", HEADER) != 0)
		return false;
	for (; end - p >= (ptrdiff_t)FRAME; sequence++) {
		const uint32_t type = fuzz_get32(p), length = fuzz_get32(p + 4);
		const uint32_t raw = fuzz_get32(p + 8);
		const uint8_t *payload = p + FRAME;
		bool good = length <= (size_t)(end - payload) && fuzz_get64(p + 16) == sequence &&
			    fuzz_get32(p + 12) == checksum(p, length) &&
			    (type == 1) == (sequence == 0) && type >= last &&
			    (type == 2 || raw == 0);

		if (!good)
			return false;
		switch (type) {
		case 1:
			good = length <= 1u << 20 && unpacks(payload, length);
			break;
		case 2:
			good = decompresses(payload, length, raw);
			chunks++;
			break;
		case 3:
			good = last != 3 && length && length <= 4096;
			break;
		case 4:
			return ends(file, p, length, chunks) && payload + length == end &&
			       whole(again.bytes, again.n);
		default:
			good = false;
		}
		if (!good)
			return false;
		last = type;
		p = payload + length;
	}
	return false;
}

static bool right_xl(const uint8_t *file, size_t n)
{
	static const uint8_t words[] = {4, 3, 2, 1, 3, 0, 0, 0, 0, 0, 0, 0};
	uint32_t length, config;

	again.n = 0;
	if (n < 52 || memcmp(file, "Xen saved domain, xl format\n \0 \r", 32) != 0 ||
		memcmp(file + 32, words, sizeof(words)) != 0)
		return false;
	length = fuzz_get32(file + 44);
	config = fuzz_get32(file + 48);
	if (length <= 4 || length > 4 + (1u << 20) || length > n - 48 || config == 0 ||
		config > length - 4 || !whole(file + 48 + length, n - 48 - length))
		return false;
	again.n = n - 48 - length;
	FUZZ_EXPECT(again.n <= MANY);
	memcpy(again.bytes, file + 48 + length, again.n);
	return true;
}

/* ---- the target ----------------------------------------------------------------------------- */

static int take(void *opaque, const void *data, size_t n, struct why *why)
{
	if (n > MANY - took.n)
		return -E2BIG;
	memcpy(took.bytes + took.n, data, n);
	took.n += n;
	return 0;
}

static bool judge(const uint8_t *data, size_t size)
{
	static int fd = -1;
	const bool good = right(data, size) || right_xl(data, size);
	struct savefile_about about;
	struct why why = {""};
	int r;

	if (fd < 0)
		fd = memfd_create("savefile", MFD_CLOEXEC);
	FUZZ_EXPECT(fd >= 0 && ftruncate(fd, 0) == 0);
	FUZZ_EXPECT(pwrite(fd, data, size, 0) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
	took.n = 0;
	r = savefile_read(fd, take, NULL, &about, &why);
	if (r != -E2BIG) {
		FUZZ_EXPECT((r == 0) == good);
		FUZZ_EXPECT(r == 0 || r == -EBADMSG || r == -ENODATA || r == -EPROTONOSUPPORT);
		FUZZ_EXPECT(r == 0 || why.text[0]);
	}
	if (r == 0) {
		FUZZ_EXPECT(about.config_json && about.stream_bytes == took.n);
		FUZZ_EXPECT(took.n == again.n && memcmp(took.bytes, again.bytes, took.n) == 0);
	}
	savefile_about_clear(&about);
	return r == 0;
}

static void put64(uint8_t *at, uint64_t v)
{
	v = htole64(v);
	memcpy(at, &v, sizeof(v));
}

/* As far as there are whole frames. */
static void mend(uint8_t *file, size_t n)
{
	uint8_t *p = file + HEADER;
	uint64_t bytes = 0, chunks = 0;

	if (n < HEADER)
		return;
	memcpy(file, "ROMsave\n\1\0\0\0\0\0\0\0", HEADER);
	for (uint64_t i = 0; n - (size_t)(p - file) >= FRAME; i++) {
		const uint32_t length = fuzz_get32(p + 4);

		put64(p + 16, i);
		if (length > n - (size_t)(p - file) - FRAME)
			return;
		if (fuzz_get32(p) == 2) {
			bytes += fuzz_get32(p + 8);
			chunks++;
		}
		if (fuzz_get32(p) == 4 && length == ENDING) {
			put64(p + FRAME, bytes);
			put64(p + FRAME + 8, chunks);
			FUZZ_EXPECT(gnutls_hash_fast(GNUTLS_DIG_SHA256, file, (size_t)(p - file),
					    p + FRAME + 16) == 0);
		}
		fuzz_put32(p + 12, checksum(p, length));
		p += FRAME + length;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FREE uint8_t *copy = fuzz_copy(data, size);

	fuzz_accepted += judge(copy, size);
	mend(copy, size);
	judge(copy, size);
	return 0;
}

/* ---- seeds ---------------------------------------------------------------------------------- */

static void put_seed(fuzz_put *put, const char *name, enum savefile_format format, uint32_t pages,
	const char *note)
{
	static char config[] = "{\"c_info\": {\"name\": \"db\"}}", host[] = "alpha";
	const struct savefile_about about = {.format = format,
		.config_json = config,
		.host = host,
		.memory_kb = 4096,
		.saved_ns = 1,
		.checkpoint = note != NULL};
	CLEANUP_CLOSE int fd = memfd_create("seed", MFD_CLOEXEC);
	struct made m = made_stream(pages);
	struct savefile_writer w;
	uint8_t *bytes;

	FUZZ_EXPECT(savefile_writer_open(&w, fd, &about, "4.17", NULL) == 0);
	FUZZ_EXPECT(savefile_writer_put(&w, m.bytes, m.n, NULL) == 0);
	FUZZ_EXPECT(savefile_writer_end(&w, note, NULL) == 0);
	bytes = malloc(w.written);
	FUZZ_EXPECT(bytes && pread(fd, bytes, w.written, 0) == (ssize_t)w.written);
	put(name, bytes, w.written);
	savefile_writer_close(&w);
	free(bytes);
	free(m.bytes);
}

void fuzz_seeds(fuzz_put *put)
{
	put_seed(put, "good-small", SAVEFILE_ROMULUS, 40, NULL);
	put_seed(put, "good-note", SAVEFILE_ROMULUS, 100, "vg0/db-snap");
	put_seed(put, "good-chunks", SAVEFILE_ROMULUS, (1u << 20) + 100, NULL);
	put_seed(put, "good-xl", SAVEFILE_XL, 40, NULL);
	put("empty", "", 0);
}
