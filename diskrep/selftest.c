/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/selftest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"

#define EARLY 6u           /* probes under way */
#define EARLY_COMPLETED 3u /* at least so many of them have completed before the marker */
#define LATE 3u
#define BLOCKS (1 + EARLY + LATE)
#define STRIDE (2 * DISKREP_PROBE_BYTES) /* apart, so that no queue makes one write of two */
#define TIMEOUT_S 30

_Static_assert((BLOCKS - 1) * STRIDE + DISKREP_PROBE_BYTES <= DISKREP_SELFTEST_BYTES, "they fit");

struct test {
	struct diskrep_marker_write *w;
	io_context_t aio; /* of early and late probes */
	uint8_t *blocks;  /* the marker's, early ones, late ones */
	struct diskrep_probe probe;
	uint32_t completed; /* early probes, as bits */
	unsigned int pending;
};

static uint8_t *block_of(const struct test *t, unsigned int slot)
{
	return t->blocks + (size_t)slot * DISKREP_PROBE_BYTES;
}

static void encode(struct test *t, unsigned int slot, enum diskrep_probe_kind kind, uint32_t index)
{
	t->probe.kind = kind;
	t->probe.index = index;
	diskrep_probe_encode(block_of(t, slot), &t->probe);
}

static int submit(struct test *t, enum diskrep_probe_kind kind, unsigned int first, unsigned int n)
{
	struct iocb cb, *list = &cb;
	int r;

	for (unsigned int i = 0; i < n; i++) {
		encode(t, first + i, kind, i);
		io_prep_pwrite(&cb, t->w->fd, block_of(t, first + i), DISKREP_PROBE_BYTES,
			(long long)(first + i) * STRIDE);
		cb.data = (void *)(uintptr_t)(kind == DISKREP_PROBE_EARLY ? 1u << i : 0);
		r = io_submit(t->aio, 1, &list);
		if (r != 1)
			return r < 0 ? r : -EIO;
		t->pending++;
	}
	return 0;
}

/* Wait until @n at least of those under way have completed. */
static int reap(struct test *t, unsigned int n)
{
	struct timespec limit = {.tv_sec = TIMEOUT_S};
	struct io_event events[BLOCKS];
	int got = io_getevents(t->aio, (long)n, BLOCKS, events, &limit);

	if (got < (int)n)
		return got < 0 ? got : -ETIMEDOUT;
	for (int i = 0; i < got; i++) {
		if (events[i].res != DISKREP_PROBE_BYTES)
			return (long)events[i].res < 0 ? (int)(long)events[i].res : -EIO;
		t->completed |= (uint32_t)(uintptr_t)events[i].data;
		t->pending--;
	}
	return 0;
}

static int run_round(struct test *t, uint64_t *ret_ns)
{
	uint64_t begun;
	int r;

	t->probe.round++;
	t->probe.completed = t->completed = 0;
	r = submit(t, DISKREP_PROBE_EARLY, 1, EARLY);
	if (!r)
		r = reap(t, EARLY_COMPLETED);
	if (r)
		return r;
	t->probe.completed = t->completed;
	encode(t, 0, DISKREP_PROBE_MARKER, 0);
	begun = clock_now_ns();
	r = diskrep_marker_write_begin(t->w, block_of(t, 0));
	if (!r)
		r = diskrep_marker_write_wait(t->w);
	*ret_ns = clock_now_ns() - begun;
	t->probe.completed = 0;
	if (!r)
		r = submit(t, DISKREP_PROBE_LATE, 1 + EARLY, LATE);
	return r ? r : reap(t, t->pending);
}

static int by_length(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int run_rounds(struct test *t, struct diskrep_selftest *ret)
{
	uint64_t ns[DISKREP_SELFTEST_ROUNDS];
	int r = 0;

	for (unsigned int i = 0; !r && i < DISKREP_SELFTEST_ROUNDS; i++)
		r = run_round(t, &ns[i]);
	if (r)
		return r;
	qsort(ns, DISKREP_SELFTEST_ROUNDS, sizeof(ns[0]), by_length);
	ret->probes = DISKREP_SELFTEST_ROUNDS * BLOCKS;
	ret->us = (uint32_t)(ns[DISKREP_SELFTEST_ROUNDS / 2] / 1000);
	return 0;
}

int diskrep_selftest_run(struct diskrep_marker_write *w, const struct diskrep_marker *session,
	struct diskrep_selftest *ret)
{
	CLEANUP_FREE void *blocks = NULL;
	struct test t = {
		.w = w, .probe = {.session = *session, .all = DISKREP_SELFTEST_ROUNDS * BLOCKS}};
	int r;

	if (posix_memalign(&blocks, DISKREP_PROBE_BYTES, (size_t)BLOCKS * DISKREP_PROBE_BYTES))
		return -ENOMEM;
	t.blocks = blocks;
	r = io_setup(BLOCKS, &t.aio);
	if (r < 0)
		return r;
	r = run_rounds(&t, ret);
	io_destroy(t.aio); /* waits for what is under way */
	/* A marker that was given up must not outlive its block. */
	return r ? (diskrep_marker_write_wait(w), r) : 0;
}
