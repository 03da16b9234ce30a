/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The blocks of the self-test, and how what comes out of order is counted. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/crc32c.h"
#include "diskrep/order.h"

static const struct diskrep_probe sample = {
	.session = {.uuid = {0xde, 0xad, 3},
		.nonce = UINT64_C(0x1122334455667788),
		.generation = 7},
	.round = 64,
	.kind = DISKREP_PROBE_MARKER,
	.index = 31,
	.completed = 0x80000005,
	.all = 320,
};

/* ---- blocks ---------------------------------------------------------------------------------- */

static void what_is_written_is_read(void **state)
{
	uint8_t block[DISKREP_PROBE_BYTES];
	struct diskrep_probe p;

	memset(block, 0xff, sizeof(block));
	diskrep_probe_encode(block, &sample);
	assert_memory_equal(block, "ROMPROB", 8);
	assert_int_equal(block[48], 64); /* little-endian round at its documented place */
	assert_int_equal(diskrep_probe_decode(block, &p), 0);
	assert_memory_equal(p.session.uuid, sample.session.uuid, 16);
	assert_true(p.session.nonce == sample.session.nonce);
	assert_int_equal(p.session.generation, 7);
	assert_int_equal(p.round, 64);
	assert_int_equal(p.kind, DISKREP_PROBE_MARKER);
	assert_int_equal(p.index, 31);
	assert_true(p.completed == sample.completed);
	assert_int_equal(p.all, 320);
}

static void a_probe_is_no_marker_and_a_marker_is_no_probe(void **state)
{
	uint8_t block[DISKREP_PROBE_BYTES];
	struct diskrep_marker m = sample.session;
	struct diskrep_probe p;

	diskrep_probe_encode(block, &sample);
	assert_int_equal(diskrep_marker_decode(block, &m), -EBADMSG);
	diskrep_marker_encode(block, &m);
	assert_int_equal(diskrep_probe_decode(block, &p), -EBADMSG);
}

static void every_flipped_byte_is_refused(void **state)
{
	uint8_t block[DISKREP_PROBE_BYTES];
	struct diskrep_probe p;

	diskrep_probe_encode(block, &sample);
	for (size_t i = 0; i < sizeof(block); i++)
		for (int bit = 0; bit < 8; bit++) {
			block[i] ^= (uint8_t)(1 << bit);
			assert_int_equal(diskrep_probe_decode(block, &p), -EBADMSG);
			block[i] ^= (uint8_t)(1 << bit);
		}
}

static void senseless_values_are_refused(void **state)
{
	uint8_t block[DISKREP_PROBE_BYTES];
	struct diskrep_probe wrong[3] = {sample, sample, sample}, p;

	wrong[0].round = 0;
	wrong[1].kind = DISKREP_PROBE_KINDS;
	wrong[2].index = DISKREP_PROBE_INDEXES;
	for (size_t i = 0; i < 3; i++) {
		diskrep_probe_encode(block, &wrong[i]);
		assert_int_equal(diskrep_probe_decode(block, &p), -EBADMSG);
	}
}

/* ---- counting -------------------------------------------------------------------------------- */

static struct diskrep_order o;

static struct diskrep_probe probe(
	uint32_t round, enum diskrep_probe_kind kind, uint32_t index, uint32_t completed)
{
	return (struct diskrep_probe){
		.round = round, .kind = kind, .index = index, .completed = completed, .all = 9};
}

static void arrives(struct diskrep_probe p)
{
	diskrep_order_arrived(&o, &p);
}

static void is_written(struct diskrep_probe p)
{
	diskrep_order_written(&o, &p);
}

static void comes(struct diskrep_probe p)
{
	arrives(p);
	is_written(p);
}

#define EARLY(round, i) probe(round, DISKREP_PROBE_EARLY, i, 0)
#define MARKER(round, mask) probe(round, DISKREP_PROBE_MARKER, 0, mask)
#define LATE(round, i) probe(round, DISKREP_PROBE_LATE, i, 0)

static void expect(uint32_t probes, uint32_t violations)
{
	assert_int_equal(o.count.probes, probes);
	assert_int_equal(o.count.violations, violations);
	assert_int_equal(o.count.all, 9); /* known from any probe */
	memset(&o, 0, sizeof(o));
}

static void order_is_order(void **state)
{
	for (uint32_t round = 1; round <= 2; round++) {
		comes(EARLY(round, 1));
		comes(EARLY(round, 0)); /* among themselves they have none */
		comes(MARKER(round, 3));
		comes(LATE(round, 1));
		comes(LATE(round, 0));
	}
	expect(10, 0);
}

static void what_had_not_completed_may_come_on_either_side(void **state)
{
	comes(EARLY(1, 0));
	arrives(EARLY(1, 1));
	comes(MARKER(1, 1));
	is_written(EARLY(1, 1));
	comes(EARLY(1, 2));
	comes(LATE(1, 0));
	expect(5, 0);
}

static void completed_writes_that_are_missing_at_the_marker_count(void **state)
{
	comes(EARLY(2, 0));
	arrives(EARLY(2, 1)); /* still on its way to the disk: it and the marker had no order */
	comes(MARKER(2, 7));
	expect(3, 2);
}

static void late_writes_that_overtake_the_marker_count(void **state)
{
	comes(LATE(2, 0));
	arrives(MARKER(2, 0));
	comes(LATE(2, 1));
	is_written(MARKER(2, 0));
	comes(LATE(2, 2));
	expect(4, 2);
}

static void what_belongs_to_an_earlier_round_counts(void **state)
{
	comes(MARKER(1, 0));
	comes(EARLY(2, 0));
	comes(LATE(1, 0));
	comes(MARKER(2, 1)); /* and the stray one changes nothing of this round */
	comes(LATE(2, 0));
	expect(5, 1);
	comes(MARKER(1, 0));
	arrives(LATE(1, 0));
	arrives(EARLY(2, 0));
	is_written(LATE(1, 0));
	is_written(MARKER(1, 0)); /* of the past: it is not this round's marker */
	comes(LATE(2, 0));
	expect(4, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(a_probe_is_no_marker_and_a_marker_is_no_probe),
		cmocka_unit_test(every_flipped_byte_is_refused),
		cmocka_unit_test(senseless_values_are_refused),
		cmocka_unit_test(order_is_order),
		cmocka_unit_test(what_had_not_completed_may_come_on_either_side),
		cmocka_unit_test(completed_writes_that_are_missing_at_the_marker_count),
		cmocka_unit_test(late_writes_that_overtake_the_marker_count),
		cmocka_unit_test(what_belongs_to_an_earlier_round_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
