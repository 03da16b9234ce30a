/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lower devices and NBD with the kernel's device mapper, loop devices and nbdkit. Skipped where
 * these are missing, unless ROMULUS_REQUIRE_DISK is set.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/fault.h"
#include "diskrep/command.h"
#include "diskrep/device.h"
#include "diskrep/lower.h"
#include "diskrep/nbd.h"

#define NAME "romulus-unit-0"
#define PATH "/dev/mapper/" NAME
#define DISK_BYTES (8 << 20)
#define TOOL_MS 30000
#define SWITCHES 20

static char directory[] = "/var/tmp/romulus-disk-XXXXXX";
static char disk[3][64]; /* loop devices: two of one size, a smaller one */

static void tool_run(const char *const argv[])
{
	struct why why;

	if (diskrep_command(argv, TOOL_MS, &why, "run %s", argv[0]))
		fail_msg("%s", why.text);
}

#define TOOL(...) tool_run((const char *const[]){__VA_ARGS__, NULL})

static int loop_device(int i, off_t bytes)
{
	char file[128];
	const char *const argv[] = {"/sbin/losetup", "-f", "--show", file, NULL};
	struct diskrep_command c;
	int fd;

	snprintf(file, sizeof(file), "%s/disk%d", directory, i);
	fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, bytes) < 0)
		return -1;
	close(fd);
	if (diskrep_command_run(argv, TOOL_MS, &c, NULL))
		return -1;
	if (c.status == 0 && c.output)
		snprintf(disk[i], sizeof(disk[i]), "%.*s", (int)strcspn(c.output, "\n"), c.output);
	diskrep_command_clear(&c);
	return disk[i][0] ? 0 : -1;
}

static int setup(void **state)
{
	if (!mkdtemp(directory))
		return -1;
	if (geteuid() != 0 || diskrep_load_module("dm_mod", NULL) ||
		diskrep_load_module("nbd", NULL) || access("/dev/mapper/control", R_OK) ||
		access("/usr/bin/nbdkit", X_OK))
		return 0;
	for (int i = 0; i < 3; i++)
		if (loop_device(i, i < 2 ? DISK_BYTES : DISK_BYTES / 2))
			return -1;
	return 0;
}

static int teardown(void **state)
{
	diskrep_lower_remove(NAME, NULL);
	for (int i = 0; i < 3; i++)
		if (disk[i][0])
			TOOL("/sbin/losetup", "-d", disk[i]);
	TOOL("/bin/rm", "-rf", directory);
	return 0;
}

static void need_kernel(void)
{
	if (disk[0][0])
		return;
	if (getenv("ROMULUS_REQUIRE_DISK"))
		fail_msg("no device mapper, NBD or nbdkit here");
	skip();
}

static void target_is(const char *device)
{
	char path[DISKREP_PATH_MAX];
	struct why why;

	assert_int_equal(diskrep_lower_target(NAME, path, sizeof(path), &why), 0);
	assert_string_equal(path, device);
	assert_int_equal(diskrep_lower_check(NAME, device, &why), 0);
}

static void block_write(const char *device, off_t offset, char content)
{
	static char block[4096] __attribute__((aligned(4096)));
	int fd = open(device, O_RDWR | O_DIRECT | O_CLOEXEC);

	assert_true(fd >= 0);
	memset(block, content, sizeof(block));
	assert_int_equal(pwrite(fd, block, sizeof(block), offset), sizeof(block));
	close(fd);
}

static char block_read(const char *device, off_t offset)
{
	static char block[4096] __attribute__((aligned(4096)));
	int fd = open(device, O_RDONLY | O_DIRECT | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, block, sizeof(block), offset), sizeof(block));
	close(fd);
	return block[100];
}

static void a_lower_device_is_made_once(void **state)
{
	char path[DISKREP_PATH_MAX];
	struct why why;

	need_kernel();
	assert_int_equal(diskrep_lower_target(NAME, path, sizeof(path), &why), -ENOENT);
	assert_int_equal(diskrep_lower_check(NAME, disk[0], &why), -ENOENT);
	assert_int_equal(diskrep_lower_create(NAME, disk[0], &why), 0);
	target_is(disk[0]);
	assert_int_equal(diskrep_lower_create(NAME, disk[0], &why), 0);
	assert_int_equal(diskrep_lower_create(NAME, disk[1], &why), -EEXIST);
	assert_non_null(strstr(why.text, disk[0]));
	assert_int_equal(diskrep_lower_check(NAME, disk[1], &why), -EXDEV);
	block_write(PATH, 4096, 'a');
	assert_int_equal(block_read(disk[0], 4096), 'a');
	assert_int_equal(diskrep_lower_remove(NAME, &why), 0);
	assert_int_equal(diskrep_lower_remove(NAME, &why), 0);
	assert_int_equal(access(PATH, F_OK), -1);
}

/* udev handles what was created and removed a moment ago: it must not take the node away. */
static void udev_comes_late(void **state)
{
	struct diskrep_device d;
	struct why why;

	need_kernel();
	for (int i = 0; i < 10; i++) {
		assert_int_equal(diskrep_lower_create(NAME, disk[i % 2], &why), 0);
		assert_int_equal(diskrep_lower_remove(NAME, &why), 0);
		assert_int_equal(access(PATH, F_OK), -1);
	}
	assert_int_equal(diskrep_lower_create(NAME, disk[0], &why), 0);
	if (access("/run/udev/control", F_OK) == 0)
		TOOL("/bin/udevadm", "settle");
	assert_int_equal(diskrep_device_look(PATH, &d, &why), 0);
	target_is(disk[0]);
	assert_int_equal(diskrep_lower_remove(NAME, &why), 0);
	if (access("/run/udev/control", F_OK) == 0)
		TOOL("/bin/udevadm", "settle");
	assert_int_equal(access(PATH, F_OK), -1);
}

static void a_part_of_a_device(void **state)
{
	struct why why;

	need_kernel();
	assert_int_equal(diskrep_lower_create_part(NAME, disk[0], 2048, 4096, &why), 0);
	assert_int_equal(diskrep_lower_create_part(NAME, disk[0], 2048, 4096, &why), 0);
	assert_int_equal(diskrep_lower_create_part(NAME, disk[0], 2056, 4096, &why), -EEXIST);
	block_write(PATH, 0, 'p');
	assert_int_equal(block_read(disk[0], 1 << 20), 'p');
	assert_int_equal(diskrep_lower_check(NAME, disk[0], &why), -EXDEV);
	assert_int_equal(diskrep_lower_remove(NAME, &why), 0);
	assert_int_equal(
		diskrep_lower_create_part(NAME, disk[0], 2048, DISK_BYTES / 512, &why), -EINVAL);
}

struct writer {
	pthread_t thread;
	atomic_bool stop;
	atomic_int written;
	int failed;
};

/* Numbers the blocks of the device one after the other, over and over. */
static void *write_on(void *data)
{
	static char block[4096] __attribute__((aligned(4096)));
	struct writer *w = data;
	int fd = open(PATH, O_RDWR | O_DIRECT | O_CLOEXEC);

	for (int n = 0; !w->stop && !w->failed; n++) {
		off_t offset = (off_t)(n % (DISK_BYTES / 4096)) * 4096;

		memcpy(block, &n, sizeof(n));
		if (fd < 0 || pwrite(fd, block, sizeof(block), offset) != sizeof(block))
			w->failed = errno ? errno : EIO;
		w->written = n + 1;
	}
	close(fd);
	return NULL;
}

static void writes_until(struct writer *w, int more)
{
	int target = w->written + more;

	while (w->written < target && !w->failed)
		usleep(1000);
}

static void it_is_switched_under_a_writer(void **state)
{
	struct writer w = {0};
	struct why why;

	need_kernel();
	assert_int_equal(diskrep_lower_create(NAME, disk[0], &why), 0);
	assert_int_equal(pthread_create(&w.thread, NULL, write_on, &w), 0);
	for (int i = 1; i <= SWITCHES; i++) {
		writes_until(&w, 20);
		assert_int_equal(diskrep_lower_switch(NAME, disk[i % 2], &why), 0);
		target_is(disk[i % 2]);
		assert_int_equal(diskrep_lower_switch(NAME, disk[i % 2], &why), 0);
	}
	assert_int_equal(diskrep_lower_remove(NAME, &why), -EBUSY);
	writes_until(&w, 20);
	w.stop = true;
	pthread_join(w.thread, NULL);
	assert_int_equal(w.failed, 0);
	block_write(PATH, 0, 'z');
	assert_int_equal(block_read(disk[SWITCHES % 2], 0), 'z');
	assert_int_not_equal(block_read(disk[1 - SWITCHES % 2], 0), 'z');
	assert_int_equal(diskrep_lower_remove(NAME, &why), 0);
}

static void a_failed_switch_changes_nothing(void **state)
{
	struct why why;
	int taken;

	need_kernel();
	assert_int_equal(diskrep_lower_switch(NAME, disk[1], &why), -ENOENT);
	assert_int_equal(diskrep_lower_create(NAME, disk[0], &why), 0);
	assert_int_equal(diskrep_lower_switch(NAME, disk[2], &why), -EINVAL);
	assert_int_equal(diskrep_lower_switch(NAME, "/dev/nonexistent", &why), -ENOENT);
	assert_int_equal(diskrep_lower_switch(NAME, directory, &why), -ENOTBLK);
	/* One that somebody has for himself cannot be loaded. */
	taken = open(disk[1], O_RDWR | O_EXCL | O_CLOEXEC);
	assert_true(taken >= 0);
	assert_int_equal(diskrep_lower_switch(NAME, disk[1], &why), -EBUSY);
	assert_non_null(strstr(why.text, "it is as it was"));
	target_is(disk[0]);
	block_write(PATH, 0, 'b');
	assert_int_equal(block_read(disk[0], 0), 'b');
	close(taken);
	assert_int_equal(diskrep_lower_switch(NAME, disk[1], &why), 0);
	target_is(disk[1]);
	assert_int_equal(diskrep_lower_remove(NAME, &why), 0);
}

static void what_a_crash_left_is_mended(void **state)
{
	char table[128];
	struct why why;

	need_kernel();
	assert_int_equal(diskrep_lower_create(NAME, disk[0], &why), 0);
	/* Died between loading and resuming. */
	snprintf(table, sizeof(table), "0 %d linear %s 0", DISK_BYTES / 512, disk[1]);
	TOOL("/sbin/dmsetup", "load", NAME, "--table", table);
	TOOL("/sbin/dmsetup", "suspend", NAME);
	assert_int_equal(diskrep_lower_create(NAME, disk[0], &why), 0);
	target_is(disk[0]);
	block_write(PATH, 0, 'm');
	TOOL("/sbin/dmsetup", "suspend", NAME);
	assert_int_equal(diskrep_lower_switch(NAME, disk[0], &why), 0);
	block_write(PATH, 0, 'n');
	TOOL("/sbin/dmsetup", "suspend", NAME);
	assert_int_equal(diskrep_lower_switch(NAME, disk[1], &why), 0);
	block_write(PATH, 0, 'o');
	assert_int_equal(block_read(disk[0], 0), 'n');
	assert_int_equal(block_read(disk[1], 0), 'o');
	assert_int_equal(diskrep_lower_remove(NAME, &why), 0);
	/* Died between creating and loading. */
	TOOL("/sbin/dmsetup", "create", NAME, "--notable");
	assert_int_equal(diskrep_lower_create(NAME, disk[1], &why), 0);
	target_is(disk[1]);
	assert_int_equal(diskrep_lower_remove(NAME, &why), 0);
}

static void arm(const char *fault)
{
	struct why why;

	setenv("ROMULUS_FAULT", fault, 1);
	assert_int_equal(fault_init(&why), 0);
}

static void a_switch_that_fails_or_dies_halfway(void **state)
{
	struct writer w = {0};
	struct why why;
	pid_t child;
	int status;

	need_kernel();
	assert_int_equal(diskrep_lower_create(NAME, disk[0], &why), 0);
	assert_int_equal(pthread_create(&w.thread, NULL, write_on, &w), 0);
	writes_until(&w, 20);
	arm("lower-switch=fail");
	assert_int_equal(diskrep_lower_switch(NAME, disk[1], &why), -EIO);
	target_is(disk[0]);
	writes_until(&w, 20);

	child = fork();
	if (child == 0) {
		arm("lower-switch=crash");
		diskrep_lower_switch(NAME, disk[1], NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	arm("");
	assert_int_equal(diskrep_lower_switch(NAME, disk[1], &why), 0);
	target_is(disk[1]);
	writes_until(&w, 20);
	w.stop = true;
	pthread_join(w.thread, NULL);
	assert_int_equal(w.failed, 0);
	assert_int_equal(diskrep_lower_remove(NAME, &why), 0);
}

static pid_t serve(char *socket, size_t size)
{
	char pidfile[128];
	char *const argv[] = {
		"/usr/bin/nbdkit", "-f", "-U", socket, "-P", pidfile, "memory", "8M", NULL};
	pid_t pid;

	snprintf(socket, size, "%s/nbd", directory);
	snprintf(pidfile, sizeof(pidfile), "%s/nbdkit.pid", directory);
	unlink(pidfile);
	unlink(socket);
	assert_int_equal(posix_spawn(&pid, argv[0], NULL, NULL, argv, environ), 0);
	for (int i = 0; i < 3000 && access(pidfile, F_OK); i++)
		usleep(10000);
	assert_int_equal(access(pidfile, F_OK), 0);
	return pid;
}

static void nbd_comes_and_goes(void **state)
{
	char socket[64], device[2][64], requests[32];
	struct diskrep_device d;
	struct why why;
	pid_t server;
	int taken;

	need_kernel();
	server = serve(socket, sizeof(socket));
	for (int i = 0; i < 2; i++) {
		const uint32_t block = i ? 4096 : 512;

		if (diskrep_nbd_attach(socket, "", block, device[i], sizeof(device[i]), &why))
			fail_msg("%s", why.text);
		assert_true(diskrep_nbd_in_use(device[i]));
		assert_int_equal(diskrep_device_look(device[i], &d, &why), 0);
		assert_int_equal(d.sectors, DISK_BYTES / 512);
		assert_int_equal(diskrep_device_attribute(d.number, "queue/max_sectors_kb",
					 requests, sizeof(requests)),
			0);
		assert_string_equal(requests, "1024");
		assert_int_equal(d.block, block);
	}
	assert_string_not_equal(device[0], device[1]);
	block_write(device[0], 4096, 'n');
	assert_int_equal(block_read(device[1], 4096), 'n');

	taken = open(device[0], O_RDWR | O_EXCL | O_CLOEXEC);
	assert_true(taken >= 0);
	assert_int_equal(diskrep_nbd_detach(device[0], &why), -EBUSY);
	assert_true(diskrep_nbd_in_use(device[0]));
	close(taken);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(diskrep_nbd_detach(device[i], &why), 0);
		assert_false(diskrep_nbd_in_use(device[i]));
		assert_int_equal(diskrep_nbd_detach(device[i], &why), 0);
	}
	kill(server, SIGTERM);
	waitpid(server, NULL, 0);
	assert_true(diskrep_nbd_attach(socket, "", 512, device[0], sizeof(device[0]), &why) < 0);
	assert_non_null(strstr(why.text, socket));
}

/* Onto the server and back while it is written to; then the server may die unnoticed. */
static void a_lower_device_moves_onto_nbd_and_back(void **state)
{
	char socket[64], device[64];
	struct writer w = {0};
	struct why why;
	pid_t server;

	need_kernel();
	server = serve(socket, sizeof(socket));
	assert_int_equal(diskrep_nbd_attach(socket, "", 512, device, sizeof(device), &why), 0);
	assert_int_equal(diskrep_lower_create(NAME, disk[0], &why), 0);
	assert_int_equal(pthread_create(&w.thread, NULL, write_on, &w), 0);
	for (int i = 0; i < 5; i++) {
		writes_until(&w, 20);
		assert_int_equal(diskrep_lower_switch(NAME, device, &why), 0);
		target_is(device);
		assert_int_equal(diskrep_nbd_detach(device, &why), -EBUSY);
		writes_until(&w, 20);
		assert_int_equal(diskrep_lower_switch(NAME, disk[0], &why), 0);
	}
	assert_int_equal(diskrep_nbd_detach(device, &why), 0);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	writes_until(&w, 20);
	w.stop = true;
	pthread_join(w.thread, NULL);
	assert_int_equal(w.failed, 0);
	assert_int_equal(diskrep_lower_remove(NAME, &why), 0);
}

static bool under_way(const char *device)
{
	char path[64], text[64] = "";
	unsigned int reads = 0, writes = 0;

	snprintf(path, sizeof(path), "/sys/block/%s/inflight", device + strlen("/dev/"));
	diskrep_read_text(path, text, sizeof(text));
	return sscanf(text, "%u %u", &reads, &writes) == 2 && writes > 0;
}

/* A server that dies with a write under way: the lower device would wait for it for ever. */
static void a_dead_server_lets_go(void **state)
{
	char socket[64], device[64];
	struct writer w = {0};
	struct why why;
	pid_t server;

	need_kernel();
	server = serve(socket, sizeof(socket));
	assert_int_equal(diskrep_nbd_attach(socket, "", 512, device, sizeof(device), &why), 0);
	assert_int_equal(diskrep_lower_create(NAME, device, &why), 0);
	assert_int_equal(pthread_create(&w.thread, NULL, write_on, &w), 0);
	writes_until(&w, 20);
	kill(server, SIGSTOP);
	for (int i = 0; i < 3000 && !under_way(device); i++)
		usleep(10000);
	assert_true(under_way(device));
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	assert_int_equal(diskrep_nbd_cut(device, &why), 0);
	pthread_join(w.thread, NULL);
	assert_int_equal(w.failed, EIO);
	assert_int_equal(diskrep_lower_switch(NAME, disk[0], &why), 0);
	target_is(disk[0]);
	assert_int_equal(diskrep_nbd_detach(device, &why), 0);
	assert_false(diskrep_nbd_in_use(device));
	assert_int_equal(diskrep_lower_remove(NAME, &why), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lower_device_is_made_once),
		cmocka_unit_test(udev_comes_late),
		cmocka_unit_test(a_part_of_a_device),
		cmocka_unit_test(it_is_switched_under_a_writer),
		cmocka_unit_test(a_failed_switch_changes_nothing),
		cmocka_unit_test(what_a_crash_left_is_mended),
		cmocka_unit_test(a_switch_that_fails_or_dies_halfway),
		cmocka_unit_test(nbd_comes_and_goes),
		cmocka_unit_test(a_lower_device_moves_onto_nbd_and_back),
		cmocka_unit_test(a_dead_server_lets_go),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
