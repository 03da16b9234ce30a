/* SPDX-License-Identifier: GPL-2.0-or-later */
/* romulus-save as the two processes that it is, with a hypervisor that only takes notes. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

int save_main(int argc, char **argv);
#define main save_main
#include "replicator/save_main.c"
#undef main

#include "replicator/saver.h"
#include "tests/unit/made_stream.h"

#define UUID "00000000-0000-4000-8000-000000000001"
#define DOMID 7u
#define LIMIT_MS 60000

static char dir[64], file[96];

static struct shared {
	bool hangs; /* libxl never comes back */
	bool suspended, gone, resumed;
	pid_t worker, helper;
} * xen;

pid_t saver_find(const char *proc, uint32_t domid)
{
	return 0;
}

void hv_domain_clear(struct hv_domain *dom)
{
	free(dom->config_json);
}

/* One that has ended and that nobody has waited for yet does not. */
static bool lives(pid_t pid)
{
	char path[32], state = 'Z';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	assert_int_equal(fscanf(f, "%*d (%*[^)]) %c", &state), 1);
	fclose(f);
	return state != 'Z';
}

static struct hv *open_xen(struct why *why)
{
	return (struct hv *)xen;
}

static void close_xen(struct hv *hv)
{
}

static int find(struct hv *hv, const char *name, struct hv_domain *ret, struct why *why)
{
	*ret = (struct hv_domain){.domid = DOMID,
		.name = "db",
		.uuid = UUID,
		.type = HV_TYPE_PVH,
		.memory_kb = 64,
		.config_json = strdup("{\"c_info\": {\"name\": \"db\"}}")};
	return 0;
}

static int look(
	struct hv *hv, const char *uuid, uint32_t domid, struct hv_sight *ret, struct why *why)
{
	*ret = (struct hv_sight){.exists = true, .shut_down = xen->suspended};
	return 0;
}

static int write_out(struct hv *hv, uint32_t domid, int fd, bool live, struct why *why)
{
	struct made m = made_stream(300);
	const pid_t helper = fork();

	if (helper == 0) {
		pause();
		_exit(0);
	}
	xen->helper = helper;
	xen->worker = getpid();
	dprintf(STDOUT_FILENO, "what libxl's helper may print\n");
	assert_int_equal(write(fd, m.bytes, m.n), (ssize_t)m.n);
	free(m.bytes);
	__atomic_store_n(&xen->suspended, true, __ATOMIC_SEQ_CST);
	while (xen->hangs)
		pause();
	kill(xen->helper, SIGKILL);
	waitpid(xen->helper, NULL, 0);
	return 0;
}

static int take_back(struct hv *hv, uint32_t domid, struct why *why)
{
	assert_int_equal(domid, DOMID);
	/* Not while anybody could still be at it. */
	assert_false(lives(xen->worker));
	assert_false(lives(xen->helper));
	xen->resumed = true;
	xen->suspended = false;
	return 0;
}

static int resume(struct hv *hv, uint32_t domid, struct why *why)
{
	xen->resumed = true;
	xen->suspended = false;
	return 0;
}

static int kill_domain(struct hv *hv, uint32_t domid, struct why *why)
{
	xen->gone = true;
	xen->suspended = false;
	return 0;
}

const struct hv_ops hv_xen_ops = {.open = open_xen,
	.close = close_xen,
	.find = find,
	.look = look,
	.write_out = write_out,
	.take_back = take_back,
	.resume = resume,
	.kill = kill_domain};

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/var/tmp/romulus-save.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/db.save", dir);
	memset(xen, 0, sizeof(*xen));
	return 0;
}

static int teardown(void **state)
{
	unlink(file);
	return rmdir(dir); /* nothing else was left */
}

static pid_t start(const char *option)
{
	char *argv[] = {"romulus-save", "save", "--run-dir", dir, (char *)(uintptr_t)option, "db",
		file, NULL};
	pid_t pid;

	if (!option)
		memmove(argv + 4, argv + 5, 3 * sizeof(*argv));
	pid = fork();
	if (pid == 0)
		_exit(save_main(option ? 7 : 6, argv));
	assert_true(pid > 0);
	return pid;
}

static void wait_until_suspended(void)
{
	const struct timespec moment = {.tv_nsec = 1000000};

	for (int i = 0; !__atomic_load_n(&xen->suspended, __ATOMIC_SEQ_CST); i++) {
		assert_true(i < LIMIT_MS);
		nanosleep(&moment, NULL);
	}
}

static int status_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void a_domain_is_saved(void **state)
{
	assert_int_equal(status_of(start(NULL)), EXIT_CODE_OK);
	assert_true(xen->gone && !xen->suspended);
	assert_int_equal(access(file, F_OK), 0);
}

static void a_checkpoint_leaves_it_running(void **state)
{
	assert_int_equal(status_of(start("--checkpoint")), EXIT_CODE_OK);
	assert_true(xen->resumed && !xen->gone && !xen->suspended);
	assert_int_equal(access(file, F_OK), 0);
}

/* And nothing else: what others print there would damage it. */
static void the_standard_output_has_the_file(void **state)
{
	char *argv[] = {"romulus-save", "save", "db", "-", NULL};
	const int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct why why;
	pid_t pid;

	assert_true(fd >= 0);
	pid = fork();
	if (pid == 0) {
		dup2(fd, STDOUT_FILENO);
		_exit(save_main(4, argv));
	}
	assert_true(pid > 0);
	assert_int_equal(status_of(pid), EXIT_CODE_OK);
	assert_true(xen->gone);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	if (savefile_read(fd, NULL, NULL, NULL, &why))
		fail_msg("%s", why.text);
	close(fd);
}

static void nothing_came_of_it(pid_t pid)
{
	assert_int_equal(status_of(pid), EXIT_CODE_FAILED);
	assert_true(xen->resumed && !xen->gone && !xen->suspended);
	assert_int_equal(access(file, F_OK), -1);
	assert_false(lives(xen->helper));
}

static void who_is_interrupted_leaves_it_running(void **state)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		pid_t pid;

		memset(xen, 0, sizeof(*xen));
		xen->hangs = true;
		pid = start(NULL);
		wait_until_suspended();
		assert_int_equal(kill(pid, signals[i]), 0);
		nothing_came_of_it(pid);
	}
}

static void whose_worker_is_killed_leaves_it_running(void **state)
{
	pid_t pid;

	xen->hangs = true;
	pid = start(NULL);
	wait_until_suspended();
	assert_int_equal(kill(xen->worker, SIGKILL), 0);
	nothing_came_of_it(pid);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_domain_is_saved),
		TEST(a_checkpoint_leaves_it_running),
		TEST(the_standard_output_has_the_file),
		TEST(who_is_interrupted_leaves_it_running),
		TEST(whose_worker_is_killed_leaves_it_running),
	};

	xen = mmap(NULL, sizeof(*xen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return xen == MAP_FAILED ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
