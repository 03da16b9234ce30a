/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/store.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/why.h"
#include "diskrep/control.h"
#include "diskrep/store_internal.h"

#define START_MS 60000u /* taking the pool's memory is part of it */
#define START_POLL_MS 5
#define END_MS 5000u

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

struct diskrep_store *diskrep_store_close(struct diskrep_store *st)
{
	if (!st)
		return NULL;
	close_fd(st->control);
	close_fd(st->pidfd);
	close_fd(st->events);
	close_fd(st->queued);
	free(st);
	return NULL;
}

static struct diskrep_store *new_store(const struct diskrep_store_spec *spec, struct why *why)
{
	struct diskrep_store *st = calloc(1, sizeof(*st));
	struct epoll_event in = {.events = EPOLLIN};

	if (!st) {
		why_set(why, -ENOMEM, "no memory for the undo store of '%s'", spec->name);
		return NULL;
	}
	snprintf(st->name, sizeof(st->name), "%s", spec->name);
	st->pidfd = -1;
	st->control = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	st->events = epoll_create1(EPOLL_CLOEXEC);
	st->queued = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (st->control < 0 || st->events < 0 || st->queued < 0 ||
		epoll_ctl(st->events, EPOLL_CTL_ADD, st->queued, &in) < 0 ||
		epoll_ctl(st->events, EPOLL_CTL_ADD, st->control, &in) < 0) {
		why_set(why, -errno, "no descriptors for the undo store of '%s': %s", spec->name,
			strerror(errno));
		return diskrep_store_close(st);
	}
	return store_paths_set(&st->paths, spec, why) ? diskrep_store_close(st) : st;
}

/* Connect, and learn who that is from the kernel: a file with a pid in it can be of an earlier one.
 */
static int connect_control(struct diskrep_store *st)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct ucred peer;
	socklen_t length = sizeof(peer);

	strcpy(addr.sun_path, st->paths.control);
	if (connect(st->control, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	if (getsockopt(st->control, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		return -errno;
	st->pid = peer.pid;
	st->pidfd = pidfd_open(peer.pid, 0);
	return st->pidfd < 0 ? -errno : 0;
}

struct diskrep_store *diskrep_store_find(const struct diskrep_store_spec *spec)
{
	struct diskrep_store *st = new_store(spec, NULL);

	if (st && connect_control(st) < 0)
		return diskrep_store_close(st);
	return st;
}

/* Has the process ended within @ms? Reaps it when it is our child. */
static bool has_ended(const struct diskrep_store *st, unsigned ms)
{
	struct pollfd p = {.fd = st->pidfd, .events = POLLIN};

	if (poll(&p, 1, (int)ms) != 1)
		return false;
	waitpid(st->pid, NULL, WNOHANG);
	return true;
}

bool diskrep_store_alive(const struct diskrep_store *st)
{
	return st && !has_ended(st, 0);
}

struct diskrep_store *diskrep_store_stop(struct diskrep_store *st)
{
	char answer[8];

	if (!st)
		return NULL;
	/* When it does not even answer there is no point in waiting for it to end by itself. */
	if (store_ask(st, "stop", END_MS, answer, sizeof(answer), NULL) < 0 ||
		!has_ended(st, END_MS)) {
		pidfd_send_signal(st->pidfd, SIGKILL, NULL, 0);
		has_ended(st, END_MS);
	}
	store_paths_unlink(&st->paths);
	return diskrep_store_close(st);
}

static int did_not_start(const struct diskrep_store *st, struct why *why)
{
	return why_set(why, -EIO,
		"the undo store of '%s' did not start; nbdkit has said why on standard error",
		st->name);
}

/* The child has no socket yet, or one that it does not serve yet: try until it answers. */
static int wait_until_serving(struct diskrep_store *st, pid_t child, struct why *why)
{
	const uint64_t deadline = clock_now_ns() + START_MS * NSEC_PER_MSEC;
	siginfo_t ended = {0};
	char answer[DISKREP_CONTROL_STATUS_MAX];
	int r;

	while (connect_control(st) < 0) {
		/* Left unreaped, so that the pid stays the child's. */
		if (waitid(P_PID, (id_t)child, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
			ended.si_pid == child)
			return did_not_start(st, why);
		if (clock_now_ns() >= deadline)
			return why_set(why, -ETIMEDOUT,
				"the undo store of '%s' did not start within %u s", st->name,
				START_MS / 1000);
		poll(NULL, 0, START_POLL_MS);
	}
	/* Answered when it serves: after the pool has been taken, which takes longer than an answer
	 * may. */
	r = store_ask(st, "status", START_MS, answer, sizeof(answer), why);
	return r == -EPIPE ? did_not_start(st, why) : r;
}

struct diskrep_store *diskrep_store_start(const struct diskrep_store_spec *spec, struct why *why)
{
	struct diskrep_store *st = diskrep_store_find(spec);
	pid_t child;

	if (st) {
		why_set(why, -EBUSY,
			"an undo store of '%s' (process %d) runs already; it must be stopped first",
			st->name, (int)st->pid);
		return diskrep_store_close(st);
	}
	st = new_store(spec, why);
	if (!st)
		return NULL;
	store_paths_unlink(&st->paths);
	child = store_process_spawn(&st->paths, spec, why);
	if (child < 0)
		return diskrep_store_close(st);
	if (wait_until_serving(st, child, why) < 0) {
		if (st->pidfd >= 0)
			return diskrep_store_stop(st);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		store_paths_unlink(&st->paths);
		return diskrep_store_close(st);
	}
	return st;
}
