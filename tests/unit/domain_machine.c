/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lifecycle table: the invariants over all of it, and the ways through it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "failover/decide.h"
#include "failover/domain_machine.h"

/* Every row of the table, by asking for all pairs. */
static void takeover_needs_a_checkpoint_and_a_grant(void **state)
{
	struct failover_step step;
	unsigned int found = 0;

	for (int s = 0; s < FAILOVER_STATE_COUNT; s++)
		for (int e = 0; e < FAILOVER_EVENT_COUNT; e++) {
			if (!failover_machine_step(
				    (enum failover_state)s, (enum failover_event)e, 0, &step))
				continue;
			if (step.next != FAILOVER_TAKING_OVER &&
				step.action != FAILOVER_DO_TAKE_OVER)
				continue;
			found++;
			assert_int_equal(step.next, FAILOVER_TAKING_OVER);
			assert_int_equal(step.action, FAILOVER_DO_TAKE_OVER);
			assert_true(s == FAILOVER_READY || s == FAILOVER_HOLDING);
			assert_true(e == FAILOVER_ON_GRANT || e == FAILOVER_ON_PEER_RELEASED);
		}
	assert_int_equal(found, 4);
}

static void solo_needs_want_solo_and_a_grant(void **state)
{
	struct failover_step step;
	unsigned int found = 0;

	for (int s = 0; s < FAILOVER_STATE_COUNT; s++)
		for (int e = 0; e < FAILOVER_EVENT_COUNT; e++) {
			if (!failover_machine_step(
				    (enum failover_state)s, (enum failover_event)e, 0, &step) ||
				step.action != FAILOVER_DO_GO_SOLO)
				continue;
			found++;
			assert_int_equal(s, FAILOVER_WANT_SOLO);
			assert_true(e == FAILOVER_ON_GRANT || e == FAILOVER_ON_PEER_RELEASED);
		}
	assert_int_equal(found, 2);
}

/* A switchover: handed over once all is acked, and never taken back from a backup that may have it.
 */
static void a_guest_is_handed_over_once_and_taken_back_by_promise(void **state)
{
	struct failover_step step;
	unsigned int handed = 0, taken_back = 0;

	for (int s = 0; s < FAILOVER_STATE_COUNT; s++)
		for (int e = 0; e < FAILOVER_EVENT_COUNT; e++) {
			if (!failover_machine_step(
				    (enum failover_state)s, (enum failover_event)e, 0, &step))
				continue;
			if (step.action == FAILOVER_DO_HAND_OVER) {
				handed++;
				assert_int_equal(s, FAILOVER_MOVING);
				assert_int_equal(e, FAILOVER_ON_COMPLETE);
				assert_int_equal(step.next, FAILOVER_HANDED_OVER);
			}
			if (step.action == FAILOVER_DO_TAKE_BACK) {
				taken_back++;
				assert_int_equal(s, FAILOVER_HANDED_OVER);
				assert_true(
					e == FAILOVER_ON_PEER_RELEASED || e == FAILOVER_ON_GRANT);
			}
			/* The only ways out are what the backup has on its disk, and a person. */
			if (s == FAILOVER_HANDED_OVER && step.next != FAILOVER_HANDED_OVER)
				assert_true(e == FAILOVER_ON_PEER_OWNS ||
					    e == FAILOVER_ON_PEER_RELEASED ||
					    e == FAILOVER_ON_GRANT);
		}
	assert_int_equal(handed, 1);
	assert_int_equal(taken_back, 2);
	/* Which is why no arbiter is asked for that grant. */
	assert_false(failover_machine_needs_grant(FAILOVER_HANDED_OVER));
	assert_int_equal(failover_decide_wish(FAILOVER_HANDED_OVER), FAILOVER_DECISION_NONE);
	assert_false(failover_machine_guest_here(FAILOVER_HANDED_OVER));
	assert_int_equal(failover_machine_gossip(FAILOVER_HANDED_OVER), PROTO_STATE_RELEASED);
	/* Until then nothing is promised, and the loss of the stream is what it always is. */
	assert_int_equal(failover_machine_gossip(FAILOVER_MOVING), PROTO_STATE_PROTECTED);
	for (int e = 0; e < FAILOVER_EVENT_COUNT; e++)
		if (failover_machine_step(FAILOVER_MOVING, (enum failover_event)e, 0, &step))
			assert_true(step.next == FAILOVER_HANDED_OVER ||
				    step.next == FAILOVER_WANT_SOLO ||
				    step.next == FAILOVER_CLOSING || step.next == FAILOVER_LEAVING);
}

static void reclaim_needs_the_promise_of_the_backup(void **state)
{
	struct failover_step step;
	unsigned int found = 0;

	for (int s = 0; s < FAILOVER_STATE_COUNT; s++)
		for (int e = 0; e < FAILOVER_EVENT_COUNT; e++) {
			if (!failover_machine_step(
				    (enum failover_state)s, (enum failover_event)e, 0, &step) ||
				step.action != FAILOVER_DO_RECLAIM)
				continue;
			found++;
			assert_int_equal(s, FAILOVER_VACANT);
			assert_int_equal(e, FAILOVER_ON_PEER_RELEASED);
			assert_int_equal(step.next, FAILOVER_SOLO);
		}
	assert_int_equal(found, 1);
	/* A silent backup may run the guest: no fence may be asked for, no grant be taken. */
	assert_false(failover_machine_needs_grant(FAILOVER_VACANT));
	assert_false(failover_machine_step(FAILOVER_VACANT, FAILOVER_ON_GRANT, 0, &step));
	/* And one that hears it may take the guest over, as its primary has promised. */
	assert_int_equal(failover_machine_role(FAILOVER_VACANT), PROTO_ROLE_PRIMARY);
	assert_int_equal(failover_machine_gossip(FAILOVER_VACANT), PROTO_STATE_RELEASED);
}

/* Once the backup may hold a checkpoint, nothing that happens to the primary's worker lets it run
 * on. */
static void a_protected_guest_goes_solo_only_by_grant(void **state)
{
	struct failover_step step;

	for (int e = 0; e < FAILOVER_EVENT_COUNT; e++)
		if (failover_machine_step(
			    FAILOVER_PROTECTED, (enum failover_event)e, FAILOVER_IDLE, &step)) {
			assert_int_not_equal(step.next, FAILOVER_SOLO);
			assert_int_not_equal(step.next, FAILOVER_GOING_SOLO);
			assert_int_not_equal(step.action, FAILOVER_DO_RUN_ON);
		}
	assert_true(failover_machine_step(
		FAILOVER_PROTECTED, FAILOVER_ON_WORKER_DIED, FAILOVER_IDLE, &step));
	assert_int_equal(step.next, FAILOVER_WANT_SOLO);
}

/* A side that has promised or decided never decides otherwise. */
static void decisions_are_final(void **state)
{
	static const enum failover_state decided[] = {FAILOVER_GOING_SOLO, FAILOVER_SOLO,
		FAILOVER_ENDING, FAILOVER_LEAVING, FAILOVER_TAKING_OVER, FAILOVER_TAKEN_OVER,
		FAILOVER_CLEARING, FAILOVER_BROKEN, FAILOVER_STUCK, FAILOVER_RELEASING,
		FAILOVER_RELEASED, FAILOVER_RECEIVING};
	struct failover_step step;

	for (size_t i = 0; i < ARRAY_SIZE(decided); i++) {
		if (failover_machine_step(decided[i], FAILOVER_ON_GRANT, 0, &step))
			assert_int_equal(step.action, FAILOVER_DO_RELEASE);
		if (failover_machine_step(decided[i], FAILOVER_ON_PEER_RELEASED, 0, &step))
			assert_int_equal(step.action, FAILOVER_DO_RELEASE);
	}
}

static void follow(
	enum failover_state s, const enum failover_event *events, size_t n, enum failover_state end)
{
	struct failover_step step;

	for (size_t i = 0; i < n; i++) {
		assert_true(failover_machine_step(s, events[i], FAILOVER_IDLE, &step));
		s = step.next;
	}
	assert_int_equal(s, end);
}

#define FOLLOW(start, end, ...)                                                                    \
	do {                                                                                       \
		static const enum failover_event e[] = {__VA_ARGS__};                              \
		follow(start, e, ARRAY_SIZE(e), end);                                              \
	} while (0)

/* The end of a guest is no grant: the backup may have been granted the takeover meanwhile. */
static void the_end_of_a_guest_grants_nothing(void **state)
{
	static const enum failover_event ends[] = {
		FAILOVER_ON_GUEST_GONE, FAILOVER_ON_GUEST_ENDED, FAILOVER_ON_GUEST_RESTARTS};
	struct failover_step step;

	for (int i = 0; i < FAILOVER_STATE_COUNT; i++)
		for (size_t e = 0; e < ARRAY_SIZE(ends); e++) {
			const enum failover_state s = (enum failover_state)i;

			if (!failover_machine_step(s, ends[e], FAILOVER_IDLE, &step))
				continue;
			assert_int_equal(failover_machine_role(s), PROTO_ROLE_PRIMARY);
			/* Undecided, it stays so: or is given up for good, which lets the backup
			 * go. */
			if (failover_machine_restrains(s) && step.next != FAILOVER_CLOSING &&
				step.next != FAILOVER_IDLE)
				assert_true(failover_machine_restrains(step.next));
			if (step.action == FAILOVER_DO_GUEST_RESTARTS)
				assert_int_equal(ends[e], FAILOVER_ON_GUEST_RESTARTS);
			if (step.action == FAILOVER_DO_GUEST_ENDED)
				assert_int_equal(ends[e], FAILOVER_ON_GUEST_ENDED);
		}
}

/* What nobody but its monitor can say has a place wherever there is one. */
static void the_end_of_a_guest_has_a_place(void **state)
{
	struct failover_step step;

	for (int i = 0; i < FAILOVER_STATE_COUNT; i++) {
		const enum failover_state s = (enum failover_state)i;

		/* Being ended it is forgotten in a moment in any case. */
		if (failover_machine_guest_here(s) && s != FAILOVER_ENDING)
			assert_true(failover_machine_step(
				s, FAILOVER_ON_GUEST_ENDED, FAILOVER_IDLE, &step));
		/* And then its backup hears that it may go. */
		if (failover_machine_step(s, FAILOVER_ON_GUEST_ENDED, FAILOVER_IDLE, &step))
			assert_int_equal(failover_machine_gossip(step.next), PROTO_STATE_IDLE);
	}
	assert_int_equal(failover_machine_role(FAILOVER_CLOSING), PROTO_ROLE_PRIMARY);
	assert_false(failover_machine_needs_grant(FAILOVER_CLOSING)); /* nobody is shot for it */
}

static void ways_of_an_ending_guest(void **state)
{
	FOLLOW(FAILOVER_PROTECTED, FAILOVER_IDLE, FAILOVER_ON_GUEST_ENDED,
		FAILOVER_ON_PEER_RELEASED);
	FOLLOW(FAILOVER_PROTECTED, FAILOVER_IDLE, FAILOVER_ON_GUEST_GONE, FAILOVER_ON_GUEST_ENDED,
		FAILOVER_ON_PEER_OWNS);
	FOLLOW(FAILOVER_PROTECTED, FAILOVER_CHECKING, FAILOVER_ON_GUEST_GONE,
		FAILOVER_ON_GUEST_RESTARTS, FAILOVER_ON_PEER_RELEASED, FAILOVER_ON_DONE,
		FAILOVER_ON_PROTECT);
	FOLLOW(FAILOVER_PROTECTED, FAILOVER_IDLE, FAILOVER_ON_GUEST_RESTARTS, FAILOVER_ON_PEER_OWNS,
		FAILOVER_ON_GUEST_GONE, FAILOVER_ON_DONE);
	FOLLOW(FAILOVER_TAKEN_OVER, FAILOVER_CHECKING, FAILOVER_ON_GUEST_RESTARTS,
		FAILOVER_ON_PROTECT);
	FOLLOW(FAILOVER_SOLO, FAILOVER_IDLE, FAILOVER_ON_GUEST_ENDED);
}

static void ways_of_a_primary(void **state)
{
	FOLLOW(FAILOVER_IDLE, FAILOVER_PROTECTED, FAILOVER_ON_PROTECT, FAILOVER_ON_FOUND,
		FAILOVER_ON_PREPARED, FAILOVER_ON_SYNCED);
	FOLLOW(FAILOVER_IDLE, FAILOVER_IDLE, FAILOVER_ON_PROTECT, FAILOVER_ON_FAILED);
	FOLLOW(FAILOVER_IDLE, FAILOVER_IDLE, FAILOVER_ON_PROTECT, FAILOVER_ON_FOUND,
		FAILOVER_ON_REFUSED);
	FOLLOW(FAILOVER_PROTECTED, FAILOVER_SOLO, FAILOVER_ON_LOST, FAILOVER_ON_PEER_RELEASED,
		FAILOVER_ON_DONE);
	FOLLOW(FAILOVER_PROTECTED, FAILOVER_SOLO, FAILOVER_ON_WORKER_DIED, FAILOVER_ON_GRANT,
		FAILOVER_ON_WORKER_DIED, FAILOVER_ON_DONE);
	FOLLOW(FAILOVER_PROTECTED, FAILOVER_SOLO, FAILOVER_ON_WORKER_DIED, FAILOVER_ON_GRANT,
		FAILOVER_ON_NOT_DONE, FAILOVER_ON_RETRY, FAILOVER_ON_DONE);
	FOLLOW(FAILOVER_PROTECTED, FAILOVER_IDLE, FAILOVER_ON_LOST, FAILOVER_ON_PEER_OWNS,
		FAILOVER_ON_DONE);
	FOLLOW(FAILOVER_PROTECTED, FAILOVER_IDLE, FAILOVER_ON_UNPROTECT, FAILOVER_ON_UNPROTECTED,
		FAILOVER_ON_DONE);
	FOLLOW(FAILOVER_WANT_SOLO, FAILOVER_LEAVING, FAILOVER_ON_PEER_OWNS, FAILOVER_ON_NOT_DONE);
	FOLLOW(FAILOVER_PROTECTED, FAILOVER_OPENING, FAILOVER_ON_MOVE, FAILOVER_ON_COMPLETE,
		FAILOVER_ON_PEER_OWNS, FAILOVER_ON_DONE, FAILOVER_ON_PREPARE);
	FOLLOW(FAILOVER_PROTECTED, FAILOVER_SOLO, FAILOVER_ON_MOVE, FAILOVER_ON_COMPLETE,
		FAILOVER_ON_WORKER_DIED, FAILOVER_ON_PEER_RELEASED, FAILOVER_ON_DONE);
	FOLLOW(FAILOVER_PROTECTED, FAILOVER_SOLO, FAILOVER_ON_MOVE, FAILOVER_ON_LOST,
		FAILOVER_ON_PEER_RELEASED, FAILOVER_ON_DONE);
	FOLLOW(FAILOVER_SOLO, FAILOVER_CHECKING, FAILOVER_ON_PROTECT);
	FOLLOW(FAILOVER_VACANT, FAILOVER_CHECKING, FAILOVER_ON_PEER_RELEASED, FAILOVER_ON_PROTECT);
	FOLLOW(FAILOVER_VACANT, FAILOVER_OPENING, FAILOVER_ON_PEER_OWNS, FAILOVER_ON_PREPARE);
}

static void ways_of_a_backup(void **state)
{
	FOLLOW(FAILOVER_IDLE, FAILOVER_TAKEN_OVER, FAILOVER_ON_PREPARE, FAILOVER_ON_LISTENING,
		FAILOVER_ON_SYNCED, FAILOVER_ON_LOST, FAILOVER_ON_GRANT, FAILOVER_ON_RUNNING);
	FOLLOW(FAILOVER_READY, FAILOVER_HOLDING, FAILOVER_ON_LOST);
	FOLLOW(FAILOVER_HOLDING, FAILOVER_RELEASED, FAILOVER_ON_PEER_WANTS_SOLO, FAILOVER_ON_DONE);
	FOLLOW(FAILOVER_RECEIVING, FAILOVER_RELEASED, FAILOVER_ON_LOST, FAILOVER_ON_DONE);
	FOLLOW(FAILOVER_READY, FAILOVER_BROKEN, FAILOVER_ON_GRANT, FAILOVER_ON_WORKER_DIED,
		FAILOVER_ON_DONE);
	FOLLOW(FAILOVER_READY, FAILOVER_STUCK, FAILOVER_ON_GRANT, FAILOVER_ON_WORKER_DIED,
		FAILOVER_ON_NOT_DONE);
	FOLLOW(FAILOVER_READY, FAILOVER_RELEASED, FAILOVER_ON_UNPROTECT_ASKED, FAILOVER_ON_DONE);
}

static bool has_row(int s, enum failover_event e)
{
	struct failover_step step;

	return failover_machine_step((enum failover_state)s, e, FAILOVER_IDLE, &step);
}

/* A worker whose last word has no place is taken for dead when it ends: that must have one. */
static void the_end_of_a_worker_has_a_place(void **state)
{
	static const enum failover_state with_worker[] = {FAILOVER_CHECKING, FAILOVER_PREPARING,
		FAILOVER_SYNCING, FAILOVER_PROTECTED, FAILOVER_MOVING, FAILOVER_HANDED_OVER,
		FAILOVER_WANT_SOLO, FAILOVER_GOING_SOLO, FAILOVER_STOPPING, FAILOVER_ENDING,
		FAILOVER_LEAVING, FAILOVER_OPENING, FAILOVER_RECEIVING, FAILOVER_READY,
		FAILOVER_HOLDING, FAILOVER_TAKING_OVER, FAILOVER_RELEASING};

	for (size_t i = 0; i < ARRAY_SIZE(with_worker); i++)
		assert_true(has_row(with_worker[i], FAILOVER_ON_WORKER_DIED));
}

/* A stale guest that could not be destroyed must not be protected: it would be let speak. */
static void a_stale_guest_is_not_protected(void **state)
{
	assert_false(has_row(FAILOVER_LEAVING, FAILOVER_ON_PROTECT));
	assert_false(has_row(FAILOVER_LEAVING, FAILOVER_ON_PREPARE));
}

/* What is asked of the arbiter is what its grant would decide, and a lost claim is the peer's word.
 */
static void the_arbiter_is_asked_for_what_a_grant_decides(void **state)
{
	const struct failover_record r = {.generation = 7};
	enum failover_event event;
	struct failover_step step;

	for (int i = 0; i < FAILOVER_STATE_COUNT; i++) {
		const enum failover_state s = (enum failover_state)i;
		const bool primary = failover_machine_role(s) == PROTO_ROLE_PRIMARY;
		const enum failover_decision wish = failover_decide_wish(s);

		if (!failover_machine_needs_grant(s)) {
			assert_int_equal(wish, FAILOVER_DECISION_NONE);
			continue;
		}
		assert_int_equal(wish, primary                   ? FAILOVER_DECISION_SOLO
				       : s == FAILOVER_RECEIVING ? FAILOVER_DECISION_NONE
								 : FAILOVER_DECISION_TAKEOVER);
		assert_true(failover_decide_verdict(s, &r, FAILOVER_VERDICT_OTHER, false, &event));
		assert_int_equal(
			event, primary ? FAILOVER_ON_PEER_OWNS : FAILOVER_ON_PEER_WANTS_SOLO);
		assert_true(failover_machine_step(s, event, FAILOVER_IDLE, &step));
		assert_int_equal(step.action, primary ? FAILOVER_DO_LEAVE : FAILOVER_DO_RELEASE);
		/* A backup keeps its copy while the primary may be shot at any moment. */
		assert_int_equal(
			failover_decide_verdict(s, &r, FAILOVER_VERDICT_OTHER, true, &event),
			primary);
	}
}

static void a_failed_attempt_returns_to_the_base(void **state)
{
	struct failover_step step;

	assert_true(failover_machine_step(
		FAILOVER_CHECKING, FAILOVER_ON_FAILED, FAILOVER_TAKEN_OVER, &step));
	assert_int_equal(step.next, FAILOVER_TAKEN_OVER);
}

/* A guest that ended while the hosts could not hear each other claims nothing after a restart. */
static void only_a_running_guest_is_claimed(void **state)
{
	assert_int_equal(
		failover_machine_base(PROTO_ROLE_PRIMARY, FAILOVER_DECISION_SOLO), FAILOVER_SOLO);
	assert_int_equal(failover_machine_base(PROTO_ROLE_PRIMARY, FAILOVER_DECISION_TAKEOVER),
		FAILOVER_TAKEN_OVER);
	assert_int_equal(
		failover_machine_base(PROTO_ROLE_PRIMARY, FAILOVER_DECISION_ENDED), FAILOVER_IDLE);
	assert_int_equal(failover_machine_base(PROTO_ROLE_PRIMARY, FAILOVER_DECISION_RELEASED),
		FAILOVER_IDLE);
	assert_int_equal(failover_machine_base(PROTO_ROLE_BACKUP, FAILOVER_DECISION_RELEASED),
		FAILOVER_RELEASED);
	/* It was granted: whoever waits for word of it must go on hearing that. */
	assert_int_equal(failover_machine_base(PROTO_ROLE_BACKUP, FAILOVER_DECISION_TAKEOVER),
		FAILOVER_BROKEN);
}

static void everything_has_a_name(void **state)
{
	for (int s = 0; s < FAILOVER_STATE_COUNT; s++)
		assert_non_null(failover_state_name((enum failover_state)s));
	for (int e = 0; e < FAILOVER_EVENT_COUNT; e++)
		assert_non_null(failover_event_name((enum failover_event)e));
}

static enum failover_state after_unprotect_in(enum failover_state attempt, enum failover_state base)
{
	struct failover_step step = {.next = FAILOVER_STATE_COUNT};

	assert_true(failover_machine_step(attempt, FAILOVER_ON_UNPROTECT, base, &step));
	return step.next;
}

/* Also the protection that an attempt was to renew: its intent would bring it back. */
static void an_attempt_to_renew_ends_what_was(void **state)
{
	assert_int_equal(after_unprotect_in(FAILOVER_CHECKING, FAILOVER_SOLO), FAILOVER_IDLE);
	assert_int_equal(
		after_unprotect_in(FAILOVER_PREPARING, FAILOVER_TAKEN_OVER), FAILOVER_IDLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takeover_needs_a_checkpoint_and_a_grant),
		cmocka_unit_test(solo_needs_want_solo_and_a_grant),
		cmocka_unit_test(a_guest_is_handed_over_once_and_taken_back_by_promise),
		cmocka_unit_test(reclaim_needs_the_promise_of_the_backup),
		cmocka_unit_test(a_protected_guest_goes_solo_only_by_grant),
		cmocka_unit_test(decisions_are_final),
		cmocka_unit_test(the_end_of_a_guest_grants_nothing),
		cmocka_unit_test(the_end_of_a_guest_has_a_place),
		cmocka_unit_test(ways_of_an_ending_guest),
		cmocka_unit_test(ways_of_a_primary),
		cmocka_unit_test(ways_of_a_backup),
		cmocka_unit_test(the_end_of_a_worker_has_a_place),
		cmocka_unit_test(a_stale_guest_is_not_protected),
		cmocka_unit_test(the_arbiter_is_asked_for_what_a_grant_decides),
		cmocka_unit_test(a_failed_attempt_returns_to_the_base),
		cmocka_unit_test(only_a_running_guest_is_claimed),
		cmocka_unit_test(everything_has_a_name),
		cmocka_unit_test(an_attempt_to_renew_ends_what_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
