/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Running a tool: what it says, how it ends, and that it cannot keep us. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/clock.h"
#include "diskrep/command.h"

#define LONG_MS 60000

static int shell(const char *script, int timeout_ms, struct diskrep_command *c, struct why *why)
{
	return diskrep_command_run(
		(const char *const[]){"/bin/sh", "-c", script, NULL}, timeout_ms, c, why);
}

static void output_and_status(void **state)
{
	struct diskrep_command c;
	char said[64];
	struct why why;

	assert_int_equal(shell("echo out; echo '  not  good' >&2; exit 7", LONG_MS, &c, &why), 0);
	assert_int_equal(c.status, 7);
	assert_string_equal(c.output, "out\n");
	assert_false(c.truncated);
	diskrep_command_complaint(&c, said, sizeof(said));
	assert_string_equal(said, "not good");
	diskrep_command_clear(&c);
	assert_int_equal(shell("kill -TERM $$", LONG_MS, &c, &why), 0);
	assert_int_equal(c.status, -SIGTERM);
	assert_null(c.output);
	diskrep_command_clear(&c);
	assert_int_equal(shell("read x && exit 1; exit 0", LONG_MS, &c, &why), 0);
	assert_int_equal(c.status, 0);
	diskrep_command_clear(&c);
}

static void the_sentence_has_the_complaint(void **state)
{
	const char *const argv[] = {"/bin/sh", "-c", "echo no such disk >&2; exit 10", NULL};
	struct why why;

	assert_int_equal(diskrep_command(argv, LONG_MS, &why, "attach %s", "db"), -EIO);
	assert_string_equal(why.text, "cannot attach db: /bin/sh -c exited with 10: no such disk");
}

static void output_is_bounded(void **state)
{
	struct diskrep_command c;
	struct why why;

	assert_int_equal(shell("head -c 1000000 /dev/zero | tr '\\0' x; "
			       "head -c 100000 /dev/zero | tr '\\0' e >&2",
				 LONG_MS, &c, &why),
		0);
	assert_int_equal(c.status, 0);
	assert_true(c.truncated);
	assert_int_equal(strlen(c.output), DISKREP_COMMAND_OUTPUT_MAX);
	assert_int_equal(strlen(c.errors), DISKREP_COMMAND_ERRORS_MAX - 1);
	diskrep_command_clear(&c);
}

static void the_deadline_ends_it_and_its_children(void **state)
{
	char file[] = "/tmp/romulus-command-XXXXXX", script[128], pid[32] = "";
	uint64_t before = clock_now_ns();
	struct diskrep_command c;
	struct why why;
	int fd = mkstemp(file);

	snprintf(script, sizeof(script), "echo $$ >%s; sleep 1000 | sleep 1000", file);
	assert_int_equal(shell(script, 500, &c, &why), -ETIMEDOUT);
	assert_non_null(strstr(why.text, "500 ms"));
	assert_null(c.output);
	assert_true(read(fd, pid, sizeof(pid) - 1) > 0);
	/* It leads its process group, which is empty when all of them are gone and waited for. */
	while (kill(-atoi(pid), 0) == 0 && clock_now_ns() - before < 30 * NSEC_PER_SEC)
		usleep(10000);
	assert_true(kill(-atoi(pid), 0) == -1 && errno == ESRCH);
	close(fd);
	unlink(file);
}

static void a_child_that_stays_does_not_keep_us(void **state)
{
	uint64_t before = clock_now_ns();
	struct diskrep_command c;
	struct why why;

	assert_int_equal(shell("sleep 40 & echo started", LONG_MS, &c, &why), 0);
	assert_string_equal(c.output, "started\n");
	assert_true(clock_now_ns() - before < 30 * NSEC_PER_SEC);
	diskrep_command_clear(&c);
}

static void what_is_not_there(void **state)
{
	const char *const argv[] = {"/nonexistent/drbdadm", "up", NULL};
	struct diskrep_command c;
	struct why why;

	assert_int_equal(diskrep_command_run(argv, LONG_MS, &c, &why), -ENOENT);
	assert_non_null(strstr(why.text, "/nonexistent/drbdadm"));
	assert_int_equal(diskrep_command(argv, LONG_MS, &why, "start %s", "db"), -ENOENT);
	assert_non_null(strstr(why.text, "cannot start db: "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_and_status),
		cmocka_unit_test(the_sentence_has_the_complaint),
		cmocka_unit_test(output_is_bounded),
		cmocka_unit_test(the_deadline_ends_it_and_its_children),
		cmocka_unit_test(a_child_that_stays_does_not_keep_us),
		cmocka_unit_test(what_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
