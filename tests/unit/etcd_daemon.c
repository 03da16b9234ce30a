/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * romulusd with etcd as its arbiter, from a record on disk on: alpha was restarted beside a guest
 * that it had protected on beta, and its workers are programs that only say that they were called.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "tests/unit/daemon_rig.h"
#include "tests/unit/etcd_rig.h"

static uint64_t generation;

static enum failover_decision decision_of(const struct host *h)
{
	return daemon_record_of(h).decision;
}

static void await_decided(const char *host)
{
	const uint64_t last = clock_now_ns() + RIG_PATIENCE;
	struct failover_etcd *e = rig_client();
	struct rig_outcome o;

	do
		o = rig_ask(e, "nobody", generation, FAILOVER_ETCD_DECIDE);
	while (!(o.answered && o.answer.decided) && clock_now_ns() < last);
	assert_true(o.answer.decided);
	assert_string_equal(o.answer.name, host);
	failover_etcd_free(e);
}

static void enter_beta(enum failover_etcd_operation operation)
{
	struct failover_etcd *e = rig_client();
	struct failover_etcd_entry entry = rig_entry("beta", generation);
	struct rig_outcome o = rig_ask(e, entry.owner, entry.generation, operation);

	assert_int_equal(o.answer.owner, FAILOVER_ETCD_OURS);
	failover_etcd_free(e);
}

static int finish(void **state)
{
	daemon_rig_finish();
	return 0;
}

static int begin(void **state)
{
	char section[1024];

	generation++;
	for (unsigned int i = 0; i < RIG_MEMBERS; i++)
		rig_start(i);
	rig_await();
	snprintf(section, sizeof(section),
		"etcd { endpoints = { \"%s\", \"%s\", \"%s\" } ca = \"%s\" certificate = \"%s\" "
		"key = \"%s\" timeout = 500 }",
		rig_endpoint[0], rig_endpoint[1], rig_endpoint[2], rig_conf.ca,
		rig_conf.certificate, rig_conf.key);
	daemon_configure(&host_alpha, "etcd", section);
	daemon_configure(&host_beta, "etcd", section);
	daemon_record(&host_alpha, PROTO_ROLE_PRIMARY, generation);
	daemon_record(&host_beta, PROTO_ROLE_BACKUP, generation);
	return 0;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void alone_it_waits_for_a_majority_and_goes_on(void **state)
{
	CLEANUP_FREE char *refused = NULL;

	rig_kill(0);
	rig_kill(1);
	daemon_run(&host_alpha);
	daemon_await(&host_alpha, "waiting for etcd, no endpoint answers: https://");
	daemon_await(&host_alpha, "\"answers\":false");
	refused = daemon_command(&host_alpha, "{\"command\":\"confirm-dead\",\"host\":\"beta\"}\n");
	assert_non_null(strstr(refused, "etcd alone decides"));
	assert_int_equal(decision_of(&host_alpha), FAILOVER_DECISION_NONE);
	rig_start(0);
	rig_start(1);
	daemon_await(&host_alpha, "runs alone");
	daemon_await(&host_alpha, "\"answers\":true");
	assert_int_equal(decision_of(&host_alpha), FAILOVER_DECISION_SOLO);
	assert_true(daemon_called(&host_alpha, "^--repair db "));
	await_decided("alpha");
	daemon_end(&host_alpha);
}

static void the_loser_destroys_its_guest_when_the_winner_acts(void **state)
{
	enter_beta(FAILOVER_ETCD_ENTER);
	daemon_run(&host_alpha);
	daemon_await(&host_alpha, "beta is entered in etcd and has not said that it acts on it");
	assert_int_equal(decision_of(&host_alpha), FAILOVER_DECISION_NONE);
	enter_beta(FAILOVER_ETCD_DECIDE);
	daemon_await(&host_alpha, "beta runs it now");
	assert_true(daemon_called(&host_alpha, "^--discard db "));
	assert_false(daemon_called(&host_alpha, "^--repair db ")); /* nothing was let out */
	daemon_end(&host_alpha);
}

/* beta was entered and crashed: its standby is gone, and the guest must not be. */
static void a_claim_that_came_to_nothing_costs_nothing(void **state)
{
	enter_beta(FAILOVER_ETCD_ENTER);
	daemon_run(&host_alpha);
	daemon_await(&host_alpha, "beta is entered in etcd and has not said that it acts on it");
	daemon_run(&host_beta);
	daemon_await(&host_alpha, "runs alone");
	assert_int_equal(decision_of(&host_alpha), FAILOVER_DECISION_SOLO);
	assert_int_equal(decision_of(&host_beta), FAILOVER_DECISION_RELEASED);
	assert_false(daemon_called(&host_alpha, "^--discard db "));
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* etcd is lost for good: an operator knows that beta is off. */
static void an_operator_overrules_a_silent_etcd(void **state)
{
	CLEANUP_FREE char *answer = NULL;

	rig_kill(0);
	rig_kill(1);
	daemon_run(&host_alpha);
	daemon_await(&host_alpha, "waiting for etcd, no endpoint answers: https://");
	answer = daemon_command(&host_alpha, "{\"command\":\"failover\",\"domain\":\"db\"}\n");
	daemon_await(&host_alpha, "runs alone");
	assert_int_equal(decision_of(&host_alpha), FAILOVER_DECISION_SOLO);
	rig_start(0);
	rig_start(1);
	await_decided("alpha"); /* should beta ask one day */
	daemon_end(&host_alpha);
}

static int set_up(void **state)
{
	daemon_rig_begin(rig_dir);
	return rig_set_up(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			alone_it_waits_for_a_majority_and_goes_on, begin, finish),
		cmocka_unit_test_setup_teardown(
			the_loser_destroys_its_guest_when_the_winner_acts, begin, finish),
		cmocka_unit_test_setup_teardown(
			a_claim_that_came_to_nothing_costs_nothing, begin, finish),
		cmocka_unit_test_setup_teardown(an_operator_overrules_a_silent_etcd, begin, finish),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, set_up, rig_tear_down);
}
