/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking at the instance of a drill, or at the guest: the check, in process and network namespaces
 * of its own. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/exit_codes.h"
#include "common/text.h"
#include "netbuf/bubble.h"
#include "replicator/drill.h"

#define LOOK_MS 200
#define RUNS_NS (5 * NSEC_PER_SEC) /* without a check: it has not crashed by then */
#define GRACE_NS (5 * NSEC_PER_SEC)
#define FAILURE_MARK "\1" /* before the line that says why; no command is believed to print it */

/* 0 while the instance runs; the guest itself stands still for each of its checkpoints. */
static int still_runs(struct drill *d)
{
	struct hv_sight s;
	int r = d->ops->look(d->hv, d->uuid, d->domid, &s, &d->why);

	if (r || (hv_sight_runs(&s) && (d->worker.look || !s.shut_down)))
		return r;
	return why_set(&d->why, -ESHUTDOWN, "the %s has %s", d->worker.look ? "guest" : "instance",
		s.exists && s.shut_down && s.end == HV_END_CRASH ? "crashed" : "ended");
}

/* First of its process namespace: when it ends, whatever it has started ends. */
static void run_inside(struct drill *d)
{
	struct why why;
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	r = d->worker.checks.address
		    ? netbuf_bubble_address(d->worker.checks.address, d->worker.look, &why)
		    : 0;
	if (!r)
		r = drill_check(d, &why);
	if (r) {
		printf(FAILURE_MARK "%s\n", why.text);
		fflush(stdout);
	}
	_exit(r ? EXIT_CODE_FAILED : EXIT_CODE_OK);
}

static void check_child(struct drill *d, int go, int out)
{
	int status = 0;
	char ready;
	pid_t pid;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGTERM, SIG_DFL);
	dup2(out, STDOUT_FILENO);
	if (unshare(CLONE_NEWNET | CLONE_NEWPID) < 0 || write(out, "\n", 1) != 1 ||
		read(go, &ready, 1) != 1)
		_exit(EXIT_CODE_FAILED);
	pid = fork();
	if (pid == 0)
		run_inside(d);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		_exit(EXIT_CODE_FAILED);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_CODE_FAILED);
}

/* What the check says last is kept, line by line, and why it has failed. */
static bool take_output(struct drill *d, int fd)
{
	char piece[WHY_MAX + 1], *line, *next;
	ssize_t n = read(fd, piece, sizeof(piece) - 1);

	if (n <= 0)
		return false;
	piece[n] = '\0';
	for (line = strtok_r(piece, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
		if (line[0] == FAILURE_MARK[0])
			why_set(&d->why, -EIO, "the check has failed: %.400s", line + 1);
		else
			snprintf(d->said, sizeof(d->said), "%s", line);
	}
	text_clean(d->said);
	return true;
}

static int watch_check(struct drill *d, pid_t pid, int out, uint64_t until)
{
	uint64_t look_ns = 0;
	int status = 0, r = 0;

	why_set(&d->why, -EIO, "the check has failed and does not say why");
	while (!r && waitpid(pid, &status, WNOHANG) == 0) {
		r = drill_await(d, out, clock_now_ns() + LOOK_MS * NSEC_PER_MSEC);
		if (!r && !take_output(d, out))
			poll(NULL, 0, 10); /* it is ending */
		if (r == -ETIMEDOUT)
			r = 0;
		if (!r && clock_now_ns() > until)
			r = why_set(&d->why, -ETIMEDOUT, "the check did not end in time");
		if (!r && clock_now_ns() >= look_ns) {
			r = still_runs(d);
			look_ns = clock_now_ns() + LOOK_MS * NSEC_PER_MSEC;
		}
	}
	if (r) {
		kill(-pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return r;
	}
	while (take_output(d, out))
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

/* A process of its own in a network namespace that has nothing but that bridge in it. */
static int run_check(struct drill *d)
{
	const uint64_t until = clock_now_ns() + d->worker.checks.limit_s * NSEC_PER_SEC + GRACE_NS;
	int out[2], go[2], r;
	char ready;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0)
		return why_set(&d->why, -errno, "no pipe for the check: %s", strerror(errno));
	pid = fork();
	if (pid == 0)
		check_child(d, go[0], out[1]);
	close(out[1]);
	close(go[0]);
	if (pid < 0 || read(out[0], &ready, 1) != 1)
		r = why_set(&d->why, -EIO, "the check cannot have a network of its own");
	else
		r = netbuf_bubble_join(d->worker.uuid, d->bridge, pid, &d->why);
	if (!r && write(go[1], "", 1) != 1)
		r = why_set(&d->why, -EIO, "the check has died");
	close(go[1]);
	if (!r)
		r = watch_check(d, pid, out[0], until);
	else if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	close(out[0]);
	return r;
}

static int watch(struct drill *d)
{
	const uint64_t until = clock_now_ns() + RUNS_NS;
	int r = 0;

	while (!r && clock_now_ns() < until) {
		r = drill_await(d, -1, clock_now_ns() + LOOK_MS * NSEC_PER_MSEC);
		if (r == -ETIMEDOUT)
			r = still_runs(d);
	}
	return r;
}

int drill_look(struct drill *d)
{
	int r = d->worker.checks.command || d->worker.checks.tcp || d->worker.checks.http
			? run_check(d)
			: watch(d);

	/* What answers may have lost its disks, or answered for the last time. */
	if (!r)
		r = still_runs(d);
	return r ? r : diskrep_drill_sound(&d->disks, &d->why);
}
