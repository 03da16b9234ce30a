/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is asked of DRBD's tools, by what they have answered so far. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "diskrep/command.h"
#include "diskrep/drbd.h"
#include "diskrep/resource.h"

/* The tools: each look finds `connection`, each command ends with the next of `results`. */
static enum diskrep_drbd_connection connection;
static int results[4], looks_fail_after;
static unsigned int commands, looks, standalone_after;
static const char *options[4];

int __wrap_diskrep_command_run(
	const char *const argv[], int timeout_ms, struct diskrep_command *ret, struct why *why);
int __wrap_diskrep_drbd_status_parse(const char *text, size_t length, const char *resource,
	struct diskrep_drbd_status *ret, struct why *why);
int __wrap_diskrep_command(
	const char *const argv[], int timeout_ms, struct why *why, const char *format, ...);

static const char *shows; /* what `drbdsetup show` says; NULL: it is not to be asked */

/* This machine need not have the module that is asked for here. */
int __wrap_stat(const char *path, struct stat *ret);

int __wrap_stat(const char *path, struct stat *ret)
{
	assert_string_equal(path, "/sys/module/drbd");
	return 0;
}

int __wrap_diskrep_command_run(
	const char *const argv[], int timeout_ms, struct diskrep_command *ret, struct why *why)
{
	*ret = (struct diskrep_command){0};
	if (looks_fail_after >= 0 && (int)looks >= looks_fail_after)
		return why_set(why, -EIO, "no answer");
	looks++;
	if (shows) {
		assert_string_equal(argv[1], "show");
		ret->output = strdup(shows);
	}
	return 0;
}

int __wrap_diskrep_drbd_status_parse(const char *text, size_t length, const char *resource,
	struct diskrep_drbd_status *ret, struct why *why)
{
	*ret = (struct diskrep_drbd_status){.up = true, .connection = connection};
	if (commands >= standalone_after)
		ret->connection = DISKREP_DRBD_STANDALONE;
	return 0;
}

int __wrap_diskrep_command(
	const char *const argv[], int timeout_ms, struct why *why, const char *format, ...)
{
	int r = results[commands];

	assert_string_equal(argv[1], "disconnect");
	options[commands++] = argv[3] ? argv[2] : NULL;
	return r ? why_set(why, r, "refused") : 0;
}

static void begin(enum diskrep_drbd_connection is)
{
	connection = is;
	memset(results, 0, sizeof(results));
	commands = looks = 0;
	standalone_after = UINT32_MAX;
	looks_fail_after = -1;
	shows = NULL;
}

static void what_stands_alone_is_left(void **state)
{
	struct why why;

	begin(DISKREP_DRBD_STANDALONE);
	assert_int_equal(diskrep_drbd_disconnect("db", &why), 0);
	assert_int_equal(commands, 0);
}

static void it_is_asked_again_by_force(void **state)
{
	struct why why;

	begin(DISKREP_DRBD_CONNECTED);
	results[0] = -EIO;
	assert_int_equal(diskrep_drbd_disconnect("db", &why), 0);
	assert_int_equal(commands, 2);
	assert_null(options[0]);
	assert_string_equal(options[1], "--force");
}

/* drbdadm gave up after 5 s, DRBD did not: then there is no connection that could be ended. */
static void one_that_was_given_up_may_have_worked(void **state)
{
	struct why why;

	begin(DISKREP_DRBD_CONNECTED);
	results[0] = -EIO;
	results[1] = -EBADF;
	standalone_after = 1;
	assert_int_equal(diskrep_drbd_disconnect("db", &why), 0);
	assert_int_equal(commands, 1);
}

static void a_look_that_fails_is_no_success(void **state)
{
	struct why why;

	begin(DISKREP_DRBD_CONNECTED);
	looks_fail_after = 0;
	assert_int_equal(diskrep_drbd_disconnect("db", &why), -EIO);
	assert_int_equal(commands, 0);

	begin(DISKREP_DRBD_CONNECTED);
	looks_fail_after = 1;
	results[0] = -EIO;
	assert_int_equal(diskrep_drbd_disconnect("db", &why), 0);
	assert_int_equal(commands, 2);
}

/* As it is in the kernel, whatever a file says; the marker's volume like any other. */
static void order_is_kept_on_every_volume_or_not_at_all(void **state)
{
	struct why why;

	begin(DISKREP_DRBD_CONNECTED);
	shows = "resource db { _this_host {\n"
		"volume 0 { disk { disk-flushes yes; disk-drain yes; } }\n"
		"volume 1 { disk { disk-flushes yes; disk-drain yes; } } } }";
	assert_int_equal(diskrep_resource_orders("db", 2, &why), 0);
	assert_int_equal(diskrep_resource_orders("db", 3, &why), -EINVAL);
	shows = "resource db { _this_host {\n"
		"volume 0 { disk { disk-flushes yes; disk-drain yes; } }\n"
		"volume 1 { disk { disk-flushes yes; disk-drain no; } } } }";
	assert_int_equal(diskrep_resource_orders("db", 2, &why), -EINVAL);
	assert_non_null(strstr(why.text, "on volume 1 of resource db here (disk-drain is no)"));
	shows = "resource db { _this_host {\n"
		"volume 0 { disk { disk-flushes no; disk-drain yes; } } } }";
	assert_int_equal(diskrep_resource_orders("db", 1, &why), -EINVAL);
	assert_non_null(strstr(why.text, "on volume 0 of resource db here (disk-flushes is no)"));
	looks_fail_after = 0;
	assert_int_equal(diskrep_resource_orders("db", 2, &why), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_stands_alone_is_left),
		cmocka_unit_test(it_is_asked_again_by_force),
		cmocka_unit_test(one_that_was_given_up_may_have_worked),
		cmocka_unit_test(a_look_that_fails_is_no_success),
		cmocka_unit_test(order_is_kept_on_every_volume_or_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
