/* SPDX-License-Identifier: GPL-2.0-or-later */
/* romulus-monitor carries out the end of a guest, with a hypervisor that only takes notes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

int monitor_main(int argc, char **argv);
#define main monitor_main
#include "replicator/monitor_main.c"
#undef main

#define OLD 7u
#define NEW 8u

static char dir[64];
static struct monitor m;
static uint32_t starts; /* what a restart gives; 0: it fails */
static unsigned int unpaused;

static bool is_adopted(void)
{
	return access(m.adopted, F_OK) == 0;
}

static int fake_finish(
	struct hv *hv, uint32_t domid, enum hv_then then, uint32_t *ret_domid, struct why *why)
{
	assert_int_equal(domid, OLD);
	/* romulusd leaves us alone from here on, whatever becomes of the protection. */
	assert_int_equal(is_adopted(), lifecycle_restarts(then));
	*ret_domid = lifecycle_restarts(then) ? starts : 0;
	return starts ? 0 : why_set(why, -EIO, "it could not be started");
}

static int fake_unpause(struct hv *hv, uint32_t domid, struct why *why)
{
	assert_int_equal(domid, NEW);
	unpaused++;
	return 0;
}

static const struct hv_ops fake = {.finish = fake_finish, .unpause = fake_unpause};
const struct hv_ops hv_xen_ops = {.name = "none"};

void hv_domain_clear(struct hv_domain *dom)
{
}

static int setup(void **state)
{
	strcpy(dir, "/tmp/romulus-monitor-XXXXXX");
	assert_non_null(mkdtemp(dir));
	m = (struct monitor){.ops = &fake,
		.alone = true,
		.worker = {.domain = "db", .run_dir = dir, .uuid = "U"},
		.life = {.state = LIFECYCLE_SHUT_DOWN,
			.domid = OLD,
			.end = HV_END_REBOOT,
			.then = HV_THEN_RESTART}};
	snprintf(m.adopted, sizeof(m.adopted), "%s/adopted-U", dir);
	starts = NEW;
	unpaused = 0;
	return 0;
}

static int teardown(void **state)
{
	unlink(m.adopted);
	return rmdir(dir);
}

static void put_pid(const char *path, int pid)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fprintf(f, "%d\n", pid);
	assert_int_equal(fclose(f), 0);
}

static void a_guest_is_watched_from_before_it_is_made(void **state)
{
	act(&m);
	assert_true(is_adopted());
	assert_int_equal(m.life.state, LIFECYCLE_RUNS);
	assert_int_equal(m.life.domid, NEW);
	assert_int_equal(unpaused, 1);
}

static void what_was_not_made_is_not_watched(void **state)
{
	starts = 0;
	act(&m);
	assert_false(is_adopted());
	assert_int_equal(m.life.state, LIFECYCLE_AWAITED);
	assert_int_equal(unpaused, 0);
}

static void what_is_only_destroyed_is_not_watched(void **state)
{
	m.life.then = HV_THEN_DESTROY;
	act(&m);
	assert_false(is_adopted());
	assert_int_equal(m.life.state, LIFECYCLE_OVER);
}

static void one_without_a_daemon_stays_until_there_is_another(void **state)
{
	m.life.state = LIFECYCLE_RUNS;
	assert_true(is_over(&m)); /* a daemon's own ends with it */
	m.worker.unattended = true;
	assert_false(is_over(&m));
	snprintf(m.watcher, sizeof(m.watcher), "%s/monitor-U", dir);
	assert_int_equal(take_watch(&m), 0);
	assert_false(is_over(&m));
	put_pid(m.watcher, 1);
	assert_true(is_over(&m));
	put_pid(m.watcher, (int)getpid());
	assert_false(is_over(&m));
	m.life.state = LIFECYCLE_OVER;
	assert_true(is_over(&m));
	unlink(m.watcher);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_guest_is_watched_from_before_it_is_made),
		TEST(what_was_not_made_is_not_watched),
		TEST(what_is_only_destroyed_is_not_watched),
		TEST(one_without_a_daemon_stays_until_there_is_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
