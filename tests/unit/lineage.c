/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel says of a volume, and whether it means that nothing has been missed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "diskrep/lineage.h"
#include "tests/unit/golden.h"

static void the_recorded_states(void **state)
{
	CLEANUP_FREE char *text = golden("drbd/proc", NULL);

	assert_true(diskrep_lineage_in_step(text, 10));
	assert_false(diskrep_lineage_in_step(text, 11));
	assert_true(diskrep_lineage_in_step(text, 12));
	assert_false(diskrep_lineage_in_step(text, 1));
	assert_false(diskrep_lineage_in_step(text, 0));
}

static bool in_step(const char *cs, const char *ds)
{
	char text[256];

	snprintf(text, sizeof(text),
		" 9: cs:SyncTarget ro:Secondary/Primary ds:Inconsistent/UpToDate A r-----\n"
		" 0: cs:%s ro:Secondary/Primary ds:%s A r-----\n    ns:0 nr:1\n",
		cs, ds);
	return diskrep_lineage_in_step(text, 0);
}

static void only_good_and_connected_is_in_step(void **state)
{
	static const char *const not [] = {"StandAlone", "WFConnection", "WFBitMapT", "WFSyncUUID",
		"SyncTarget", "PausedSyncT", "Behind", "Unconfigured"};

	assert_true(in_step("Connected", "UpToDate/UpToDate"));
	assert_true(in_step("VerifyT", "UpToDate/UpToDate"));
	for (size_t i = 0; i < ARRAY_SIZE(not ); i++)
		assert_false(in_step(not [i], "UpToDate/UpToDate"));
	assert_false(in_step("Connected", "Inconsistent/UpToDate"));
	assert_false(in_step("Connected", "UpToDate/Inconsistent"));
	assert_false(in_step("Connected", "Diskless/UpToDate"));
	assert_false(in_step("ConnectedConnectedConnectedConnectedConnected", "x"));
	assert_false(diskrep_lineage_in_step("", 0));
	assert_false(diskrep_lineage_in_step(" 0: cs:Unconfigured\n", 0));
	assert_false(diskrep_lineage_in_step(" 0: cs:Connected ro:", 0));
}

static void generations(void **state)
{
	static const char *const wrong[] = {
		"", "0x", "0x\n", "C875", "0x0000000000000000\n", "0x12345678901234567", "0x12 34"};
	uint64_t secondary, primary, n = 7;

	assert_int_equal(diskrep_lineage_generation(
				 "0xC875FD621CB5BFF8\n0x0000000000000000\n0x00", &secondary),
		0);
	assert_int_equal(diskrep_lineage_generation("0xC875FD621CB5BFF9\n", &primary), 0);
	assert_true(secondary == 0xC875FD621CB5BFF8);
	assert_true(primary == secondary);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(diskrep_lineage_generation(wrong[i], &n), -EBADMSG);
	assert_int_equal(n, 7);
}

static void without_drbd_nothing_begins(void **state)
{
	struct diskrep_drbd_status status = {.up = true, .volumes = 1};
	struct diskrep_lineage l;
	struct why why = {""};

	status.volume[0].minor = 1 << 19;
	assert_true(diskrep_lineage_begin(&status, &l, &why) < 0);
	assert_non_null(strstr(why.text, "could pass unseen"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_recorded_states),
		cmocka_unit_test(only_good_and_connected_is_in_step),
		cmocka_unit_test(generations),
		cmocka_unit_test(without_drbd_nothing_begins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
