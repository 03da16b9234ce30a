/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/why.h"
#include "failover/child.h"

/* Orders are tens of bytes into an empty socket buffer: this is never waited for. */
#define ORDER_NS (100 * NSEC_PER_MSEC)

struct failover_worker {
	pid_t pid;
	struct proto_session *session;
	sd_event *event;
	sd_event_source *io, *child;
	const struct failover_worker_ops *ops;
	void *data;
	bool dead; /* freed by a callback while draining */
	unsigned int busy;
};

/* Hand on every report that is there. The callback may free the worker. */
static void drain(struct failover_worker *w)
{
	struct proto_frame frame;
	struct why why;
	int r;

	w->busy++;
	while (!w->dead && (r = proto_session_receive(w->session, 0, &frame, &why)) != 0) {
		if (r < 0) {
			w->io = sd_event_source_disable_unref(w->io);
			if (r != -ECONNRESET)
				log_warning("worker %d: %s", (int)w->pid, why.text);
			break;
		}
		if (frame.type == PROTO_REPORT)
			w->ops->report(w->data, (const Romulus__Report *)frame.message);
	}
	if (--w->busy == 0 && w->dead) {
		proto_session_free(w->session);
		free(w);
	}
}

static int on_readable(sd_event_source *s, int fd, uint32_t revents, void *data)
{
	drain(data);
	return 0;
}

static int on_exit_of(sd_event_source *s, const siginfo_t *si, void *data)
{
	struct failover_worker *w = data;
	const struct failover_worker_ops *ops = w->ops;
	void *owner = w->data;
	char how[64];

	snprintf(how, sizeof(how),
		si->si_code == CLD_EXITED ? "exited with %d" : "killed by signal %d",
		si->si_status);
	w->pid = 0;
	w->busy++;
	drain(w); /* what it said last */
	w->busy--;
	if (w->dead) {
		proto_session_free(w->session);
		free(w);
		return 0;
	}
	failover_worker_free(w);
	ops->ended(owner, how);
	return 0;
}

int failover_worker_start(sd_event *event, char *const argv[],
	const struct failover_worker_ops *ops, void *data, struct failover_worker **ret,
	struct why *why)
{
	struct failover_worker *w;
	int pair[2], r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return why_set(why, -errno, "cannot start %s: %s", argv[0], strerror(errno));
	pid = failover_spawn(argv, (const int[]){-1, -1, -1}, pair[1]);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return why_set(why, (int)pid, "cannot start %s: %s; nothing was changed", argv[0],
			strerror(-(int)pid));
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		abort();
	w->pid = pid;
	w->event = event;
	w->ops = ops;
	w->data = data;
	w->session = proto_session_new(pair[0]);
	if (!w->session)
		abort();
	r = sd_event_add_io(event, &w->io, pair[0], EPOLLIN, on_readable, w);
	if (r >= 0)
		r = sd_event_add_child(event, &w->child, pid, WEXITED, on_exit_of, w);
	if (r < 0) {
		failover_worker_free(w);
		return why_set(why, r, "cannot watch %s: %s", argv[0], strerror(-r));
	}
	*ret = w;
	return 0;
}

int failover_worker_order(struct failover_worker *w, const Romulus__Order *order, struct why *why)
{
	int r = proto_session_send(
		w->session, PROTO_ORDER, &order->base, clock_now_ns() + ORDER_NS, why);

	if (r < 0 && w->pid > 0)
		kill(w->pid, SIGKILL);
	return r;
}

int failover_worker_tell(struct failover_worker *w, enum proto_order kind, struct why *why)
{
	Romulus__Order order = ROMULUS__ORDER__INIT;

	order.kind = kind;
	return failover_worker_order(w, &order, why);
}

struct failover_worker *failover_worker_abandon(struct failover_worker *w)
{
	if (!w || w->dead)
		return NULL;
	w->child = sd_event_source_disable_unref(w->child);
	w->pid = 0;
	return failover_worker_free(w);
}

struct failover_worker *failover_worker_free(struct failover_worker *w)
{
	if (!w || w->dead)
		return NULL;
	w->io = sd_event_source_disable_unref(w->io);
	w->child = sd_event_source_disable_unref(w->child);
	if (w->pid > 0) {
		kill(w->pid, SIGKILL);
		failover_reap(w->event, w->pid);
		w->pid = 0;
	}
	w->dead = true;
	if (w->busy > 0)
		return NULL; /* drain() frees it */
	proto_session_free(w->session);
	free(w);
	return NULL;
}
