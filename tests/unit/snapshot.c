/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A drill's disks against a simple model: at random, the real disks are written, boundaries come
 * and are committed, a drill takes a snapshot of one of them, reads it, writes to it and gives it
 * up. Whatever happens to the real disks, the drill's are those of its boundary and what it has
 * written; and what the drill writes is nowhere else.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/why.h"
#include "diskrep/undo_store.h"

#define SECTOR 512u
#define VOLUMES 2
#define SIZE (11u * 4096 + 3 * SECTOR) /* the last block is a short one */
#define BOUNDARIES 64                  /* of which the model remembers the disks */
#define STEPS 100000

typedef uint8_t disks[VOLUMES][SIZE];

static char dir[64], paths[VOLUMES][96], marker[96];
static struct diskrep_undo_store store;
static struct why why;

static disks now, at[BOUNDARIES], drill;
static uint64_t oldest, newest;
static bool snapshot, overflow;
static unsigned int seed, overflows, snapshots;

static unsigned int below(unsigned int n)
{
	return (unsigned int)rand_r(&seed) % n;
}

static void take_news(void *data, const char *line)
{
	if (!strcmp(line, "overflow")) {
		overflow = true;
		overflows++;
	}
}

static void any_range(uint32_t *ret_offset, uint32_t *ret_length)
{
	*ret_offset = below(SIZE / SECTOR) * SECTOR;
	*ret_length = (1 + below((SIZE - *ret_offset) / SECTOR)) * SECTOR;
	if (*ret_length > 3 * 4096)
		*ret_length = SECTOR;
}

static void expect(void)
{
	static uint64_t nonce;
	struct diskrep_marker m = {.generation = 1};

	m.nonce = ++nonce;
	diskrep_undo_store_expect(&store, &m);
	oldest = newest = 0;
	overflow = snapshot = false; /* it ends with the session */
}

static void write_disk(void)
{
	static uint8_t data[SIZE];
	const uint32_t v = below(VOLUMES);
	const bool zero = below(8) == 0;
	uint32_t offset, length;

	any_range(&offset, &length);
	memset(data, zero ? 0 : (int)below(256), length);
	assert_int_equal(
		diskrep_undo_store_write(&store, v, zero ? NULL : data, length, offset, false), 0);
	memcpy(now[v] + offset, data, length);
}

static void send_boundary(void)
{
	struct diskrep_marker m = store.expected;
	uint8_t block[DISKREP_MARKER_BYTES];

	if (overflow || newest - oldest + 1 >= BOUNDARIES) {
		expect();
		return;
	}
	m.epoch = ++newest;
	if (!oldest)
		oldest = newest;
	diskrep_marker_encode(block, &m);
	assert_int_equal(diskrep_undo_store_write(
				 &store, DISKREP_STORE_MARKER, block, sizeof(block), 0, false),
		0);
	memcpy(at[newest % BOUNDARIES], now, sizeof(now));
}

static void commit(void)
{
	if (!newest || overflow)
		return;
	oldest += below((unsigned int)(newest - oldest) + 1);
	assert_int_equal(diskrep_undo_store_commit(&store, oldest), 0);
}

static void take_snapshot(void)
{
	const uint64_t epoch = newest ? oldest + below((unsigned int)(newest - oldest) + 1) : 1;
	const int r = diskrep_undo_store_snapshot(&store, epoch, dir, &why);

	if (snapshot) {
		assert_int_equal(r, -EBUSY);
	} else if (!newest || overflow) {
		assert_int_equal(r, -EINVAL);
	} else {
		assert_int_equal(r, 0);
		memcpy(drill, at[epoch % BOUNDARIES], sizeof(drill));
		snapshot = true;
		snapshots++;
	}
}

static void release(void)
{
	diskrep_undo_store_release(&store);
	snapshot = false;
}

/* One that has lost what it needs says so: what it still gives is right all the same. */
static bool gave_up(int r, bool good)
{
	if (good)
		assert_int_equal(r, 0);
	else if (r)
		assert_int_equal(r, -EIO);
	return r;
}

static void read_drill(bool good)
{
	static uint8_t got[SIZE];
	const uint32_t v = below(VOLUMES);
	uint32_t offset, length;

	any_range(&offset, &length);
	if (!gave_up(diskrep_undo_store_drill_read(&store, v, got, length, offset), good))
		assert_memory_equal(got, drill[v] + offset, length);
}

static void write_drill(bool good)
{
	static uint8_t data[SIZE];
	const uint32_t v = below(VOLUMES);
	const bool zero = below(8) == 0;
	uint32_t offset, length;

	any_range(&offset, &length);
	memset(data, zero ? 0 : (int)below(256), length);
	/* Of a write that fails some may have been written. */
	if (gave_up(diskrep_undo_store_drill_write(&store, v, zero ? NULL : data, length, offset),
		    good))
		release();
	else
		memcpy(drill[v] + offset, data, length);
}

static void compare_disks(void)
{
	static uint8_t got[SIZE];

	for (uint32_t v = 0; v < VOLUMES; v++) {
		assert_int_equal(diskrep_undo_store_read(&store, v, got, SIZE, 0), 0);
		assert_memory_equal(got, now[v], SIZE);
	}
}

static void open_store(uint64_t limit)
{
	const char *volumes[] = {paths[0], paths[1]};

	memset(now, 0, sizeof(now));
	for (size_t v = 0; v < VOLUMES; v++) {
		assert_int_equal(truncate(paths[v], 0), 0);
		assert_int_equal(truncate(paths[v], SIZE), 0);
	}
	assert_int_equal(diskrep_undo_store_open(
				 &store, volumes, VOLUMES, marker, limit, take_news, NULL, &why),
		0);
	snapshot = false;
	expect();
}

static void run(uint64_t limit)
{
	uint64_t session = 0;

	open_store(limit);
	for (unsigned int step = 0; step < STEPS; step++) {
		const unsigned int what = below(100);
		const bool good = snapshot && session == store.expected.nonce && !overflow;

		if (what < 40) {
			write_disk();
		} else if (what < 50) {
			send_boundary();
		} else if (what < 57) {
			commit();
		} else if (what < 60) {
			if (!snapshot)
				session = store.expected.nonce;
			take_snapshot();
		} else if (what < 61) {
			release();
		} else if (what < 85) {
			read_drill(good);
		} else {
			write_drill(good);
		}
		if (snapshot && !(session == store.expected.nonce && !overflow))
			read_drill(false);
	}
	compare_disks();
	diskrep_undo_store_close(&store);
}

static void a_drill_sees_its_boundary(void **state)
{
	overflows = snapshots = 0;
	run(64u << 20);
	assert_int_equal(overflows, 0);
	assert_true(snapshots > 100);
}

static void what_overflows_is_a_drills_end_too(void **state)
{
	overflows = snapshots = 0;
	run(40 * 4096);
	assert_true(overflows > 10);
	assert_true(snapshots > 100);
}

/* And no drill's: a write of the guest's goes on, a commit too. */
static void where_there_is_no_room_only_the_drill_ends(void **state)
{
	static uint8_t got[SIZE];

	open_store(64u << 20);
	send_boundary();
	assert_int_not_equal(diskrep_undo_store_snapshot(&store, 1, "/proc/self", &why), 0);
	assert_int_equal(diskrep_undo_store_drill_read(&store, 0, got, SECTOR, 0), -EIO);
	take_snapshot();
	assert_true(snapshot);
	release();
	assert_int_equal(diskrep_undo_store_drill_read(&store, 0, got, SECTOR, 0), -EIO);
	assert_int_equal(diskrep_undo_store_drill_write(&store, 0, got, SECTOR, 0), -EIO);
	write_disk();
	commit();
	compare_disks();
	diskrep_undo_store_close(&store);
}

/* The file system is not a drill's to fill: a takeover writes there. Zeros need none of it. */
static void what_is_to_be_spared_is_spared(void **state)
{
	static const uint64_t sizes[] = {SIZE};
	static const uint8_t zeros[4096], ones[4096] = {1};
	struct diskrep_snapshot *p = NULL;
	uint8_t got[4096];

	assert_int_equal(diskrep_snapshot_open(sizes, 1, dir, UINT64_MAX, &p, &why), 0);
	assert_int_equal(diskrep_snapshot_put(p, 0, 1, ones, sizeof(ones)), -ENOSPC);
	assert_false(diskrep_snapshot_has(p, 0, 1));
	assert_int_equal(diskrep_snapshot_put(p, 0, 1, zeros, sizeof(zeros)), 0);
	assert_true(diskrep_snapshot_has(p, 0, 1));
	assert_int_equal(diskrep_snapshot_get(p, 0, 1, got, sizeof(got)), 0);
	assert_memory_equal(got, zeros, sizeof(got));
	diskrep_snapshot_close(p);
}

static int set_up(void **state)
{
	const char *text = getenv("SEED");
	FILE *f;

	seed = text ? (unsigned int)strtoul(text, NULL, 10) : (unsigned int)getpid();
	print_message("SEED=%u\n", seed);
	strcpy(dir, "/tmp/romulus-snapshot-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	for (size_t v = 0; v < VOLUMES; v++) {
		snprintf(paths[v], sizeof(paths[v]), "%s/%zu", dir, v);
		f = fopen(paths[v], "we");
		fclose(f);
	}
	snprintf(marker, sizeof(marker), "%s/marker", dir);
	f = fopen(marker, "we");
	fclose(f);
	return truncate(marker, 1 << 20);
}

static int tear_down(void **state)
{
	for (size_t v = 0; v < VOLUMES; v++)
		unlink(paths[v]);
	unlink(marker);
	return rmdir(dir); /* a snapshot's files have no names */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_drill_sees_its_boundary),
		cmocka_unit_test(what_overflows_is_a_drills_end_too),
		cmocka_unit_test(where_there_is_no_room_only_the_drill_ends),
		cmocka_unit_test(what_is_to_be_spared_is_spared),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
