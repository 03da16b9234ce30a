/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Xen backend while another hand is at the same domain. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/why.h"
#include "tests/unit/xen_rig.h"

static struct hv hv;
static struct why why;

static int setup(void **state)
{
	rig_begin(&hv);
	assert_int_equal(hv_xen_changed(&hv, false, &why), 0);
	return 0;
}

/* ---- changes --------------------------------------------------------------------------------- */

static void a_device_that_is_taken_away_is_said(void **state)
{
	rig_put("/local/domain/7/device/vif/0", NULL);
	assert_int_equal(hv_xen_changed(&hv, true, &why), -ESTALE);
	assert_non_null(strstr(why.text, "vif 0 was taken away"));
}

static void it_dies_after_a_while(enum rig_moment moment)
{
	rig.gone = rig.looks > 6;
}

/* libxl pauses it, takes its devices away, and then destroys it. */
static void a_domain_that_is_destroyed_was_not_changed(void **state)
{
	rig.paused = true;
	rig_put("/local/domain/7/device/vif/0", NULL);
	rig.then = it_dies_after_a_while;
	assert_int_equal(hv_xen_changed(&hv, true, &why), -ESRCH);
	assert_non_null(strstr(why.text, "was destroyed"));
}

static void it_is_unpaused_after_a_while(enum rig_moment moment)
{
	rig.paused = rig.looks <= 6;
}

static void one_that_is_paused_and_changed_was_changed(void **state)
{
	rig.paused = true;
	rig_put("/local/domain/7/device/vif/0", NULL);
	rig.then = it_is_unpaused_after_a_while;
	assert_int_equal(hv_xen_changed(&hv, true, &why), -ESTALE);
	assert_non_null(strstr(why.text, "vif 0 was taken away"));
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_device_that_is_taken_away_is_said),
		TEST(a_domain_that_is_destroyed_was_not_changed),
		TEST(one_that_is_paused_and_changed_was_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
