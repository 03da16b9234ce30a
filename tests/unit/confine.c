/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a process can and cannot do once it is shut in: each time in a child, for there is no way
 * back. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "diskrep/confine.h"

#define IPC_LOCK (UINT64_C(1) << 14) /* capabilities(7) */

static uint64_t status_of(const char *key, int base)
{
	CLEANUP_FCLOSE FILE *f = fopen("/proc/thread-self/status", "re");
	const size_t n = strlen(key);
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, key, n) == 0 && line[n] == ':')
			return strtoull(line + n + 1, NULL, base);
	return UINT64_MAX;
}

/* 0: all as it must be; else which of them was not, to be seen in the failed test. */
static int in_child(int (*check)(void), bool confined)
{
	const pid_t pid = fork();
	struct why why;
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (confined && diskrep_confine(&why) < 0) {
			fprintf(stderr, "%s\n", why.text);
			_exit(99);
		}
		_exit(check());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool refused(long result)
{
	return result < 0 && errno == EPERM;
}

static int makes_no_process(void)
{
	char *const argv[] = {"/bin/true", NULL};

	if (!refused(execv(argv[0], argv)))
		return 1;
	if (!refused(fork()))
		return 2;
	return refused(syscall(SYS_vfork)) ? 0 : 3;
}

static int sees_no_network(void)
{
	if (!refused(socket(AF_INET, SOCK_STREAM, 0)))
		return 1;
	return refused(socket(AF_UNIX, SOCK_STREAM, 0)) ? 0 : 2;
}

static int administers_nothing(void)
{
	if (!refused(ptrace(PTRACE_TRACEME, 0, NULL, NULL)))
		return 1;
	if (!refused(syscall(SYS_keyctl, 0, 0, 0, 0, 0)))
		return 2;
	if (!refused(syscall(SYS_bpf, 0, NULL, 0)))
		return 3;
	if (!refused(syscall(SYS_mount, "none", "/nowhere", "tmpfs", 0, NULL)))
		return 4;
	if (!refused(syscall(SYS_finit_module, -1, "", 0)))
		return 5;
	return refused(syscall(SYS_userfaultfd, 0)) ? 0 : 6;
}

static uint64_t rights; /* of a later thread */

static void *look(void *data)
{
	rights = status_of("CapPrm", 16) | status_of("CapEff", 16) | status_of("CapBnd", 16);
	return (void *)(uintptr_t)status_of("Seccomp", 10);
}

static int later_threads_too(void)
{
	pthread_t thread;
	void *mode;

	if (pthread_create(&thread, NULL, look, NULL) != 0)
		return 1;
	pthread_join(thread, &mode);
	if ((uintptr_t)mode != 2) /* a filter: proc(5) */
		return 2;
	if (rights & ~IPC_LOCK)
		return 3;
	return status_of("NoNewPrivs", 10) == 1 ? 0 : 4;
}

static int listening = -1, disk = -1;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

/* What the store does all day. */
static int works(void)
{
	char byte = 'x', name[] = "/tmp/romulus-confine-XXXXXX";
	void *p;
	int fd;

	fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0 || read(fd, &byte, 1) != 1 || byte != 'y')
		return 1;
	if (pwrite(disk, &byte, 1, 4096) != 1 || fdatasync(disk) < 0 ||
		pread(disk, &byte, 1, 4096) != 1 || byte != 'y')
		return 2;
	if (fallocate(disk, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) < 0)
		return 3;
	fd = mkstemp(name);
	if (fd < 0 || fsync(fd) < 0 || unlink(name) < 0)
		return 4;
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p != MAP_FAILED && mlock(p, 4096) == 0 ? 0 : 5;
}

static void a_confined_process_starts_nothing(void **state)
{
	assert_int_equal(in_child(makes_no_process, true), 0);
}

static void a_confined_process_opens_no_socket(void **state)
{
	assert_int_equal(in_child(sees_no_network, true), 0);
	assert_int_equal(in_child(sees_no_network, false), 1);
}

static void a_confined_process_administers_nothing(void **state)
{
	assert_int_equal(in_child(administers_nothing, true), 0);
	assert_int_equal(in_child(administers_nothing, false), 1);
}

static void a_later_thread_is_confined_as_well(void **state)
{
	assert_int_equal(in_child(later_threads_too, true), 0);
	assert_int_equal(in_child(later_threads_too, false), 2);
}

static void what_a_store_does_goes_on(void **state)
{
	CLEANUP_CLOSE int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* Abstract, named by the kernel. */
	socklen_t length = sizeof(sa_family_t);

	listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listening, (const struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(listening, 1), 0);
	length = sizeof(address);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &length), 0);
	assert_int_equal(connect(client, (const struct sockaddr *)&address, length), 0);
	assert_int_equal(write(client, "y", 1), 1);
	disk = memfd_create("disk", MFD_CLOEXEC);
	assert_int_equal(ftruncate(disk, 65536), 0);
	assert_int_equal(in_child(works, true), 0);
	close(listening);
	close(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_confined_process_starts_nothing),
		cmocka_unit_test(a_confined_process_opens_no_socket),
		cmocka_unit_test(a_confined_process_administers_nothing),
		cmocka_unit_test(a_later_thread_is_confined_as_well),
		cmocka_unit_test(what_a_store_does_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
