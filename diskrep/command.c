/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"

/* A process that hangs in the kernel does not end by SIGKILL: it is then left to init. */
#define KILL_GRACE_MS 2000
#define MODPROBE_MS 30000

struct capture {
	int fd;
	char *text;
	size_t length, capacity; /* without the final zero byte */
	bool truncated;
};

/* Read what is there; what does not fit is read and forgotten, so that the child never blocks. */
static void capture_read(struct capture *c)
{
	char spill[4096];
	ssize_t n;

	for (;;) {
		bool full = c->length == c->capacity;

		if (full)
			n = read(c->fd, spill, sizeof(spill));
		else
			n = read(c->fd, c->text + c->length, c->capacity - c->length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			close(c->fd);
			c->fd = -1;
			return;
		}
		if (full)
			c->truncated = true;
		else
			c->length += (size_t)n;
	}
}

static int spawn(const char *const argv[], int out, int err, pid_t *ret)
{
	char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setflags(
		&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_adddup2(&actions, err, 2);
	r = posix_spawn(ret, argv[0], &actions, &attr, (char *const *)argv, environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return -r;
}

static int remaining_ms(uint64_t deadline_ns)
{
	uint64_t now = clock_now_ns();

	return now >= deadline_ns ? 0 : (int)((deadline_ns - now) / NSEC_PER_MSEC) + 1;
}

/* True when the child has ended by @deadline_ns; its output is read meanwhile. */
static bool follow(int pidfd, struct capture captures[2], uint64_t deadline_ns)
{
	for (;;) {
		struct pollfd fds[3] = {
			{.fd = captures[0].fd, .events = POLLIN},
			{.fd = captures[1].fd, .events = POLLIN},
			{.fd = pidfd, .events = POLLIN},
		};
		int n = poll(fds, ARRAY_SIZE(fds), remaining_ms(deadline_ns));

		if (n < 0 && errno != EINTR)
			return false;
		for (size_t i = 0; i < 2; i++)
			if (n > 0 && fds[i].revents)
				capture_read(&captures[i]);
		/* A grandchild may hold the pipes open: the child's own end is what counts. */
		if (n > 0 && fds[2].revents) {
			for (size_t i = 0; i < 2; i++)
				if (captures[i].fd >= 0)
					capture_read(&captures[i]);
			return true;
		}
		if (remaining_ms(deadline_ns) == 0)
			return false;
	}
}

static int run(const char *const argv[], int timeout_ms, int ends[2], struct capture captures[2],
	int *ret_status, struct why *why)
{
	CLEANUP_CLOSE int pidfd = -1;
	siginfo_t info = {0};
	pid_t pid;
	bool ended;
	int r = spawn(argv, ends[0], ends[1], &pid);

	for (size_t i = 0; i < 2; i++) {
		close(ends[i]);
		ends[i] = -1;
	}
	if (r)
		return why_set(why, r, "cannot run %s: %s%s", argv[0], strerror(-r),
			r == -ENOENT ? ", is its package installed?" : "");
	pidfd = pidfd_open(pid, 0);
	ended = pidfd >= 0 &&
		follow(pidfd, captures, clock_now_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC);
	if (!ended) {
		kill(-pid, SIGKILL);
		if (pidfd >= 0 &&
			!follow(pidfd, captures, clock_now_ns() + KILL_GRACE_MS * NSEC_PER_MSEC))
			return why_set(why, -ETIMEDOUT,
				"%s %s did not end within %d ms and cannot be killed: it hangs in "
				"the kernel, look at dmesg",
				argv[0], argv[1] ? argv[1] : "", timeout_ms);
	}
	if (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0)
		return why_set(
			why, -errno, "cannot learn how %s ended: %s", argv[0], strerror(errno));
	if (!ended)
		return why_set(why, -ETIMEDOUT, "%s %s did not end within %d ms and was killed",
			argv[0], argv[1] ? argv[1] : "", timeout_ms);
	*ret_status = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
	return 0;
}

int diskrep_command_run(
	const char *const argv[], int timeout_ms, struct diskrep_command *ret, struct why *why)
{
	struct capture captures[2] = {{.fd = -1, .capacity = DISKREP_COMMAND_OUTPUT_MAX},
		{.fd = -1, .text = ret->errors, .capacity = sizeof(ret->errors) - 1}};
	CLEANUP_FREE char *output = malloc(DISKREP_COMMAND_OUTPUT_MAX + 1);
	int ends[2] = {-1, -1}, r = 0;

	*ret = (struct diskrep_command){0};
	captures[0].text = output;
	for (size_t i = 0; i < 2 && r == 0; i++) {
		int pair[2];

		if (pipe2(pair, O_CLOEXEC) < 0 || fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0) {
			r = -errno;
			break;
		}
		captures[i].fd = pair[0];
		ends[i] = pair[1];
	}
	if (!output)
		r = -ENOMEM;
	if (r)
		why_set(why, r, "cannot prepare to run %s: %s", argv[0], strerror(-r));
	else
		r = run(argv, timeout_ms, ends, captures, &ret->status, why);
	for (size_t i = 0; i < 2; i++) {
		if (captures[i].fd >= 0)
			close(captures[i].fd);
		if (ends[i] >= 0)
			close(ends[i]);
	}
	if (r)
		return r;
	ret->errors[captures[1].length] = '\0';
	output[captures[0].length] = '\0';
	ret->truncated = captures[0].truncated;
	if (captures[0].length)
		ret->output = TAKE_PTR(output);
	return 0;
}

void diskrep_command_complaint(const struct diskrep_command *c, char *text, size_t size)
{
	const char *from = c->errors[0] ? c->errors : c->output ? c->output : "";
	size_t n = 0;
	bool gap = false;

	for (; *from && n + 2 < size; from++) {
		if (*from == '\n' || *from == '\r' || *from == '\t' || *from == ' ') {
			gap = n > 0;
			continue;
		}
		if (gap)
			text[n++] = ' ';
		gap = false;
		text[n++] = (unsigned char)*from < 0x20 ? '?' : *from;
	}
	text[n] = '\0';
}

int diskrep_command(
	const char *const argv[], int timeout_ms, struct why *why, const char *what, ...)
{
	struct diskrep_command c;
	struct why inner = {""};
	char doing[160], said[256];
	va_list ap;
	int r;

	va_start(ap, what);
	vsnprintf(doing, sizeof(doing), what, ap);
	va_end(ap);
	r = diskrep_command_run(argv, timeout_ms, &c, &inner);
	if (r)
		return why_set(why, r, "cannot %s: %.300s", doing, inner.text);
	if (c.status != 0) {
		diskrep_command_complaint(&c, said, sizeof(said));
		r = why_set(why, -EIO, "cannot %s: %s %s %s %d%s%s", doing, argv[0],
			argv[1] ? argv[1] : "",
			c.status < 0 ? "was killed by signal" : "exited with", abs(c.status),
			said[0] ? ": " : "", said);
	}
	diskrep_command_clear(&c);
	return r;
}

int diskrep_load_module(const char *name, struct why *why)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/sys/module/%s", name);
	if (stat(path, &st) == 0)
		return 0;
	return diskrep_command((const char *const[]){"/sbin/modprobe", name, NULL}, MODPROBE_MS,
		why, "load the kernel module %s", name);
}

void diskrep_command_clear(struct diskrep_command *c)
{
	free(c->output);
	*c = (struct diskrep_command){0};
}
