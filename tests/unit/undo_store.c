/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The undo store under threads, without nbdkit: boundaries that come while writes are on their way.
 * Each writer owns some sectors and writes rising numbers to them; writers share blocks. At
 * boundary E a sector must hold something between the last number that was written before the
 * marker was sent and the last that was begun before it was answered.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/why.h"
#include "diskrep/rollback.h"
#include "diskrep/undo_store.h"

#define SECTOR 512
#define SECTORS 24 /* three blocks: the writers must meet */
#define WRITERS 4
#define BOUNDARIES 200
#define WRITES_A_BOUNDARY 4 /* by all writers, before the next marker is sent */

static char dir[64], volume[80], marker[80], list[80];
static struct diskrep_undo_store store;
static atomic_uint begun[SECTORS], written[SECTORS], writes, errors;
static atomic_bool over;
static uint32_t least[BOUNDARIES + 1][SECTORS], most[BOUNDARIES + 1][SECTORS];

int __real_diskrep_backing_read(
	const struct diskrep_backing *b, void *ret, uint64_t length, uint64_t offset, void *bounce);
int __wrap_diskrep_backing_read(
	const struct diskrep_backing *b, void *ret, uint64_t length, uint64_t offset, void *bounce);

/* Some reads of old content take long enough for others to write, and for a boundary to come. */
int __wrap_diskrep_backing_read(
	const struct diskrep_backing *b, void *ret, uint64_t length, uint64_t offset, void *bounce)
{
	static atomic_uint reads;
	const struct timespec slow = {.tv_nsec = 1000000};
	const int r = __real_diskrep_backing_read(b, ret, length, offset, bounce);

	if (atomic_fetch_add(&reads, 1) % 3 == 0)
		nanosleep(&slow, NULL);
	return r;
}

static void no_news(void *data, const char *line)
{
	if (strncmp(line, "boundary", 8) != 0 && strcmp(line, "ok") != 0)
		atomic_fetch_add(&errors, 1);
}

static void *write_sectors(void *data)
{
	const unsigned me = *(unsigned *)data;
	unsigned seed = me;
	uint32_t block[SECTOR / 4];

	while (!atomic_load(&over)) {
		const unsigned s = (unsigned)rand_r(&seed) % (SECTORS / WRITERS) * WRITERS + me;
		const uint32_t number = atomic_load(&begun[s]) + 1;

		for (size_t i = 0; i < SECTOR / 4; i++)
			block[i] = number;
		atomic_store(&begun[s], number);
		if (diskrep_undo_store_write(&store, 0, block, SECTOR, (uint64_t)s * SECTOR, false))
			atomic_fetch_add(&errors, 1);
		atomic_store(&written[s], number);
		atomic_fetch_add(&writes, 1);
	}
	return NULL;
}

static void send_marker(uint64_t epoch)
{
	struct diskrep_marker m = store.expected;
	uint8_t block[DISKREP_MARKER_BYTES];

	m.epoch = epoch;
	diskrep_marker_encode(block, &m);
	for (size_t s = 0; s < SECTORS; s++)
		least[epoch][s] = atomic_load(&written[s]);
	assert_int_equal(diskrep_undo_store_write(
				 &store, DISKREP_STORE_MARKER, block, sizeof(block), 0, false),
		0);
	for (size_t s = 0; s < SECTORS; s++)
		most[epoch][s] = atomic_load(&begun[s]);
}

/* Roll back to @epoch in place: from the newest to the oldest, each is a rollback of what is left.
 */
static void compare(uint64_t epoch)
{
	const char *devices[] = {volume};
	uint32_t block[SECTOR / 4];
	uint64_t bytes;
	struct why why = {""};
	FILE *f;

	assert_int_equal(diskrep_undo_store_dump(&store, epoch, list, &bytes, &why), 0);
	assert_int_equal(diskrep_rollback_replay(list, devices, 1, NULL, &why), 0);
	f = fopen(volume, "re");
	assert_non_null(f);
	for (size_t s = 0; s < SECTORS; s++) {
		assert_int_equal(fread(block, SECTOR, 1, f), 1);
		for (size_t i = 1; i < SECTOR / 4; i++)
			assert_int_equal(block[i], block[0]);
		if (block[0] < least[epoch][s] || block[0] > most[epoch][s])
			fail_msg("boundary %d, sector %zu: %u is not in %u..%u", (int)epoch, s,
				block[0], least[epoch][s], most[epoch][s]);
	}
	fclose(f);
}

static void run(uint32_t align)
{
	static const struct diskrep_marker expected = {.nonce = 1, .generation = 1};
	const char *volumes[] = {volume};
	unsigned numbers[WRITERS];
	pthread_t threads[WRITERS];
	struct why why = {""};
	unsigned target = 0;

	assert_int_equal(truncate(volume, 0), 0);
	assert_int_equal(truncate(volume, SECTORS * SECTOR), 0);
	if (diskrep_undo_store_open(&store, volumes, 1, marker, 64 << 20, no_news, NULL, &why))
		fail_msg("%s", why.text);
	if (align) /* as on a disk of larger sectors: every write must read around itself */
		store.volumes[0].align = align;
	atomic_store(&over, false);
	atomic_store(&errors, 0);
	for (size_t s = 0; s < SECTORS; s++)
		begun[s] = written[s] = 0;
	diskrep_undo_store_expect(&store, &expected);
	for (unsigned i = 0; i < WRITERS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, write_sectors, &numbers[i]), 0);
	}
	for (uint64_t epoch = 1; epoch <= BOUNDARIES; epoch++) {
		for (target = atomic_load(&writes) + WRITES_A_BOUNDARY;
			(int)(target - atomic_load(&writes)) > 0 && !atomic_load(&errors);)
			sched_yield();
		send_marker(epoch);
	}
	atomic_store(&over, true);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&errors), 0);
	for (uint64_t epoch = BOUNDARIES; epoch >= 1; epoch--)
		compare(epoch);
	diskrep_undo_store_close(&store);
}

static void boundaries_cut_between_writes(void **state)
{
	run(0);
}

static void boundaries_cut_on_disks_of_large_sectors(void **state)
{
	run(4096);
}

static int setup(void **state)
{
	FILE *f;

	strcpy(dir, "/var/tmp/romulus-undo-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(volume, sizeof(volume), "%s/disk", dir);
	snprintf(marker, sizeof(marker), "%s/marker", dir);
	snprintf(list, sizeof(list), "%s/list", dir);
	f = fopen(volume, "we");
	fclose(f);
	f = fopen(marker, "we");
	fclose(f);
	return truncate(marker, DISKREP_MARKER_BYTES);
}

static int teardown(void **state)
{
	unlink(volume);
	unlink(marker);
	unlink(list);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(boundaries_cut_between_writes),
		cmocka_unit_test(boundaries_cut_on_disks_of_large_sectors),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
