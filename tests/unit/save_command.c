/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What romulus-save is told of the guests that this host has under protection. */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/exit_codes.h"
#include "common/why.h"
#include "failover/config.h"
#include "failover/save_command.h"
#include "failover/state.h"

#define UUID "00000000-0000-4000-8000-00000000000"

static char dir[64], program[96], words[96], record[160];
static struct failover_config config;

static int setup(void **state)
{
	FILE *f;

	snprintf(dir, sizeof(dir), "/tmp/romulus-save.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(program, sizeof(program), "%s/romulus-save", dir);
	snprintf(words, sizeof(words), "%s/words", dir);
	record[0] = '\0';
	f = fopen(program, "we");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\necho \"$@\" >%s\nexit 42\n", words);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(program, 0700), 0);
	memset(&config, 0, sizeof(config));
	config.host = "alpha";
	config.run_dir = "/run/there";
	config.state_dir = dir;
	return 0;
}

static int teardown(void **state)
{
	char folder[96];

	snprintf(folder, sizeof(folder), "%s/domains", dir);
	if (record[0])
		unlink(record);
	rmdir(folder);
	unlink(program);
	unlink(words);
	return rmdir(dir);
}

static void each(void *data, const struct failover_record *r, const struct why *why)
{
}

static void remember(char last, bool intent, enum proto_role role, enum failover_decision decision)
{
	struct failover_record r = {
		.generation = 1, .role = role, .decision = decision, .intent = intent};
	struct why why;

	snprintf(r.name, sizeof(r.name), "db%c", last);
	snprintf(r.uuid, sizeof(r.uuid), UUID "%c", last);
	snprintf(r.peer, sizeof(r.peer), "beta");
	snprintf(r.boot, sizeof(r.boot), "none");
	snprintf(record, sizeof(record), "%s/domains/%s.json", dir, r.uuid);
	if (failover_state_load(dir, each, NULL, &why) < 0 ||
		failover_state_save(dir, &r, &why) < 0)
		fail_msg("%s", why.text);
}

static int command(const struct failover_config *c)
{
	char *argv[] = {"save", "--checkpoint", "db1", "/there", NULL};
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(failover_save_command(c, dir, argv));
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void is_told(const struct failover_config *c, const char *expected)
{
	char text[512] = "";
	FILE *f;

	assert_int_equal(command(c), 42);
	f = fopen(words, "re");
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	fclose(f);
	assert_string_equal(text, expected);
}

static void one_that_is_wanted_is_protected(void **state)
{
	remember('1', true, PROTO_ROLE_PRIMARY, FAILOVER_DECISION_SOLO);
	is_told(&config, "save --host alpha --run-dir /run/there --protected db1 --protected " UUID
			 "1 --checkpoint db1 /there\n");
}

static void one_of_a_pair_is_protected(void **state)
{
	remember('2', false, PROTO_ROLE_BACKUP, FAILOVER_DECISION_NONE);
	is_told(&config, "save --host alpha --run-dir /run/there --protected db2 --protected " UUID
			 "2 --checkpoint db1 /there\n");
}

static void one_that_is_only_remembered_is_not(void **state)
{
	remember('3', false, PROTO_ROLE_BACKUP, FAILOVER_DECISION_RELEASED);
	is_told(&config, "save --host alpha --run-dir /run/there --checkpoint db1 /there\n");
}

static void a_record_that_cannot_be_read_may_be_any(void **state)
{
	remember('4', false, PROTO_ROLE_NONE, FAILOVER_DECISION_NONE);
	assert_int_equal(truncate(record, 5), 0);
	assert_int_equal(command(&config), EXIT_CODE_FAILED);
	assert_int_equal(access(words, F_OK), -1);
}

static void a_host_without_a_configuration_protects_nothing(void **state)
{
	char host[HOST_NAME_MAX + 1] = "", expected[HOST_NAME_MAX + 64];

	gethostname(host, sizeof(host) - 1);
	snprintf(expected, sizeof(expected), "save --host %s --checkpoint db1 /there\n", host);
	is_told(NULL, expected);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(one_that_is_wanted_is_protected),
		TEST(one_of_a_pair_is_protected),
		TEST(one_that_is_only_remembered_is_not),
		TEST(a_record_that_cannot_be_read_may_be_any),
		TEST(a_host_without_a_configuration_protects_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
