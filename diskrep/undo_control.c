/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/undo_control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/why.h"
#include "diskrep/control.h"

int diskrep_undo_control_listen(struct diskrep_undo_control *c, const char *path, struct why *why)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (strlen(path) >= sizeof(addr.sun_path))
		return why_set(why, -ENAMETOOLONG, "the socket path %s is too long", path);
	strcpy(addr.sun_path, path);
	unlink(path);
	/* Nobody can connect before listen(), so the mode is right in time. */
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
		chmod(path, 0600) < 0 || listen(fd, 4) < 0)
		return why_set(
			why, -errno, "cannot listen on control=%s: %s", path, strerror(errno));
	c->quit = eventfd(0, EFD_CLOEXEC);
	if (c->quit < 0)
		return why_set(why, -errno, "no event descriptor: %s", strerror(errno));
	pthread_mutex_init(&c->lock, NULL);
	c->worker = -1;
	c->listener = TAKE_FD(fd);
	return 0;
}

void diskrep_undo_control_news(void *control, const char *line)
{
	struct diskrep_undo_control *c = control;
	const size_t n = strlen(line);

	pthread_mutex_lock(&c->lock);
	/*
	 * A worker that reads nothing must not hold up the disks, and one that missed something
	 * must not believe that it did not: cut it off. Only the thread closes, for poll's sake.
	 */
	if (c->worker >= 0 && send(c->worker, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)n)
		shutdown(c->worker, SHUT_RDWR);
	pthread_mutex_unlock(&c->lock);
}

static void replace_worker(struct diskrep_undo_control *c, int fd)
{
	int old;

	pthread_mutex_lock(&c->lock);
	old = c->worker;
	c->worker = fd;
	pthread_mutex_unlock(&c->lock);
	if (old >= 0)
		close(old);
}

static void answer_failed(struct diskrep_undo_control *c, const char *text)
{
	char line[WHY_MAX + 16];

	snprintf(line, sizeof(line), "failed %s", text);
	diskrep_undo_control_news(c, line);
}

static void do_commit(struct diskrep_undo_control *c, uint64_t epoch)
{
	char text[96];
	int r = diskrep_undo_store_commit(c->store, epoch);

	snprintf(text, sizeof(text), "boundary %llu %s", (unsigned long long)epoch,
		r == -ENOSPC ? "was lost in an overflow" : "has not come");
	if (r)
		answer_failed(c, text);
	else
		diskrep_undo_control_news(c, "ok");
}

static void do_dump(struct diskrep_undo_control *c, const struct diskrep_control_request *req)
{
	struct why why;
	uint64_t bytes;
	char line[32];
	int r = diskrep_undo_store_dump(c->store, req->epoch, req->path, &bytes, &why);

	if (r) {
		answer_failed(c, why.text);
		return;
	}
	snprintf(line, sizeof(line), "ok %llu", (unsigned long long)bytes);
	diskrep_undo_control_news(c, line);
}

static void do_snapshot(struct diskrep_undo_control *c, const struct diskrep_control_request *req)
{
	struct why why;

	if (diskrep_undo_store_snapshot(c->store, req->epoch, req->path, &why))
		answer_failed(c, why.text);
	else
		diskrep_undo_control_news(c, "ok");
}

static void do_status(struct diskrep_undo_control *c)
{
	struct diskrep_control_status status;
	char line[DISKREP_CONTROL_STATUS_MAX + 3] = "ok ";

	diskrep_undo_store_info(c->store, &status.undo);
	diskrep_undo_store_order(c->store, &status.order);
	diskrep_control_print_status(&status, line + 3, sizeof(line) - 3);
	diskrep_undo_control_news(c, line);
}

static void handle(struct diskrep_undo_control *c, const char *line, size_t length)
{
	struct diskrep_control_request req;

	if (diskrep_control_parse(line, length, &req) < 0) {
		answer_failed(c, "not a request of this store");
		return;
	}
	switch (req.verb) {
	case DISKREP_CONTROL_EXPECT:
		diskrep_undo_store_expect(c->store, &req.expected);
		break;
	case DISKREP_CONTROL_COMMIT:
		do_commit(c, req.epoch);
		break;
	case DISKREP_CONTROL_DUMP:
		do_dump(c, &req);
		break;
	case DISKREP_CONTROL_SNAPSHOT:
		do_snapshot(c, &req);
		break;
	case DISKREP_CONTROL_RELEASE:
		diskrep_undo_store_release(c->store);
		diskrep_undo_control_news(c, "ok");
		break;
	case DISKREP_CONTROL_STATUS:
		do_status(c);
		break;
	case DISKREP_CONTROL_STOP:
		diskrep_undo_control_news(c, "ok");
		c->on_stop();
		break;
	}
}

static void on_worker(struct diskrep_undo_control *c, bool hung_up)
{
	static char line[DISKREP_CONTROL_MAX + 1]; /* one thread; one byte more shows a long one */
	const ssize_t n = recv(c->worker, line, sizeof(line), MSG_DONTWAIT);

	if (n > 0 || (n == 0 && !hung_up)) /* an empty message is a message */
		handle(c, line, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		replace_worker(c, -1);
}

static void *serve(void *data)
{
	struct diskrep_undo_control *c = data;

	for (;;) {
		struct pollfd fds[] = {
			{.fd = c->quit, .events = POLLIN},
			{.fd = c->listener, .events = POLLIN},
			{.fd = c->worker, .events = POLLIN},
		};

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR) {
			log_error("the undo store cannot wait for its worker: %s", strerror(errno));
			break;
		}
		if (fds[0].revents)
			break;
		if (fds[2].revents)
			on_worker(c, fds[2].revents & (POLLHUP | POLLERR));
		if (fds[1].revents) {
			int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);

			if (fd >= 0)
				replace_worker(c, fd);
		}
	}
	replace_worker(c, -1);
	return NULL;
}

int diskrep_undo_control_start(
	struct diskrep_undo_control *c, struct diskrep_undo_store *store, void (*on_stop)(void))
{
	c->store = store;
	c->on_stop = on_stop;
	return -pthread_create(&c->thread, NULL, serve, c);
}

void diskrep_undo_control_stop(struct diskrep_undo_control *c)
{
	const uint64_t one = 1;

	if (write(c->quit, &one, sizeof(one)) == sizeof(one))
		pthread_join(c->thread, NULL);
	close(c->listener);
	close(c->quit);
}
