/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The undo store as a process: what it outlives, what it may do, how it ends, who may talk to it.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/why.h"
#include "diskrep/control.h"
#include "tests/unit/nbd_client.h"
#include "tests/unit/store_rig.h"

static void a_store_outlives_its_worker(void **state)
{
	const struct diskrep_store_spec spec = rig_spec(1 << 20);
	struct diskrep_store *again;
	struct why why = {""};

	rig_start(1 << 20);
	rig_boundary(1);
	rig_change();
	store = diskrep_store_close(store);
	rig_change();
	rig_write_marker(UUID, NONCE, GENERATION, 2); /* nobody listens */
	memcpy(rig_at[2], rig_now, sizeof(rig_now));
	rig_change();
	store = diskrep_store_find(&spec);
	assert_non_null(store);
	again = diskrep_store_start(&spec, &why);
	assert_null(again);
	assert_non_null(strstr(why.text, "already"));
	/* That attempt has taken the connection over: this worker is told. */
	assert_int_equal(rig_next_news().kind, DISKREP_STORE_GONE);
	assert_int_equal(diskrep_store_commit(store, 1, NULL), -EPIPE);
	diskrep_store_close(store);
	store = diskrep_store_find(&spec);
	rig_compare_rollback(1);
	rig_compare_rollback(2);
	assert_int_equal(diskrep_store_commit(store, 2, NULL), 0);
	rig_boundary(3);
	rig_stop();
	assert_null(diskrep_store_find(&spec));
}

static int store_pid(void)
{
	CLEANUP_FCLOSE FILE *f = NULL;
	char path[96];
	int pid = 0;

	snprintf(path, sizeof(path), "%s/store-db.pid", rig_dir);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &pid), 1);
	return pid;
}

/* Every thread of it, those of the connections too. */
static void every_thread_of_it_is_confined(void **state)
{
	struct dirent *e;
	char path[64];
	size_t threads = 0;
	DIR *tasks;

	rig_start(1 << 20);
	snprintf(path, sizeof(path), "/proc/%d/task", store_pid());
	tasks = opendir(path);
	assert_non_null(tasks);
	while ((e = readdir(tasks))) {
		CLEANUP_FCLOSE FILE *f = NULL;
		char file[340], line[256];
		unsigned long long rights = 0, mode = ~0ull;

		if (e->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s/status", path, e->d_name);
		f = fopen(file, "re");
		while (f && fgets(line, sizeof(line), f)) {
			if (strncmp(line, "CapEff:", 7) == 0 || strncmp(line, "CapBnd:", 7) == 0)
				rights |= strtoull(line + 7, NULL, 16);
			if (strncmp(line, "Seccomp:", 8) == 0)
				mode = strtoull(line + 8, NULL, 10);
		}
		if (mode == ~0ull)
			continue; /* one whose connection has just ended */
		assert_int_equal(rights & ~(1ull << 14), 0); /* all but CAP_IPC_LOCK */
		assert_int_equal(mode, 2);
		threads++;
	}
	closedir(tasks);
	assert_true(threads > VOLUMES);
	rig_stop();
}

static void a_killed_store_is_gone(void **state)
{
	struct diskrep_store_news news;
	struct pollfd p;
	int pid;

	rig_start(1 << 20);
	pid = store_pid();
	assert_true(getsid(pid) == pid);
	kill(pid, SIGKILL);
	assert_int_equal(rig_next_news().kind, DISKREP_STORE_GONE);
	assert_int_equal(diskrep_store_news(store, &news), 0); /* said once */
	p = (struct pollfd){.fd = diskrep_store_fd(store), .events = POLLIN};
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(diskrep_store_commit(store, 1, NULL), -EPIPE);
	rig_stop();
}

static void it_stops_while_disks_are_connected(void **state)
{
	const uint64_t before = clock_now_ns();

	rig_start(1 << 20);
	store = diskrep_store_stop(store);
	assert_true(clock_now_ns() - before < 4 * NSEC_PER_SEC); /* of its own accord, not killed */
	for (size_t v = 0; v <= VOLUMES; v++)
		nbd_disconnect(rig_export[v]);
}

static void a_store_that_cannot_start_says_so(void **state)
{
	struct diskrep_store_spec spec = rig_spec(1 << 20);
	CLEANUP_FREE char *preload = getenv("LD_PRELOAD") ? strdup(getenv("LD_PRELOAD")) : NULL;
	struct why why = {""};

	rig_put_file(rig_paths[0], rig_now[0], rig_sizes[0]); /* rig_paths[1] is missing */
	/* Under AddressSanitizer nbdkit hangs in exit() (libp11-kit); so there the plugin is
	 * missing. */
	unsetenv("LD_PRELOAD");
	assert_null(diskrep_store_start(&spec, &why));
	assert_non_null(strstr(why.text, "did not start"));
	assert_null(diskrep_store_find(&spec));
	if (preload)
		setenv("LD_PRELOAD", preload, 1);
	spec.run_dir = "/tmp/a-run-directory-whose-name-is-so-long-that-no-socket-can-be-made-in-"
		       "it-because-an-address-has-108-bytes";
	assert_null(diskrep_store_start(&spec, &why));
	assert_non_null(strstr(why.text, "too long"));
	assert_null(diskrep_store_stop(NULL));
	assert_null(diskrep_store_close(NULL));
}

/* Whatever comes, each message is answered, and the store still knows what it knew. */
static void garbage_on_the_control_socket_is_refused(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	static char message[DISKREP_CONTROL_MAX + 2000];
	const struct diskrep_store_spec spec = rig_spec(1 << 20);
	struct diskrep_control_status status;
	int fd;

	srand(17);
	rig_start(1 << 20);
	rig_boundary(1);
	store = diskrep_store_close(store);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/store-db.ctl", rig_dir);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	for (int round = 0; round < 3000; round++) {
		const size_t n = rig_random(rig_random(10) ? 64 : sizeof(message));
		char answer[64];

		for (size_t i = 0; i < n; i++)
			message[i] = (char)rand();
		if (n > 10 && rig_random(2))
			memcpy(message, rig_random(2) ? "commit " : "dump 9 ",
				7); /* no such boundary */
		assert_int_equal(send(fd, message, n, MSG_NOSIGNAL), n);
		assert_true(recv(fd, answer, sizeof(answer), 0) > 6);
		assert_memory_equal(answer, "failed", 6);
	}
	close(fd);
	store = diskrep_store_find(&spec);
	assert_int_equal(diskrep_store_status(store, &status, NULL), 0);
	assert_int_equal(status.undo.state, DISKREP_UNDO_SAVING);
	assert_int_equal(status.undo.newest, 1);
	rig_stop();
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(a_store_outlives_its_worker),
		STORE_TEST(every_thread_of_it_is_confined),
		STORE_TEST(a_killed_store_is_gone),
		STORE_TEST(it_stops_while_disks_are_connected),
		STORE_TEST(a_store_that_cannot_start_says_so),
		STORE_TEST(garbage_on_the_control_socket_is_refused),
	};

	return RIG_RUN(tests);
}
