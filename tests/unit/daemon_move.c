/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two daemons: a guest is moved to its backup and back, and what becomes of a move that fails. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "tests/unit/daemons.h"

static void protect_db(void)
{
	CLEANUP_FREE char *text = daemon_answer(PROTECT(&host_alpha));

	expect_in(text, "{\"exit\":0}");
	daemon_await(&host_beta, "\"state\":\"ready\"");
}

/* There and back: each time it is protected again by the host that it came from. */
static void a_guest_is_moved_and_moved_back(void **state)
{
	CLEANUP_FREE char *there = NULL, *again = NULL, *back = NULL;

	both_up();
	protect_db();
	there = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(there, "{\"exit\":0}");
	expect_in(there, "\"stage\"");
	assert_int_equal(count_events(&host_beta, "\"running\""), 1); /* before that was said */
	assert_int_equal(count_events(&host_alpha, "\"handed-over\""), 1);
	daemon_await(&host_beta, "\"state\":\"protected\"");
	daemon_await(&host_alpha, "\"state\":\"ready\"");
	again = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(again, "\"exit\":9");
	expect_in(again, "run this on beta");
	back = daemon_answer(MIGRATE(&host_beta, "alpha", ""));
	expect_in(back, "{\"exit\":0}");
	daemon_await(&host_alpha, "\"state\":\"protected\"");
	daemon_await(&host_beta, "\"state\":\"ready\"");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* By operators of the hosts that it is to run on. */
static void a_guest_is_fetched_and_fetched_back(void **state)
{
	CLEANUP_FREE char *there = NULL, *again = NULL, *back = NULL;

	both_up();
	protect_db();
	there = daemon_answer(MIGRATE(&host_beta, "beta", ""));
	expect_in(there, "{\"exit\":0}");
	assert_int_equal(count_events(&host_alpha, "\"fetched\""), 1);
	assert_int_equal(count_events(&host_alpha, "\"handed-over\""), 1);
	assert_int_equal(count_events(&host_beta, "\"running\""), 1);
	daemon_await(&host_beta, "\"state\":\"protected\"");
	daemon_await(&host_alpha, "\"state\":\"ready\"");
	again = daemon_answer(MIGRATE(&host_beta, "beta", ""));
	expect_in(again, "\"exit\":9");
	expect_in(again, "it is there");
	back = daemon_answer(MIGRATE(&host_alpha, "alpha", ""));
	expect_in(back, "{\"exit\":0}");
	daemon_await(&host_alpha, "\"state\":\"protected\"");
	daemon_await(&host_beta, "\"state\":\"ready\"");
	assert_int_equal(count_events(&host_alpha, "\"fetched\""), 1); /* nobody asked again */
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* Asked for once, whatever comes of it. */
static void what_is_fetched_in_vain_stays(void **state)
{
	CLEANUP_FREE char *lost = NULL, *bare = NULL, *unheard = NULL;

	both_up();
	protect_db();
	bare = daemon_answer(MIGRATE(&host_beta, "beta", ",\"protect\":false"));
	expect_in(bare, "\"exit\":9");
	expect_in(bare, "run this on alpha");
	rig_shell("touch %s", rig_path(&host_alpha, "libexec/romulus-primary.loses"));
	lost = daemon_answer(MIGRATE(&host_beta, "beta", ""));
	expect_in(lost, "\"exit\":1");
	expect_in(lost, "alpha did not hand it over");
	rig_shell("rm %s", rig_path(&host_alpha, "libexec/romulus-primary.loses"));
	daemon_await(&host_beta, "\"state\":\"ready\"");
	daemon_await(&host_alpha, "\"state\":\"protected\"");
	kill(host_alpha.pid, SIGSTOP);
	daemon_await(&host_beta, "\"alive\":false");
	unheard = daemon_answer(MIGRATE(&host_beta, "beta", ""));
	expect_in(unheard, "\"exit\":6");
	kill(host_alpha.pid, SIGCONT);
	daemon_await(&host_alpha, "\"state\":\"protected\"");
	daemon_await(&host_beta, "\"state\":\"ready\"");
	assert_int_equal(count_events(&host_alpha, "\"fetched\""), 1);
	assert_int_equal(count_events(&host_alpha, "\"handed-over\""), 0);
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* Who moves a protected guest wants it protected, which is more than `reprotect` says of failures.
 */
static void a_move_reverses_what_is_not_protected_again_by_itself(void **state)
{
	CLEANUP_FREE char *moved = NULL;

	daemons_configure(&host_beta, "", "domain \"db\" { reprotect = \"manual\" }");
	both_up();
	protect_db();
	moved = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(moved, "{\"exit\":0}");
	daemon_await(&host_beta, "\"state\":\"protected\"");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* The wish is the operator's of the host that it leaves; another one may protect it later. */
static void a_guest_is_moved_without_protection(void **state)
{
	CLEANUP_FREE char *moved = NULL, *protect = NULL;

	both_up();
	protect_db();
	moved = daemon_answer(MIGRATE(&host_alpha, "beta", ",\"protect\":false"));
	expect_in(moved, "{\"exit\":0}");
	daemon_await(&host_beta, "\"state\":\"taken-over\"");
	daemon_end(&host_beta); /* nor does a restart protect it */
	daemon_run(&host_beta);
	daemon_await(&host_beta, "\"alive\":true");
	daemon_await(&host_beta, "\"state\":\"taken-over\"");
	assert_int_equal(count_events(&host_alpha, "\"peer-ends\""), 1);
	assert_int_equal(count_events(&host_beta, "protect-begin"), 0);
	protect = daemon_answer(daemon_ask(
		&host_beta, "{\"command\":\"protect\",\"domain\":\"db\",\"host\":\"alpha\"}\n"));
	expect_in(protect, "{\"exit\":0}");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

static void what_cannot_be_moved_is_left_alone(void **state)
{
	CLEANUP_FREE char *host = NULL, *backup = NULL, *status = NULL;

	both_up();
	protect_db();
	host = daemon_answer(MIGRATE(&host_alpha, "gamma", ""));
	expect_in(host, "\"exit\":3");
	expect_in(host, "gamma is no configured peer");
	backup = daemon_answer(MIGRATE(&host_beta, "alpha", ""));
	expect_in(backup, "\"exit\":9");
	expect_in(backup, "run this on alpha");
	status = daemon_command(&host_alpha, "{\"command\":\"status\"}\n");
	expect_in(status, "\"state\":\"protected\"");
	assert_int_equal(count_events(&host_alpha, "\"moving\""), 0);
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* Before anything is promised: the guest goes on here, and is protected again. */
static void a_move_that_loses_its_stream_changes_nothing(void **state)
{
	CLEANUP_FREE char *moved = NULL;

	both_up();
	protect_db();
	rig_shell("touch %s", rig_path(&host_alpha, "libexec/romulus-primary.loses"));
	moved = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(moved, "\"exit\":1");
	assert_int_equal(count_events(&host_alpha, "\"handed-over\""), 0);
	assert_int_equal(count_events(&host_beta, "\"running\""), 0);
	daemon_await(&host_alpha, "\"state\":\"protected\"");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

static void a_move_whose_takeover_fails_says_so(void **state)
{
	CLEANUP_FREE char *moved = NULL;

	both_up();
	protect_db();
	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-backup.fails"));
	moved = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(moved, "\"exit\":1");
	expect_in(moved, "could not start it");
	daemon_await(&host_beta, "\"state\":\"broken\"");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* The other host has destroyed its guest: there is no way back, whoever of this one ends. */
static void takes_over_without_a_daemon(void (*ends)(struct host *h), const char *then)
{
	int mover;

	both_up();
	protect_db();
	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-backup.lingers"));
	mover = MIGRATE(&host_alpha, "beta", "");
	daemon_await(&host_beta, "\"state\":\"taking-over\"");
	ends(&host_beta);
	daemon_run(&host_beta);
	daemon_await(&host_beta, "\"state\":\"taking-over\"");
	daemon_await(&host_beta, "romulusd ended in the middle of the takeover");
	rig_shell("rm %s", rig_path(&host_beta, "libexec/romulus-backup.lingers"));
	daemon_await(&host_beta, then);
	rig_shell("timeout 30 sh -c 'until test -e %s; do sleep 0.1; done'",
		rig_path(&host_beta, "libexec/romulus-backup.took-over"));
	close(mover);
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

static void a_takeover_outlives_a_daemon_that_is_killed(void **state)
{
	takes_over_without_a_daemon(daemon_kill, "\"role\":\"primary\"");
}

static void and_one_that_is_restarted(void **state)
{
	takes_over_without_a_daemon(daemon_end, "\"role\":\"primary\"");
}

static void one_that_came_to_nothing_meanwhile_says_so(void **state)
{
	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-backup.fails"));
	takes_over_without_a_daemon(daemon_kill, "\"state\":\"broken\"");
}

/* Nobody is kept waiting for it; but what was promised holds when it is heard again. */
static void a_silent_backup_may_have_what_it_was_handed(void **state)
{
	CLEANUP_FREE char *moved = NULL, *again = NULL, *unprotect = NULL;
	int mover;

	both_up();
	protect_db();
	kill(host_beta.pid, SIGSTOP);
	mover = MIGRATE(&host_alpha, "beta", "");
	daemon_await(&host_alpha, "\"state\":\"handed-over\"");
	unprotect = daemon_answer(UNPROTECT(&host_alpha)); /* which does not disturb who waits */
	expect_in(unprotect, "\"exit\":9");
	moved = daemon_answer(mover);
	expect_in(moved, "\"exit\":6");
	expect_in(moved, "may have run it");
	again = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(again, "\"exit\":9");
	kill(host_beta.pid, SIGCONT);
	daemon_await(&host_beta, "\"state\":\"protected\"");
	assert_int_equal(count_events(&host_alpha, "\"taken-back\""), 0);
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* Its last epoch was not acked: the guest is not moved, and nobody decides that it may speak here.
 */
static void who_waits_for_an_undecided_guest_is_told_so(void **state)
{
	CLEANUP_FREE char *moved = NULL;

	both_up();
	protect_db();
	rig_shell("touch %s", rig_path(&host_alpha, "libexec/romulus-primary.loses"));
	kill(host_beta.pid, SIGSTOP);
	moved = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(moved, "\"exit\":6");
	expect_in(moved, "mute until it is decided");
	daemon_await(&host_alpha, "\"state\":\"want-solo\"");
	assert_int_equal(count_events(&host_alpha, "\"handed-over\""), 0);
	daemon_end(&host_alpha);
}

/* The promise could not be written, and the guest would stand suspended until it can. */
static void nothing_is_moved_by_a_host_that_cannot_write(void **state)
{
	CLEANUP_FREE char *moved = NULL;

	both_up();
	protect_db();
	rig_shell("mv %s %s && touch %s", rig_path(&host_alpha, "state"),
		rig_path(&host_alpha, "away"), rig_path(&host_alpha, "state"));
	moved = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(moved, "\"exit\":1");
	expect_in(moved, "nothing was moved");
	daemon_await(&host_alpha, "\"state\":\"protected\"");
	assert_int_equal(count_events(&host_alpha, "\"moving\""), 0);
	rig_shell("rm %s && mv %s %s", rig_path(&host_alpha, "state"),
		rig_path(&host_alpha, "away"), rig_path(&host_alpha, "state"));
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* It is gone for good, and a person accepts what that means. */
static void what_was_handed_to_a_lost_backup_is_taken_back_by_an_operator(void **state)
{
	CLEANUP_FREE char *moved = NULL, *early = NULL, *failover = NULL;

	both_up();
	protect_db();
	kill(host_beta.pid, SIGSTOP);
	early = daemon_command(&host_alpha, "{\"command\":\"failover\",\"domain\":\"db\"}\n");
	expect_in(early, "\"exit\":9");
	moved = daemon_answer(MIGRATE(&host_alpha, "beta", ",\"protect\":false"));
	expect_in(moved, "\"exit\":6");
	failover = daemon_command(&host_alpha, "{\"command\":\"failover\",\"domain\":\"db\"}\n");
	expect_in(failover, "\"exit\":");
	daemon_await(&host_alpha, "\"state\":\"solo\"");
	assert_int_equal(count_events(&host_alpha, "\"taken-back\""), 1);
	daemon_end(&host_alpha);
}

static void nothing_is_moved_to_a_host_that_is_not_heard(void **state)
{
	CLEANUP_FREE char *moved = NULL;

	both_up();
	protect_db();
	kill(host_beta.pid, SIGSTOP);
	daemon_await(&host_alpha, "\"alive\":false");
	moved = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(moved, "\"exit\":6");
	expect_in(moved, "not heard");
	daemon_await(&host_alpha, "\"state\":\"protected\"");
	daemon_end(&host_alpha);
}

/* A restart keeps the promise: the guest stands there, and only the backup's word moves it on. */
static void a_promise_to_hand_over_survives_a_restart(void **state)
{
	struct failover_record r = {.name = "db",
		.uuid = DAEMONS_UUID,
		.peer = "beta",
		.generation = 7,
		.role = PROTO_ROLE_PRIMARY,
		.decision = FAILOVER_DECISION_HANDED,
		.intent = true};
	struct why why;

	failover_boot_id(r.boot);
	rig_shell("mkdir -p %s/domains %s/domains", rig_path(&host_alpha, "state"),
		rig_path(&host_beta, "state"));
	assert_int_equal(failover_state_save(rig_path(&host_alpha, "state"), &r, &why), 0);
	daemon_run(&host_alpha);
	daemon_await(&host_alpha, "\"state\":\"handed-over\"");
	/* Beta had its standby then, which its romulusd has lost: so it lets go. */
	snprintf(r.peer, sizeof(r.peer), "alpha");
	r.role = PROTO_ROLE_BACKUP;
	r.decision = FAILOVER_DECISION_NONE;
	assert_int_equal(failover_state_save(rig_path(&host_beta, "state"), &r, &why), 0);
	daemon_run(&host_beta);
	daemon_await(&host_alpha, "\"state\":\"protected\"");
	assert_int_equal(count_events(&host_alpha, "\"taken-back\""), 1);
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_guest_is_moved_and_moved_back),
		TEST(a_guest_is_fetched_and_fetched_back),
		TEST(what_is_fetched_in_vain_stays),
		TEST(a_move_reverses_what_is_not_protected_again_by_itself),
		TEST(a_guest_is_moved_without_protection),
		TEST(what_cannot_be_moved_is_left_alone),
		TEST(a_move_that_loses_its_stream_changes_nothing),
		TEST(a_move_whose_takeover_fails_says_so),
		TEST(a_takeover_outlives_a_daemon_that_is_killed),
		TEST(and_one_that_is_restarted),
		TEST(one_that_came_to_nothing_meanwhile_says_so),
		TEST(a_silent_backup_may_have_what_it_was_handed),
		TEST(who_waits_for_an_undecided_guest_is_told_so),
		TEST(nothing_is_moved_by_a_host_that_cannot_write),
		TEST(what_was_handed_to_a_lost_backup_is_taken_back_by_an_operator),
		TEST(nothing_is_moved_to_a_host_that_is_not_heard),
		TEST(a_promise_to_hand_over_survives_a_restart),
	};

	return daemons_main(argc, argv, tests, ARRAY_SIZE(tests));
}
