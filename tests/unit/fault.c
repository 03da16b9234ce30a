/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fault points: what arms them, and that a misspelt one is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/clock.h"
#include "common/fault.h"
#include "common/why.h"

static void unarmed_points_do_nothing(void **state)
{
	unsetenv("ROMULUS_FAULT");
	assert_int_equal(fault_init(NULL), 0);
	assert_false(fault_point(FAULT_SHIP));
}

static void fail_and_delay_act(void **state)
{
	uint64_t before;

	setenv("ROMULUS_FAULT", "ship=fail,ack-delay=delay:20", 1);
	assert_int_equal(fault_init(NULL), 0);
	assert_true(fault_point(FAULT_SHIP));
	before = clock_now_ns();
	assert_false(fault_point(FAULT_ACK_DELAY));
	assert_true(clock_now_ns() - before >= 20 * NSEC_PER_MSEC);
	assert_false(fault_point(FAULT_CAPTURED));
}

static void unknown_names_are_refused(void **state)
{
	struct why why;

	setenv("ROMULUS_FAULT", "shipp=fail", 1);
	assert_int_equal(fault_init(&why), -EINVAL);
	assert_non_null(strstr(why.text, "shipp"));
	setenv("ROMULUS_FAULT", "ship=explode", 1);
	assert_int_equal(fault_init(&why), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unarmed_points_do_nothing),
		cmocka_unit_test(fail_and_delay_act),
		cmocka_unit_test(unknown_names_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
