/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rollback file of diskrep/rollback_format.h: which files are accepted, and what replaying one
 * does to two small disks. Each input is judged as it is, and completed: checksums put right,
 * content that is missing taken as zeros, an end added.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "diskrep/marker.h"
#include "diskrep/rollback.h"
#include "diskrep/rollback_format.h"
#include "diskrep/rollback_write.h"
#include "diskrep/undo.h"
#include "tests/fuzz/fuzz.h"

#define HEADER 56
#define AT_HEADER_CRC 52
#define RECORD 20
#define AT_RECORD_CRC 16
#define FILE_MAX (512u << 10)
#define DISKS 2
#define DISK_BYTES 16384

unsigned long fuzz_accepted;

static uint8_t pattern[DISK_BYTES], expected[DISKS][DISK_BYTES], seen[DISK_BYTES];
static int file = -1, disk[DISKS];
static char file_path[32], disk_path[DISKS][32];

static int memory_file(const char *name, char path[32])
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	FUZZ_EXPECT(fd >= 0);
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

static void put_file(int fd, const void *data, size_t n)
{
	FUZZ_EXPECT(ftruncate(fd, 0) == 0 && pwrite(fd, data, n, 0) == (ssize_t)n);
}

static void prepare(void)
{
	if (file >= 0)
		return;
	memset(pattern, 0x5a, sizeof(pattern));
	file = memory_file("rollback", file_path);
	for (int i = 0; i < DISKS; i++) {
		disk[i] = memory_file("disk", disk_path[i]);
		put_file(disk[i], pattern, sizeof(pattern));
	}
}

static bool good_header(const uint8_t *f, size_t n, struct diskrep_rollback_info *ret)
{
	if (n < HEADER || memcmp(f, "ROMROLL", 8) != 0 || fuzz_get32(f + 8) != 1 ||
		fuzz_get32(f + 48) != 0 ||
		fuzz_get32(f + AT_HEADER_CRC) != crc32c(0, f, AT_HEADER_CRC))
		return false;
	*ret = (struct diskrep_rollback_info){
		.volumes = fuzz_get32(f + 12),
		.generation = fuzz_get64(f + 32),
		.epoch = fuzz_get64(f + 40),
	};
	memcpy(ret->uuid, f + 16, 16);
	return ret->volumes >= 1 && ret->volumes <= 64;
}

/* Apply a record to @expected; false when it does not fit. */
static bool apply(uint32_t volume, uint64_t offset, const uint8_t *data, uint32_t length)
{
	if (volume >= DISKS || offset > DISK_BYTES || length > DISK_BYTES - offset)
		return false;
	memcpy(expected[volume] + offset, data, length);
	return true;
}

/* The second reading: true for a right file, with *ret; *ret_fits: all of it fits the disks. */
static bool right(const uint8_t *f, size_t n, struct diskrep_rollback_info *ret, bool *ret_fits)
{
	uint32_t crc;
	size_t at = HEADER;

	if (!good_header(f, n, ret))
		return false;
	crc = fuzz_get32(f + AT_HEADER_CRC);
	*ret_fits = true;
	for (;;) {
		const uint8_t *r = f + at, *data = r + RECORD;
		uint32_t volume, length;
		uint64_t offset;

		if (n - at < RECORD)
			return false;
		volume = fuzz_get32(r);
		length = fuzz_get32(r + 4);
		offset = fuzz_get64(r + 8);
		if (length > n - at - RECORD)
			return false;
		crc = crc32c(crc32c(crc, r, AT_RECORD_CRC), data, length);
		if (fuzz_get32(r + AT_RECORD_CRC) != crc)
			return false;
		at += RECORD + length;
		if (volume == UINT32_MAX)
			return length == 0 && offset == ret->records && at == n;
		if (volume >= ret->volumes || length < 1 || length > (256u << 10) || length % 512 ||
			offset % 512)
			return false;
		*ret_fits &= apply(volume, offset, data, length);
		ret->records++;
		ret->bytes += length;
	}
}

static bool same_info(const struct diskrep_rollback_info *a, const struct diskrep_rollback_info *b)
{
	return memcmp(a->uuid, b->uuid, 16) == 0 && a->generation == b->generation &&
	       a->epoch == b->epoch && a->volumes == b->volumes && a->records == b->records &&
	       a->bytes == b->bytes;
}

/* The disks hold what the file says when it is right, is for them and fits; else they are
 * untouched. */
static void judge_replay(bool right_file, bool fits, const struct diskrep_rollback_info *info)
{
	const char *const paths[DISKS] = {disk_path[0], disk_path[1]};
	const bool replayed = right_file && fits && info->volumes == DISKS;
	struct diskrep_rollback_stats stats = {0};
	int r = diskrep_rollback_replay(file_path, paths, DISKS, &stats, NULL);

	FUZZ_EXPECT((r == 0) == replayed);
	if (replayed)
		FUZZ_EXPECT(stats.records == info->records && stats.bytes == info->bytes);
	for (int i = 0; i < DISKS; i++) {
		FUZZ_EXPECT(lseek(disk[i], 0, SEEK_END) == DISK_BYTES);
		FUZZ_EXPECT(pread(disk[i], seen, DISK_BYTES, 0) == DISK_BYTES);
		FUZZ_EXPECT(memcmp(seen, replayed ? expected[i] : pattern, DISK_BYTES) == 0);
		if (replayed)
			FUZZ_EXPECT(pwrite(disk[i], pattern, DISK_BYTES, 0) == DISK_BYTES);
	}
}

static bool judge(const uint8_t *f, size_t n)
{
	struct diskrep_rollback_info want = {0}, got = {0};
	bool fits = false, good;
	int r;

	for (int i = 0; i < DISKS; i++)
		memcpy(expected[i], pattern, DISK_BYTES);
	good = right(f, n, &want, &fits);
	put_file(file, f, n);
	r = diskrep_rollback_check(file_path, &got, NULL);
	FUZZ_EXPECT(r == (good ? 0 : -EBADMSG));
	if (good)
		FUZZ_EXPECT(same_info(&got, &want));
	judge_replay(good, fits, &want);
	return good;
}

static size_t put_end(uint8_t *out, uint32_t crc, uint64_t records)
{
	memset(out, 0, RECORD);
	fuzz_put32(out, UINT32_MAX);
	fuzz_put32(out + 8, (uint32_t)records);
	fuzz_put32(out + AT_RECORD_CRC, crc32c(crc, out, AT_RECORD_CRC));
	return RECORD;
}

/* @out: FILE_MAX zeros. Returns the length. An end that the input has is kept, with what follows.
 */
static size_t complete(const uint8_t *in, size_t n, uint8_t *out)
{
	size_t at = HEADER, to = HEADER;
	uint64_t records = 0;
	uint32_t crc;

	memcpy(out, in, n < HEADER ? n : HEADER);
	crc = crc32c(0, out, AT_HEADER_CRC);
	fuzz_put32(out + AT_HEADER_CRC, crc);
	while (n >= at + RECORD && to + 2 * RECORD + (n - at) < FILE_MAX) {
		const uint32_t length = fuzz_get32(in + at + 4);
		const size_t room = FILE_MAX - to - 2 * RECORD, left = n - at - RECORD;
		const size_t fill = length < room ? length : room;
		const size_t given = fill < left ? fill : left;

		memcpy(out + to, in + at, RECORD + given);
		crc = crc32c(crc32c(crc, out + to, AT_RECORD_CRC), out + to + RECORD, fill);
		fuzz_put32(out + to + AT_RECORD_CRC, crc);
		if (fuzz_get32(in + at) == UINT32_MAX) {
			memcpy(out + to + RECORD, in + at + RECORD, left);
			return to + RECORD + left;
		}
		at += RECORD + given;
		to += RECORD + fill;
		records++;
	}
	return to + put_end(out + to, crc, records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t completed[FILE_MAX]; /* zeros between inputs */
	size_t n;

	if (size > FILE_MAX / 4)
		return 0;
	prepare();
	fuzz_accepted += judge(data, size);
	n = complete(data, size, completed);
	judge(completed, n);
	memset(completed, 0, n);
	return 0;
}

/* @extra: bytes that follow the end. */
static void put_list(fuzz_put *put, const char *name, uint32_t blocks, size_t extra)
{
	const uint64_t sizes[DISKS] = {512, 1536};
	const struct diskrep_marker at = {.uuid = {1, 2, 3}, .generation = 4, .epoch = 1};
	char path[] = "/tmp/romulus-seed-XXXXXX";
	uint8_t block[DISKREP_UNDO_BLOCK], bytes[4096] = {0};
	struct diskrep_undo *undo;
	uint64_t written;
	int fd = mkstemp(path);

	FUZZ_EXPECT(fd >= 0);
	FUZZ_EXPECT(diskrep_undo_open(sizes, DISKS, 16 * sizeof(block), &undo, NULL) == 0);
	FUZZ_EXPECT(diskrep_undo_boundary(undo, 1) == 0);
	for (uint32_t v = 0; v < blocks; v++) {
		memset(block, (int)(0x10 + v), sizeof(block));
		FUZZ_EXPECT(diskrep_undo_save(undo, v, 0, block) == 0);
	}
	FUZZ_EXPECT(diskrep_rollback_write(path, undo, &at, DISKS, &written, NULL) == 0);
	diskrep_undo_close(undo);
	close(fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	put(name, bytes, (size_t)read(fd, bytes, sizeof(bytes) - extra) + extra);
	close(fd);
	unlink(path);
}

void fuzz_seeds(fuzz_put *put)
{
	uint8_t file_bytes[HEADER + 2 * RECORD] = "ROMROLL";

	put_list(put, "good-empty", 0, 0);
	put_list(put, "good-two-volumes", 2, 0);
	put_list(put, "something-follows", 0, 1);
	/* Only with what completing adds: one record of the largest length, one beyond it. */
	fuzz_put32(file_bytes + 8, 1);
	fuzz_put32(file_bytes + 12, DISKS);
	fuzz_put32(file_bytes + HEADER + 4, ROLLBACK_DATA_MAX);
	put("largest-record", file_bytes, HEADER + RECORD);
	fuzz_put32(file_bytes + HEADER + 4, ROLLBACK_DATA_MAX + 512);
	put("too-long-record", file_bytes, HEADER + RECORD);
}
