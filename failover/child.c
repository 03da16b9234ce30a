/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/text.h"
#include "common/why.h"

#define REAP_MS 20 /* less than a heartbeat */
#define LOOK_US 1000000

struct failover_child {
	sd_event *event;
	sd_event_source *child, *timer;
	pid_t pid;
	int out;
	failover_child_done *done;
	void *data;
};

pid_t failover_spawn(char *const argv[], const int fds[3], int fd3)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	pid_t pid = 0;
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
	/* dup2 onto itself clears close-on-exec: posix_spawn(3). */
	if (fds[0] < 0)
		posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			posix_spawn_file_actions_adddup2(&actions, fds[i], i);
	if (fd3 >= 0)
		posix_spawn_file_actions_adddup2(&actions, fd3, 3);
	r = posix_spawn(&pid, argv[0], &actions, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return r ? -r : pid;
}

static int on_look(sd_event_source *s, uint64_t usec, void *data)
{
	if (waitpid((pid_t)(intptr_t)data, NULL, WNOHANG) != 0) {
		sd_event_source_unref(s);
		return 0;
	}
	sd_event_source_set_time_relative(s, LOOK_US);
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

void failover_reap(sd_event *event, pid_t pid)
{
	CLEANUP_CLOSE int fd = pidfd_open(pid, 0);

	if (fd >= 0)
		poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, REAP_MS);
	if (waitpid(pid, NULL, WNOHANG) != 0)
		return;
	log_warning("process %d was killed and still hangs in the kernel", (int)pid);
	/* No child source: that of a process which is traced as well fires too early, and once. */
	if (sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, LOOK_US, LOOK_US, on_look,
		    (void *)(intptr_t)pid) < 0)
		log_warning("process %d will stay a zombie", (int)pid);
}

/* The last line of what the child wrote, without its line end, as text. */
static void last_line(int fd, char *ret, size_t size)
{
	off_t end = lseek(fd, 0, SEEK_END);
	off_t from = end > (off_t)size - 1 ? end - ((off_t)size - 1) : 0;
	ssize_t n = pread(fd, ret, size - 1, from);
	char *line;

	ret[n > 0 ? n : 0] = '\0';
	for (size_t i = strlen(ret); i > 0 && strchr("\r\n \t", ret[i - 1]); i--)
		ret[i - 1] = '\0';
	line = strrchr(ret, '\n');
	if (line)
		memmove(ret, line + 1, strlen(line));
	text_clean(ret);
}

static void finish(struct failover_child *c, int status)
{
	failover_child_done *done = c->done;
	void *data = c->data;
	char output[256];

	last_line(c->out, output, sizeof(output));
	if (status != FAILOVER_CHILD_TIMED_OUT)
		c->pid = 0;
	failover_child_free(c);
	done(data, status, output);
}

static int on_exit_of(sd_event_source *s, const siginfo_t *si, void *data)
{
	finish(data, si->si_code == CLD_EXITED ? si->si_status : FAILOVER_CHILD_KILLED);
	return 0;
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *data)
{
	finish(data, FAILOVER_CHILD_TIMED_OUT);
	return 0;
}

struct failover_child *failover_child_free(struct failover_child *c)
{
	if (!c)
		return NULL;
	sd_event_source_disable_unref(c->child);
	sd_event_source_disable_unref(c->timer);
	if (c->pid > 0) {
		kill(-c->pid, SIGKILL);
		failover_reap(c->event, c->pid);
	}
	if (c->out >= 0)
		close(c->out);
	free(c);
	return NULL;
}

int failover_child_run(sd_event *event, char *const argv[], const char *input, uint64_t timeout_ms,
	failover_child_done *done, void *data, struct failover_child **ret, struct why *why)
{
	struct failover_child *c = calloc(1, sizeof(*c));
	CLEANUP_CLOSE int in = memfd_create("input", MFD_CLOEXEC);
	size_t length = input ? strlen(input) : 0;
	pid_t pid;
	int r;

	if (!c)
		return -ENOMEM;
	c->event = event;
	c->done = done;
	c->data = data;
	c->out = memfd_create("output", MFD_CLOEXEC);
	if (in < 0 || c->out < 0 || fcntl(c->out, F_SETFL, O_APPEND) < 0 ||
		(length && write(in, input, length) != (ssize_t)length) ||
		lseek(in, 0, SEEK_SET) < 0) {
		r = why_set(why, -errno, "cannot prepare to run %s: %s", argv[0], strerror(errno));
		failover_child_free(c);
		return r;
	}
	pid = failover_spawn(argv, (const int[]){in, c->out, c->out}, -1);
	if (pid < 0) {
		r = why_set(why, (int)pid, "cannot run %s: %s", argv[0], strerror(-(int)pid));
		failover_child_free(c);
		return r;
	}
	c->pid = pid;
	r = sd_event_add_child(event, &c->child, pid, WEXITED, on_exit_of, c);
	if (r >= 0)
		r = sd_event_add_time_relative(
			event, &c->timer, CLOCK_MONOTONIC, timeout_ms * 1000, 10000, on_timeout, c);
	if (r < 0) {
		why_set(why, r, "cannot watch %s: %s", argv[0], strerror(-r));
		failover_child_free(c);
		return r;
	}
	*ret = c;
	return 0;
}
