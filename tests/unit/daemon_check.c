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
	forced = daemon_answer(daemon_ask(&host_alpha,
		"{\"command\":\"protect\",\"domain\":\"db\",\"host\":\"beta\",\"check\":false}\n"));
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

static void nothing_is_held_up_by_checks_that_cannot_be_made(void **state)
{
	CLEANUP_FREE char *protect = NULL, *moved = NULL;

	both_up();
	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-facts.dies"));
	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-facts.full"));
	protect = daemon_answer(PROTECT(&host_alpha));
	expect_in(protect, "{\"exit\":0}");
	daemon_await(&host_beta, "\"state\":\"ready\"");
	rig_shell("rm %s", rig_path(&host_alpha, "libexec/romulus-facts"));
	moved = daemon_answer(MIGRATE(&host_alpha, "beta", ",\"protect\":false"));
	expect_in(moved, "{\"exit\":0}");
	daemon_await(&host_beta, "\"state\":\"taken-over\""); /* its wish was not forgotten */
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* Those that nobody waits for any more make room for others. */
static void who_goes_away_leaves_nothing_behind(void **state)
{
	CLEANUP_FREE char *text = NULL, *more = NULL;
	int waiting[8];

	both_up();
	rig_shell("touch %s", rig_path(&host_alpha, "libexec/romulus-facts.silent"));
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++)
		waiting[i] = CHECK(&host_alpha, "db", "beta");
	more = daemon_answer(CHECK(&host_alpha, "db", "beta"));
	expect_in(more, "\"exit\":9");
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
		TEST(nothing_is_held_up_by_checks_that_cannot_be_made),
		TEST(who_goes_away_leaves_nothing_behind),
	};

	return daemons_main(argc, argv, tests, ARRAY_SIZE(tests));
}
