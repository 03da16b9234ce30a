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
	assert_int_equal(hv_xen_changed(&hv, &why), 0);
	return 0;
}

/* ---- changes --------------------------------------------------------------------------------- */

static void a_device_that_is_taken_away_is_said(void **state)
{
	rig_put("/local/domain/7/device/vif/0", NULL);
	assert_int_equal(hv_xen_changed(&hv, &why), -ESTALE);
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
	assert_int_equal(hv_xen_changed(&hv, &why), -ESRCH);
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
	assert_int_equal(hv_xen_changed(&hv, &why), -ESTALE);
	assert_non_null(strstr(why.text, "vif 0 was taken away"));
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

static unsigned int checkpoints, wanted;
static jmp_buf away;

static int precopy(void *opaque, unsigned int round, int64_t dirty)
{
	return 0;
}

static int nothing(void *opaque)
{
	return 0;
}

static int captured_err;
static bool saver_comes;

static int captured(void *opaque)
{
	rig.saver = saver_comes;
	return captured_err ? why_set(&why, captured_err, "the capture failed") : 0;
}

static int running(void *opaque, const struct hv_pause *pause)
{
	int r = hv_xen_changed(&hv, &why);

	assert_false(rig.suspended);
	assert_false(rig.subscribed);
	if (r == -EALREADY)
		longjmp(away, 1);
	return r ? r : ++checkpoints == wanted ? -ECANCELED : 0;
}

static void taken(void *opaque)
{
	longjmp(away, 1);
}

/* So many checkpoints, as long as nobody else comes. -EALREADY: we gave way. */
static int checkpoint(unsigned int many)
{
	static const struct hv_save_calls calls = {
		.precopy = precopy,
		.before_suspend = nothing,
		.suspended = nothing,
		.captured = captured,
		.running = running,
		.taken = taken,
	};

	wanted = many;
	checkpoints = 0;
	if (setjmp(away))
		return -EALREADY;
	return hv_xen_save(&hv, -1, &calls, &why);
}

/* The guest takes what it is asked for, and suspends. */
static void take_request(void)
{
	const char *request = rig_get(RIG_SHUTDOWN);

	if (!request || strcmp(request, "suspend") != 0)
		return;
	rig_put(RIG_SHUTDOWN, "");
	rig.suspended = true;
}

/* `xl save`: its helper is there first. */
static void another_asks(void)
{
	rig.saver = true;
	rig_put(RIG_SHUTDOWN, "suspend");
}

static void guest(enum rig_moment moment)
{
	assert_true(moment != RIG_ASKED || rig.subscribed);
	if (moment == RIG_ASKED)
		take_request();
}

static void nobody_else_comes(void **state)
{
	rig.then = guest;
	assert_int_equal(checkpoint(5), -ECANCELED);
	assert_int_equal(rig.resumed, 5);
	assert_string_equal(rig_get(RIG_SHUTDOWN), "");
}

/* Whether the other hand has what it came for: the guest stands suspended, once, for it. */
static void assert_is_theirs(void)
{
	assert_int_equal(rig.resumed, 0);
	assert_false(rig.logdirty_off);
	assert_false(rig.subscribed); /* or its end of the suspension were ours to hear */
	take_request();
	assert_true(rig.suspended);
	assert_string_equal(rig_get(RIG_SHUTDOWN), "");
}

static void another_is_before_us(enum rig_moment moment)
{
	if (moment == RIG_BEGIN && !rig.saver)
		another_asks();
	guest(moment);
}

static void a_request_before_ours_is_honoured(void **state)
{
	rig.then = another_is_before_us;
	assert_int_equal(checkpoint(1), -EALREADY);
	assert_is_theirs();
}

static void another_is_in_between(enum rig_moment moment)
{
	if (moment == RIG_READ && !rig.saver)
		another_asks();
	guest(moment);
}

static void a_request_while_we_ask_is_honoured(void **state)
{
	rig.then = another_is_in_between;
	assert_int_equal(checkpoint(1), -EALREADY);
	assert_is_theirs();
}

/* The guest has taken theirs, and freezes its processes. */
static void another_was_answered(enum rig_moment moment)
{
	if (moment == RIG_BEGIN && !rig.saver) {
		another_asks();
		rig_put(RIG_SHUTDOWN, "");
	}
	guest(moment);
}

static void a_request_that_was_answered_is_honoured(void **state)
{
	rig.then = another_was_answered;
	assert_int_equal(checkpoint(1), -EALREADY);
	rig.suspended = true; /* so it does */
	assert_is_theirs();
}

/* Theirs is heard of late: the guest suspends for them, and ours is still to be taken. */
static void another_suspends(enum rig_moment moment)
{
	if (moment != RIG_ASKED)
		return;
	rig.saver = rig.suspended = true;
}

static void a_request_that_outlasts_theirs_is_taken_back(void **state)
{
	rig.then = another_suspends;
	assert_int_equal(checkpoint(1), -EALREADY);
	assert_is_theirs();
}

static void another_follows_at_once(enum rig_moment moment)
{
	if (moment != RIG_ASKED)
		return;
	another_asks();
	take_request();
}

static void one_suspension_for_two_requests_is_theirs(void **state)
{
	rig.then = another_follows_at_once;
	assert_int_equal(checkpoint(1), -EALREADY);
	assert_is_theirs();
}

static void another_comes_after_ours_was_answered(enum rig_moment moment)
{
	if (moment != RIG_ASKED)
		return;
	take_request();
	another_asks();
}

/* It waits for the guest's answer, which can only come when ours is over. */
static void a_request_after_ours_gets_a_suspension_of_its_own(void **state)
{
	rig.then = another_comes_after_ours_was_answered;
	assert_int_equal(checkpoint(1), -EALREADY);
	assert_int_equal(rig.resumed, 1);
	rig.resumed = 0;
	assert_is_theirs();
}

/* Its log-dirty mode ends with ours, unless we go another way. */
static void a_failure_is_not_that_of_another(void **state)
{
	rig.then = guest;
	captured_err = -EIO;
	assert_int_equal(checkpoint(1), -EIO);
	assert_int_equal(rig.logdirty_off, 1);
	assert_int_equal(rig.resumed, 1);
	saver_comes = true;
	assert_int_equal(checkpoint(1), -EALREADY);
	assert_int_equal(rig.logdirty_off, 1);
	assert_int_equal(rig.resumed, 2);
	saver_comes = false;
	captured_err = 0;
}

/* One that was asked for in vain comes after all. */
static void a_late_suspension_is_undone_unless_it_is_theirs(void **state)
{
	hv.owed_until_ns = UINT64_MAX;
	assert_int_equal(hv_xen_settle(&hv), 1);
	rig.suspended = true;
	assert_int_equal(hv_xen_settle(&hv), 0);
	assert_int_equal(rig.resumed, 1);
	hv.owed_until_ns = UINT64_MAX;
	rig.suspended = rig.saver = true;
	assert_int_equal(hv_xen_settle(&hv), 0);
	assert_int_equal(rig.resumed, 1);
}

/* ---- what a dead worker has left ------------------------------------------------------------- */

static void a_suspended_guest_is_not_protected(void **state)
{
	struct hv_domain dom = {.name = "db", .type = HV_TYPE_PVH, .feature_suspend = true};

	assert_int_equal(hv_xen_ops.can_protect(&hv, &dom, &why), 0);
	dom.suspended = true;
	assert_int_equal(hv_xen_ops.can_protect(&hv, &dom, &why), -EAGAIN);
}

static void one_that_came_by_another_hand_need_not_announce_it(void **state)
{
	assert_false(hv_xen_can_suspend(&hv, RIG_DOMID)); /* it is not up yet */
	rig_put("/local/domain/7/control/feature-suspend", "");
	rig_put("/local/domain/7/device/vif/0/state", "4");
	assert_true(hv_xen_can_suspend(&hv, RIG_DOMID));
	rig_put("/local/domain/7/control/feature-poweroff", "1"); /* this one does announce */
	assert_false(hv_xen_can_suspend(&hv, RIG_DOMID));
	rig_put("/local/domain/7/control/feature-suspend", "1");
	assert_true(hv_xen_can_suspend(&hv, RIG_DOMID));
}

static void one_with_a_device_model_is_not_protected(void **state)
{
	struct hv_domain dom = {.name = "db", .type = HV_TYPE_HVM, .feature_suspend = true};

	assert_int_equal(hv_xen_ops.can_protect(&hv, &dom, &why), -EOPNOTSUPP);
	assert_non_null(strstr(why.text, "device model"));
}

static void a_request_nobody_has_answered_is_taken_back(void **state)
{
	rig_put(RIG_SHUTDOWN, "suspend");
	assert_int_equal(hv_xen_repair(&hv, RIG_DOMID, true, &why), 0);
	assert_string_equal(rig_get(RIG_SHUTDOWN), "");
	assert_false(rig.suspended);
}

static void it_freezes_for_a_while(enum rig_moment moment)
{
	if (moment == RIG_LOOK && rig.looks == 6)
		rig.suspended = true;
}

static void an_answer_that_is_late_is_waited_for(void **state)
{
	rig.then = it_freezes_for_a_while;
	rig.looks = 0;
	assert_int_equal(hv_xen_repair(&hv, RIG_DOMID, true, &why), 0);
	assert_int_equal(rig.resumed, 1);
	assert_false(rig.suspended);
}

static void nothing_is_waited_for_without_a_request(void **state)
{
	rig.then = it_freezes_for_a_while;
	rig.looks = 0;
	assert_int_equal(hv_xen_repair(&hv, RIG_DOMID, false, &why), 0);
	assert_true(rig.looks < 6);
}

static void what_another_has_suspended_stays(void **state)
{
	rig.suspended = rig.saver = true;
	assert_int_equal(hv_xen_repair(&hv, RIG_DOMID, true, &why), 0);
	assert_is_theirs();
}

/* ---- saved whole ----------------------------------------------------------------------------- */

static void it_suspends_after_a_while(enum rig_moment moment)
{
	rig.suspended = rig.looks >= 8 && !rig.resumed;
}

static void a_whole_save_leaves_it_suspended(void **state)
{
	assert_int_equal(hv_xen_write_out(&hv, RIG_DOMID, -1, true, &why), 0);
	assert_true(rig.suspended);
	assert_int_equal(hv_xen_resume(&hv, RIG_DOMID, &why), 0);
	assert_false(rig.suspended);
}

static void a_whole_save_that_fails_does_not(void **state)
{
	rig.save_error = ERROR_FAIL;
	assert_int_equal(hv_xen_write_out(&hv, RIG_DOMID, -1, false, &why), -EIO);
	assert_false(rig.suspended);
	rig.unresuming = true;
	assert_int_equal(hv_xen_write_out(&hv, RIG_DOMID, -1, false, &why), -ENOTRECOVERABLE);
	assert_true(rig.suspended);
	assert_non_null(strstr(why.text, "STANDS SUSPENDED"));
}

static void what_a_dead_save_has_suspended_is_resumed(void **state)
{
	rig.suspended = true;
	assert_int_equal(hv_xen_take_back(&hv, RIG_DOMID, &why), 0);
	assert_int_equal(rig.resumed, 1);
	assert_int_equal(rig.logdirty_off, 1);
	rig.gone = true;
	assert_int_equal(hv_xen_take_back(&hv, RIG_DOMID, &why), -ESRCH);
}

static void what_a_dead_save_has_asked_for_is_called_off(void **state)
{
	rig_put(RIG_SHUTDOWN, "suspend");
	assert_int_equal(hv_xen_take_back(&hv, RIG_DOMID, &why), 0);
	assert_string_equal(rig_get(RIG_SHUTDOWN), "");
	assert_int_equal(rig.resumed, 0);
	rig_put(RIG_SHUTDOWN, "reboot");
	rig.then = it_suspends_after_a_while;
	assert_int_equal(hv_xen_take_back(&hv, RIG_DOMID, &why), 0);
	assert_string_equal(rig_get(RIG_SHUTDOWN), "reboot");
	assert_int_equal(rig.resumed, 1);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_device_that_is_taken_away_is_said),
		TEST(a_domain_that_is_destroyed_was_not_changed),
		TEST(one_that_is_paused_and_changed_was_changed),
		TEST(nobody_else_comes),
		TEST(a_request_before_ours_is_honoured),
		TEST(a_request_while_we_ask_is_honoured),
		TEST(a_request_that_was_answered_is_honoured),
		TEST(a_request_that_outlasts_theirs_is_taken_back),
		TEST(one_suspension_for_two_requests_is_theirs),
		TEST(a_request_after_ours_gets_a_suspension_of_its_own),
		TEST(a_failure_is_not_that_of_another),
		TEST(a_late_suspension_is_undone_unless_it_is_theirs),
		TEST(a_suspended_guest_is_not_protected),
		TEST(one_that_came_by_another_hand_need_not_announce_it),
		TEST(one_with_a_device_model_is_not_protected),
		TEST(a_request_nobody_has_answered_is_taken_back),
		TEST(an_answer_that_is_late_is_waited_for),
		TEST(nothing_is_waited_for_without_a_request),
		TEST(what_another_has_suspended_stays),
		TEST(a_whole_save_leaves_it_suspended),
		TEST(a_whole_save_that_fails_does_not),
		TEST(what_a_dead_save_has_suspended_is_resumed),
		TEST(what_a_dead_save_has_asked_for_is_called_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
