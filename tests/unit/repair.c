/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a dead worker has left is mended, and what is another hand's is left alone. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
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

#include "common/cleanup.h"
#include "common/exit_codes.h"
#include "diskrep/command.h"
#include "diskrep/drbd.h"
#include "replicator/asked.h"
#include "replicator/primary.h"
#include "replicator/saver.h"

#define DOMID 7u
#define UUID "00000000-0000-4000-8000-000000000001"

static char dir[64];
static bool suspended;
static unsigned int repairs, sweeps;
static bool was_asked;

int netbuf_sweep(const char *state_dir, const char *uuid, int release, struct why *why)
{
	sweeps++;
	return 0;
}

static int created; /* what becomes of xl */

int diskrep_command(
	const char *const argv[], int timeout_ms, struct why *why, const char *what, ...)
{
	static const char *const create[] = {"create", "-q", "/etc/xen/db.cfg", "uuid='" UUID "'"};

	for (size_t i = 0; i < ARRAY_SIZE(create); i++)
		assert_string_equal(argv[i + 1], create[i]);
	assert_null(argv[ARRAY_SIZE(create) + 1]);
	return created;
}

int diskrep_drbd_primary(const char *resource, bool force, struct why *why)
{
	return 0;
}

int diskrep_drbd_disconnect(const char *resource, struct why *why)
{
	return -ENOSYS;
}

int diskrep_drbd_secondary(const char *resource, struct why *why)
{
	return -ENOSYS;
}

static int find(struct hv *hv, const char *name, struct hv_domain *ret, struct why *why)
{
	*ret = (struct hv_domain){.domid = DOMID, .uuid = UUID};
	return 0;
}

static int look(
	struct hv *hv, const char *uuid, uint32_t domid, struct hv_sight *ret, struct why *why)
{
	*ret = (struct hv_sight){.exists = true, .shut_down = suspended, .end = HV_END_SUSPEND};
	return 0;
}

static int repair(struct hv *hv, uint32_t domid, bool asked, struct why *why)
{
	was_asked = asked;
	repairs++;
	return 0;
}

static void run(void)
{
	static const struct hv_ops ops = {.find = find, .look = look, .repair = repair};
	struct primary p = {.ops = &ops,
		.worker = {.repair = "db", .uuid = UUID, .release = true, .run_dir = dir}};

	sweeps = 0;
	assert_int_equal(primary_repair(&p), EXIT_CODE_OK);
	assert_int_equal(sweeps, 1); /* its network is mended all the same */
}

/* In a /proc of our own: the helper of @owner saves the domain. */
static void note_saver(pid_t owner)
{
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "%s/30", dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/30/cmdline", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	for (const char *const *a = (const char *const[]){"/usr/lib/xen-4.17/bin/libxl-save-helper",
		     "--save-domain", "10", "-1", "7", "1", NULL};
		*a; a++)
		fwrite(*a, 1, strlen(*a) + 1, f);
	fclose(f);
	snprintf(path, sizeof(path), "%s/30/comm", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("libxl-save-help\n", f);
	fclose(f);
	snprintf(path, sizeof(path), "%s/30/stat", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "30 (libxl) S) S %d 1 1\n", (int)owner);
	fclose(f);
	saver_note(dir, dir, UUID, DOMID);
}

static int setup(void **state)
{
	strcpy(dir, "/tmp/romulus-repair-XXXXXX");
	assert_non_null(mkdtemp(dir));
	suspended = true;
	repairs = 0;
	return 0;
}

static int teardown(void **state)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static void what_we_left_is_mended(void **state)
{
	run();
	assert_int_equal(repairs, 1);
}

/* `xl migrate` waits for the word of the other host, which may have begun to run it. */
static void what_another_has_suspended_stays_so(void **state)
{
	note_saver(getpid());
	run();
	assert_int_equal(repairs, 0);
	/* It has failed, and runs again. */
	suspended = false;
	run();
	assert_int_equal(repairs, 1);
	/* Protection has begun anew: what is suspended now is so for us. */
	suspended = true;
	saver_forget(dir, UUID);
	run();
	assert_int_equal(repairs, 2);
}

static void one_that_has_died_will_not_resume_it(void **state)
{
	const pid_t child = fork();

	if (child == 0)
		_exit(0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	note_saver(child);
	run();
	assert_int_equal(repairs, 1);
}

/* The worker is killed before the guest has answered. */
static void what_we_have_asked_is_told(void **state)
{
	const pid_t child = fork();

	if (child == 0) {
		if (asked_note(asked_open(dir, UUID), DOMID))
			_exit(1);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_false(asked_noted(dir, UUID, DOMID + 1)); /* it has rebooted */
	run();
	assert_true(was_asked);
	run();
	assert_false(was_asked);
}

static void what_was_answered_is_not(void **state)
{
	const int fd = asked_open(dir, UUID);

	assert_true(fd >= 0);
	assert_int_equal(asked_note(fd, DOMID), 0);
	assert_int_equal(asked_note(fd, 0), 0);
	close(fd);
	run();
	assert_false(was_asked);
}

static bool there;
static unsigned int destroyed;

static int find_one_that_runs(
	struct hv *hv, const char *name, struct hv_domain *ret, struct why *why)
{
	return there ? 0 : -ENOENT;
}

static int destroy(struct hv *hv, const char *name, struct why *why)
{
	assert_string_equal(name, "db");
	destroyed++;
	return 0;
}

/* After a power cut; xl ends with @r. */
static int start(int r)
{
	static const struct hv_ops ops = {.find = find_one_that_runs, .destroy = destroy};
	struct primary p = {.ops = &ops,
		.worker = {.domain = "db",
			.uuid = UUID,
			.start = "/etc/xen/db.cfg",
			.resource = "db"}};

	created = r;
	destroyed = 0;
	return primary_start(&p);
}

static void half_a_guest_is_cleared_away(void **state)
{
	assert_int_equal(start(0), EXIT_CODE_OK);
	assert_int_equal(destroyed, 0);
	assert_int_equal(start(-ETIMEDOUT), EXIT_CODE_FAILED);
	assert_int_equal(destroyed, 1);
	/* xl has cleared up itself, or it is somebody's who was faster. */
	assert_int_equal(start(-EIO), EXIT_CODE_FAILED);
	assert_int_equal(destroyed, 0);
	there = true;
	assert_int_equal(start(-ETIMEDOUT), EXIT_CODE_OK);
	assert_int_equal(destroyed, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_we_left_is_mended),
		TEST(what_another_has_suspended_stays_so),
		TEST(one_that_has_died_will_not_resume_it),
		TEST(what_we_have_asked_is_told),
		TEST(what_was_answered_is_not),
		TEST(half_a_guest_is_cleared_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
