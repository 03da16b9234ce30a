/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The failure detector: all paths, the whole time, and never for this host's own sleep. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/clock.h"
#include "failover/detector.h"
#include "failover/timeouts.h"

#define MS NSEC_PER_MSEC
static const struct failover_timeouts timeouts = {
	.heartbeat = 50, .dead_after = 1000, .stall = 500, .start_grace = 5000};

/* Tick every 50 ms over (from, to]; true when the view changed. */
static bool run(struct failover_detector *d, uint64_t from, uint64_t to)
{
	bool changed = false;

	for (uint64_t t = from + 50; t <= to; t += 50)
		changed = failover_detector_tick(d, t * MS) || changed;
	return changed;
}

static void one_path_is_enough(void **state)
{
	struct failover_detector d;

	failover_detector_init(&d, 2, &timeouts, 0);
	assert_true(failover_detector_heard(&d, 0, 0));
	for (uint64_t t = 0; t < 10000; t += 500) {
		failover_detector_heard(&d, 1, t * MS);
		assert_false(run(&d, t, t + 500));
	}
	assert_false(d.path[0].alive);
	assert_true(d.path[1].alive);
	assert_int_equal(d.view, FAILOVER_VIEW_ALIVE);
}

static void who_ends_in_order_has_the_time_of_a_start(void **state)
{
	struct failover_detector d;

	failover_detector_init(&d, 2, &timeouts, 0);
	failover_detector_heard(&d, 0, 0);
	assert_true(failover_detector_pardon(&d, true, 0));
	assert_false(failover_detector_pardon(&d, true, 0)); /* the same on the other path */
	assert_false(run(&d, 0, 4950));
	assert_true(run(&d, 4950, 5000));
	/* Back in time, it is a host like any other. */
	failover_detector_heard(&d, 0, 5000 * MS);
	failover_detector_pardon(&d, true, 5000 * MS);
	assert_false(run(&d, 5000, 6000));
	failover_detector_heard(&d, 0, 6000 * MS);
	failover_detector_pardon(&d, false, 6000 * MS);
	assert_true(run(&d, 6000, 7000));
}

static void all_silent_is_suspected_once(void **state)
{
	struct failover_detector d;

	failover_detector_init(&d, 2, &timeouts, 0);
	failover_detector_heard(&d, 0, 0);
	assert_false(run(&d, 0, 100));
	failover_detector_heard(&d, 1, 100 * MS);
	assert_false(run(&d, 100, 1050));
	assert_true(run(&d, 1050, 1100));
	assert_int_equal(d.view, FAILOVER_VIEW_SILENT);
	assert_false(run(&d, 1100, 5000));
	assert_true(failover_detector_heard(&d, 1, 5000 * MS));
}

static void own_stall_restarts_the_clock(void **state)
{
	struct failover_detector d;

	failover_detector_init(&d, 1, &timeouts, 0);
	failover_detector_heard(&d, 0, 0);
	assert_false(run(&d, 0, 200));
	/* This host was paused for a minute. */
	assert_false(failover_detector_tick(&d, 60200 * MS));
	assert_false(run(&d, 60200, 61150));
	assert_true(run(&d, 61150, 61200));
}

static void never_heard_has_a_grace(void **state)
{
	struct failover_detector d;

	failover_detector_init(&d, 1, &timeouts, 0);
	assert_false(run(&d, 0, 4950));
	assert_true(run(&d, 4950, 5000));
}

static void steady_counts_from_the_first_beat_after_a_gap(void **state)
{
	struct failover_detector d;

	failover_detector_init(&d, 1, &timeouts, 0);
	for (uint64_t t = 100; t <= 2000; t += 50)
		failover_detector_heard(&d, 0, t * MS);
	assert_true(failover_detector_steady(&d, 0, 1900, 2000 * MS));
	assert_false(failover_detector_steady(&d, 0, 1950, 2000 * MS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_path_is_enough),
		cmocka_unit_test(all_silent_is_suspected_once),
		cmocka_unit_test(who_ends_in_order_has_the_time_of_a_start),
		cmocka_unit_test(own_stall_restarts_the_clock),
		cmocka_unit_test(never_heard_has_a_grace),
		cmocka_unit_test(steady_counts_from_the_first_beat_after_a_gap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
