/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two daemons: what is said before a guest is protected or moved, and that nothing comes of it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "tests/unit/daemons.h"

static void all_is_well(void **state)
{
	CLEANUP_FREE char *text = NULL, *status = NULL;

	both_up();
	text = daemon_answer(CHECK(&host_alpha, "db", "beta"));
	expect_in(text, "{\"exit\":0}");
	expect_in(text, "\"name\":\"arbiter\",\"result\":\"pass\"");
	assert_null(strstr(text, "fail"));
	status = daemon_command(&host_beta, "{\"command\":\"status\"}\n");
	assert_null(strstr(status, DAEMONS_UUID)); /* beta knows nothing of it afterwards */
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

static void what_is_wrong_there_is_said_here(void **state)
{
	CLEANUP_FREE char *text = NULL;

	daemons_configure(&host_beta, "arbiter = \"etcd\"",
		"etcd { endpoints = { \"http://127.0.0.1:1\" } }");
	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-facts.full"));
	rig_shell("echo 'name = \"db\"' >%s", rig_path(&host_beta, "auto/db"));
	both_up();
	text = daemon_answer(CHECK(&host_alpha, "db", "beta"));
	expect_in(text, "\"exit\":4");
	expect_in(text, "3 of 18 checks failed");
	expect_in(text, "\"name\":\"memory\",\"result\":\"fail\"");
	expect_in(text, "\"name\":\"arbiter\",\"result\":\"fail\"");
	expect_in(text, "\"name\":\"autostart\",\"result\":\"fail\",\"found\":\"on beta");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* Before a move: what is there of it is its standby, and the room that it has. */
static void a_protected_guest_has_its_room(void **state)
{
	CLEANUP_FREE char *protect = NULL, *text = NULL;

	both_up();
	protect = daemon_answer(PROTECT(&host_alpha));
	expect_in(protect, "{\"exit\":0}");
	daemon_await(&host_beta, "\"state\":\"ready\"");
	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-facts.full"));
	text = daemon_answer(CHECK(&host_alpha, "db", "beta"));
	expect_in(text, "{\"exit\":0}");
	expect_in(text, "its standby on beta has its memory");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

static void what_cannot_be_checked_is_said(void **state)
{
	CLEANUP_FREE char *host = NULL, *name = NULL, *here = NULL, *there = NULL, *down = NULL;

	both_up();
	host = daemon_answer(CHECK(&host_alpha, "db", "gamma"));
	expect_in(host, "\"exit\":3");
	name = daemon_answer(CHECK(&host_alpha, "../db", "beta"));
	expect_in(name, "\"exit\":2");
	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-facts.dies"));
	there = daemon_answer(CHECK(&host_alpha, "db", "beta"));
	expect_in(there, "\"exit\":5");
	expect_in(there, "beta could not be checked: romulus-facts exited with 1");
	daemon_end(&host_beta);
	down = daemon_answer(CHECK(&host_alpha, "db", "beta"));
	expect_in(down, "\"exit\":6");
	rig_shell("touch %s", rig_path(&host_alpha, "libexec/romulus-facts.dies"));
	here = daemon_answer(CHECK(&host_alpha, "db", "beta"));
	expect_in(here, "\"exit\":1");
	expect_in(here, "romulus-facts exited with 1");
	daemon_end(&host_alpha);
}

/* As soon as beta has let go of the standby before. */
static char *protect_unchecked(const struct host *h)
{
	const uint64_t last = clock_now_ns() + RIG_PATIENCE;
	char *answer;

	for (;;) {
		answer = daemon_command(h, "{\"command\":\"protect\",\"domain\":\"db\",\"host\":"
					   "\"beta\",\"check\":false}\n");
		if (!strstr(answer, "still being cleared away") || clock_now_ns() > last)
			return answer;
		free(answer);
		usleep(10000);
	}
}

/* What nobody else would notice, and only that: the rest is refused by those who do. */
static void who_protects_or_moves_hears_of_it(void **state)
{
	CLEANUP_FREE char *protect = NULL, *forced = NULL, *moved = NULL, *status = NULL;
	CLEANUP_FREE char *left = NULL, *ended = NULL;
	unsigned int begun;

	both_up();
	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-facts.full"));
	left = daemon_answer(PROTECT(&host_alpha)); /* memory is its backup's to judge */
	expect_in(left, "{\"exit\":0}");
	ended = daemon_answer(UNPROTECT(&host_alpha));
	expect_in(ended, "{\"exit\":0}");
	begun = count_events(&host_alpha, "protect-begin");
	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-facts.older"));
	protect = daemon_answer(PROTECT(&host_alpha));
	expect_in(protect, "\"exit\":4");
	expect_in(protect, "Xen 4.17 here, 4.16 on beta; nothing was changed");
	assert_int_equal(count_events(&host_alpha, "protect-begin"), begun);
	forced = protect_unchecked(&host_alpha);
	expect_in(forced, "{\"exit\":0}");
	daemon_await(&host_beta, "\"state\":\"ready\"");
	moved = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(moved, "\"exit\":4");
	expect_in(moved, "--no-check");
	status = daemon_command(&host_alpha, "{\"command\":\"status\"}\n");
	expect_in(status, "\"state\":\"protected\"");
	assert_int_equal(count_events(&host_alpha, "\"moving\""), 0);
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* Nor is one that nobody protects moved, before or after. */
static void a_guest_that_nobody_protects_is_checked_too(void **state)
{
	CLEANUP_FREE char *moved = NULL, *status = NULL, *forced = NULL;

	both_up();
	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-facts.older"));
	moved = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(moved, "\"exit\":4");
	expect_in(moved, "Xen 4.17 here, 4.16 on beta; nothing was changed");
	assert_int_equal(count_events(&host_alpha, "\"migrate\""), 0);
	status = daemon_command(&host_alpha, "{\"command\":\"status\"}\n");
	assert_null(strstr(status, "\"name\":\"db\""));
	forced = daemon_answer(MIGRATE(&host_alpha, "beta", ",\"check\":false"));
	expect_in(forced, "{\"exit\":0}");
	daemon_await(&host_beta, "\"state\":\"taken-over\"");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* Where it is may be what is cut off: its standby is the way out. Nobody else goes there. */
static void a_guest_is_let_go_to_its_standby(void **state)
{
	CLEANUP_FREE char *refused = NULL, *protect = NULL, *moved = NULL;

	both_up();
	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-facts.deaf"));
	refused = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(refused, "\"exit\":4");
	expect_in(refused, "one of the two hosts is cut off");
	free(refused);
	refused = daemon_answer(PROTECT(&host_alpha));
	expect_in(refused, "\"exit\":4");
	rig_shell("rm %s", rig_path(&host_beta, "libexec/romulus-facts.deaf"));
	protect = daemon_answer(PROTECT(&host_alpha));
	expect_in(protect, "{\"exit\":0}");
	expect_in(protect, "checking both hosts");
	daemon_await(&host_beta, "\"state\":\"ready\"");
	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-facts.deaf"));
	moved = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(moved, "{\"exit\":0}");
	daemon_await(&host_beta, "\"state\":\"taken-over\"");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

#define LONG_NAME "a-domain-with-a-name-of-more-than-forty-letters-1"

/* It is offered for copying. */
static void the_command_that_says_all_is_whole(void **state)
{
	CLEANUP_FREE char *text = NULL;

	both_up();
	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-facts.older"));
	text = daemon_command(&host_alpha,
		"{\"command\":\"protect\",\"domain\":\"" LONG_NAME "\",\"host\":\"beta\"}\n");
	expect_in(text, "\"exit\":4");
	expect_in(text, "(romulus check " LONG_NAME " beta says all; --no-check goes on without)");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

#define ASKED rig_path(&host_alpha, "libexec/romulus-facts.arguments")

/* Neither who is protected there already, nor where nobody would answer. */
static void what_needs_no_checks_is_answered_at_once(void **state)
{
	CLEANUP_FREE char *alone = NULL, *protect = NULL, *again = NULL;

	daemon_run(&host_alpha);
	daemon_await(&host_alpha, "\"alive\":false");
	alone = daemon_answer(PROTECT(&host_alpha));
	expect_in(alone, "\"exit\":6");
	assert_int_equal(access(ASKED, F_OK), -1);
	daemon_run(&host_beta);
	daemon_await(&host_alpha, "\"alive\":true");
	protect = daemon_answer(PROTECT(&host_alpha));
	expect_in(protect, "{\"exit\":0}");
	assert_int_equal(unlink(ASKED), 0);
	again = daemon_answer(PROTECT(&host_alpha));
	expect_in(again, "\"exit\":9");
	assert_int_equal(access(ASKED, F_OK), -1);
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* Until the checks have begun there. */
static void await_facts(const struct host *h)
{
	const char *arguments = rig_path(h, "libexec/romulus-facts.arguments");
	const uint64_t last = clock_now_ns() + RIG_PATIENCE;

	while (unlink(arguments) < 0) {
		assert_true(clock_now_ns() < last);
		usleep(10000);
	}
}

/* What an operator has asked for is not overtaken by what would begin by itself. */
static void nothing_else_begins_meanwhile(void **state)
{
	CLEANUP_FREE char *protect = NULL, *lost = NULL, *moved = NULL;
	uint64_t until;
	int mover;

	both_up();
	protect = daemon_answer(PROTECT(&host_alpha));
	expect_in(protect, "{\"exit\":0}");
	daemon_await(&host_beta, "\"state\":\"ready\"");
	unlink(rig_path(&host_alpha, "libexec/romulus-facts.arguments"));
	rig_shell("touch %s", rig_path(&host_alpha, "libexec/romulus-facts.lingers"));
	mover = MIGRATE(&host_alpha, "beta", "");
	await_facts(&host_alpha);
	rig_shell("touch %s", rig_path(&host_alpha, "libexec/romulus-primary.loses"));
	lost = daemon_answer(MIGRATE(&host_alpha, "beta", ",\"check\":false"));
	expect_in(lost, "\"exit\":1");
	daemon_await(&host_alpha, "\"state\":\"solo\"");
	for (until = clock_now_ns() + NSEC_PER_SEC; clock_now_ns() < until; usleep(10000)) {
		CLEANUP_FREE char *status =
			daemon_command(&host_alpha, "{\"command\":\"status\"}\n");

		expect_in(status, "\"state\":\"solo\"");
	}
	rig_shell("rm %s %s", rig_path(&host_alpha, "libexec/romulus-facts.lingers"),
		rig_path(&host_alpha, "libexec/romulus-primary.loses"));
	moved = daemon_answer(mover);
	expect_in(moved, "{\"exit\":0}");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* While the facts are still awaited: what was to follow them does not. */
static void what_is_being_checked_is_called_off(void **state)
{
	CLEANUP_FREE char *off = NULL, *moved = NULL, *wrong = NULL, *ended = NULL, *left = NULL;
	CLEANUP_FREE char *stays = NULL, *kept = NULL;
	int mover, protector;

	both_up();
	rig_shell("touch %s", rig_path(&host_alpha, "libexec/romulus-facts.silent"));
	mover = MIGRATE(&host_alpha, "beta", "");
	await_facts(&host_alpha);
	off = daemon_command(&host_alpha, "{\"command\":\"cancel\",\"domain\":\"db\"}\n");
	expect_in(off, "{\"exit\":0}");
	moved = daemon_answer(mover);
	expect_in(moved, "\"exit\":1");
	expect_in(moved, "called off");
	mover = MIGRATE(&host_alpha, "beta", "");
	await_facts(&host_alpha);
	stays = daemon_answer(UNPROTECT(&host_alpha));
	expect_in(stays, "{\"exit\":0}");
	kept = daemon_answer(mover);
	expect_in(kept, "called off");
	protector = PROTECT(&host_alpha);
	await_facts(&host_alpha);
	wrong = daemon_command(&host_alpha, "{\"command\":\"cancel\",\"domain\":\"db\"}\n");
	expect_in(wrong, "not being moved");
	ended = daemon_answer(UNPROTECT(&host_alpha));
	expect_in(ended, "{\"exit\":0}");
	left = daemon_answer(protector);
	expect_in(left, "called off");
	assert_int_equal(count_events(&host_alpha, "\"migrate\""), 0);
	assert_int_equal(count_events(&host_alpha, "protect-begin"), 0);
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

static void nothing_is_held_up_by_checks_that_cannot_be_made(void **state)
{
	CLEANUP_FREE char *protect = NULL, *moved = NULL;

	both_up();
	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-facts.dies"));
	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-facts.full"));
	protect = daemon_answer(PROTECT(&host_alpha));
	expect_in(protect, "{\"exit\":0}");
	expect_in(protect, "not checked beforehand: beta could not be checked");
	daemon_await(&host_beta, "\"state\":\"ready\"");
	rig_shell("rm %s", rig_path(&host_alpha, "libexec/romulus-facts"));
	moved = daemon_answer(MIGRATE(&host_alpha, "beta", ",\"protect\":false"));
	expect_in(moved, "{\"exit\":0}");
	expect_in(moved, "not checked beforehand: ");
	daemon_await(&host_beta, "\"state\":\"taken-over\""); /* its wish was not forgotten */
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* Those that nobody waits for any more make room for others. */
static void who_goes_away_leaves_nothing_behind(void **state)
{
	CLEANUP_FREE char *text = NULL, *more = NULL, *protect = NULL;
	int waiting[8];

	both_up();
	rig_shell("touch %s", rig_path(&host_alpha, "libexec/romulus-facts.silent"));
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++)
		waiting[i] = CHECK(&host_alpha, "db", "beta");
	more = daemon_answer(CHECK(&host_alpha, "db", "beta"));
	expect_in(more, "\"exit\":9");
	protect = daemon_answer(PROTECT(&host_alpha));
	expect_in(protect, "not checked beforehand: too many checks are under way");
	rig_shell("rm %s", rig_path(&host_alpha, "libexec/romulus-facts.silent"));
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++)
		close(waiting[i]);
	for (unsigned int i = 0; i < 300 && (!text || strstr(text, "\"exit\":9")); i++) {
		free(text);
		usleep(100000);
		text = daemon_answer(CHECK(&host_alpha, "db", "beta"));
	}
	expect_in(text, "{\"exit\":0}");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(all_is_well),
		TEST(what_is_wrong_there_is_said_here),
		TEST(a_protected_guest_has_its_room),
		TEST(what_cannot_be_checked_is_said),
		TEST(who_protects_or_moves_hears_of_it),
		TEST(a_guest_that_nobody_protects_is_checked_too),
		TEST(a_guest_is_let_go_to_its_standby),
		TEST(the_command_that_says_all_is_whole),
		TEST(what_needs_no_checks_is_answered_at_once),
		TEST(nothing_else_begins_meanwhile),
		TEST(what_is_being_checked_is_called_off),
		TEST(nothing_is_held_up_by_checks_that_cannot_be_made),
		TEST(who_goes_away_leaves_nothing_behind),
	};

	return daemons_main(argc, argv, tests, ARRAY_SIZE(tests));
}
