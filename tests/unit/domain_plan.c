/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the actions are made of: promises first, and what only a promise allows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "failover/domain_plan.h"

#define OURS 7u

static const struct failover_attempt attempt = {OURS + 1, "its-uuid", "beta", false, false};

/* Hands that write down what they did, a letter each. */
struct notes {
	enum failover_state state;
	bool writable, worker;
	char done[16];
};

static void note(void *host, char what)
{
	struct notes *n = host;

	n->done[strlen(n->done)] = what;
}

static bool promise(void *host, const struct failover_plan *p)
{
	note(host, 'p');
	return ((struct notes *)host)->writable;
}

static void particular(void *host, enum failover_action action)
{
}

static bool order(void *host, enum proto_order order)
{
	note(host, 'o');
	return ((struct notes *)host)->worker;
}

static void command(void *host, enum failover_command command)
{
	note(host, 'c');
}

static void withdraw(void *host)
{
	note(host, 'w');
}

static void dismiss(void *host)
{
	note(host, 'd');
}

static void kill_worker(void *host)
{
	note(host, 'k');
}

static void later(void *host)
{
	note(host, 'l');
}

static void beat(void *host)
{
	note(host, 'b');
}

static const struct failover_hands hands = {
	promise, particular, order, command, withdraw, dismiss, kill_worker, later, beat};

static bool written;

static const char *run(enum failover_action action, bool writable, bool worker)
{
	static struct notes n;
	const struct failover_step step = {FAILOVER_SOLO, action};

	n = (struct notes){.state = FAILOVER_IDLE, .writable = writable, .worker = worker};
	written = failover_plan_run(&n.state, &step, &hands, &n);
	assert_int_equal(written, writable || !failover_plan(action)->promise);
	assert_int_equal(n.state == FAILOVER_SOLO, strchr(n.done, 'b') != NULL);
	return n.done;
}

/* Nothing is said, ordered or asked before the promise is on disk, and nothing without it. */
static void promises_come_first(void **state)
{
	for (int i = 0; i < FAILOVER_ACTION_COUNT; i++) {
		const enum failover_action a = (enum failover_action)i;
		const struct failover_plan *p = failover_plan(a);

		if (!p->promise) {
			assert_null(strchr(run(a, true, true), 'p'));
			continue;
		}
		assert_int_equal(run(a, true, true)[0], 'p');
		assert_string_equal(run(a, false, true), "p");
	}
	assert_string_equal(run(FAILOVER_DO_GO_SOLO, true, true), "pob");
}

/* A command does what no worker is there to do, and never both. */
static void a_command_stands_in_for_a_worker(void **state)
{
	assert_string_equal(run(FAILOVER_DO_GO_SOLO, true, false), "pocb");
	assert_string_equal(run(FAILOVER_DO_RELEASE, true, false), "pocb");
	assert_string_equal(run(FAILOVER_DO_RELEASE, true, true), "pob");
	assert_string_equal(run(FAILOVER_DO_TAKE_OVER, true, false), "pob");
	assert_string_equal(run(FAILOVER_DO_CLEAR, true, true), "kcb");
	assert_string_equal(run(FAILOVER_DO_GIVE_UP, true, true), "wodlb");
	assert_string_equal(run(FAILOVER_DO_NOTHING, true, true), "b");
}

/* Invariant 2, of whatever row leads there: an order that makes an owner follows its decision. */
static void an_owner_has_decided(void **state)
{
	for (int i = 0; i < FAILOVER_ACTION_COUNT; i++) {
		const struct failover_plan *p = failover_plan((enum failover_action)i);

		if (p->order == PROTO_ORDER_SOLO || p->command == FAILOVER_RUN_START)
			assert_int_equal(p->decision, FAILOVER_DECISION_SOLO);
		if (p->order == PROTO_ORDER_TAKEOVER)
			assert_int_equal(p->decision, FAILOVER_DECISION_TAKEOVER);
		if (p->order == PROTO_ORDER_DISCARD)
			assert_true(p->decision == FAILOVER_DECISION_RELEASED ||
				    p->decision == FAILOVER_DECISION_LEFT);
		if (p->order)
			assert_true(!p->regardless);
	}
}

static void a_pairing_is_undecided_and_new(void **state)
{
	const struct failover_record now = {.generation = OURS,
		.role = PROTO_ROLE_BACKUP,
		.decision = FAILOVER_DECISION_RELEASED,
		.uuid = "another"};
	const struct failover_record r =
		failover_plan_record(failover_plan(FAILOVER_DO_CONNECT), &now, &attempt);

	assert_int_equal(r.generation, OURS + 1);
	assert_int_equal(r.role, PROTO_ROLE_PRIMARY);
	assert_int_equal(r.decision, FAILOVER_DECISION_NONE);
	assert_true(r.intent);
	assert_string_equal(r.uuid, "its-uuid");
	assert_string_equal(r.peer, "beta");
}

/* The wish goes with the guest: it is kept with the promise, and is void when that is. */
static void a_guest_is_handed_over_with_its_protection_or_without(void **state)
{
	const struct failover_record now = {
		.generation = OURS, .role = PROTO_ROLE_PRIMARY, .intent = true};
	const struct failover_attempt without = {OURS, "its-uuid", "beta", true, false};
	const struct failover_plan *hand_over = failover_plan(FAILOVER_DO_HAND_OVER);
	struct failover_record r = failover_plan_record(hand_over, &now, &attempt);

	assert_int_equal(r.decision, FAILOVER_DECISION_HANDED);
	assert_true(r.intent);
	r = failover_plan_record(hand_over, &now, &without);
	assert_int_equal(r.decision, FAILOVER_DECISION_HANDED);
	assert_false(r.intent);
	r = failover_plan_record(failover_plan(FAILOVER_DO_TAKE_BACK), &r, &without);
	assert_int_equal(r.decision, FAILOVER_DECISION_SOLO);
	assert_true(r.intent);
	assert_string_equal(run(FAILOVER_DO_HAND_OVER, true, true), "pb");
	assert_string_equal(run(FAILOVER_DO_HAND_OVER, false, true), "p");
	assert_string_equal(run(FAILOVER_DO_TAKE_BACK, true, false), "pocb");
	assert_string_equal(run(FAILOVER_DO_MOVE, true, true), "ob");
}

/* What is protected only to be moved is not protected again when that came to nothing. */
static void nobody_wants_what_only_passes(void **state)
{
	const struct failover_record now = {.generation = OURS, .role = PROTO_ROLE_PRIMARY};
	struct failover_attempt passing = {OURS + 1, "its-uuid", "beta", true, true};
	struct failover_record r =
		failover_plan_record(failover_plan(FAILOVER_DO_CONNECT), &now, &passing);

	assert_int_equal(r.generation, OURS + 1);
	assert_false(r.intent);
	assert_false(
		failover_plan_record(failover_plan(FAILOVER_DO_HAND_OVER), &r, &passing).intent);
	assert_false(
		failover_plan_record(failover_plan(FAILOVER_DO_TAKE_BACK), &r, &passing).intent);
	/* A guest of that name that comes here to be protected is another matter. */
	assert_true(failover_plan_record(failover_plan(FAILOVER_DO_ANSWER_PREPARED), &now, &passing)
			    .intent);
	assert_false(r.passing &&
		     failover_plan_record(failover_plan(FAILOVER_DO_FORGET), &r, &passing).passing);
	passing.passing = false; /* romulusd was restarted: the record knows */
	assert_false(
		failover_plan_record(failover_plan(FAILOVER_DO_TAKE_BACK), &r, &passing).intent);
	passing.unwanted = false; /* but there it is to be */
	assert_true(
		failover_plan_record(failover_plan(FAILOVER_DO_HAND_OVER), &r, &passing).intent);
}

/* Of this generation, whatever else is decided; and wanted as before unless it says so. */
static void a_decision_changes_nothing_else(void **state)
{
	const struct failover_record now = {.generation = OURS,
		.role = PROTO_ROLE_PRIMARY,
		.decision = FAILOVER_DECISION_SOLO,
		.intent = true,
		.uuid = "ours"};

	for (int i = 0; i < FAILOVER_ACTION_COUNT; i++) {
		const struct failover_plan *p = failover_plan((enum failover_action)i);
		const struct failover_record r = failover_plan_record(p, &now, &attempt);

		if (p->promise == FAILOVER_PROMISE_PAIRING)
			continue;
		assert_int_equal(r.generation, OURS);
		assert_string_equal(r.uuid, "ours");
		assert_int_equal(r.intent, !p->unwanted);
		if (p->promise != FAILOVER_PROMISE_DECISION && p->promise != FAILOVER_PROMISE_REST)
			assert_int_equal(r.decision, FAILOVER_DECISION_SOLO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(promises_come_first),
		cmocka_unit_test(a_command_stands_in_for_a_worker),
		cmocka_unit_test(an_owner_has_decided),
		cmocka_unit_test(a_pairing_is_undecided_and_new),
		cmocka_unit_test(a_guest_is_handed_over_with_its_protection_or_without),
		cmocka_unit_test(a_decision_changes_nothing_else),
		cmocka_unit_test(nobody_wants_what_only_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
