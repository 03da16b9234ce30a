/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rollback file: whole or refused, and writing it back twice is writing it once. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/crc32c.h"
#include "common/why.h"
#include "diskrep/marker.h"
#include "diskrep/rollback.h"
#include "diskrep/rollback_format.h"
#include "diskrep/rollback_write.h"
#include "diskrep/undo.h"

#define BLOCK DISKREP_UNDO_BLOCK

static const uint64_t sizes[2] = {300 * BLOCK, BLOCK + 512};
static const struct diskrep_marker at = {
	.uuid = {1, 2, 3}, .nonce = 9, .generation = 4, .epoch = 1};

static char dir[64], path[96], copy[112], disk[2][96];

static int setup(void **state)
{
	strcpy(dir, "/tmp/romulus-rollback-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/list", dir);
	snprintf(copy, sizeof(copy), "%s/copy", dir);
	for (int i = 0; i < 2; i++)
		snprintf(disk[i], sizeof(disk[i]), "%s/disk%d", dir, i);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	unlink(copy);
	for (int i = 0; i < 2; i++)
		unlink(disk[i]);
	return rmdir(dir);
}

static void fill(uint8_t *p, size_t n, uint8_t what)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(what + i * 13 + i / 512);
}

static void put_file(const char *name, const void *data, size_t n)
{
	FILE *f = fopen(name, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static size_t get_file(const char *name, void *ret, size_t size)
{
	FILE *f = fopen(name, "re");
	size_t n;

	assert_non_null(f);
	n = fread(ret, 1, size, f);
	assert_int_equal(fgetc(f), EOF);
	fclose(f);
	return n;
}

/* A map with blocks @from .. @to of volume 0 and, if @tail, the short last block of volume 1. */
static void write_list(uint64_t from, uint64_t to, bool tail)
{
	uint8_t block[BLOCK];
	struct diskrep_undo *u;
	uint64_t bytes;

	assert_int_equal(diskrep_undo_open(sizes, 2, 400 * BLOCK, &u, NULL), 0);
	assert_int_equal(diskrep_undo_boundary(u, 1), 0);
	for (uint64_t b = from; b < to; b++) {
		fill(block, sizeof(block), (uint8_t)(b + 100));
		assert_int_equal(diskrep_undo_save(u, 0, b, block), 0);
	}
	fill(block, sizeof(block), 77);
	if (tail)
		assert_int_equal(diskrep_undo_save(u, 1, 1, block), 0);
	assert_int_equal(diskrep_rollback_write(path, u, &at, 2, &bytes, NULL), 0);
	assert_int_equal(bytes, (to - from) * BLOCK + (tail ? 512 : 0));
	diskrep_undo_close(u);
}

static void the_whole_file_is_accepted(void **state)
{
	struct diskrep_rollback_info info;

	write_list(3, 299, true);
	assert_int_equal(diskrep_rollback_check(path, &info, NULL), 0);
	assert_memory_equal(info.uuid, at.uuid, 16);
	assert_int_equal(info.generation, 4);
	assert_int_equal(info.epoch, 1);
	assert_int_equal(info.volumes, 2);
	assert_int_equal(info.bytes, 296 * BLOCK + 512);
	assert_in_range(info.records, 3, 20); /* neighbours are one record, of bounded size */
	write_list(0, 0, false);
	assert_int_equal(diskrep_rollback_check(path, &info, NULL), 0);
	assert_int_equal(info.records, 0);
}

static void a_torn_file_is_refused_at_every_byte(void **state)
{
	static uint8_t file[4 * BLOCK];
	struct why why;
	size_t n;

	write_list(7, 8, true);
	n = get_file(path, file, sizeof(file));
	for (size_t i = 0; i < n; i++) {
		why.text[0] = '\0';
		put_file(copy, file, i);
		assert_int_equal(diskrep_rollback_check(copy, NULL, &why), -EBADMSG);
		assert_true(why.text[0]);
	}
	put_file(copy, file, n);
	assert_int_equal(diskrep_rollback_check(copy, NULL, &why), 0);
	put_file(copy, file, n + 1);
	assert_int_equal(diskrep_rollback_check(copy, NULL, &why), -EBADMSG);
}

static void a_changed_byte_is_refused(void **state)
{
	static uint8_t file[4 * BLOCK];
	size_t n;

	write_list(7, 8, true);
	n = get_file(path, file, sizeof(file));
	for (size_t i = 0; i < n; i++) {
		file[i] ^= 0x10;
		put_file(copy, file, n);
		assert_int_equal(diskrep_rollback_check(copy, NULL, NULL), -EBADMSG);
		file[i] ^= 0x10;
	}
}

static void a_wrong_count_is_refused(void **state)
{
	static uint8_t file[4 * BLOCK];
	uint32_t crc;
	uint8_t *end;
	size_t n;

	write_list(7, 8, false);
	n = get_file(path, file, sizeof(file));
	end = file + n - sizeof(struct rollback_record);
	memcpy(&crc, file + sizeof(struct rollback_header) + ROLLBACK_RECORD_SUMMED, 4);
	for (uint8_t count = 0; count < 3; count++) {
		uint32_t sum;

		end[8] = count; /* the end record's offset */
		sum = htole32(crc32c(le32toh(crc), end, ROLLBACK_RECORD_SUMMED));
		memcpy(end + ROLLBACK_RECORD_SUMMED, &sum, sizeof(sum));
		put_file(copy, file, n);
		assert_int_equal(
			diskrep_rollback_check(copy, NULL, NULL), count == 1 ? 0 : -EBADMSG);
	}
}

static void garbage_is_refused(void **state)
{
	static uint8_t file[3000];

	srand(3);
	for (int round = 0; round < 2000; round++) {
		const size_t n = (size_t)rand() % sizeof(file);

		for (size_t i = 0; i < n; i++)
			file[i] = (uint8_t)rand();
		memcpy(file, "ROMROLL", n < 8 ? n : 8);
		put_file(copy, file, n);
		assert_int_equal(diskrep_rollback_check(copy, NULL, NULL), -EBADMSG);
	}
}

static void put_disks(void)
{
	static uint8_t data[300 * BLOCK];

	fill(data, sizeof(data), 1);
	put_file(disk[0], data, sizes[0]);
	put_file(disk[1], data, sizes[1]);
}

static void replaying_twice_is_replaying_once(void **state)
{
	const char *devices[] = {disk[0], disk[1]};
	static uint8_t want[300 * BLOCK], got[300 * BLOCK], block[BLOCK];
	struct diskrep_rollback_stats stats;

	put_disks();
	write_list(3, 200, true);
	for (int time = 0; time < 2; time++) {
		assert_int_equal(diskrep_rollback_replay(path, devices, 2, &stats, NULL), 0);
		assert_int_equal(stats.bytes, 197 * BLOCK + 512);
		fill(want, sizeof(want), 1);
		for (size_t b = 3; b < 200; b++)
			fill(want + b * BLOCK, BLOCK, (uint8_t)(b + 100));
		assert_int_equal(get_file(disk[0], got, sizeof(got)), sizes[0]);
		assert_memory_equal(got, want, sizes[0]);
		fill(want, sizeof(want), 1);
		fill(block, sizeof(block), 77);
		memcpy(want + BLOCK, block, 512);
		assert_int_equal(get_file(disk[1], got, sizeof(got)), sizes[1]);
		assert_memory_equal(got, want, sizes[1]);
	}
	assert_int_equal(diskrep_rollback_forget(path, NULL), 0);
	assert_int_equal(diskrep_rollback_forget(path, NULL), 0);
	assert_int_equal(diskrep_rollback_check(path, NULL, NULL), -ENOENT);
}

static void what_does_not_fit_writes_nothing(void **state)
{
	const char *devices[] = {disk[0], disk[1]};
	static uint8_t before[300 * BLOCK], after[300 * BLOCK];
	struct why why;

	put_disks();
	write_list(0, 300, true);
	get_file(disk[0], before, sizeof(before));
	assert_int_equal(truncate(disk[1], BLOCK), 0);
	assert_int_equal(diskrep_rollback_replay(path, devices, 2, NULL, &why), -ERANGE);
	assert_int_equal(diskrep_rollback_replay(path, devices, 1, NULL, &why), -EINVAL);
	unlink(disk[1]);
	assert_int_equal(diskrep_rollback_replay(path, devices, 2, NULL, &why), -ENOENT);
	get_file(disk[0], after, sizeof(after));
	assert_memory_equal(before, after, sizeof(before));
}

static void a_failed_dump_leaves_the_old_file(void **state)
{
	struct diskrep_undo *u;
	struct stat st;
	struct why why;
	uint64_t bytes;

	write_list(1, 2, false);
	assert_int_equal(diskrep_undo_open(sizes, 2, 400 * BLOCK, &u, NULL), 0);
	assert_int_equal(diskrep_rollback_write(path, u, &at, 2, &bytes, &why), -EINVAL);
	assert_int_equal(diskrep_undo_boundary(u, 1), 0);
	assert_int_equal(diskrep_rollback_write("/proc/none", u, &at, 2, &bytes, &why), -ENOENT);
	diskrep_undo_close(u);
	assert_int_equal(diskrep_rollback_check(path, NULL, NULL), 0);
	snprintf(copy, sizeof(copy), "%s.tmp", path);
	assert_int_equal(stat(copy, &st), -1);
	snprintf(copy, sizeof(copy), "%s/copy", dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_whole_file_is_accepted),
		cmocka_unit_test(a_torn_file_is_refused_at_every_byte),
		cmocka_unit_test(a_changed_byte_is_refused),
		cmocka_unit_test(a_wrong_count_is_refused),
		cmocka_unit_test(garbage_is_refused),
		cmocka_unit_test(replaying_twice_is_replaying_once),
		cmocka_unit_test(what_does_not_fit_writes_nothing),
		cmocka_unit_test(a_failed_dump_leaves_the_old_file),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
