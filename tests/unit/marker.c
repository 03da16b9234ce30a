/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The marker: what the primary writes is read back, and nothing else is a marker. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/crc32c.h"
#include "diskrep/marker.h"

static const struct diskrep_marker sample = {
	.uuid = {0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	.nonce = UINT64_C(0x1122334455667788),
	.generation = 7,
	.epoch = UINT64_C(0xfedcba9876543210),
};

static void what_is_written_is_read(void **state)
{
	uint8_t block[DISKREP_MARKER_BYTES];
	struct diskrep_marker m;

	memset(block, 0xff, sizeof(block));
	diskrep_marker_encode(block, &sample);
	assert_memory_equal(block, "ROMMARK", 8);
	assert_int_equal(block[48], 0x10); /* little-endian epoch at its documented place */
	assert_int_equal(diskrep_marker_decode(block, &m), 0);
	assert_memory_equal(m.uuid, sample.uuid, sizeof(m.uuid));
	assert_true(m.nonce == sample.nonce);
	assert_true(m.generation == sample.generation);
	assert_true(m.epoch == sample.epoch);
}

static void every_flipped_byte_is_refused(void **state)
{
	uint8_t block[DISKREP_MARKER_BYTES];
	struct diskrep_marker m;

	diskrep_marker_encode(block, &sample);
	for (size_t i = 0; i < sizeof(block); i++)
		for (int bit = 0; bit < 8; bit++) {
			block[i] ^= (uint8_t)(1 << bit);
			assert_int_equal(diskrep_marker_decode(block, &m), -EBADMSG);
			block[i] ^= (uint8_t)(1 << bit);
		}
	assert_int_equal(diskrep_marker_decode(block, &m), 0);
}

static void put_crc(uint8_t *block)
{
	uint32_t crc;

	memset(block + 12, 0, 4);
	crc = crc32c(0, block, DISKREP_MARKER_BYTES);
	for (int i = 0; i < 4; i++)
		block[12 + i] = (uint8_t)(crc >> (8 * i));
}

static void a_right_checksum_is_not_enough(void **state)
{
	uint8_t block[DISKREP_MARKER_BYTES];
	struct diskrep_marker m;

	diskrep_marker_encode(block, &sample);
	put_crc(block);
	assert_int_equal(diskrep_marker_decode(block, &m), 0);
	block[8] = 2; /* version */
	put_crc(block);
	assert_int_equal(diskrep_marker_decode(block, &m), -EBADMSG);
	diskrep_marker_encode(block, &sample);
	block[DISKREP_MARKER_BYTES - 1] = 1; /* not zero */
	put_crc(block);
	assert_int_equal(diskrep_marker_decode(block, &m), -EBADMSG);
	memset(block, 0, sizeof(block));
	assert_int_equal(diskrep_marker_decode(block, &m), -EBADMSG);
}

static void uuids_are_text_and_back(void **state)
{
	static const char text[] = "deadbeef-0102-0304-0506-0708090a0b0c";
	static const char *const wrong[] = {"", "deadbeef", "deadbeef-0102-0304-0506-0708090a0b0",
		"deadbeef-0102-0304-0506-0708090a0b0c0", "deadbeef-0102-0304-0506-0708090a0b0g",
		"deadbeef00102-0304-0506-0708090a0b0c", "deadbeef-0102-0304-0506-0708090a0b0c "};
	char got[DISKREP_UUID_TEXT];
	uint8_t uuid[16];

	assert_int_equal(diskrep_uuid_parse(text, uuid), 0);
	assert_memory_equal(uuid, sample.uuid, sizeof(uuid));
	diskrep_uuid_print(uuid, got);
	assert_string_equal(got, text);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(diskrep_uuid_parse(wrong[i], uuid), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(every_flipped_byte_is_refused),
		cmocka_unit_test(a_right_checksum_is_not_enough),
		cmocka_unit_test(uuids_are_text_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
