/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The undo map against a model that keeps a whole copy of the disks for every boundary: whatever
 * is written, committed or overflowed, a rollback gives exactly the copy.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/why.h"
#include "diskrep/undo.h"

#define BLOCK DISKREP_UNDO_BLOCK
#define VOLUMES 3
#define DISK_MAX (5 * BLOCK)
#define SLOTS 24 /* of the pool: fewer than blocks times generations, so that it overflows */
#define COPIES 16
#define STEPS 200000

static const uint64_t sizes[VOLUMES] = {DISK_MAX, 2 * BLOCK + 512, 512};

typedef uint8_t disks[VOLUMES][DISK_MAX];

static struct model {
	struct diskrep_undo *undo;
	disks now, at[COPIES]; /* at boundary E: at[E % COPIES] */
	uint64_t oldest, newest;
	bool overflow;
} m;

static uint32_t seed;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u; /* Numerical Recipes */
	return (seed >> 8) % below;
}

static void model_open(uint64_t limit)
{
	memset(&m, 0, sizeof(m));
	assert_int_equal(diskrep_undo_open(sizes, VOLUMES, limit, &m.undo, NULL), 0);
}

static void model_close(void)
{
	m.undo = diskrep_undo_close(m.undo);
}

static void model_reset(void)
{
	diskrep_undo_reset(m.undo);
	m.oldest = m.newest = 0;
	m.overflow = false;
}

static void model_boundary(void)
{
	const int r = diskrep_undo_boundary(m.undo, m.newest + 1);

	if (m.overflow) {
		assert_int_equal(r, -ENOSPC);
		return;
	}
	assert_int_equal(r, 0);
	if (++m.newest == 1)
		m.oldest = 1;
	memcpy(m.at[m.newest % COPIES], m.now, sizeof(m.now));
	/* The model has only so many copies; the map needs no such thing. */
	if (m.newest - m.oldest == COPIES - 1) {
		m.oldest++;
		assert_int_equal(diskrep_undo_commit(m.undo, m.oldest), 0);
	}
}

static void model_write(uint32_t volume, uint64_t block)
{
	const uint32_t length = diskrep_undo_length(m.undo, volume, block);
	uint8_t *place = m.now[volume] + block * BLOCK;

	if (diskrep_undo_wants(m.undo, volume, block)) {
		const int r = diskrep_undo_save(m.undo, volume, block, place);

		assert_true(m.newest > 0 && !m.overflow);
		if (r == -ENOSPC)
			m.overflow = true;
		else
			assert_int_equal(r, 0);
		assert_false(diskrep_undo_wants(m.undo, volume, block));
	}
	memset(place, (int)rnd(256), length);
	place[rnd(length)] = (uint8_t)rnd(256);
}

static void model_compare(uint64_t epoch)
{
	static disks back;
	uint32_t before = 0;
	uint64_t end = 0;
	size_t n;
	const int r = diskrep_undo_rollback(m.undo, epoch, &n);

	if (m.overflow || epoch < m.oldest || epoch > m.newest || !epoch) {
		assert_int_equal(r, m.overflow ? -ENOSPC : -EINVAL);
		return;
	}
	assert_int_equal(r, 0);
	memcpy(back, m.now, sizeof(back));
	for (size_t i = 0; i < n; i++) {
		const struct diskrep_undo_item item = diskrep_undo_item(m.undo, i);

		/* Ordered, and no block twice. */
		assert_true(item.volume > before || item.offset >= end);
		before = item.volume;
		end = item.offset + item.length;
		assert_true(end <= sizes[item.volume]);
		memcpy(back[item.volume] + item.offset, item.content, item.length);
	}
	assert_memory_equal(back, m.at[epoch % COPIES], sizeof(back));
}

static void model_commit(uint64_t epoch)
{
	const int r = diskrep_undo_commit(m.undo, epoch);

	if (m.overflow || epoch > m.newest || !epoch) {
		assert_int_equal(r, m.overflow ? -ENOSPC : -EINVAL);
		return;
	}
	assert_int_equal(r, 0);
	if (epoch > m.oldest)
		m.oldest = epoch;
}

static void any_history_rolls_back(void **state)
{
	size_t overflows = 0, compared = 0;
	bool overflowed;

	seed = 1;
	model_open(SLOTS * BLOCK);
	for (size_t step = 0; step < STEPS; step++) {
		const uint32_t what = rnd(100), volume = rnd(VOLUMES);

		overflowed = m.overflow;
		if (what < 60)
			model_write(volume, rnd((uint32_t)((sizes[volume] + BLOCK - 1) / BLOCK)));
		else if (what < 72)
			model_boundary();
		else if (what < 86)
			model_commit(m.oldest + rnd(4));
		else if (what < 99)
			model_compare(m.oldest + rnd((uint32_t)(m.newest - m.oldest + 2)));
		else if (m.overflow || rnd(20) == 0)
			model_reset();
		overflows += m.overflow && !overflowed;
		compared += what >= 86 && what < 99 && m.newest && !m.overflow;
	}
	model_close();
	/* The walk must have been where it matters. */
	assert_true(overflows > 50);
	assert_true(compared > 10000);
}

static void before_the_first_boundary_nothing_is_saved(void **state)
{
	struct diskrep_undo_info info;

	model_open(SLOTS * BLOCK);
	assert_false(diskrep_undo_wants(m.undo, 0, 0));
	assert_int_equal(diskrep_undo_save(m.undo, 0, 0, m.now[0]), 0);
	diskrep_undo_info(m.undo, &info);
	assert_int_equal(info.state, DISKREP_UNDO_IDLE);
	assert_int_equal(info.used, 0);
	assert_int_equal(diskrep_undo_boundary(m.undo, 2), -EPROTO);
	assert_int_equal(diskrep_undo_boundary(m.undo, 1), 0);
	assert_int_equal(diskrep_undo_boundary(m.undo, 1), -EPROTO);
	assert_int_equal(diskrep_undo_boundary(m.undo, 3), -EPROTO);
	assert_true(diskrep_undo_wants(m.undo, 0, 0));
	model_close();
}

static void a_full_pool_drops_everything(void **state)
{
	struct diskrep_undo_info info;
	size_t n;

	model_open(2 * BLOCK);
	model_boundary();
	model_write(0, 0);
	model_write(0, 1);
	model_write(0, 1);
	diskrep_undo_info(m.undo, &info);
	assert_int_equal(info.used, 2 * BLOCK);
	assert_int_equal(info.largest, 2 * BLOCK);
	assert_int_equal(diskrep_undo_save(m.undo, 0, 2, m.now[0]), -ENOSPC);
	diskrep_undo_info(m.undo, &info);
	assert_int_equal(info.state, DISKREP_UNDO_OVERFLOW);
	assert_int_equal(info.used, 0);
	assert_false(diskrep_undo_wants(m.undo, 0, 3));
	assert_int_equal(diskrep_undo_save(m.undo, 0, 3, m.now[0]), 0);
	assert_int_equal(diskrep_undo_rollback(m.undo, 1, &n), -ENOSPC);
	assert_int_equal(diskrep_undo_boundary(m.undo, 2), -ENOSPC);
	diskrep_undo_info(m.undo, &info);
	assert_int_equal(info.largest, 2 * BLOCK);
	model_reset();
	diskrep_undo_info(m.undo, &info);
	assert_int_equal(info.largest, 0);
	model_boundary();
	model_write(0, 0);
	model_compare(1);
	model_close();
}

static void the_largest_epoch_is_known(void **state)
{
	struct diskrep_undo_info info;

	model_open(SLOTS * BLOCK);
	model_boundary();
	model_write(0, 0);
	model_write(0, 1);
	model_write(1, 0);
	model_boundary();
	model_write(0, 0);
	diskrep_undo_info(m.undo, &info);
	assert_int_equal(info.used, 4 * BLOCK);
	assert_int_equal(info.largest, 3 * BLOCK);
	model_commit(2);
	for (uint64_t block = 0; block < 4; block++)
		model_write(0, block);
	diskrep_undo_info(m.undo, &info);
	assert_int_equal(info.used, 4 * BLOCK);
	assert_int_equal(info.largest, 4 * BLOCK);
	model_close();
}

static void boundaries_are_bounded(void **state)
{
	uint64_t epoch = 1;

	model_open(2 * BLOCK);
	while (epoch < 1000000 && diskrep_undo_boundary(m.undo, epoch) == 0)
		epoch++;
	assert_true(epoch > 1000 && epoch < 1000000);
	assert_int_equal(diskrep_undo_boundary(m.undo, epoch), -ENOSPC);
	diskrep_undo_reset(m.undo);
	for (epoch = 1; epoch < 100000; epoch++) {
		assert_int_equal(diskrep_undo_boundary(m.undo, epoch), 0);
		assert_int_equal(diskrep_undo_save(m.undo, 0, epoch % 2, m.now[0]), 0);
		assert_int_equal(diskrep_undo_commit(m.undo, epoch), 0);
	}
	model_close();
}

static void what_cannot_be_is_refused(void **state)
{
	struct diskrep_undo *u = NULL;
	struct why why;

	assert_int_equal(diskrep_undo_open(sizes, 0, 1 << 20, &u, &why), -EINVAL);
	assert_int_equal(diskrep_undo_open(sizes, 1000, 1 << 20, &u, &why), -EINVAL);
	assert_int_equal(diskrep_undo_open(sizes, VOLUMES, BLOCK - 1, &u, &why), -EINVAL);
	assert_int_equal(diskrep_undo_open(sizes, VOLUMES, UINT64_MAX, &u, &why), -EINVAL);
	assert_null(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_history_rolls_back),
		cmocka_unit_test(before_the_first_boundary_nothing_is_saved),
		cmocka_unit_test(a_full_pool_drops_everything),
		cmocka_unit_test(the_largest_epoch_is_known),
		cmocka_unit_test(boundaries_are_bounded),
		cmocka_unit_test(what_cannot_be_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
