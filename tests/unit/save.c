/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain into a file and back, and whatever may fail on the way but the process. */
#include <errno.h>
#include <setjmp.h>
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
#include "tests/unit/save_rig.h"

static struct why why;

/* ---- there and back ------------------------------------------------------------------------- */

static void comes_back(enum savefile_format format)
{
	CLEANUP_FREE uint8_t *before = NULL, *after = NULL;
	struct save s;
	size_t n, m;

	rig_save_as(format, false);
	before = rig_get_file(rig_file, &n);
	for (int again = 0; again < 2; again++) {
		s = rig_begin_save();
		assert_int_equal(restore_run(&s, &why), 0);
		assert_true(rig_xen->built && rig_xen->built_runs && !rig_xen->standby);
		assert_int_equal(rig_xen->got_n, rig_xen->stream.n);
		assert_memory_equal(rig_xen->got, rig_xen->stream.bytes, rig_xen->stream.n);
		assert_int_equal(s.domid, RIG_BUILT);
	}
	after = rig_get_file(rig_file, &m);
	assert_int_equal(n, m);
	assert_memory_equal(before, after, n);
}

static void a_domain_comes_back(void **state)
{
	comes_back(SAVEFILE_ROMULUS);
}

static void one_of_many_chunks_comes_back(void **state)
{
	rig_make_stream(3500000);
	comes_back(SAVEFILE_ROMULUS);
}

static void the_last_chunk_may_be_full(void **state)
{
	for (uint32_t n = 2 * SAVEFILE_CHUNK - 256; n <= 2 * SAVEFILE_CHUNK; n += 8) {
		rig_make_stream(n);
		if (rig_xen->stream.n % SAVEFILE_CHUNK == 0) {
			comes_back(SAVEFILE_ROMULUS);
			return;
		}
	}
	fail_msg("no stream of whole chunks was made");
}

static void xls_format_comes_back(void **state)
{
	comes_back(SAVEFILE_XL);
}

/* tools/xl/xl.h: magic, byte order, flags (JSON, stream of version 2), optional data. */
static void xls_format_is_xls(void **state)
{
	CLEANUP_FREE uint8_t *bytes = NULL;
	const uint32_t config_n = (uint32_t)strlen(rig_xen->config) + 1;
	uint32_t word[5];
	size_t n;

	rig_save_as(SAVEFILE_XL, false);
	bytes = rig_get_file(rig_file, &n);
	assert_int_equal(n, 52 + config_n + rig_xen->stream.n);
	assert_memory_equal(bytes, "Xen saved domain, xl format\n \0 \r", 32);
	memcpy(word, bytes + 32, sizeof(word));
	assert_int_equal(word[0], 0x01020304);
	assert_int_equal(word[1], 3);
	assert_int_equal(word[2], 0);
	assert_int_equal(word[3], 4 + config_n);
	assert_int_equal(word[4], config_n);
	assert_string_equal((char *)bytes + 52, rig_xen->config);
	assert_memory_equal(bytes + 52 + config_n, rig_xen->stream.bytes, rig_xen->stream.n);
}

static void it_may_stay_paused(void **state)
{
	struct save s;

	rig_save_as(SAVEFILE_ROMULUS, false);
	s = rig_begin_save();
	s.paused = true;
	assert_int_equal(restore_run(&s, &why), 0);
	assert_true(rig_xen->built && !rig_xen->built_runs && !rig_xen->standby);
}

/* Restore the file through a pipe. */
static int restore_piped(void)
{
	const int before = dup(STDIN_FILENO);
	struct save s = rig_begin_save();
	int fd[2], r;
	pid_t pid;

	s.file = "-";
	assert_int_equal(pipe(fd), 0);
	pid = fork();
	if (pid == 0) {
		CLEANUP_FREE uint8_t *bytes = NULL;
		size_t n;

		close(fd[0]);
		bytes = rig_get_file(rig_file, &n);
		_exit(savefile_write_all(fd[1], bytes, n, NULL) != 0);
	}
	assert_true(pid > 0 && before >= 0);
	close(fd[1]);
	assert_int_equal(dup2(fd[0], STDIN_FILENO), STDIN_FILENO);
	close(fd[0]);
	r = restore_run(&s, &why);
	dup2(before, STDIN_FILENO);
	close(before);
	waitpid(pid, NULL, 0);
	return r;
}

static void a_pipe_is_verified_first(void **state)
{
	rig_make_stream(2500000);
	rig_save_as(SAVEFILE_ROMULUS, false);
	assert_int_equal(setenv("TMPDIR", rig_dir, 1), 0);
	assert_int_equal(restore_piped(), 0);
	assert_true(rig_xen->built && rig_xen->got_n == rig_xen->stream.n);
	assert_memory_equal(rig_xen->got, rig_xen->stream.bytes, rig_xen->stream.n);
	assert_int_equal(truncate(rig_file, 3000), 0);
	assert_int_equal(restore_piped(), -EBADMSG);
	assert_int_equal(rig_xen->builds, 0);
	assert_int_equal(setenv("TMPDIR", "/nowhere", 1), 0);
	assert_int_equal(restore_piped(), -ENOENT);
	assert_non_null(strstr(why.text, "TMPDIR"));
	unsetenv("TMPDIR");
	assert_int_equal(rig_names(), 2); /* the file and the disk */
}

/* ---- failures of a save --------------------------------------------------------------------- */

static void the_guest_runs_on(struct save *s, int err)
{
	assert_int_equal(save_run(s, &why), err);
	assert_false(rig_xen->gone);
	assert_false(rig_xen->suspended);
	assert_int_equal(rig_notice->stage, SAVE_NOTHING);
}

static void a_save_that_fails_leaves_nothing(void **state)
{
	static const struct {
		const char *fault;
		size_t stops_at;
		bool cut;
		int err;
	} rows[] = {
		{"save-write=fail", 0, false, -ENOSPC},
		{"save-commit=fail", 0, false, -EIO},
		{"save-named=fail", 0, false, -EIO},
		{"", 100, false, -EIO},
		{"", 0, true, -EBADMSG},
	};

	for (size_t i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
		struct save s = rig_begin_save();

		rig_arm(rows[i / 2].fault);
		rig_xen->stops_at = rows[i / 2].stops_at;
		rig_xen->cut = rows[i / 2].cut;
		s.checkpoint = i % 2;
		the_guest_runs_on(&s, rows[i / 2].err);
		assert_int_equal(rig_names(), 0);
	}
}

/* The pipe holds less: libxl is in the middle of it when nobody reads any more. */
static void a_large_save_that_fails_leaves_nothing(void **state)
{
	struct save s = rig_begin_save();

	rig_make_stream(2500000);
	rig_arm("save-write=fail");
	the_guest_runs_on(&s, -ENOSPC);
	assert_int_equal(rig_names(), 0);
}

static void what_was_there_stays_until_all_is_written(void **state)
{
	CLEANUP_FREE uint8_t *bytes = NULL;
	struct save s = rig_begin_save();
	size_t n;

	rig_put_file(rig_file, "old", 3, 0600);
	rig_arm("save-commit=fail");
	the_guest_runs_on(&s, -EIO);
	bytes = rig_get_file(rig_file, &n);
	assert_string_equal((char *)bytes, "old");
	rig_arm("");
	rig_save_as(SAVEFILE_ROMULUS, false);
	comes_back(SAVEFILE_ROMULUS);
	unlink(rig_disk);
	assert_int_equal(rig_names(), 1);
}

static void a_folder_that_is_not_there_is_said_first(void **state)
{
	struct save s = rig_begin_save();

	s.file = "/nowhere/at/all";
	the_guest_runs_on(&s, -ENOENT);
	s.file = rig_dir;
	the_guest_runs_on(&s, -EEXIST);
}

static void no_room_is_said_first(void **state)
{
	struct save s = rig_begin_save();

	rig_xen->memory_kb = UINT64_C(1) << 50;
	the_guest_runs_on(&s, -ENOSPC);
	assert_non_null(strstr(why.text, "no room for"));
	assert_non_null(strstr(why.text, "--force"));
	s.force = true;
	assert_int_equal(save_run(&s, &why), 0);
	assert_true(rig_xen->gone);
}

static void what_is_protected_is_not_saved(void **state)
{
	struct save s = rig_begin_save();

	s.protected_[s.protected_n++] = RIG_UUID;
	the_guest_runs_on(&s, -EBUSY);
	assert_non_null(strstr(why.text, "romulus unprotect db"));
	assert_int_equal(rig_names(), 0);
}

/* ---- checkpoints and their disks ------------------------------------------------------------ */

static void disks_of_a_checkpoint_are_asked_for(void **state)
{
	struct save s = rig_begin_save();

	rig_xen->disks = true;
	s.checkpoint = true;
	the_guest_runs_on(&s, -EINVAL);
	assert_non_null(strstr(why.text, "--snapshot"));
	assert_int_equal(rig_names(), 0);
}

static void a_checkpoint_has_its_snapshot(void **state)
{
	CLEANUP_FREE char *text = NULL;
	struct save s = rig_begin_save();
	size_t n;

	rig_write_hook("echo snapshot-of-$3; echo not this");
	s.checkpoint = true;
	s.hook = rig_hook;
	the_guest_runs_on(&s, 0);
	text = (char *)rig_get_file(rig_traces, &n);
	assert_int_equal(strncmp(text, "take db ", 8), 0);
	assert_non_null(strstr(text, rig_disk));
	rig_put_file(rig_traces, "", 0, 0600);

	s = rig_begin_save();
	assert_int_equal(restore_run(&s, &why), -EINVAL); /* its disks have gone on */
	assert_non_null(strstr(why.text, " snapshot-of-"));
	assert_int_equal(rig_xen->builds, 0);
	s = rig_begin_save();
	s.hook = rig_hook;
	rig_write_hook("");
	assert_int_equal(restore_run(&s, &why), 0);
	free(text);
	text = (char *)rig_get_file(rig_traces, &n);
	assert_int_equal(strncmp(text, "restore db 20", 13), 0); /* of the time */
	assert_null(strstr(text, "snapshot-of-"));
	s = rig_begin_save();
	s.no_snapshot = true;
	assert_int_equal(restore_run(&s, &why), 0);
}

static void without_its_snapshot_a_checkpoint_is_none(void **state)
{
	struct save s = rig_begin_save();

	rig_write_hook("echo the disk is full >&2; exit 3");
	s.checkpoint = true;
	s.hook = rig_hook;
	the_guest_runs_on(&s, -EIO);
	assert_non_null(strstr(why.text, "the disk is full"));
	assert_int_equal(access(rig_file, F_OK), -1);
}

static void without_its_file_a_snapshot_is_dropped(void **state)
{
	CLEANUP_FREE char *text = NULL;
	struct save s = rig_begin_save();
	size_t n;

	rig_write_hook("[ $1 != take ] || echo snap");
	rig_arm("save-commit=fail");
	s.checkpoint = true;
	s.hook = rig_hook;
	the_guest_runs_on(&s, -EIO);
	text = (char *)rig_get_file(rig_traces, &n);
	assert_non_null(strstr(text, "drop db 20"));
	assert_int_equal(access(rig_file, F_OK), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_domain_comes_back),
		TEST(one_of_many_chunks_comes_back),
		TEST(the_last_chunk_may_be_full),
		TEST(xls_format_comes_back),
		TEST(xls_format_is_xls),
		TEST(it_may_stay_paused),
		TEST(a_pipe_is_verified_first),
		TEST(a_save_that_fails_leaves_nothing),
		TEST(a_large_save_that_fails_leaves_nothing),
		TEST(what_was_there_stays_until_all_is_written),
		TEST(a_folder_that_is_not_there_is_said_first),
		TEST(no_room_is_said_first),
		TEST(what_is_protected_is_not_saved),
		TEST(disks_of_a_checkpoint_are_asked_for),
		TEST(a_checkpoint_has_its_snapshot),
		TEST(without_its_snapshot_a_checkpoint_is_none),
		TEST(without_its_file_a_snapshot_is_dropped),
	};

	return rig_begin() ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
