/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/store.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/why.h"
#include "diskrep/control.h"
#include "diskrep/store_process.h"

#define START_MS 60000u /* taking the pool's memory is part of it */
#define START_POLL_MS 5
#define ANSWER_MS 10000u
#define DUMP_MS 300000u /* undo_limit bytes to a slow disk */
#define END_MS 5000u
#define NEWS_MAX 512 /* while waiting for one answer; more is a store gone mad */

struct diskrep_store {
	struct store_paths paths;
	char name[64];
	pid_t pid;
	int control, pidfd;
	int events; /* epoll: control, and `queued` while there is something in the queue */
	int queued; /* eventfd */
	bool gone, gone_said;
	struct diskrep_store_news queue[NEWS_MAX];
	size_t queue_first, queue_n;
};

/* ---- news ------------------------------------------------------------------------------------ */

/* Is @line news (not an answer)? Then *ret is what it says. */
static bool parse_news(const char *line, struct diskrep_store_news *ret)
{
	struct diskrep_store_news news = {.kind = DISKREP_STORE_ERROR};

	if (!strncmp(line, "boundary ", 9) && diskrep_control_number(line + 9, &news.epoch) == 0)
		news.kind = DISKREP_STORE_BOUNDARY;
	else if (!strcmp(line, "overflow"))
		news.kind = DISKREP_STORE_OVERFLOW;
	else if (!strncmp(line, "error ", 6))
		snprintf(news.text, sizeof(news.text), "%s", line + 6);
	else
		return false;
	*ret = news;
	return true;
}

/* From now on nothing is heard; a descriptor at its end would make `events` readable for ever. */
static void set_gone(struct diskrep_store *st)
{
	const uint64_t one = 1;

	if (st->gone)
		return;
	st->gone = true;
	epoll_ctl(st->events, EPOLL_CTL_DEL, st->control, NULL);
	if (write(st->queued, &one, sizeof(one)) < 0)
		return; /* an eventfd cannot be full after this one write */
}

static void queue_news(struct diskrep_store *st, const struct diskrep_store_news *news)
{
	const uint64_t one = 1;

	if (st->queue_n == NEWS_MAX) {
		set_gone(st);
		return;
	}
	st->queue[(st->queue_first + st->queue_n++) % NEWS_MAX] = *news;
	if (write(st->queued, &one, sizeof(one)) < 0)
		set_gone(st);
}

static void empty_queued(struct diskrep_store *st)
{
	uint64_t n;

	if (read(st->queued, &n, sizeof(n)) < 0)
		return; /* was empty: fine */
}

/* One message without blocking, as a string: 1, 0 for none, or -EPIPE when the store is gone. */
static int receive(struct diskrep_store *st, char *line, size_t size)
{
	ssize_t n;

	if (st->gone)
		return -EPIPE;
	n = recv(st->control, line, size - 1, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		set_gone(st);
		return -EPIPE;
	}
	line[n] = '\0';
	return 1;
}

int diskrep_store_news(struct diskrep_store *st, struct diskrep_store_news *ret)
{
	char line[WHY_MAX];
	int r;

	if (st->queue_n) {
		*ret = st->queue[st->queue_first];
		st->queue_first = (st->queue_first + 1) % NEWS_MAX;
		if (--st->queue_n == 0 && !st->gone)
			empty_queued(st);
		return 1;
	}
	/* An answer that nobody waits for any more is dropped here. */
	while ((r = receive(st, line, sizeof(line))) == 1)
		if (parse_news(line, ret))
			return 1;
	if (r == 0)
		return 0;
	empty_queued(st);
	if (st->gone_said)
		return 0;
	st->gone_said = true;
	*ret = (struct diskrep_store_news){.kind = DISKREP_STORE_GONE};
	return 1;
}

/* ---- requests -------------------------------------------------------------------------------- */

static int gone(const struct diskrep_store *st, struct why *why)
{
	return why_set(why, -EPIPE,
		"the undo store of '%s' is gone, so its disks do not follow the checkpoints",
		st->name);
}

/* Wait for the answer, keeping the news that comes before it. */
static int wait_answer(
	struct diskrep_store *st, char *line, size_t size, unsigned timeout_ms, struct why *why)
{
	const uint64_t deadline = clock_now_ns() + timeout_ms * NSEC_PER_MSEC;
	struct diskrep_store_news news;

	for (;;) {
		struct pollfd p = {.fd = st->control, .events = POLLIN};
		const uint64_t now = clock_now_ns();
		int r = receive(st, line, size);

		if (r < 0)
			return gone(st, why);
		if (r && !parse_news(line, &news))
			return 0;
		if (r)
			queue_news(st, &news);
		else if (now >= deadline)
			break;
		else
			poll(&p, 1, (int)((deadline - now) / NSEC_PER_MSEC) + 1);
	}
	/* A late answer would be taken for that of the next request. */
	set_gone(st);
	return why_set(why, -ETIMEDOUT,
		"the undo store of '%s' did not answer within %u ms, so its disks do not follow "
		"the checkpoints",
		st->name, timeout_ms);
}

/* Ask, and return what follows "ok" in @answer (may be empty). */
static int ask(struct diskrep_store *st, const char *request, unsigned timeout_ms, char *answer,
	size_t size, struct why *why)
{
	char line[WHY_MAX + 16];
	int r;

	if (st->gone || send(st->control, request, strlen(request), MSG_NOSIGNAL) < 0) {
		set_gone(st);
		return gone(st, why);
	}
	r = wait_answer(st, line, sizeof(line), timeout_ms, why);
	if (r)
		return r;
	if (strncmp(line, "ok", 2) != 0)
		return why_set(why, -EIO, "the undo store of '%s' refused: %s", st->name,
			strncmp(line, "failed ", 7) != 0 ? line : line + 7);
	snprintf(answer, size, "%.*s", (int)size - 1, line[2] ? line + 3 : "");
	return 0;
}

int diskrep_store_expect(struct diskrep_store *st, const char *uuid, uint64_t nonce,
	uint64_t generation, struct why *why)
{
	char request[128], answer[8];
	int r;

	snprintf(request, sizeof(request), "expect %s %llu %llu", uuid, (unsigned long long)nonce,
		(unsigned long long)generation);
	r = ask(st, request, ANSWER_MS, answer, sizeof(answer), why);
	if (!r) {
		/* All that came before the answer is of the session before. */
		st->queue_n = 0;
		empty_queued(st);
	}
	return r;
}

int diskrep_store_commit(struct diskrep_store *st, uint64_t epoch, struct why *why)
{
	char request[64], answer[8];

	snprintf(request, sizeof(request), "commit %llu", (unsigned long long)epoch);
	return ask(st, request, ANSWER_MS, answer, sizeof(answer), why);
}

int diskrep_store_dump(struct diskrep_store *st, uint64_t epoch, const char *path, struct why *why)
{
	char request[DISKREP_CONTROL_MAX], answer[32];

	if (snprintf(request, sizeof(request), "dump %llu %s", (unsigned long long)epoch, path) >=
		(int)sizeof(request))
		return why_set(why, -ENAMETOOLONG, "the path %s is too long", path);
	return ask(st, request, DUMP_MS, answer, sizeof(answer), why);
}

int diskrep_store_status(struct diskrep_store *st, struct diskrep_undo_info *ret, struct why *why)
{
	char answer[160];
	int r = ask(st, "status", ANSWER_MS, answer, sizeof(answer), why);

	if (!r && diskrep_control_parse_info(answer, ret) < 0)
		r = why_set(why, -EPROTO, "the undo store of '%s' does not speak our language: %s",
			st->name, answer);
	return r;
}

const char *diskrep_store_nbd_socket(const struct diskrep_store *st)
{
	return st->paths.nbd;
}

int diskrep_store_fd(const struct diskrep_store *st)
{
	return st->events;
}

/* ---- beginning and end ----------------------------------------------------------------------- */

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

struct diskrep_store *diskrep_store_stop(struct diskrep_store *st)
{
	char answer[8];

	if (!st)
		return NULL;
	/* When it does not even answer there is no point in waiting for it to end by itself. */
	if (ask(st, "stop", END_MS, answer, sizeof(answer), NULL) < 0 || !has_ended(st, END_MS)) {
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
	char answer[160];
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
	/* Answered when it serves: after the pool has been taken, which ANSWER_MS may not cover. */
	r = ask(st, "status", START_MS, answer, sizeof(answer), why);
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
