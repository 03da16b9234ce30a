/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the watchdog is armed, petted and disarmed, against one that is made of numbers. */
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
#include "common/why.h"
#include "failover/events.h"
#include "failover/watchdog.h"

#define SECONDS 60
#define S NSEC_PER_SEC

/* The hypervisor: two timers, as Xen has. */
static struct {
	uint32_t left[2]; /* seconds it was last started with; 0: not in use */
	unsigned int set, opened;
	int fails;
} xen;

static int fake_open(void **ret, struct why *why)
{
	xen.opened++;
	*ret = &xen;
	return 0;
}

static int fake_set(void *data, uint32_t id, uint32_t seconds)
{
	assert_ptr_equal(data, &xen);
	xen.set++;
	if (xen.fails)
		return xen.fails;
	for (uint32_t i = 0; id == 0 && i < 2; i++)
		if (!xen.left[i]) {
			xen.left[i] = seconds;
			return (int)i + 1;
		}
	if (id == 0)
		return -ENOSPC;
	if (id > 2 || !xen.left[id - 1])
		return -EINVAL;
	xen.left[id - 1] = seconds;
	return 0;
}

static void fake_close(void *data)
{
	xen.opened--;
}

static const struct failover_watchdog_ops fake = {fake_open, fake_set, fake_close};

static struct failover_events events;
static struct failover_watchdog w;
static char dir[64];

static void open_it(void)
{
	struct why why;

	assert_int_equal(failover_watchdog_open(&w, &fake, dir, SECONDS, &events, &why), 0);
}

/* The daemon is killed: nothing is disarmed, nothing closed. */
static void die(void)
{
	w = (struct failover_watchdog){.ops = NULL};
	xen.opened = 0;
}

static int setup(void **state)
{
	memset(&xen, 0, sizeof(xen));
	strcpy(dir, "/tmp/romulus-watchdog-XXXXXX");
	assert_non_null(mkdtemp(dir));
	open_it();
	return 0;
}

static int teardown(void **state)
{
	char command[96];

	failover_watchdog_close(&w);
	failover_events_clear(&events);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static void it_is_armed_while_wanted_and_petted_in_time(void **state)
{
	failover_watchdog_tick(&w, false, 1 * S);
	assert_int_equal(xen.set, 0);
	for (uint64_t t = 2 * S; t <= 32 * S; t += S / 20)
		failover_watchdog_tick(&w, true, t);
	assert_int_equal(xen.left[0], SECONDS);
	assert_int_equal(xen.left[1], 0); /* one is enough */
	assert_in_range(xen.set, 25, 35); /* about once a second */
	failover_watchdog_tick(&w, false, 33 * S);
	assert_int_equal(xen.left[0], 0);
	failover_watchdog_tick(&w, true, 34 * S);
	assert_int_equal(xen.left[0], SECONDS);
}

static void the_end_of_the_daemon_disarms_it(void **state)
{
	failover_watchdog_tick(&w, true, 1 * S);
	assert_int_equal(xen.left[0], SECONDS);
	failover_watchdog_close(&w);
	assert_int_equal(xen.left[0], 0);
	assert_int_equal(xen.opened, 0);
	open_it();
	assert_int_equal(w.id, 0);
}

/* Else the host would be reset although the next daemon is well. */
static void the_next_daemon_takes_it_over(void **state)
{
	failover_watchdog_tick(&w, true, 1 * S);
	die();
	xen.left[0] = 3; /* nearly over */
	open_it();
	assert_int_equal(xen.left[0], SECONDS);
	failover_watchdog_tick(&w, true, 100 * S);
	assert_int_equal(xen.left[1], 0);
	die();
	open_it();
	failover_watchdog_tick(&w, false, 101 * S); /* nothing is protected any more */
	assert_int_equal(xen.left[0], 0);
}

/* Its disks are brought up before it begins, one after the other. */
static void it_is_petted_before_the_next_daemon_begins(void **state)
{
	failover_watchdog_bridge(&fake, dir, SECONDS, &events);
	assert_int_equal(xen.left[0], 0); /* none was armed */
	failover_watchdog_tick(&w, true, 1 * S);
	die();
	xen.left[0] = 3;
	failover_watchdog_bridge(&fake, dir, SECONDS, &events);
	assert_int_equal(xen.left[0], SECONDS);
	assert_int_equal(xen.opened, 0);
	open_it();
	assert_int_equal(w.id, 1);
}

/* With a configuration that says "none" nobody would pet it. */
static void one_that_is_not_wanted_any_more_is_disarmed(void **state)
{
	struct why why;

	failover_watchdog_tick(&w, true, 1 * S);
	die();
	assert_int_equal(failover_watchdog_open(&w, &fake, dir, 0, &events, &why), 0);
	assert_int_equal(xen.left[0], 0);
	assert_int_equal(xen.opened, 0);
	failover_watchdog_tick(&w, true, 9 * S);
	assert_int_equal(xen.left[0], 0);
	/* And without one Xen is not even asked for. */
	xen.set = 0;
	assert_int_equal(failover_watchdog_open(&w, &fake, dir, 0, &events, &why), 0);
	assert_int_equal(xen.opened, 0);
	assert_int_equal(xen.set, 0);
}

static void one_that_was_removed_is_armed_again(void **state)
{
	failover_watchdog_tick(&w, true, 1 * S);
	xen.left[0] = 0;
	failover_watchdog_tick(&w, true, 3 * S);
	failover_watchdog_tick(&w, true, 5 * S);
	assert_int_equal(xen.left[0], SECONDS);
	die();
	xen.left[0] = 0;
	open_it();
	failover_watchdog_tick(&w, true, clock_now_ns() + 3 * S);
	assert_int_equal(xen.left[0], SECONDS);
}

/* A step before the daemon must not leave one that nobody pets should the daemon not start. */
static void a_bridge_arms_none(void **state)
{
	failover_watchdog_tick(&w, true, 1 * S);
	die();
	xen.left[0] = 1;
	failover_watchdog_bridge(&fake, dir, SECONDS, &events);
	assert_int_equal(xen.left[0], SECONDS);
	xen.left[0] = 0;
	failover_watchdog_bridge(&fake, dir, SECONDS, &events);
	assert_int_equal(xen.left[0], 0);
}

static void a_failure_is_said_once_and_tried_again(void **state)
{
	const uint64_t said = events.last;

	xen.fails = -ENOSYS;
	for (uint64_t t = S; t < 4 * S; t += S / 20)
		failover_watchdog_tick(&w, true, t);
	assert_int_equal(events.last, said + 1);
	assert_true(w.complained);
	assert_in_range(xen.set, 2, 4);
	xen.fails = 0;
	failover_watchdog_tick(&w, true, 6 * S);
	assert_int_equal(xen.left[0], SECONDS);
	assert_false(w.complained);
}

/* The next daemon would not know which one to pet. */
static void a_number_that_is_not_kept_is_said(void **state)
{
	const uint64_t said = events.last;

	strcat(w.file, "/of/no/folder");
	failover_watchdog_tick(&w, true, S);
	assert_int_equal(xen.left[0], SECONDS);
	assert_int_equal(events.last, said + 2); /* and that it is armed */
}

static void without_one_nothing_happens(void **state)
{
	struct failover_watchdog none = {.ops = NULL};

	failover_watchdog_tick(&none, true, S);
	failover_watchdog_close(&none);
	assert_int_equal(xen.set, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_is_armed_while_wanted_and_petted_in_time),
		TEST(the_end_of_the_daemon_disarms_it),
		TEST(the_next_daemon_takes_it_over),
		TEST(it_is_petted_before_the_next_daemon_begins),
		TEST(one_that_is_not_wanted_any_more_is_disarmed),
		TEST(one_that_was_removed_is_armed_again),
		TEST(a_bridge_arms_none),
		TEST(a_failure_is_said_once_and_tried_again),
		TEST(a_number_that_is_not_kept_is_said),
		TEST(without_one_nothing_happens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
