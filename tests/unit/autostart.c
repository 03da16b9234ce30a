/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What xendomains would start: found in its folders as it finds it, and only that. */
#include <errno.h>
#include <limits.h>
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

#include "common/exit_codes.h"
#include "common/why.h"
#include "failover/autostart.h"
#include "failover/state.h"

#define UUID "deadbeef-0102-0304-0506-0708090a0b0c"

static char dir[64];

static char *in_dir(const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned int n;
	char *ret = path[n++ % 4];

	snprintf(ret, PATH_MAX, "%s/%s", dir, name);
	return ret;
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(in_dir(name), "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	fclose(f);
}

static void put_settings(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void put_settings(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	put("settings", text);
}

static int setup(void **state)
{
	strcpy(dir, "/tmp/romulus-autostart-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(mkdir(in_dir("auto"), 0700), 0);
	assert_int_equal(mkdir(in_dir("save"), 0700), 0);
	put_settings("# of xendomains\nXENDOMAINS_SAVE=%s/save\nXENDOMAINS_RESTORE=true\n"
		     "XENDOMAINS_AUTO=%s/auto\n",
		dir, dir);
	return 0;
}

static int teardown(void **state)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static int find(const char *name, struct why *why)
{
	return failover_autostart_find(in_dir("settings"), name, why);
}

static void the_name_in_the_file_counts(void **state)
{
	static const struct {
		const char *text, *name;
		int result;
	} cases[] = {
		{"name = \"db\"\nmemory = 64\n", "db", -EEXIST},
		{"type='pvh'\n\tname='db'\n", "db", -EEXIST},
		{"type = \"pvh\"; name = \"db\"", "db", -EEXIST},
		{"#!/usr/bin/xl\n# a guest; of 'ours\nname=\"db\"", "db", -EEXIST},
		{"#\nname = \"db\"", "db", -EEXIST},
		{"name = \"db2\"\n", "db", 0},
		{"name = \"d\"\n", "db", 0},
		{"# name = \"db\"\n", "db", 0},
		{"hostname = \"db\"\n", "db", 0},
		{"extra = \"x; name = 'db'\"\n", "db", 0},
		{"name = db\n", "db", 0}, /* xl refuses it */
		{"", "db", 0},
	};
	struct why why;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put("auto/whatever.cfg", cases[i].text);
		if (find(cases[i].name, &why) != cases[i].result)
			fail_msg("%s: %s", cases[i].text, cases[i].name);
	}
	put("auto/whatever.cfg", cases[0].text);
	find("db", &why);
	assert_non_null(strstr(why.text, "auto/whatever.cfg"));
}

static void links_are_followed_and_folders_are_not_files(void **state)
{
	struct why why;

	put("db.cfg", "name = \"db\"\n");
	assert_int_equal(mkdir(in_dir("auto/folder"), 0700), 0);
	assert_int_equal(find("db", &why), 0);
	assert_int_equal(symlink(in_dir("db.cfg"), in_dir("auto/.hidden")), 0);
	assert_int_equal(find("db", &why), 0);
	assert_int_equal(symlink(in_dir("nothing"), in_dir("auto/10-gone")), 0);
	assert_int_equal(symlink(in_dir("db.cfg"), in_dir("auto/20-db")), 0);
	assert_int_equal(find("db", &why), -EEXIST);
	assert_non_null(strstr(why.text, "auto/20-db"));
}

static void a_saved_image_counts_when_it_is_restored(void **state)
{
	struct why why;

	assert_int_equal(find("db", &why), 0);
	put("save/db", "an image");
	assert_int_equal(find("db", &why), -EEXIST);
	assert_non_null(strstr(why.text, "save/db"));
	put_settings("XENDOMAINS_SAVE=%s/save\nXENDOMAINS_RESTORE=\n", dir);
	assert_int_equal(find("db", &why), 0);
}

static void the_settings_are_those_of_the_script(void **state)
{
	struct why why;

	put("auto/db", "name = \"db\"\n");
	put_settings("XENDOMAINS_AUTO=\"%s/auto\" # ours\n", dir);
	assert_int_equal(find("db", &why), -EEXIST);
	put_settings("export XENDOMAINS_AUTO='%s/auto'\n", dir);
	assert_int_equal(find("db", &why), -EEXIST);
	put_settings("XENDOMAINS_AUTO=%s/auto\nXENDOMAINS_AUTO=\n", dir);
	assert_int_equal(find("db", &why), 0);
	put_settings("#XENDOMAINS_AUTO=%s/auto\n", dir);
	assert_int_equal(find("db", &why), 0);
	unlink(in_dir("settings"));
	assert_int_equal(find("db", &why), 0);
}

static void record(bool intent)
{
	struct failover_record r = {.name = "db",
		.uuid = UUID,
		.peer = "beta",
		.generation = 3,
		.role = PROTO_ROLE_PRIMARY,
		.boot = "none",
		.intent = intent};
	struct why why;

	if (failover_state_save(dir, &r, &why) < 0)
		fail_msg("%s", why.text);
}

static void only_a_guest_that_is_to_be_protected_holds_it_up(void **state)
{
	struct failover_config c = {.state_dir = dir, .xendomains = in_dir("settings")};

	assert_int_equal(failover_autostart_check(&c), EXIT_CODE_OK);
	put("auto/db", "name = \"db\"\n");
	put("auto/web", "name = \"web\"\n");
	assert_int_equal(failover_autostart_check(&c), EXIT_CODE_OK);
	record(false);
	assert_int_equal(failover_autostart_check(&c), EXIT_CODE_OK);
	record(true);
	assert_int_equal(failover_autostart_check(&c), EXIT_CODE_FAILED);
	unlink(in_dir("auto/db"));
	assert_int_equal(failover_autostart_check(&c), EXIT_CODE_OK);
	put("domains/broken.json", "{");
	assert_int_equal(failover_autostart_check(&c), EXIT_CODE_FAILED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_name_in_the_file_counts),
		TEST(links_are_followed_and_folders_are_not_files),
		TEST(a_saved_image_counts_when_it_is_restored),
		TEST(the_settings_are_those_of_the_script),
		TEST(only_a_guest_that_is_to_be_protected_holds_it_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
