/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whenever the worker dies, there is one good file or one good domain. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "replicator/outfile.h"
#include "tests/unit/save_rig.h"

static struct why why;

/* ---- the worker's death --------------------------------------------------------------------- */

static void who_survives_lets_the_guest_run(void **state)
{
	const struct save s = rig_begin_save();

	*rig_notice = (struct save_notice){.stage = SAVE_SUSPENDS, .domid = RIG_DOMID};
	rig_xen->suspended = true;
	assert_int_equal(save_mend(&s, &why), 0);
	assert_false(rig_xen->suspended || rig_xen->gone);
}

static void who_survives_destroys_what_is_saved(void **state)
{
	const struct save s = rig_begin_save();

	*rig_notice = (struct save_notice){.stage = SAVE_KEPT, .domid = RIG_DOMID};
	assert_int_equal(save_mend(&s, &why), 1);
	assert_true(rig_xen->gone);
}

static void who_survives_destroys_what_is_half_built(void **state)
{
	const struct save s = rig_begin_save();

	*rig_notice = (struct save_notice){.stage = SAVE_BUILDS, .uuid = RIG_UUID};
	assert_int_equal(save_mend(&s, &why), 0);
	rig_xen->built = true;
	assert_int_equal(save_mend(&s, &why), 0);
	assert_false(rig_xen->built);
	rig_xen->built = rig_xen->built_runs = true;
	assert_int_equal(save_mend(&s, &why), 0);
	assert_true(rig_xen->built);
}

static void one_that_was_left_suspended_is_resumed(void **state)
{
	struct save s = rig_begin_save();

	rig_xen->suspended = true;
	assert_int_equal(save_run(&s, &why), -EAGAIN);
	assert_non_null(strstr(why.text, "romulus resume db"));
	assert_true(rig_xen->suspended);
	s.protected_[s.protected_n++] = "db";
	assert_int_equal(resume_run(&s, &why), -EBUSY);
	assert_true(rig_xen->suspended);
	s.protected_n = 0;
	assert_int_equal(resume_run(&s, &why), 0);
	assert_false(rig_xen->suspended);
	assert_int_equal(resume_run(&s, &why), -EAGAIN);
}

/* Where @fault is armed; then what the second process of romulus-save does. */
static void dies(const char *fault, struct save *s, int (*run)(struct save *s, struct why *w))
{
	int status;
	pid_t pid;

	rig_arm(fault);
	pid = fork();
	if (pid == 0) {
		run(s, &why);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	rig_arm("");
	outfile_sweep(rig_file, pid);
	assert_true(save_mend(s, &why) >= 0);
}

static void a_save_may_die_anywhere(void **state)
{
	static const struct {
		const char *fault;
		bool saved;
	} rows[] = {
		{"save-write=crash", false},
		{"save-commit=crash", false},
		{"save-linked=crash", false},
		{"save-named=crash", true},
		{"save-kept=crash", true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP_FREE uint8_t *bytes = NULL;
		struct save s = rig_begin_save();
		size_t n;

		rig_put_file(rig_file, "old", 3, 0600);
		dies(rows[i].fault, &s, save_run);
		assert_int_equal(rig_names(), 1);
		assert_false(rig_xen->suspended);
		assert_int_equal(rig_xen->gone, rows[i].saved);
		bytes = rig_get_file(rig_file, &n);
		assert_int_equal(strcmp((char *)bytes, "old") != 0, rows[i].saved);
	}
	rig_put_file(rig_disk, "", 0, 0600);
	{
		struct save s = rig_begin_save();

		assert_int_equal(restore_run(&s, &why), 0); /* of the last one */
	}
}

static void a_checkpoint_may_die_anywhere(void **state)
{
	static const struct {
		const char *fault;
		bool saved;
	} rows[] = {
		{"save-write=crash", false},
		{"save-commit=crash", false},
		{"save-linked=crash", false},
		{"save-named=crash", true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP_FREE char *bytes = NULL, *text = NULL;
		struct save s;
		size_t n;

		rig_write_hook("");
		s = rig_begin_save();
		rig_put_file(rig_file, "old", 3, 0600);
		s.checkpoint = true;
		s.hook = rig_hook;
		dies(rows[i].fault, &s, save_run);
		assert_int_equal(rig_names(), 4); /* and the disk, the hook, its traces */
		assert_false(rig_xen->suspended || rig_xen->gone);
		bytes = (char *)rig_get_file(rig_file, &n);
		assert_int_equal(strcmp(bytes, "old") != 0, rows[i].saved);
		text = (char *)rig_get_file(rig_traces, &n);
		assert_int_equal(strstr(text, "take db") != NULL, i > 0);
		assert_int_equal(strstr(text, "drop db") != NULL, i > 0 && !rows[i].saved);
	}
}

static void a_restore_may_die(void **state)
{
	struct save s;

	rig_save_as(SAVEFILE_ROMULUS, false);
	s = rig_begin_save();
	dies("restore-built=crash", &s, restore_run);
	assert_int_equal(rig_xen->builds, 1);
	assert_false(rig_xen->built);
	s = rig_begin_save();
	assert_int_equal(restore_run(&s, &why), 0);
}

static void a_restore_that_fails_leaves_no_domain(void **state)
{
	struct save s;

	rig_save_as(SAVEFILE_ROMULUS, false);
	s = rig_begin_save();
	rig_arm("restore-built=fail");
	assert_int_equal(restore_run(&s, &why), -EIO);
	assert_int_equal(rig_xen->builds, 1);
	assert_false(rig_xen->built);
	assert_int_equal(rig_notice->stage, SAVE_NOTHING);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_survives_lets_the_guest_run),
		TEST(who_survives_destroys_what_is_saved),
		TEST(who_survives_destroys_what_is_half_built),
		TEST(one_that_was_left_suspended_is_resumed),
		TEST(a_save_may_die_anywhere),
		TEST(a_checkpoint_may_die_anywhere),
		TEST(a_restore_may_die),
		TEST(a_restore_that_fails_leaves_no_domain),
	};

	return rig_begin() ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
