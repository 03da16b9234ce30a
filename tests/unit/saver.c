/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Another hand that saves a domain is known by its process; what it takes of log-dirty is noticed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "replicator/dirty.h"
#include "replicator/saver.h"

static const char saves_7[] = "/usr/lib/xen-4.17/bin/libxl-save-helper\0--save-domain\0"
			      "10\0-1\0"
			      "7\0"
			      "1\0"
			      "13\0"
			      "0";
static const char restores_7[] = "/usr/lib/xen-4.17/bin/libxl-save-helper\0--restore-domain\0"
				 "10\0-1\0"
				 "7\0"
				 "1";
static const char other[] = "grep\0libxl-save-helper\0--save-domain\0x\0"
			    "7";

static void it_is_known_by_its_arguments(void **state)
{
	assert_true(saver_is(saves_7, sizeof(saves_7), 7));
	assert_false(saver_is(saves_7, sizeof(saves_7), 1));
	assert_false(saver_is(saves_7, sizeof(saves_7), 71));
	assert_false(saver_is(restores_7, sizeof(restores_7), 7));
	assert_false(saver_is(other, sizeof(other), 7));
	assert_false(saver_is("", 0, 7));
	assert_false(saver_is("x", 1, 7));
	/* Cut anywhere: never beyond it, and never taken for it before the domain is told. */
	for (size_t n = 0; n < sizeof(saves_7); n++) {
		char *cut = malloc(n ? n : 1);

		assert_non_null(cut);
		memcpy(cut, saves_7, n);
		assert_int_equal(
			saver_is(cut, n, 7), n >= strlen(saves_7) + sizeof("\0--save-domain\0"
									   "10\0-1\0"
									   "7"));
		free(cut);
	}
}

static void put(const char *dir, const char *pid, const char *file, const char *text, size_t n)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, pid);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/%s/%s", dir, pid, file);
	f = fopen(path, "w");
	assert_non_null(f);
	fwrite(text, 1, n, f);
	fclose(f);
}

/* A process whose arguments can be read. */
static void put_process(const char *dir, const char *pid, const char *line, size_t n)
{
	static const char helper[] = "libxl-save-help\n";

	put(dir, pid, "comm", helper, sizeof(helper) - 1);
	put(dir, pid, "cmdline", line, n);
}

static void it_is_found_among_others(void **state)
{
	char dir[] = "/tmp/romulus-saver-XXXXXX", command[100];

	assert_non_null(mkdtemp(dir));
	put_process(dir, "1", "init", 5);
	put_process(dir, "2", "", 0);
	put_process(dir, "self", saves_7, sizeof(saves_7));
	put_process(dir, "30", restores_7, sizeof(restores_7));
	assert_false(saver_find(dir, 7));
	put_process(dir, "31", saves_7, sizeof(saves_7));
	assert_true(saver_find(dir, 7));
	put(dir, "31", "comm", "another\n", 8); /* whose arguments are not even read */
	assert_false(saver_find(dir, 7));
	put(dir, "31", "comm", "libxl-save-help\n", 16);
	assert_false(saver_find(dir, 8));
	assert_false(saver_find("/nonexistent", 7));
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

static void a_dump_is_known_by_its_file(void **state)
{
	char dir[] = "/tmp/romulus-dump-XXXXXX", path[64], command[160];
	struct stat st;
	FILE *f;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/db-20260101T000000Z", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(stat(path, &st), 0);
	assert_true(saver_dumps(dir, "db", st.st_mtime + 1));
	assert_false(saver_dumps(dir, "d", st.st_mtime + 1));
	assert_false(saver_dumps(dir, "db2", st.st_mtime + 1));
	assert_false(saver_dumps(dir, "db", st.st_mtime + 60)); /* an old one */
	assert_false(saver_dumps("/nonexistent", "db", st.st_mtime));
	snprintf(command, sizeof(command), "mv %s %s/db", path, dir);
	assert_int_equal(system(command), 0);
	assert_true(saver_dumps(dir, "db", st.st_mtime + 1));
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

/* A page that was dirty stays so until we clear it: one that is not was cleared by somebody else.
 */
static void what_was_dirty_stays_dirty(void **state)
{
	static const uint64_t before[] = {0x5, 0, UINT64_C(1) << 63};
	uint64_t now[] = {0x7, 1, UINT64_C(1) << 63};

	assert_true(dirty_covers(now, before, 3));
	assert_true(dirty_covers(before, before, 3));
	now[2] = 0;
	assert_false(dirty_covers(now, before, 3));
	assert_true(dirty_covers(now, before, 2));
	now[0] = 0x6;
	assert_false(dirty_covers(now, before, 2));
	assert_true(dirty_covers(now, before, 0));
	now[0] = 0;
	assert_false(dirty_none(now, 3));
	now[1] = 0;
	assert_true(dirty_none(now, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_known_by_its_arguments),
		cmocka_unit_test(it_is_found_among_others),
		cmocka_unit_test(a_dump_is_known_by_its_file),
		cmocka_unit_test(what_was_dirty_stays_dirty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
