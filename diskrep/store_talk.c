/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/why.h"
#include "diskrep/control.h"
#include "diskrep/store_internal.h"

#define ANSWER_MS 10000u
#define DUMP_MS 300000u /* undo_limit bytes to a slow disk */

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

	if (st->queue_n == STORE_NEWS_MAX) {
		set_gone(st);
		return;
	}
	st->queue[(st->queue_first + st->queue_n++) % STORE_NEWS_MAX] = *news;
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
		st->queue_first = (st->queue_first + 1) % STORE_NEWS_MAX;
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

int store_ask(struct diskrep_store *st, const char *request, unsigned timeout_ms, char *answer,
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
	r = store_ask(st, request, ANSWER_MS, answer, sizeof(answer), why);
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
	return store_ask(st, request, ANSWER_MS, answer, sizeof(answer), why);
}

static int ask_with_path(struct diskrep_store *st, const char *verb, uint64_t epoch,
	const char *path, unsigned timeout_ms, struct why *why)
{
	char request[DISKREP_CONTROL_MAX], answer[32];

	if (snprintf(request, sizeof(request), "%s %llu %s", verb, (unsigned long long)epoch,
		    path) >= (int)sizeof(request))
		return why_set(why, -ENAMETOOLONG, "the path %s is too long", path);
	return store_ask(st, request, timeout_ms, answer, sizeof(answer), why);
}

int diskrep_store_dump(struct diskrep_store *st, uint64_t epoch, const char *path, struct why *why)
{
	return ask_with_path(st, "dump", epoch, path, DUMP_MS, why);
}

int diskrep_store_snapshot(
	struct diskrep_store *st, uint64_t epoch, const char *dir, struct why *why)
{
	return ask_with_path(st, "snapshot", epoch, dir, ANSWER_MS, why);
}

int diskrep_store_release(struct diskrep_store *st, struct why *why)
{
	char answer[8];

	return store_ask(st, "release", ANSWER_MS, answer, sizeof(answer), why);
}

int diskrep_store_status(
	struct diskrep_store *st, struct diskrep_control_status *ret, struct why *why)
{
	char answer[DISKREP_CONTROL_STATUS_MAX];
	int r = store_ask(st, "status", ANSWER_MS, answer, sizeof(answer), why);

	if (!r && diskrep_control_parse_status(answer, ret) < 0)
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
