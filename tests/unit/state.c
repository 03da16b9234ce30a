/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records: what is written comes back, and nothing torn or garbled is believed. */
#include <errno.h>
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

#include "common/why.h"
#include "failover/state.h"

#define UUID "11111111-2222-3333-4444-555555555555"

static unsigned int good, bad;
static struct failover_record last;

static void count(void *data, const struct failover_record *r, const struct why *why)
{
	if (r) {
		good++;
		last = *r;
	} else {
		bad++;
		assert_non_null(strstr(why->text, UUID));
	}
}

static void load(const char *dir)
{
	good = bad = 0;
	assert_int_equal(failover_state_load(dir, count, NULL, NULL), 0);
}

static void overwrite(const char *dir, const char *text)
{
	char file[200];
	FILE *f;

	snprintf(file, sizeof(file), "%s/domains/" UUID ".json", dir);
	f = fopen(file, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void records(void **state)
{
	static const char *const garbage[] = {"", "{", "{\"version\": 1}", "[1]",
		"{\"version\":1,\"name\":\"db\",\"uuid\":\"../../etc/x\",\"generation\":1,"
		"\"role\":\"primary\",\"peer\":\"b\",\"decision\":\"none\",\"intent\":true,"
		"\"boot\":\"\"}",
		"{\"version\":1,\"name\":\"db\",\"uuid\":\"" UUID "\",\"generation\":1,"
		"\"role\":\"king\",\"peer\":\"b\",\"decision\":\"none\",\"intent\":true,"
		"\"boot\":\"\"}"};
	struct failover_record r = {.name = "db",
		.uuid = UUID,
		.peer = "beta",
		.generation = 41,
		.role = PROTO_ROLE_BACKUP,
		.decision = FAILOVER_DECISION_RELEASED,
		.intent = true,
		.boot = "x"};
	char dir[] = "/tmp/romulus-state-XXXXXX", command[100];

	assert_non_null(mkdtemp(dir));
	load(dir);
	assert_int_equal(good + bad, 0);
	assert_int_equal(failover_state_save(dir, &r, NULL), 0);
	r.generation = 42;
	assert_int_equal(failover_state_save(dir, &r, NULL), 0);
	load(dir);
	assert_int_equal(good, 1);
	assert_memory_equal(&last, &r, sizeof(r));
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		overwrite(dir, garbage[i]);
		load(dir);
		assert_int_equal(good, 0);
		assert_int_equal(bad, 1);
	}
	assert_int_equal(failover_state_remove(dir, UUID, NULL), 0);
	load(dir);
	assert_int_equal(good + bad, 0);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

/* What a peer made up would otherwise be a promise that is forgotten at the next start. */
static void nothing_is_written_that_could_not_be_read(void **state)
{
	struct failover_record r = {
		.name = "db", .uuid = UUID, .generation = FAILOVER_GENERATION_MAX};
	char dir[] = "/tmp/romulus-state-XXXXXX", command[100];

	assert_non_null(mkdtemp(dir));
	load(dir);
	assert_int_equal(failover_state_save(dir, &r, NULL), 0);
	r.generation++;
	assert_int_equal(failover_state_save(dir, &r, NULL), -EINVAL);
	r.generation = 1;
	strcpy(r.name, "\xff");
	assert_int_equal(failover_state_save(dir, &r, NULL), -EINVAL);
	load(dir);
	assert_int_equal(good, 1);
	assert_int_equal(bad, 0);
	assert_true(last.generation == FAILOVER_GENERATION_MAX);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

static void names_cannot_leave_the_folder(void **state)
{
	assert_true(failover_uuid_valid(UUID));
	assert_false(failover_uuid_valid("../../../../../../../../../../../etc"));
	assert_true(failover_name_valid("db-1"));
	assert_false(failover_name_valid("--repair"));
	assert_false(failover_name_valid("a/b"));
	assert_false(failover_name_valid(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records),
		cmocka_unit_test(nothing_is_written_that_could_not_be_read),
		cmocka_unit_test(names_cannot_leave_the_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
