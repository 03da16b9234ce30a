/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two daemons: a guest that nobody protects is moved, and what becomes of a move that is not ended.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/daemons.h"

#define CANCEL(host) daemon_command(host, "{\"command\":\"cancel\",\"domain\":\"db\"}\n")
#define STATUS "{\"command\":\"status\"}\n"

/* Nobody has to look at it, or protects it. */
static void assert_forgotten(const struct host *h)
{
	const uint64_t last = clock_now_ns() + RIG_PATIENCE;

	for (;;) {
		CLEANUP_FREE char *status = daemon_command(h, STATUS);

		if (strstr(status, "\"status\"") && !strstr(status, "\"name\":\"db\""))
			break;
		if (clock_now_ns() > last)
			fail_msg("%s still has it: %s", h->name, status);
		usleep(10000);
	}
	assert_int_equal(count_events(h, "protect-begin"), count_events(h, "\"migrate\""));
}

static void await_event(const struct host *h, const char *event)
{
	const uint64_t last = clock_now_ns() + RIG_PATIENCE;

	while (!count_events(h, event) && clock_now_ns() < last)
		usleep(10000);
	assert_true(count_events(h, event) > 0);
}

static void one_that_nobody_protects_is_moved_and_moved_back(void **state)
{
	CLEANUP_FREE char *there = NULL, *back = NULL;

	both_up();
	there = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(there, "{\"exit\":0}");
	daemon_await(&host_beta, "\"state\":\"taken-over\"");
	assert_forgotten(&host_alpha);
	back = daemon_answer(MIGRATE(&host_beta, "alpha", ""));
	expect_in(back, "{\"exit\":0}");
	daemon_await(&host_alpha, "\"state\":\"taken-over\"");
	assert_forgotten(&host_beta);
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

static void it_is_protected_there_when_that_is_asked_for(void **state)
{
	CLEANUP_FREE char *there = NULL;

	both_up();
	there = daemon_answer(MIGRATE(&host_alpha, "beta", ",\"protect\":true"));
	expect_in(there, "{\"exit\":0}");
	daemon_await(&host_beta, "\"state\":\"protected\"");
	daemon_await(&host_alpha, "\"state\":\"ready\"");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

static void the_operators_limits_reach_the_worker(void **state)
{
	CLEANUP_FREE char *there = NULL, *protect = NULL;

	both_up();
	there = daemon_answer(MIGRATE(&host_alpha, "beta",
		",\"max-rounds\":7,\"dirty-threshold\":33,\"max-downtime\":250,\"bandwidth\":"
		"1000000,\"live\":false"));
	expect_in(there, "{\"exit\":0}");
	rig_shell("grep -q -e '--max-rounds 7 --dirty-threshold 33 --max-downtime 250 --bandwidth "
		  "1000000 --no-live 1 ' %s",
		rig_path(&host_alpha, "libexec/romulus-primary.arguments"));
	/* They are those of the move only. */
	daemon_await(&host_beta, "\"state\":\"taken-over\"");
	protect = daemon_answer(daemon_ask(
		&host_beta, "{\"command\":\"protect\",\"domain\":\"db\",\"host\":\"alpha\"}\n"));
	expect_in(protect, "{\"exit\":0}");
	rig_shell(
		"grep -q -e '--max-rounds 4 --dirty-threshold 1024 --max-downtime 0 --bandwidth 0 "
		"--no-live 0 ' %s",
		rig_path(&host_beta, "libexec/romulus-primary.arguments"));
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

static void a_copy_is_called_off(void **state)
{
	CLEANUP_FREE char *moved = NULL, *off = NULL, *again = NULL;
	int mover;

	both_up();
	rig_shell("touch %s", rig_path(&host_alpha, "libexec/romulus-primary.copies"));
	mover = MIGRATE(&host_alpha, "beta", "");
	daemon_await(&host_alpha, "\"state\":\"syncing\"");
	off = CANCEL(&host_alpha);
	expect_in(off, "{\"exit\":0}");
	moved = daemon_answer(mover);
	expect_in(moved, "\"exit\":1");
	expect_in(moved, "called off");
	assert_forgotten(&host_alpha);
	daemon_await(&host_beta, "\"state\":\"released\"");
	again = CANCEL(&host_alpha);
	expect_in(again, "not being moved");
	assert_int_equal(count_events(&host_alpha, "\"moving\""), 0);
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* Ctrl-C. */
static void who_goes_away_calls_it_off(void **state)
{
	int mover;

	both_up();
	rig_shell("touch %s", rig_path(&host_alpha, "libexec/romulus-primary.copies"));
	mover = MIGRATE(&host_alpha, "beta", "");
	daemon_await(&host_alpha, "\"state\":\"syncing\"");
	close(mover);
	assert_forgotten(&host_alpha);
	assert_int_equal(count_events(&host_alpha, "\"cancelled\""), 1);
	assert_int_equal(count_events(&host_alpha, "\"moving\""), 0);
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

static void a_copy_that_fails_leaves_nothing(void **state)
{
	CLEANUP_FREE char *moved = NULL;

	both_up();
	rig_shell("touch %s", rig_path(&host_alpha, "libexec/romulus-primary.breaks"));
	moved = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(moved, "\"exit\":");
	assert_null(strstr(moved, "\"exit\":0"));
	assert_forgotten(&host_alpha);
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* It has left: whatever the other host still does, it is not here. */
static void what_has_left_is_not_called_off(void **state)
{
	CLEANUP_FREE char *late = NULL;
	int mover;

	both_up();
	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-backup.lingers"));
	mover = MIGRATE(&host_alpha, "beta", "");
	daemon_await(&host_beta, "\"state\":\"taking-over\"");
	await_event(&host_alpha, "\"left\"");
	late = CANCEL(&host_alpha);
	expect_in(late, "\"exit\":9");
	expect_in(late, "too late");
	close(mover);
	rig_shell("rm %s", rig_path(&host_beta, "libexec/romulus-backup.lingers"));
	await_event(&host_alpha, "\"moved\""); /* as one that was called off does not */
	assert_int_equal(count_events(&host_alpha, "\"cancelled\""), 0);
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* The record is that of a move: nobody wants the guest protected, and nobody asks for it. */
static void a_restart_in_the_copy_leaves_nothing(void **state)
{
	int mover;

	both_up();
	rig_shell("touch %s", rig_path(&host_alpha, "libexec/romulus-primary.copies"));
	mover = MIGRATE(&host_alpha, "beta", "");
	daemon_await(&host_alpha, "\"state\":\"syncing\"");
	daemon_kill(&host_alpha);
	close(mover);
	daemon_run(&host_alpha);
	assert_forgotten(&host_alpha);
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(one_that_nobody_protects_is_moved_and_moved_back),
		TEST(it_is_protected_there_when_that_is_asked_for),
		TEST(the_operators_limits_reach_the_worker),
		TEST(a_copy_is_called_off),
		TEST(who_goes_away_calls_it_off),
		TEST(a_copy_that_fails_leaves_nothing),
		TEST(what_has_left_is_not_called_off),
		TEST(a_restart_in_the_copy_leaves_nothing),
	};

	return daemons_main(argc, argv, tests, ARRAY_SIZE(tests));
}
