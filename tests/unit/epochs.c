/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The epoch machines of both sides: the good path, and that nothing is released without its ack,
 * nothing taken over without an acked checkpoint, nothing out of order accepted.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "replicator/backup_epoch.h"
#include "replicator/primary_epoch.h"

static void primary_commits_epoch_by_epoch(void **state)
{
	struct primary_epoch m = {0};
	uint64_t n;

	for (n = 1; n <= 3; n++) {
		assert_int_equal(primary_epoch_step(&m, PRIMARY_EV_SUSPEND, 0),
			n == 1 ? PRIMARY_INSTALL : 0);
		assert_int_equal(primary_epoch_step(&m, PRIMARY_EV_CAPTURED, 0), PRIMARY_CLOSE);
		assert_int_equal(primary_epoch_step(&m, PRIMARY_EV_RESUMED, 0), PRIMARY_SHIP);
		assert_int_equal(primary_epoch_step(&m, PRIMARY_EV_SHIPPED, 0), 0);
		assert_int_equal(primary_epoch_step(&m, PRIMARY_EV_ACK, n + 1), -EPROTO);
		assert_int_equal(primary_epoch_step(&m, PRIMARY_EV_ACK, n - 1), -EPROTO);
		assert_int_equal(primary_epoch_step(&m, PRIMARY_EV_ACK, n), PRIMARY_RELEASE);
		assert_int_equal(m.committed, n);
	}
}

/* Every state and event: output is only ever let go by the ack of the epoch or by an order. */
static void primary_releases_by_ack_or_order_only(void **state)
{
	int s, e;

	for (s = 0; s < PRIMARY_STATES; s++) {
		for (e = 0; e < PRIMARY_EVENTS; e++) {
			struct primary_epoch m = {(enum primary_state)s, 7, 6, false};
			int actions = primary_epoch_step(&m, (enum primary_event)e, 7);

			if (actions < 0) {
				assert_int_equal(m.state, s);
				continue;
			}
			if (actions & PRIMARY_RELEASE)
				assert_true(e == PRIMARY_EV_ACK && s == PRIMARY_WAITING);
			if (actions & PRIMARY_RELEASE_ALL)
				assert_true(e == PRIMARY_EV_SOLO || e == PRIMARY_EV_STOP);
			if (s == PRIMARY_LOST || s == PRIMARY_STANDING)
				assert_int_not_equal(e, PRIMARY_EV_SUSPEND);
		}
	}
}

/* Orders are given once and read in these states only: one that has no place would be lost. */
static void primary_takes_each_order_where_it_is_read(void **state)
{
	static const enum primary_event orders[] = {
		PRIMARY_EV_SOLO, PRIMARY_EV_STOP, PRIMARY_EV_DISCARD};
	static const enum primary_state reading[] = {
		PRIMARY_RUNNING, PRIMARY_STANDING, PRIMARY_LOST};
	struct primary_epoch copying = {PRIMARY_COPYING, 0, 0, false};

	for (size_t s = 0; s < 3; s++)
		for (size_t o = 0; o < 3; o++) {
			struct primary_epoch m = {reading[s], 7, 7, false};
			int actions = primary_epoch_step(&m, orders[o], 0);

			assert_int_equal(actions, orders[o] == PRIMARY_EV_DISCARD
							  ? PRIMARY_DESTROY
							  : PRIMARY_RELEASE_ALL);
			assert_int_equal(m.state, PRIMARY_ENDED);
		}
	/* Nothing is held yet, and nobody can own it but this host. */
	assert_int_equal(primary_epoch_step(&copying, PRIMARY_EV_SOLO, 0), 0);
	assert_int_equal(copying.state, PRIMARY_ENDED);
}

static void primary_never_closes_two_epochs(void **state)
{
	struct primary_epoch m = {PRIMARY_WAITING, 4, 3, false};

	assert_int_equal(primary_epoch_step(&m, PRIMARY_EV_SUSPEND, 0), -EPROTO);
	assert_int_equal(primary_epoch_step(&m, PRIMARY_EV_CAPTURED, 0), -EPROTO);
	assert_int_equal(m.epoch, 4);
}

/* After the last epoch nothing runs again by itself; before its ack it is like any other. */
static void primary_stands_still_after_the_last_epoch(void **state)
{
	struct primary_epoch m = {PRIMARY_CAPTURED, 8, 7, false}, lost;

	assert_int_equal(primary_epoch_step(&m, PRIMARY_EV_STAYS, 0), PRIMARY_SHIP);
	assert_int_equal(primary_epoch_step(&m, PRIMARY_EV_SHIPPED, 0), 0);
	lost = m;
	assert_int_equal(primary_epoch_step(&lost, PRIMARY_EV_STREAM_LOST, 0), PRIMARY_REPORT_LOST);
	assert_int_equal(lost.state, PRIMARY_LOST);
	assert_int_equal(primary_epoch_step(&m, PRIMARY_EV_ACK, 7), -EPROTO);
	assert_int_equal(primary_epoch_step(&m, PRIMARY_EV_ACK, 8), PRIMARY_RELEASE);
	assert_int_equal(m.committed, 8);
	assert_int_equal(m.state, PRIMARY_STANDING);
	for (int e = 0; e < PRIMARY_EVENTS; e++) {
		struct primary_epoch then = m;

		if (primary_epoch_step(&then, (enum primary_event)e, 8) >= 0)
			assert_true(e == PRIMARY_EV_SOLO || e == PRIMARY_EV_STOP ||
				    e == PRIMARY_EV_DISCARD);
	}
}

static void backup_acks_in_order(void **state)
{
	struct backup_epoch m = {0};
	uint64_t n;

	assert_int_equal(backup_epoch_step(&m, BACKUP_EV_BEGIN, 0), -EPROTO);
	assert_int_equal(backup_epoch_step(&m, BACKUP_EV_CONFIG, 0), BACKUP_START);
	assert_int_equal(backup_epoch_step(&m, BACKUP_EV_CONFIG, 0), -EPROTO);
	for (n = 0; n < 3; n++) {
		assert_int_equal(backup_epoch_step(&m, BACKUP_EV_PAGES, 0), -EPROTO);
		assert_int_equal(backup_epoch_step(&m, BACKUP_EV_BEGIN, n + 1), -EPROTO);
		assert_int_equal(backup_epoch_step(&m, BACKUP_EV_BEGIN, n), 0);
		assert_int_equal(backup_epoch_step(&m, BACKUP_EV_BEGIN, n), -EPROTO);
		assert_int_equal(backup_epoch_step(&m, BACKUP_EV_PAGES, 0), BACKUP_STORE);
		assert_int_equal(backup_epoch_step(&m, BACKUP_EV_END, n + 1), -EPROTO);
		assert_int_equal(backup_epoch_step(&m, BACKUP_EV_END, n), BACKUP_COMMIT);
		assert_int_equal(m.acked, n);
	}
}

static void backup_needs_a_checkpoint_to_take_over(void **state)
{
	struct backup_epoch m = {.state = BACKUP_LOST, .epoch = 1};

	assert_int_equal(backup_epoch_step(&m, BACKUP_EV_TAKEOVER, 0), -EPROTO);
	m.acked = 1;
	assert_int_equal(backup_epoch_step(&m, BACKUP_EV_TAKEOVER, 0), BACKUP_COMPLETE);
	assert_int_equal(backup_epoch_step(&m, BACKUP_EV_TAKEOVER, 0), -EPROTO);
	assert_int_equal(backup_epoch_step(&m, BACKUP_EV_DISCARD, 0), -EPROTO);
}

/* Memory or boundary last: acked exactly when both are there, and never by the other's number. */
static void backup_acks_with_both_halves(void **state)
{
	struct backup_epoch m = {.state = BACKUP_BETWEEN, .epoch = 1, .disks = true};

	assert_int_equal(backup_epoch_step(&m, BACKUP_EV_BEGIN, 1), 0);
	assert_int_equal(backup_epoch_step(&m, BACKUP_EV_END, 1), 0);
	assert_int_equal(m.acked, 0);
	assert_int_equal(m.state, BACKUP_HOLDING);
	assert_int_equal(backup_epoch_step(&m, BACKUP_EV_TAKEOVER, 0), -EPROTO);
	assert_int_equal(backup_epoch_step(&m, BACKUP_EV_BOUNDARY, 2), -EPROTO);
	assert_int_equal(backup_epoch_step(&m, BACKUP_EV_BOUNDARY, 1), BACKUP_COMMIT);
	assert_int_equal(m.acked, 1);
	assert_int_equal(m.epoch, 2);

	assert_int_equal(backup_epoch_step(&m, BACKUP_EV_BOUNDARY, 2), 0);
	assert_int_equal(backup_epoch_step(&m, BACKUP_EV_BOUNDARY, 3), -EPROTO);
	assert_int_equal(backup_epoch_step(&m, BACKUP_EV_BEGIN, 2), 0);
	assert_int_equal(backup_epoch_step(&m, BACKUP_EV_END, 2), BACKUP_COMMIT);
	assert_int_equal(m.acked, 2);

	/* Complete in memory only: the takeover starts from the one before. */
	assert_int_equal(backup_epoch_step(&m, BACKUP_EV_BEGIN, 3), 0);
	assert_int_equal(backup_epoch_step(&m, BACKUP_EV_END, 3), 0);
	assert_int_equal(
		backup_epoch_step(&m, BACKUP_EV_TAKEOVER, 0), BACKUP_DROP | BACKUP_COMPLETE);
	assert_int_equal(m.acked, 2);
}

static void backup_drops_the_partial_epoch(void **state)
{
	struct backup_epoch m = {.state = BACKUP_RECEIVING, .epoch = 5, .acked = 4};

	assert_int_equal(
		backup_epoch_step(&m, BACKUP_EV_STREAM_LOST, 0), BACKUP_DROP | BACKUP_REPORT_LOST);
	assert_int_equal(m.acked, 4);
	assert_int_equal(backup_epoch_step(&m, BACKUP_EV_END, 5), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(primary_commits_epoch_by_epoch),
		cmocka_unit_test(primary_releases_by_ack_or_order_only),
		cmocka_unit_test(primary_takes_each_order_where_it_is_read),
		cmocka_unit_test(primary_never_closes_two_epochs),
		cmocka_unit_test(primary_stands_still_after_the_last_epoch),
		cmocka_unit_test(backup_acks_in_order),
		cmocka_unit_test(backup_needs_a_checkpoint_to_take_over),
		cmocka_unit_test(backup_acks_with_both_halves),
		cmocka_unit_test(backup_drops_the_partial_epoch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
