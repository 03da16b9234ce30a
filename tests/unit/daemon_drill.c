/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two daemons: a drill on the backup, which the protection does not notice. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "common/cleanup.h"
#include "common/exit_codes.h"
#include "tests/unit/daemons.h"

#define DRILL(host) daemon_ask(host, "{\"command\":\"drill\",\"domain\":\"db\"}\n")

static void protected(void)
{
	CLEANUP_FREE char *text = NULL;

	both_up();
	text = daemon_answer(PROTECT(&host_alpha));
	expect_in(text, "{\"exit\":0}");
	daemon_await(&host_beta, "\"state\":\"ready\"");
}

static void over(void)
{
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

static void await_file(const char *path)
{
	for (int i = 0; access(path, F_OK) < 0; i++) {
		if (i == 6000)
			fail_msg("there is no %s", path);
		usleep(10000);
	}
}

static void a_drill_is_made_on_the_backup(void **state)
{
	CLEANUP_FREE char *text = NULL, *events = NULL, *status = NULL;

	daemons_configure(&host_beta, "",
		"domain \"db\" { disks { resource = \"db\" volumes = { \"/dev/a\" } marker = "
		"\"/dev/m\" "
		"meta = \"/dev/x\" } drill { address = \"192.0.2.9/24\" tcp = \"192.0.2.1:80\" "
		"http = \"http://192.0.2.1/\" command = \"/bin/true\" limit = 7 } }");
	protected();
	text = daemon_answer(DRILL(&host_beta));
	expect_in(text, "\"stage\":\"the next checkpoint is copied\"");
	expect_in(text, "{\"note\":\"has passed\"}");
	expect_in(text, "{\"exit\":0}");
	await_file(rig_path(&host_beta, "libexec/romulus-backup.drilled"));
	rig_shell("grep -q -e '--memory-kb 65536 --limit 7 --resource db --volumes /dev/a,/dev/m "
		  "--address 192.0.2.9/24 --command /bin/true --tcp 192.0.2.1:80 --http "
		  "http://192.0.2.1/' %s",
		rig_path(&host_beta, "libexec/romulus-drill.arguments"));
	events = daemon_command(&host_beta, "{\"command\":\"events\"}\n");
	expect_in(events, "has passed");
	status = daemon_command(&host_beta, "{\"command\":\"status\"}\n");
	expect_in(status, "\"state\":\"ready\"");
	over();
}

static void where_there_can_be_none_it_is_said(void **state)
{
	CLEANUP_FREE char *unknown = NULL, *primary = NULL;

	both_up();
	unknown = daemon_answer(DRILL(&host_beta));
	expect_in(unknown, "\"exit\":3");
	over();
	protected();
	primary = daemon_answer(DRILL(&host_alpha));
	expect_in(primary, "\"exit\":9");
	expect_in(primary, "run this on beta");
	over();
}

static int begin_one(void)
{
	int drill;

	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-drill.silent"));
	protected();
	drill = DRILL(&host_beta);
	await_file(rig_path(&host_beta, "libexec/romulus-backup.drilled"));
	return drill;
}

static void it_ends_with_its_operator(void **state)
{
	CLEANUP_FREE char *second = NULL;
	int drill = begin_one();

	second = daemon_answer(DRILL(&host_beta));
	expect_in(second, "there is a drill of db already");
	close(drill);
	while (count_events(&host_beta, "was broken off") == 0)
		usleep(10000);
	over();
}

static void it_ends_with_the_checkpoint_that_it_is_made_of(void **state)
{
	CLEANUP_FREE char *text = NULL, *unprotect = NULL;
	int drill = begin_one();

	unprotect = daemon_answer(UNPROTECT(&host_alpha));
	expect_in(unprotect, "{\"exit\":0}");
	text = daemon_answer(drill);
	expect_in(text, "was broken off");
	over();
}

static void what_a_dead_one_left_is_removed(void **state)
{
	CLEANUP_FREE char *text = NULL;

	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-drill.dies"));
	protected();
	text = daemon_answer(DRILL(&host_beta));
	expect_in(text, "\"exit\":1");
	expect_in(text, "the protection goes on");
	await_file(rig_path(&host_beta, "libexec/romulus-drill.swept"));
	rig_shell("rm %s", rig_path(&host_beta, "libexec/romulus-drill.swept"));
	/* The same of a daemon that died with it. */
	rig_shell("touch %s", rig_path(&host_beta, "run/drill-db"));
	daemon_end(&host_beta);
	daemon_run(&host_beta);
	await_file(rig_path(&host_beta, "libexec/romulus-drill.swept"));
	over();
}

static void the_history_is_told(void **state)
{
	CLEANUP_FREE char *text = NULL, *none = NULL;

	both_up();
	none = daemon_command(&host_beta, "{\"command\":\"drills\"}\n");
	expect_in(none, "{\"exit\":0}");
	rig_shell("printf '{\"domain\":\"db\",\"result\":\"passed\"}\\nnonsense\\n"
		  "{\"domain\":\"web\",\"result\":\"failed\"}\\n' >%s",
		rig_path(&host_beta, "state/drills"));
	text = daemon_command(&host_beta, "{\"command\":\"drills\",\"domain\":\"db\"}\n");
	expect_in(text, "{\"drill\":{\"domain\":\"db\",\"result\":\"passed\"}}");
	assert_null(strstr(text, "web"));
	expect_in(text, "{\"exit\":0}");
	over();
}

/* ---- the real thing -------------------------------------------------------------------------- */

/* `romulus ...` on beta; what it prints goes to *said, for the caller to free. */
static int romulus_on_beta(char **said, char *const words[])
{
	char *argv[8] = {"romulus", "-s", (char *)rig_path(&host_beta, "run/control.sock")};
	size_t size, n = 3;
	FILE *out = open_memstream(said, &size);
	struct cli cli = {.out = out, .err = out};
	int code;

	while (*words)
		argv[n++] = *words++;
	code = cli_run(&cli, (int)n, argv);
	fclose(out);
	return code;
}

static int planned(char **said)
{
	return romulus_on_beta(said, (char *[]){"drill", "--planned", "db", NULL});
}

static void a_planned_drill_moves_it_here_and_back(void **state)
{
	CLEANUP_FREE char *said = NULL, *listed = NULL;

	daemons_configure(&host_beta, "",
		"domain \"db\" { drill { address = \"192.0.2.9/24\" tcp = \"192.0.2.1:80\" limit = "
		"7 } }");
	protected();
	assert_int_equal(planned(&said), EXIT_CODE_OK);
	expect_in(said, "db  planned, passed, switchover ");
	expect_in(said, ", check ");
	expect_in(said, ", protected again ");
	rig_shell("grep -q -e '--limit 7 --address 192.0.2.9/24 --tcp 192.0.2.1:80 --look' %s",
		rig_path(&host_beta, "libexec/romulus-drill.arguments"));
	assert_int_equal(count_events(&host_beta, "\"running\""), 1);
	assert_int_equal(count_events(&host_alpha, "\"running\""), 1);
	daemon_await(&host_alpha, "\"state\":\"protected\"");
	daemon_await(&host_beta, "\"state\":\"ready\"");
	assert_int_equal(romulus_on_beta(&listed, (char *[]){"drills", NULL}), EXIT_CODE_OK);
	expect_in(listed, "db  planned, passed");
	over();
}

static void a_check_that_fails_brings_it_back_all_the_same(void **state)
{
	CLEANUP_FREE char *said = NULL;

	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-drill.fails"));
	protected();
	assert_int_equal(planned(&said), EXIT_CODE_FAILED);
	expect_in(said, "db  planned, FAILED");
	expect_in(said, "its check has failed");
	daemon_await(&host_alpha, "\"state\":\"protected\"");
	daemon_await(&host_beta, "\"state\":\"ready\"");
	over();
}

static void what_cannot_be_moved_is_not_rehearsed(void **state)
{
	CLEANUP_FREE char *unknown = NULL, *lost = NULL;

	both_up();
	assert_int_equal(planned(&unknown), EXIT_CODE_UNKNOWN);
	over();
	rig_shell("touch %s", rig_path(&host_alpha, "libexec/romulus-primary.loses"));
	protected();
	assert_int_equal(planned(&lost), EXIT_CODE_FAILED);
	expect_in(lost, "it was not moved here");
	assert_null(strstr(lost, ", check "));
	daemon_await(&host_alpha, "\"state\":\"protected\"");
	over();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_drill_is_made_on_the_backup),
		TEST(where_there_can_be_none_it_is_said),
		TEST(it_ends_with_its_operator),
		TEST(it_ends_with_the_checkpoint_that_it_is_made_of),
		TEST(what_a_dead_one_left_is_removed),
		TEST(the_history_is_told),
		TEST(a_planned_drill_moves_it_here_and_back),
		TEST(a_check_that_fails_brings_it_back_all_the_same),
		TEST(what_cannot_be_moved_is_not_rehearsed),
	};

	return daemons_main(argc, argv, tests, ARRAY_SIZE(tests));
}
