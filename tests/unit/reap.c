/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process that does not die of SIGKILL holds nobody up. Like one that hangs on a disk, one whose
 * tracer has not looked yet is not to be had by waitpid; it is this program too.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/clock.h"
#include "common/why.h"
#include "failover/child.h"
#include "failover/worker.h"

#define PATIENCE (20 * NSEC_PER_SEC)

static char self[PATH_MAX];
static sd_event *event;
static int told[2]; /* the process says who it is */
static int held[2]; /* its tracer lives as long as this is open */

/* Say our pid once a child of ours traces us, and wait to be killed. */
static int be_hung(void)
{
	int ready[2];
	pid_t pid = getpid();
	char c;

	if (pipe(ready) < 0)
		return 1;
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	if (fork() == 0) {
		setpgid(0, 0); /* not killed with the group */
		close(atoi(getenv("HELD_WRITE")));
		if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		_exit((int)read(atoi(getenv("HELD")), &c, 1));
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		pid = -1;
	if (write(atoi(getenv("TOLD")), &pid, sizeof(pid)) != sizeof(pid))
		return 1;
	for (;;)
		pause();
}

static void put_fd(const char *name, int fd)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", fd);
	setenv(name, number, 1);
}

static int setup(void **state)
{
	assert_int_equal(sd_event_new(&event), 0);
	assert_int_equal(pipe(told), 0);
	assert_int_equal(pipe(held), 0);
	put_fd("TOLD", told[1]);
	put_fd("HELD", held[0]);
	put_fd("HELD_WRITE", held[1]);
	return 0;
}

static int teardown(void **state)
{
	sd_event_unref(event);
	close(told[0]);
	close(told[1]);
	close(held[0]);
	return 0;
}

static pid_t hung(void)
{
	pid_t pid = 0;

	assert_int_equal(read(told[0], &pid, sizeof(pid)), sizeof(pid));
	assert_true(pid > 0);
	return pid;
}

/* It is there, dead or not; then its tracer goes, and the loop reaps it. */
static void assert_reaped_later(pid_t pid)
{
	const uint64_t last = clock_now_ns() + PATIENCE;

	assert_int_equal(kill(pid, 0), 0);
	close(held[1]);
	while (kill(pid, 0) == 0 && clock_now_ns() < last)
		sd_event_run(event, 20000);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void no_report(void *data, const Romulus__Report *r)
{
	fail();
}

static void no_end(void *data, const char *how)
{
	fail();
}

static void a_worker_that_hangs_holds_nobody_up(void **state)
{
	static const struct failover_worker_ops ops = {.report = no_report, .ended = no_end};
	struct failover_worker *w;
	struct why why;
	pid_t pid;

	assert_int_equal(failover_worker_start(event, (char *const[]){self, "--hang", NULL}, &ops,
				 NULL, &w, &why),
		0);
	pid = hung();
	alarm(60); /* else it is waited for, for ever */
	failover_worker_free(w);
	alarm(0);
	assert_reaped_later(pid);
}

static void timed_out(void *data, int status, const char *output)
{
	*(int *)data = status;
}

static void a_command_that_hangs_holds_nobody_up(void **state)
{
	const uint64_t last = clock_now_ns() + PATIENCE;
	struct failover_child *c;
	struct why why;
	int status = 0;
	pid_t pid;

	assert_int_equal(failover_child_run(event, (char *const[]){self, "--hang", NULL}, NULL,
				 1000, timed_out, &status, &c, &why),
		0);
	pid = hung();
	alarm(60);
	while (!status && clock_now_ns() < last)
		sd_event_run(event, 20000);
	alarm(0);
	assert_int_equal(status, FAILOVER_CHILD_TIMED_OUT);
	assert_reaped_later(pid);
}

/* What the next one finds is that the one before is no more. */
static void one_that_dies_is_gone_at_once(void **state)
{
	const struct failover_worker_ops ops = {.report = no_report, .ended = no_end};
	struct failover_worker *w;
	struct why why;

	assert_int_equal(failover_worker_start(event, (char *const[]){"/bin/sleep", "600", NULL},
				 &ops, NULL, &w, &why),
		0);
	failover_worker_free(w);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	close(held[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_worker_that_hangs_holds_nobody_up),
		TEST(a_command_that_hangs_holds_nobody_up),
		TEST(one_that_dies_is_gone_at_once),
	};
	sigset_t mask;

	if (argc > 1 && strcmp(argv[1], "--hang") == 0)
		return be_hung();
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD); /* as sd_event_add_child wants it */
	sigprocmask(SIG_BLOCK, &mask, NULL);
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) <= 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
