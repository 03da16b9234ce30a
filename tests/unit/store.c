/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the real undo store does with its disks, through its NBD socket and a worker's handle. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "diskrep/control.h"
#include "diskrep/probe.h"
#include "tests/unit/nbd_client.h"
#include "tests/unit/store_rig.h"

static void rollback_gives_the_disks_at_the_boundary(void **state)
{
	struct diskrep_control_status status;

	srand(11);
	rig_start(64 << 20);
	for (int i = 0; i < 30; i++)
		rig_change();
	assert_int_equal(diskrep_store_status(store, &status, NULL), 0);
	assert_int_equal(status.undo.state, DISKREP_UNDO_IDLE);
	assert_int_equal(status.undo.used, 0);
	for (uint64_t epoch = 1; epoch <= EPOCHS; epoch++) {
		rig_boundary(epoch);
		for (int i = 0; i < 30; i++)
			rig_change();
		if (epoch > 4)
			assert_int_equal(diskrep_store_commit(store, epoch - 4, NULL), 0);
	}
	assert_int_equal(diskrep_store_status(store, &status, NULL), 0);
	assert_int_equal(status.undo.state, DISKREP_UNDO_SAVING);
	assert_int_equal(status.undo.oldest, EPOCHS - 4);
	assert_int_equal(status.undo.newest, EPOCHS);
	for (uint64_t epoch = EPOCHS - 4; epoch <= EPOCHS; epoch++)
		rig_compare_rollback(epoch);
	assert_int_equal(diskrep_store_dump(store, EPOCHS - 5, rig_list, NULL), -EIO);
	assert_int_equal(diskrep_store_dump(store, EPOCHS + 1, rig_list, NULL), -EIO);
	assert_int_equal(diskrep_store_commit(store, EPOCHS + 1, NULL), -EIO);
	for (size_t v = 0; v <= VOLUMES; v++)
		assert_int_equal(nbd_request(rig_export[v], NBD_FLUSH, 0, NULL, 0, 0), 0);
	rig_no_news();
	rig_stop();
}

/* Exports of their own, which show the disks of the boundary and change nothing. */
static void a_drill_has_disks_of_its_own(void **state)
{
	static uint8_t got[DISK_MAX], written[4096];
	int drill[VOLUMES];
	uint64_t size;

	srand(12);
	rig_start(64 << 20);
	rig_boundary(1);
	for (int i = 0; i < 30; i++)
		rig_change();
	assert_int_equal(diskrep_store_snapshot(store, 2, rig_dir, NULL), -EIO);
	assert_int_equal(diskrep_store_snapshot(store, 1, rig_dir, NULL), 0);
	assert_int_equal(diskrep_store_snapshot(store, 1, rig_dir, NULL), -EIO);
	for (uint64_t epoch = 2; epoch <= EPOCHS; epoch++) {
		rig_boundary(epoch);
		for (int i = 0; i < 10; i++)
			rig_change();
		assert_int_equal(diskrep_store_commit(store, epoch, NULL), 0);
	}
	assert_int_equal(nbd_connect(diskrep_store_nbd_socket(store), "drill-2", &size), -ENOENT);
	memset(written, 0xa5, sizeof(written));
	for (size_t v = 0; v < VOLUMES; v++) {
		const char name[] = {'d', 'r', 'i', 'l', 'l', '-', (char)('0' + v), '\0'};

		drill[v] = nbd_connect(diskrep_store_nbd_socket(store), name, &size);
		assert_true(drill[v] >= 0);
		assert_int_equal(size, rig_sizes[v]);
		assert_int_equal(nbd_request(drill[v], NBD_READ, 0, got, (uint32_t)size, 0), 0);
		assert_memory_equal(got, rig_at[1][v], size);
		assert_int_equal(
			nbd_request(drill[v], NBD_WRITE, NBD_FUA, written, sizeof(written), 512),
			0);
		assert_int_equal(nbd_request(drill[v], NBD_ZERO, 0, NULL, 512, 1024), 0);
		assert_int_equal(nbd_request(drill[v], NBD_FLUSH, 0, NULL, 0, 0), 0);
		assert_int_equal(nbd_request(drill[v], NBD_READ, 0, got, sizeof(written), 512), 0);
		memset(written + 512, 0, 512);
		assert_memory_equal(got, written, sizeof(written));
		memset(written + 512, 0xa5, 512);
		assert_int_equal(
			nbd_request(rig_export[v], NBD_READ, 0, got, (uint32_t)size, 0), 0);
		assert_memory_equal(got, rig_now[v], size);
	}
	rig_compare_rollback(EPOCHS);
	assert_int_equal(diskrep_store_release(store, NULL), 0);
	for (size_t v = 0; v < VOLUMES; v++) {
		assert_int_equal(nbd_request(drill[v], NBD_READ, 0, got, 512, 0), -EIO);
		nbd_disconnect(drill[v]);
	}
	rig_no_news();
	rig_stop();
}

static void a_full_store_says_so_and_goes_on(void **state)
{
	struct diskrep_control_status status;

	rig_start(16 * 4096);
	rig_boundary(1);
	assert_int_equal(nbd_request(rig_export[1], NBD_ZERO, 0, NULL, 65536, 0), 0);
	memset(rig_now[1], 0, 65536);
	rig_compare_rollback(1);
	assert_int_equal(nbd_request(rig_export[0], NBD_WRITE, 0, rig_now[1], 512, 512), 0);
	memset(rig_now[0] + 512, 0, 512);
	assert_int_equal(rig_next_news().kind, DISKREP_STORE_OVERFLOW);
	rig_write_marker(UUID, NONCE, GENERATION, 2);
	rig_no_news(); /* said once; no boundary any more */
	assert_int_equal(diskrep_store_status(store, &status, NULL), 0);
	assert_int_equal(status.undo.state, DISKREP_UNDO_OVERFLOW);
	assert_int_equal(diskrep_store_dump(store, 1, rig_list, NULL), -EIO);
	assert_int_equal(diskrep_store_commit(store, 1, NULL), -EIO);
	assert_int_equal(diskrep_store_expect(store, UUID, NONCE, GENERATION, NULL), 0);
	rig_boundary(1);
	assert_int_equal(nbd_request(rig_export[0], NBD_TRIM, 0, NULL, 8192, 4096), 0);
	memset(rig_now[0] + 4096, 0, 8192);
	rig_compare_rollback(1);
	rig_stop();
}

static void only_the_expected_marker_counts(void **state)
{
	struct diskrep_store_news news;
	uint8_t zeros[512] = {0};

	rig_start(1 << 20);
	rig_write_marker("deadbeef-0102-0304-0506-0708090a0b0d", NONCE, GENERATION, 1);
	rig_write_marker(UUID, NONCE + 1, GENERATION, 1);
	rig_write_marker(UUID, NONCE, GENERATION + 1, 1);
	assert_int_equal(nbd_request(rig_export[VOLUMES], NBD_WRITE, 0, zeros, 512, 0), 0);
	rig_no_news();
	rig_boundary(1);
	rig_write_marker(UUID, NONCE, GENERATION, 3);
	news = rig_next_news();
	assert_int_equal(news.kind, DISKREP_STORE_ERROR);
	assert_string_equal(news.text, "boundary 3 came instead of 2");
	rig_boundary(2);
	rig_stop();
}

/* ---- the self-test --------------------------------------------------------------------------- */

static void put_probe(void *block, enum diskrep_probe_kind kind, uint32_t round, uint64_t nonce)
{
	struct diskrep_probe p = {.session = {.nonce = nonce, .generation = GENERATION},
		.round = round,
		.kind = kind,
		.completed = kind == DISKREP_PROBE_MARKER};

	assert_int_equal(diskrep_uuid_parse(UUID, p.session.uuid), 0);
	diskrep_probe_encode(block, &p);
}

static void write_probe(enum diskrep_probe_kind kind, uint32_t round, uint64_t nonce)
{
	uint8_t block[DISKREP_PROBE_BYTES];

	put_probe(block, kind, round, nonce);
	assert_int_equal(nbd_request(rig_export[VOLUMES], NBD_WRITE, 0, block, sizeof(block),
				 kind == DISKREP_PROBE_MARKER ? 0 : 8192),
		0);
}

static void counted(uint32_t probes, uint32_t violations)
{
	struct diskrep_control_status status;

	assert_int_equal(diskrep_store_status(store, &status, NULL), 0);
	assert_int_equal(status.order.probes, probes);
	assert_int_equal(status.order.violations, violations);
}

static void probes_are_counted_and_cost_nothing(void **state)
{
	uint8_t joined[2 * DISKREP_PROBE_BYTES] = {0};
	struct diskrep_control_status status;

	rig_start(1 << 20);
	write_probe(DISKREP_PROBE_EARLY, 1, NONCE + 1); /* of another session */
	counted(0, 0);
	write_probe(DISKREP_PROBE_EARLY, 1, NONCE);
	write_probe(DISKREP_PROBE_MARKER, 1, NONCE);
	write_probe(DISKREP_PROBE_LATE, 1, NONCE);
	counted(3, 0);
	write_probe(DISKREP_PROBE_LATE, 2, NONCE);
	write_probe(DISKREP_PROBE_MARKER, 2, NONCE); /* and without its early one */
	counted(5, 2);
	/* Joined by a queue into one write they had no order; nor must they lie at its start. */
	put_probe(joined, DISKREP_PROBE_MARKER, 3, NONCE);
	put_probe(joined + DISKREP_PROBE_BYTES, DISKREP_PROBE_LATE, 3, NONCE);
	assert_int_equal(
		nbd_request(rig_export[VOLUMES], NBD_WRITE, 0, joined, sizeof(joined), 0), 0);
	counted(7, 4);
	memset(joined, 0, sizeof(joined));
	put_probe(joined + 512, DISKREP_PROBE_EARLY, 4, NONCE);
	assert_int_equal(nbd_request(rig_export[VOLUMES], NBD_WRITE, 0, joined, sizeof(joined),
				 2 * DISKREP_PROBE_BYTES - 512),
		0);
	counted(8, 4);
	assert_int_equal(
		nbd_request(rig_export[0], NBD_WRITE, 0, joined + 512, DISKREP_PROBE_BYTES, 0), 0);
	counted(8, 4); /* a guest may write what it likes */

	rig_no_news(); /* no boundary */
	rig_boundary(1);
	write_probe(DISKREP_PROBE_LATE, 4, NONCE);
	assert_int_equal(diskrep_store_status(store, &status, NULL), 0);
	assert_int_equal(status.undo.used, 0);
	assert_int_equal(diskrep_store_expect(store, UUID, NONCE + 1, GENERATION, NULL), 0);
	counted(0, 0);
	rig_stop();
}

static void news_during_a_call_is_kept(void **state)
{
	struct pollfd p;
	struct diskrep_control_status status;
	struct diskrep_store_news news;

	rig_start(1 << 20);
	p = (struct pollfd){.fd = diskrep_store_fd(store), .events = POLLIN};
	for (uint64_t epoch = 1; epoch <= 20; epoch++)
		rig_write_marker(UUID, NONCE, GENERATION, epoch);
	assert_int_equal(diskrep_store_status(store, &status, NULL), 0);
	assert_int_equal(status.undo.newest, 20);
	for (uint64_t epoch = 1; epoch <= 20; epoch++) {
		assert_int_equal(poll(&p, 1, 0), 1);
		assert_int_equal(diskrep_store_news(store, &news), 1);
		assert_int_equal(news.epoch, epoch);
	}
	rig_no_news();
	/* What an earlier session was told does not reach the next one. */
	rig_write_marker(UUID, NONCE, GENERATION, 21);
	assert_int_equal(diskrep_store_expect(store, UUID, NONCE + 1, GENERATION, NULL), 0);
	rig_no_news();
	rig_stop();
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(rollback_gives_the_disks_at_the_boundary),
		{"rollback_gives_the_disks_without_o_direct",
			rollback_gives_the_disks_at_the_boundary, rig_setup_shm, rig_teardown,
			NULL},
		STORE_TEST(a_drill_has_disks_of_its_own),
		STORE_TEST(a_full_store_says_so_and_goes_on),
		STORE_TEST(only_the_expected_marker_counts),
		STORE_TEST(probes_are_counted_and_cost_nothing),
		STORE_TEST(news_during_a_call_is_kept),
	};

	return RIG_RUN(tests);
}
