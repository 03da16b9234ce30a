/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/ship.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "replicator/staging.h"
#include "replicator/worker.h"

#define SHIP_CHUNK (256u * 1024u)
#define COPY_SEND_TIMEOUT_NS (60 * NSEC_PER_SEC)
#define COPY_REPORT_NS (500 * NSEC_PER_MSEC)
#define PAGE_BYTES 4096u

static int ship_begin(
	struct proto_session *s, uint64_t epoch, uint64_t deadline_ns, struct why *why)
{
	Romulus__EpochBegin begin = ROMULUS__EPOCH_BEGIN__INIT;

	begin.epoch = epoch;
	return proto_session_send(s, PROTO_EPOCH_BEGIN, &begin.base, deadline_ns, why);
}

static int ship_end(struct proto_session *s, uint64_t epoch, uint64_t bytes, uint64_t deadline_ns,
	struct why *why)
{
	Romulus__EpochEnd end = ROMULUS__EPOCH_END__INIT;

	end.epoch = epoch;
	end.bytes = bytes;
	return proto_session_send(s, PROTO_EPOCH_END, &end.base, deadline_ns, why);
}

int ship_epoch(struct proto_session *s, uint64_t epoch, const struct staging *st,
	uint64_t deadline_ns, struct why *why)
{
	size_t at, n;
	int r;

	r = ship_begin(s, epoch, deadline_ns, why);
	for (at = 0; !r && at < st->length; at += n) {
		n = st->length - at < SHIP_CHUNK ? st->length - at : SHIP_CHUNK;
		r = proto_session_send_file_pages(s, st->fd, at, st->map + at, n, deadline_ns, why);
	}
	return r ? r : ship_end(s, epoch, st->length, deadline_ns, why);
}

static void report_progress(struct ship_copy *c, uint64_t started_ns)
{
	Romulus__Report report = ROMULUS__REPORT__INIT;
	uint64_t ms = (clock_now_ns() - started_ns) / NSEC_PER_MSEC;

	report.kind = PROTO_REPORT_PROGRESS;
	report.pages_total = c->pages_total;
	report.pages_done = c->bytes / PAGE_BYTES;
	if (report.pages_done > c->pages_total)
		report.pages_done = c->pages_total;
	report.bytes = c->bytes;
	report.round = atomic_load(&c->round);
	report.dirty = atomic_load(&c->dirty);
	report.bytes_per_s = ms ? c->bytes * 1000 / ms : 0;
	worker_report(c->worker, &report);
}

/* Send no more than c->worker->bandwidth allows by now. */
static void throttle(const struct ship_copy *c, uint64_t started_ns)
{
	const uint64_t limit = c->worker->bandwidth;
	const double due = limit ? (double)c->bytes / (double)limit * NSEC_PER_SEC : 0;
	const double passed = (double)(clock_now_ns() - started_ns);

	if (due > passed)
		poll(NULL, 0, (int)((due - passed) / NSEC_PER_MSEC) + 1);
}

static void *copy_thread(void *opaque)
{
	struct ship_copy *c = opaque;
	CLEANUP_FREE uint8_t *buffer = malloc(SHIP_CHUNK);
	uint64_t started = clock_now_ns(), reported = started, now;
	ssize_t n = -1;

	c->err = buffer ? ship_begin(c->session, 0, started + COPY_SEND_TIMEOUT_NS, &c->why)
			: -ENOMEM;
	while (!c->err && (n = read(c->pipe_out, buffer, SHIP_CHUNK)) > 0) {
		now = clock_now_ns();
		c->err = proto_session_send_packed_pages(
			c->session, buffer, (size_t)n, now + COPY_SEND_TIMEOUT_NS, &c->why);
		c->bytes += (uint64_t)n;
		throttle(c, started);
		if (now - reported > COPY_REPORT_NS) {
			reported = now;
			report_progress(c, started);
			/* The only orders that make sense now are those to stop. */
			if (worker_order(c->worker, 0, NULL))
				atomic_store(&c->stop, true);
		}
	}
	if (!c->err && n < 0)
		c->err = why_set(&c->why, -errno, "reading the initial copy: %s", strerror(errno));
	if (!c->err)
		c->err = ship_end(
			c->session, 0, c->bytes, clock_now_ns() + COPY_SEND_TIMEOUT_NS, &c->why);
	report_progress(c, started);
	/* Upon an error the save core's next write fails with EPIPE, which ends it. */
	close(TAKE_FD(c->pipe_out));
	return NULL;
}

int ship_copy_start(struct ship_copy *c, struct worker *w, struct proto_session *s,
	uint64_t memory_kb, int *ret_pipe_in, struct why *why)
{
	int fds[2];

	memset(c, 0, sizeof(*c));
	c->worker = w;
	c->session = s;
	c->pages_total = memory_kb / (PAGE_BYTES / 1024);
	if (pipe2(fds, O_CLOEXEC))
		return why_set(why, -errno, "no pipe for the initial copy: %s", strerror(errno));
	fcntl(fds[0], F_SETPIPE_SZ, 1 << 20);
	c->pipe_out = fds[0];
	if (pthread_create(&c->thread, NULL, copy_thread, c)) {
		close(fds[0]);
		close(fds[1]);
		return why_set(why, -EAGAIN, "no thread for the initial copy");
	}
	*ret_pipe_in = fds[1];
	return 0;
}

void ship_copy_round(struct ship_copy *c, unsigned int round, uint64_t dirty)
{
	atomic_store(&c->round, round);
	atomic_store(&c->dirty, dirty);
}

int ship_copy_finish(struct ship_copy *c)
{
	pthread_join(c->thread, NULL);
	return c->err;
}
