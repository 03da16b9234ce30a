/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The self-test on a disk whose DRBD is a model: writes of one epoch reach the backup in any order,
 * those of two epochs do not; an epoch ends when a write of it completes here, and at a flush. And
 * the choice that its result leads to.
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

#include "common/fault.h"
#include "diskrep/boundary.h"

#define WRITES_MAX 1024
#define CONTEXTS 2
#define MARKER_FD 77

static struct {
	bool flushes_count, completions_count; /* as ends of an epoch */
	bool fails;
	uint32_t epoch, epoch_writes;
	struct {
		struct diskrep_probe probe;
		uint32_t epoch;
	} writes[WRITES_MAX];
	size_t writes_n;
	struct {
		struct io_event events[16];
		uint32_t epochs[16]; /* of the writes among them; 0: a flush */
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
	drbd.contexts[c].epochs[i] = 0;
	if (cb->aio_lio_opcode == IO_CMD_FDSYNC) {
		if (drbd.flushes_count)
			end_epoch();
		return 1;
	}
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
	drbd.contexts[c].n -= n; /* the newest first: a flush before the write that it follows */
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

static int run(struct diskrep_boundary_facts *f)
{
	static const struct diskrep_marker session = {.nonce = 9, .generation = 1};
	struct diskrep_marker_write w;
	struct diskrep_order o = {0};
	int r;

	*f = (struct diskrep_boundary_facts){.drbd = "8.4.11", .write_cache = "write back"};
	drbd.epoch = 1;
	drbd.epoch_writes = 0;
	drbd.writes_n = 0;
	assert_int_equal(diskrep_marker_write_open(&w, MARKER_FD), 0);
	r = diskrep_selftest_run(&w, &session, &f->test);
	assert_int_equal(w.pending, 0);
	diskrep_marker_write_close(&w);
	deliver(&o);
	memcpy(f->count, o.count, sizeof(f->count));
	assert_int_equal(drbd.contexts_n, 0);
	return r;
}

static void arm(const char *faults)
{
	setenv("ROMULUS_FAULT", faults, 1);
	assert_int_equal(fault_init(NULL), 0);
}

static void counted(const struct diskrep_boundary_facts *f, bool wait_bad, bool bracket_bad)
{
	for (unsigned int way = 0; way < DISKREP_WAYS; way++) {
		assert_int_equal(f->test.probes[way], DISKREP_SELFTEST_ROUNDS * 10);
		assert_int_equal(f->count[way].probes, f->test.probes[way]);
		assert_int_equal(f->count[way].all, f->test.probes[way]);
	}
	assert_int_equal(f->count[DISKREP_WAY_WAIT].violations > 0, wait_bad);
	assert_int_equal(f->count[DISKREP_WAY_BRACKET].violations > 0, bracket_bad);
}

static void on_drbd_8_4_both_ways_are_in_order(void **state)
{
	struct diskrep_boundary_facts f;

	drbd.flushes_count = drbd.completions_count = true;
	drbd.fails = false;
	arm("marker-slow=delay:2");
	assert_int_equal(run(&f), 0);
	counted(&f, false, false);
	assert_true(f.test.us[DISKREP_WAY_WAIT] >= 2000);
	assert_true(f.test.us[DISKREP_WAY_BRACKET] < 2000);
	arm("marker-slow=delay:0");
}

static void flushes_that_do_not_reach_drbd_are_found_out(void **state)
{
	struct diskrep_boundary_facts f;

	drbd.completions_count = true;
	drbd.flushes_count = drbd.fails = false;
	assert_int_equal(run(&f), 0);
	counted(&f, false, true);
	drbd.flushes_count = true;
	arm("marker-unflushed=fail");
	assert_int_equal(run(&f), 0);
	counted(&f, false, true);
	arm("marker-slow=delay:0");
}

static void a_drbd_without_barriers_is_found_out(void **state)
{
	struct diskrep_boundary_facts f;

	drbd.completions_count = drbd.flushes_count = drbd.fails = false;
	assert_int_equal(run(&f), 0);
	counted(&f, true, true);
}

static void a_disk_that_fails_fails_the_test(void **state)
{
	struct diskrep_boundary_facts f;

	drbd.completions_count = drbd.flushes_count = drbd.fails = true;
	assert_int_equal(run(&f), -EIO);
	memset(drbd.contexts, 0, sizeof(drbd.contexts));
}

/* ---- the choice ------------------------------------------------------------------------------ */

static const struct diskrep_boundary_facts good = {
	.drbd = "8.4.11",
	.write_cache = "write back",
	.test = {.probes = {320, 320}, .us = {900, 300}},
	.count = {{320, 320, 0}, {320, 320, 0}},
};

static void choose(
	struct diskrep_boundary_facts f, enum diskrep_way expected, const char *expected_why)
{
	char why[DISKREP_BOUNDARY_WHY_MAX];

	assert_int_equal(diskrep_boundary_choose(&f, why, sizeof(why)), expected);
	if (!strstr(why, expected_why))
		fail_msg("'%s' does not say '%s'", why, expected_why);
}

static void the_bracket_needs_everything(void **state)
{
	struct diskrep_boundary_facts f = good;

	choose(f, DISKREP_WAY_BRACKET, "waiting takes longer: 900 us, not 300");
	strcpy(f.drbd, "9.1.4");
	choose(f, DISKREP_WAY_WAIT, "this is 9.1.4");
	f.drbd[0] = '\0';
	choose(f, DISKREP_WAY_WAIT, "this is unknown");
	f = good;
	strcpy(f.write_cache, "write through");
	choose(f, DISKREP_WAY_WAIT, "\"write through\"");
	f.write_cache[0] = '\0';
	choose(f, DISKREP_WAY_WAIT, "\"\"");
	f = good;
	f.test = (struct diskrep_selftest){0};
	f.count[DISKREP_WAY_BRACKET].probes = 0;
	choose(f, DISKREP_WAY_WAIT, "no room");
	f = good;
	f.count[DISKREP_WAY_BRACKET].probes = 319;
	choose(f, DISKREP_WAY_WAIT, "319 of 320 probes");
	f = good;
	f.count[DISKREP_WAY_BRACKET].violations = 1;
	choose(f, DISKREP_WAY_WAIT, "1 of 320 probes came out of order");
	f = good;
	f.test.us[DISKREP_WAY_BRACKET] = 900;
	choose(f, DISKREP_WAY_WAIT, "a bracket takes longer: 900 us, not 900");
	assert_string_equal(diskrep_way_name(DISKREP_WAY_WAIT), "wait");
	assert_string_equal(diskrep_way_name(DISKREP_WAY_BRACKET), "bracket");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(on_drbd_8_4_both_ways_are_in_order),
		cmocka_unit_test(flushes_that_do_not_reach_drbd_are_found_out),
		cmocka_unit_test(a_drbd_without_barriers_is_found_out),
		cmocka_unit_test(a_disk_that_fails_fails_the_test),
		cmocka_unit_test(the_bracket_needs_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
