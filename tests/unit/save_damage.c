/* SPDX-License-Identifier: GPL-2.0-or-later */
/* However a file is damaged, and whatever is in its way here, no domain is made of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "tests/unit/save_rig.h"

static struct why why;

/* ---- damage --------------------------------------------------------------------------------- */

static unsigned int refused;

static void is_refused(const uint8_t *bytes, size_t n)
{
	struct save s = rig_begin_save();
	int r;

	rig_put_file(rig_file, bytes, n, 0600);
	r = restore_run(&s, &why);
	if (r != -EBADMSG && r != -ENODATA && r != -EPROTONOSUPPORT)
		fail_msg("%zu bytes: %d, %s", n, r, why.text);
	assert_int_equal(rig_xen->builds, 0);
	assert_non_null(strstr(why.text, "No domain was created"));
	refused++;
}

static void no_damaged_file_creates_a_domain(void **state)
{
	CLEANUP_FREE uint8_t *bytes = NULL;
	size_t n;

	refused = 0;
	rig_save_as(SAVEFILE_ROMULUS, false);
	bytes = rig_get_file(rig_file, &n);
	for (size_t at = 0; at < n; at++) {
		bytes[at] ^= (uint8_t)(1u << at % 8);
		is_refused(bytes, n);
		bytes[at] ^= (uint8_t)(1u << at % 8);
		is_refused(bytes, at);
	}
	bytes[n] = 0;
	is_refused(bytes, n + 1);
	assert_true(refused >= 1000);
}

/* In a larger one, at random: a seed that fails is printed by the message above. */
static void no_damaged_chunk_creates_a_domain(void **state)
{
	CLEANUP_FREE uint8_t *bytes = NULL;
	unsigned int seed = 1;
	size_t n;

	rig_make_stream(2500000);
	rig_save_as(SAVEFILE_ROMULUS, false);
	bytes = rig_get_file(rig_file, &n);
	for (int i = 0; i < 60; i++) {
		const size_t at = (size_t)rand_r(&seed) % n;
		const uint8_t bit = (uint8_t)(1u << rand_r(&seed) % 8);

		bytes[at] ^= bit;
		is_refused(bytes, n);
		bytes[at] ^= bit;
		is_refused(bytes, at);
	}
}

/* Whole frames that are left out, or are in another's place, have good checksums of their own. */
static void no_frame_can_be_left_out(void **state)
{
	CLEANUP_FREE uint8_t *bytes = NULL, *less = NULL;
	size_t n, at = SAVEFILE_HEADER_BYTES;
	uint64_t sequence = 0;

	rig_make_stream(2500000);
	rig_save_as(SAVEFILE_ROMULUS, false);
	bytes = rig_get_file(rig_file, &n);
	less = malloc(n);
	assert_non_null(less);
	while (at < n) {
		struct savefile_frame f;
		size_t rest, size;

		assert_int_equal(savefile_frame_decode(bytes + at, sequence++, &f, &why), 0);
		size = SAVEFILE_FRAME_BYTES + f.length;
		rest = n - at - size;
		memcpy(less, bytes, at);
		memcpy(less + at, bytes + at + size, rest);
		is_refused(less, at + rest);
		at += size;
	}
	assert_int_equal(sequence, 5); /* about, three chunks, end */
}

static void put_frame(uint8_t *at, struct savefile_frame *f, uint64_t sequence)
{
	f->sequence = sequence;
	savefile_frame_encode(at, f, at + SAVEFILE_FRAME_BYTES);
}

/* Each of the checks alone, for where the others would not see it. */
static void a_wrong_checksum_is_enough(void **state)
{
	CLEANUP_FREE uint8_t *bytes = NULL;
	struct savefile_frame f;
	uint8_t *end;
	size_t n;

	rig_save_as(SAVEFILE_ROMULUS, false);
	bytes = rig_get_file(rig_file, &n);
	bytes[SAVEFILE_HEADER_BYTES + 12] ^= 1;
	end = bytes + n - SAVEFILE_FRAME_BYTES - SAVEFILE_END_BYTES;
	assert_int_equal(savefile_frame_decode(end, 2, &f, NULL), 0);
	assert_int_equal(gnutls_hash_fast(GNUTLS_DIG_SHA256, bytes, (size_t)(end - bytes),
				 end + SAVEFILE_FRAME_BYTES + 16),
		0);
	put_frame(end, &f, 2);
	is_refused(bytes, n);
	bytes[SAVEFILE_HEADER_BYTES + 12] ^= 1;
	assert_int_equal(gnutls_hash_fast(GNUTLS_DIG_SHA256, bytes, (size_t)(end - bytes),
				 end + SAVEFILE_FRAME_BYTES + 16),
		0);
	put_frame(end, &f, 2);
	rig_put_file(rig_file, bytes, n, 0600);
	{
		struct save s = rig_begin_save();

		assert_int_equal(restore_run(&s, &why), 0); /* as it was */
	}
}

/* Two chunks of pages that have changed places, and are numbered as if they had not. */
static void a_wrong_sum_is_enough(void **state)
{
	CLEANUP_FREE uint8_t *bytes = NULL, *other = NULL;
	size_t n, at = SAVEFILE_HEADER_BYTES, size[4];
	struct savefile_frame f[4];

	rig_make_stream(3500000);
	rig_save_as(SAVEFILE_ROMULUS, false);
	bytes = rig_get_file(rig_file, &n);
	other = malloc(n);
	assert_non_null(other);
	memcpy(other, bytes, n);
	for (uint64_t i = 0; i < 4; i++) {
		assert_int_equal(savefile_frame_decode(bytes + at, i, &f[i], NULL), 0);
		size[i] = SAVEFILE_FRAME_BYTES + f[i].length;
		at += size[i];
	}
	at -= size[2] + size[3];
	memcpy(other + at, bytes + at + size[2], size[3]);
	memcpy(other + at + size[3], bytes + at, size[2]);
	put_frame(other + at, &f[3], 2);
	put_frame(other + at + size[3], &f[2], 3);
	assert_memory_not_equal(other, bytes, n);
	is_refused(other, n);
	assert_non_null(strstr(why.text, "not all that was written"));
}

static void no_cut_file_of_xl_creates_a_domain(void **state)
{
	CLEANUP_FREE uint8_t *bytes = NULL;
	size_t n;

	rig_save_as(SAVEFILE_XL, false);
	bytes = rig_get_file(rig_file, &n);
	for (size_t at = 0; at < n; at++)
		is_refused(bytes, at);
	bytes[n] = 0;
	is_refused(bytes, n + 1);
	for (size_t at = 0; at < 52; at++) {
		bytes[at] ^= 1;
		is_refused(bytes, n);
		bytes[at] ^= 1;
	}
}

/* ---- what may not be restored --------------------------------------------------------------- */

static void what_is_protected_here_is_not_restored(void **state)
{
	struct save s;

	rig_save_as(SAVEFILE_ROMULUS, false);
	s = rig_begin_save();
	s.protected_[s.protected_n++] = "db";
	assert_int_equal(restore_run(&s, &why), -EBUSY);
	assert_int_equal(rig_xen->builds, 0);
}

static void a_disk_that_is_not_there_is_said(void **state)
{
	struct save s;

	rig_save_as(SAVEFILE_ROMULUS, false);
	unlink(rig_disk);
	s = rig_begin_save();
	assert_int_equal(restore_run(&s, &why), -ENOENT);
	assert_non_null(strstr(why.text, rig_disk));
	assert_int_equal(rig_xen->builds, 0);
}

/* A device of DRBD's that cannot be opened is one that is secondary here. */
static void a_disk_that_is_secondary_here_is_said(void **state)
{
	struct save s;

	rig_save_as(SAVEFILE_ROMULUS, false);
	unlink(rig_disk);
	assert_int_equal(mknod(rig_disk, S_IFBLK | 0600, makedev(147, 4095)), 0);
	s = rig_begin_save();
	assert_int_equal(restore_run(&s, &why), -EBUSY);
	assert_non_null(strstr(why.text, "not primary here"));
	assert_int_equal(rig_xen->builds, 0);
}

static void a_check_creates_no_domain(void **state)
{
	struct save s;

	rig_save_as(SAVEFILE_ROMULUS, true);
	unlink(rig_disk);
	s = rig_begin_save();
	s.check = true;
	assert_int_equal(restore_run(&s, &why), 0);
	assert_true(s.checkpoint);
	assert_int_equal(rig_xen->builds, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_damaged_file_creates_a_domain),
		TEST(no_damaged_chunk_creates_a_domain),
		TEST(no_frame_can_be_left_out),
		TEST(a_wrong_checksum_is_enough),
		TEST(a_wrong_sum_is_enough),
		TEST(no_cut_file_of_xl_creates_a_domain),
		TEST(what_is_protected_here_is_not_restored),
		TEST(a_disk_that_is_not_there_is_said),
		TEST(a_disk_that_is_secondary_here_is_said),
		TEST(a_check_creates_no_domain),
	};

	return rig_begin() ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
