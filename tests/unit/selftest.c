/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The self-test on a disk whose DRBD is a model: writes of one epoch reach the backup in any order,
 * those of two epochs do not; an epoch ends when a write of it completes here.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <libaio.h>
#include <cmocka.h>

#include "diskrep/order.h"
#include "diskrep/selftest.h"

#define WRITES_MAX 1024
#define CONTEXTS 2
#define MARKER_FD 77

static struct {
	bool completions_count; /* as ends of an epoch */
	bool fails;
	uint32_t epoch, epoch_writes;
	struct {
		struct diskrep_probe probe;
		uint32_t epoch;
	} writes[WRITES_MAX];
	size_t writes_n;
	struct {
		struct io_event events[16];
		uint32_t epochs[16]; /* of the writes */
		size_t n;
	} contexts[CONTEXTS];
	size_t contexts_n;
} drbd;

int __wrap_io_setup(int maxevents, io_context_t *ctxp);
int __wrap_io_destroy(io_context_t ctx);
int __wrap_io_submit(io_context_t ctx, long nr, struct iocb *ios[]);
int __wrap_io_getevents(
	io_context_t ctx, long min_nr, long nr, struct io_event *events, struct timespec *timeout);

int __wrap_io_setup(int maxevents, io_context_t *ctxp)
{
	assert_true(drbd.contexts_n < CONTEXTS);
	*ctxp = (io_context_t)&drbd.contexts[drbd.contexts_n++];
	return 0;
}

int __wrap_io_destroy(io_context_t ctx)
{
	drbd.contexts_n--;
	return 0;
}

static void end_epoch(void)
{
	if (drbd.epoch_writes)
		drbd.epoch++;
	drbd.epoch_writes = 0;
}

int __wrap_io_submit(io_context_t ctx, long nr, struct iocb *ios[])
{
	const size_t c = (size_t)((char *)ctx - (char *)drbd.contexts) / sizeof(drbd.contexts[0]);
	const size_t i = drbd.contexts[c].n++;
	const struct iocb *cb = ios[0];
	struct io_event *event = &drbd.contexts[c].events[i];

	assert_int_equal(nr, 1);
	assert_int_equal(cb->aio_fildes, MARKER_FD);
	*event = (struct io_event){.data = cb->data};
	assert_int_equal(cb->aio_lio_opcode, IO_CMD_PWRITE);
	assert_true((uint64_t)cb->u.c.offset + cb->u.c.nbytes <= DISKREP_SELFTEST_BYTES);
	assert_int_equal(diskrep_probe_decode(cb->u.c.buf, &drbd.writes[drbd.writes_n].probe), 0);
	drbd.writes[drbd.writes_n++].epoch = drbd.epoch;
	drbd.epoch_writes++;
	event->res = drbd.fails ? (unsigned long)-EIO : cb->u.c.nbytes;
	drbd.contexts[c].epochs[i] = drbd.epoch;
	return 1;
}

int __wrap_io_getevents(
	io_context_t ctx, long min_nr, long nr, struct io_event *events, struct timespec *timeout)
{
	const size_t c = (size_t)((char *)ctx - (char *)drbd.contexts) / sizeof(drbd.contexts[0]);
	const size_t n = (size_t)min_nr; /* no more than it must */

	assert_true(n <= drbd.contexts[c].n && min_nr <= nr);
	drbd.contexts[c].n -= n; /* the newest first */
	memcpy(events, drbd.contexts[c].events + drbd.contexts[c].n, n * sizeof(*events));
	for (size_t i = 0; i < n; i++)
		if (drbd.completions_count &&
			drbd.contexts[c].epochs[drbd.contexts[c].n + i] == drbd.epoch)
			end_epoch();
	return (int)n;
}

/* The backup: all of an epoch comes at once, and before the next one it is on the disk. */
static void deliver(struct diskrep_order *o)
{
	for (size_t first = 0, next; first < drbd.writes_n; first = next) {
		for (next = first; next < drbd.writes_n &&
				   drbd.writes[next].epoch == drbd.writes[first].epoch;)
			next++;
		for (size_t i = next; i-- > first;)
			diskrep_order_arrived(o, &drbd.writes[i].probe);
		for (size_t i = first; i < next; i++)
			diskrep_order_written(o, &drbd.writes[i].probe);
	}
}

static struct diskrep_order_count seen; /* by the backup */

static int run(struct diskrep_selftest *ret)
{
	static const struct diskrep_marker session = {.nonce = 9, .generation = 1};
	struct diskrep_marker_write w;
	struct diskrep_order o = {0};
	int r;

	*ret = (struct diskrep_selftest){0};
	drbd.epoch = 1;
	drbd.epoch_writes = 0;
	drbd.writes_n = 0;
	assert_int_equal(diskrep_marker_write_open(&w, MARKER_FD), 0);
	r = diskrep_selftest_run(&w, &session, ret);
	assert_false(w.pending);
	diskrep_marker_write_close(&w);
	deliver(&o);
	seen = o.count;
	assert_int_equal(drbd.contexts_n, 0);
	return r;
}

static void counted(const struct diskrep_selftest *test, bool bad)
{
	assert_int_equal(test->probes, DISKREP_SELFTEST_ROUNDS * 10);
	assert_int_equal(seen.probes, test->probes);
	assert_int_equal(seen.all, test->probes);
	assert_int_equal(seen.violations > 0, bad);
}

static void a_drbd_with_barriers_keeps_the_order(void **state)
{
	struct diskrep_selftest test;

	drbd.completions_count = true;
	drbd.fails = false;
	assert_int_equal(run(&test), 0);
	counted(&test, false);
}

static void a_drbd_without_barriers_is_found_out(void **state)
{
	struct diskrep_selftest test;

	drbd.completions_count = drbd.fails = false;
	assert_int_equal(run(&test), 0);
	counted(&test, true);
}

static void a_disk_that_fails_fails_the_test(void **state)
{
	struct diskrep_selftest test;

	drbd.completions_count = drbd.fails = true;
	assert_int_equal(run(&test), -EIO);
	memset(drbd.contexts, 0, sizeof(drbd.contexts));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_drbd_with_barriers_keeps_the_order),
		cmocka_unit_test(a_drbd_without_barriers_is_found_out),
		cmocka_unit_test(a_disk_that_fails_fails_the_test),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
