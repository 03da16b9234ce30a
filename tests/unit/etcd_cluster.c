/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client and the arbiter against three members of a real etcd on loopback, with TLS and
 * certificates made here. Members and clients are killed.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "failover/arbiter.h"
#include "tests/unit/etcd_rig.h"

#define GENERATIONS 200u

static const struct failover_timeouts timeouts = {
	.etcd_first = 20, .etcd_last = 100, .fence_first = 50, .fence_last = 50};
static uint64_t next_generation = 1;

/* ---- tests ----------------------------------------------------------------------------------- */

static void the_first_owns_it_for_good(void **state)
{
	const uint64_t generation = next_generation++;
	struct failover_etcd *e = rig_client();
	struct rig_outcome o = rig_ask(e, "beta", generation, FAILOVER_ETCD_DECIDE);

	assert_int_equal(
		o.answer.owner, FAILOVER_ETCD_NOBODY); /* nothing to decide, nothing made */
	o = rig_ask(e, "alpha", generation, FAILOVER_ETCD_ENTER);
	assert_int_equal(o.answer.owner, FAILOVER_ETCD_OURS);
	assert_true(o.answer.cluster != 0);
	for (int i = 0; i < 2; i++) {
		o = rig_ask(e, "beta", generation, FAILOVER_ETCD_ENTER);
		assert_int_equal(o.answer.owner, FAILOVER_ETCD_THEIRS);
		assert_false(o.answer.decided);
		assert_string_equal(o.answer.name, "alpha");
	}
	o = rig_ask(e, "beta", generation, FAILOVER_ETCD_DECIDE);
	assert_int_equal(o.answer.owner, FAILOVER_ETCD_THEIRS);
	o = rig_ask(e, "alpha", generation, FAILOVER_ETCD_DECIDE);
	assert_int_equal(o.answer.owner, FAILOVER_ETCD_OURS);
	o = rig_ask(e, "beta", generation, FAILOVER_ETCD_ENTER);
	assert_int_equal(o.answer.owner, FAILOVER_ETCD_THEIRS);
	assert_true(o.answer.decided);
	o = rig_ask(e, "alpha", generation, FAILOVER_ETCD_ENTER);
	assert_int_equal(o.answer.owner, FAILOVER_ETCD_OURS);
	failover_etcd_free(e);
}

static void of_two_that_race_one_wins(void **state)
{
	struct failover_etcd *e[2] = {rig_client(), rig_client()};
	static const char *const host[2] = {"alpha", "beta"};

	for (uint64_t i = 0; i < GENERATIONS; i++) {
		const uint64_t generation = next_generation++;
		struct rig_outcome o[2] = {{.done = false}, {.done = false}};
		struct failover_etcd_request *r = NULL;
		struct why why;

		e[i % 2] = failover_etcd_free(e[i % 2]); /* at another member first */
		rig_conf.endpoints[0] = rig_endpoint[i % RIG_MEMBERS];
		rig_conf.endpoints[i % RIG_MEMBERS] = rig_endpoint[0];
		e[i % 2] = rig_client();
		for (uint64_t k = i; k < i + 2; k++) {
			const struct failover_etcd_entry entry = rig_entry(host[k % 2], generation);

			assert_int_equal(failover_etcd_ask(e[k % 2], &entry, FAILOVER_ETCD_ENTER,
						 rig_note, &o[k % 2], &r, &why),
				0);
		}
		rig_wait(&o[0].done);
		rig_wait(&o[1].done);
		for (unsigned int k = 0; k < RIG_MEMBERS; k++)
			rig_conf.endpoints[k] = rig_endpoint[k];
		if (!o[0].answered || !o[1].answered)
			fail_msg("%s%s", o[0].why.text, o[1].why.text);
		assert_int_equal((o[0].answer.owner == FAILOVER_ETCD_OURS) +
					 (o[1].answer.owner == FAILOVER_ETCD_OURS),
			1);
		assert_string_equal(o[0].answer.name, o[1].answer.name);
	}
	failover_etcd_free(e[0]);
	failover_etcd_free(e[1]);
}

/* A client of its own process, killed after @us. */
static void ask_and_die(const char *host, uint64_t generation, unsigned int us)
{
	const struct failover_etcd_entry entry = rig_entry(host, generation);
	struct failover_etcd_request *r = NULL;
	struct failover_etcd *e = NULL;
	struct rig_outcome o = {.done = false};
	struct why why;
	pid_t pid = fork();

	if (pid == 0) {
		if (sd_event_new(&rig_event) < 0 ||
			failover_etcd_new(rig_event, &rig_conf, &e, &why) < 0 ||
			failover_etcd_ask(e, &entry, FAILOVER_ETCD_ENTER, rig_note, &o, &r, &why) <
				0)
			_exit(1);
		while (!o.done)
			sd_event_run(rig_event, UINT64_MAX);
		_exit(0);
	}
	usleep(us); /* any moment will do */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void whoever_is_killed_finds_the_same_owner_again(void **state)
{
	struct failover_etcd *e = rig_client();
	unsigned int entered = 0;

	for (unsigned int i = 0; i < 60; i++) {
		const uint64_t generation = next_generation++;
		struct rig_outcome alpha, beta, again;

		ask_and_die("alpha", generation, i * 500);
		beta = rig_ask(e, "beta", generation, FAILOVER_ETCD_ENTER);
		alpha = rig_ask(e, "alpha", generation, FAILOVER_ETCD_ENTER);
		again = rig_ask(e, "beta", generation, FAILOVER_ETCD_ENTER);
		assert_true(alpha.answered && beta.answered && again.answered);
		assert_string_equal(alpha.answer.name, beta.answer.name);
		assert_string_equal(alpha.answer.name, again.answer.name);
		assert_true((alpha.answer.owner == FAILOVER_ETCD_OURS) !=
			    (beta.answer.owner == FAILOVER_ETCD_OURS));
		entered += alpha.answer.owner == FAILOVER_ETCD_OURS;
	}
	print_message("killed 60 times, entered before that %u times\n", entered);
	failover_etcd_free(e);
}

static void strangers_are_not_asked_and_not_answered(void **state)
{
	char stranger[64], stranger_key[64], other_ca[64];
	struct failover_etcd_config good = rig_conf;
	struct failover_etcd *e;
	struct rig_outcome o;

	snprintf(other_ca, sizeof(other_ca), "%s/other.pem", rig_dir);
	snprintf(stranger, sizeof(stranger), "%s/stranger.pem", rig_dir);
	snprintf(stranger_key, sizeof(stranger_key), "%s/stranger.key", rig_dir);
	rig_conf.ca = other_ca; /* the members are none of ours */
	e = rig_client();
	o = rig_ask(e, "alpha", next_generation, FAILOVER_ETCD_ENTER);
	assert_false(o.answered);
	assert_non_null(strstr(o.why.text, "certificate"));
	failover_etcd_free(e);
	rig_conf = good;
	rig_conf.certificate = stranger; /* we are none of theirs */
	rig_conf.key = stranger_key;
	e = rig_client();
	o = rig_ask(e, "alpha", next_generation, FAILOVER_ETCD_ENTER);
	assert_false(o.answered);
	failover_etcd_free(e);
	rig_conf = good;
	e = rig_client();
	o = rig_ask(e, "beta", next_generation++, FAILOVER_ETCD_ENTER); /* nothing was entered */
	assert_int_equal(o.answer.owner, FAILOVER_ETCD_OURS);
	failover_etcd_free(e);
}

static void a_request_can_be_forgotten(void **state)
{
	const struct failover_etcd_entry entry = rig_entry("alpha", next_generation++);
	struct failover_etcd *e = rig_client();
	struct failover_etcd_request *r = NULL;
	struct rig_outcome o = {.done = false};
	struct why why;

	for (int i = 0; i < 20; i++) {
		assert_int_equal(
			failover_etcd_ask(e, &entry, FAILOVER_ETCD_ENTER, rig_note, &o, &r, &why),
			0);
		for (int k = 0; k < i && !o.done; k++)
			sd_event_run(rig_event, 0);
		if (!o.done)
			failover_etcd_cancel(r);
		o.done = false;
	}
	o = rig_ask(e, "alpha", entry.generation, FAILOVER_ETCD_ENTER);
	assert_int_equal(o.answer.owner, FAILOVER_ETCD_OURS);
	failover_etcd_free(e);
}

/* ---- the arbiter ----------------------------------------------------------------------------- */

struct side {
	const char *peer;
	struct failover_peer_config rig_conf;
	struct failover_events events;
	struct failover_etcd *etcd;
	struct failover_arbiter arbiter;
	struct failover_claim claim;
	struct failover_question question;
};

static void news(void *data)
{
}

static void side_init(
	struct side *s, bool primary, uint64_t generation, enum failover_arbiter_kind kind)
{
	static struct failover_fence_config fence = {.agent = (char *)"/bin/false", .timeout_s = 1};

	*s = (struct side){.rig_conf = {.name = (char *)(primary ? "beta" : "alpha"),
				   .arbiter = kind,
				   .fences = &fence,
				   .fences_n = 1}};
	s->events.host = primary ? "alpha" : "beta";
	s->etcd = rig_client();
	s->question = (struct failover_question){.domain = "db",
		.uuid = RIG_UUID,
		.generation = generation,
		.word = primary ? FAILOVER_DECISION_SOLO : FAILOVER_DECISION_TAKEOVER,
		.as_primary = primary};
	failover_arbiter_init(
		&s->arbiter, rig_event, &s->rig_conf, &timeouts, &s->events, s->etcd, news, s);
}

static void side_dispose(struct side *s)
{
	failover_claim_forget(&s->claim);
	failover_arbiter_dispose(&s->arbiter);
	failover_etcd_free(s->etcd);
	failover_events_clear(&s->events);
}

static enum failover_verdict need(struct side *s)
{
	return failover_arbiter_need(&s->arbiter, &s->claim, &s->question, clock_now_ns());
}

/* As the daemon's tick does it, until the claim is in @state. */
static void need_until(struct side *s, enum failover_claim_state state)
{
	const uint64_t end = clock_now_ns() + RIG_PATIENCE;

	while (s->claim.state != state && clock_now_ns() < end) {
		need(s);
		sd_event_run(rig_event, 10000);
	}
	assert_int_equal(s->claim.state, state);
}

static void tell(struct side *s)
{
	const uint64_t end = clock_now_ns() + RIG_PATIENCE;

	while (s->claim.state != FAILOVER_CLAIM_TOLD && clock_now_ns() < end) {
		failover_arbiter_decided(&s->arbiter, &s->claim, &s->question, clock_now_ns());
		sd_event_run(rig_event, 10000);
	}
	assert_int_equal(s->claim.state, FAILOVER_CLAIM_TOLD);
}

static void the_loser_hears_when_the_winner_acts(void **state)
{
	struct side alpha, beta;
	char text[WHY_MAX];

	side_init(&alpha, true, next_generation, FAILOVER_ARBITER_ETCD);
	side_init(&beta, false, next_generation++, FAILOVER_ARBITER_ETCD);
	need_until(&beta, FAILOVER_CLAIM_OURS);
	assert_int_equal(need(&beta), FAILOVER_VERDICT_GRANTED);
	need_until(&alpha, FAILOVER_CLAIM_DISPUTED);
	assert_int_equal(need(&alpha), FAILOVER_VERDICT_WAIT);
	failover_claim_waiting(&alpha.claim, text, sizeof(text));
	assert_non_null(strstr(text, "beta is entered in etcd"));
	tell(&beta);
	need_until(&alpha, FAILOVER_CLAIM_LOST);
	assert_int_equal(need(&alpha), FAILOVER_VERDICT_OTHER);
	alpha.question.generation++; /* that says nothing about the next one */
	assert_int_equal(failover_arbiter_verdict(&alpha.arbiter, &alpha.claim, &alpha.question),
		FAILOVER_VERDICT_WAIT);
	side_dispose(&alpha);
	side_dispose(&beta);
	next_generation++;
}

/* What was decided without the store, by an operator, is told to it all the same. */
static void a_decision_is_entered_where_nothing_was(void **state)
{
	struct side alpha, beta;

	side_init(&alpha, true, next_generation, FAILOVER_ARBITER_ETCD);
	side_init(&beta, false, next_generation++, FAILOVER_ARBITER_ETCD);
	tell(&alpha);
	need_until(&beta, FAILOVER_CLAIM_LOST);
	side_dispose(&alpha);
	side_dispose(&beta);
}

static void with_fence_both_are_needed(void **state)
{
	struct side alpha;

	side_init(&alpha, true, next_generation++, FAILOVER_ARBITER_ETCD_FENCE);
	failover_arbiter_confirm(&alpha.arbiter);
	assert_int_equal(need(&alpha), FAILOVER_VERDICT_WAIT); /* off, and whose it is is open */
	need_until(&alpha, FAILOVER_CLAIM_OURS);
	assert_int_equal(need(&alpha), FAILOVER_VERDICT_GRANTED);
	failover_arbiter_heard(&alpha.arbiter);
	assert_int_equal(need(&alpha), FAILOVER_VERDICT_WAIT); /* ours, and the peer is not off */
	side_dispose(&alpha);
}

static void a_question_that_is_dropped_may_still_come_to_pass(void **state)
{
	struct side alpha;

	side_init(&alpha, true, next_generation++, FAILOVER_ARBITER_ETCD);
	assert_false(failover_claim_forget(&alpha.claim));
	need(&alpha);
	assert_true(failover_claim_forget(&alpha.claim));
	need_until(&alpha, FAILOVER_CLAIM_OURS);
	assert_true(failover_claim_forget(&alpha.claim));
	tell(&alpha);
	assert_false(failover_claim_forget(&alpha.claim));
	side_dispose(&alpha);
}

static void members_die(void **state)
{
	struct side alpha;
	char text[WHY_MAX];

	rig_kill(0); /* the one that is asked first */
	side_init(&alpha, true, next_generation++, FAILOVER_ARBITER_ETCD);
	need_until(&alpha, FAILOVER_CLAIM_OURS);
	side_dispose(&alpha);

	rig_kill(1);
	rig_conf.timeout_ms = 2000; /* one that has no majority does not answer */
	side_init(&alpha, true, next_generation++, FAILOVER_ARBITER_ETCD);
	for (const uint64_t end = clock_now_ns() + RIG_PATIENCE;
		!alpha.claim.text[0] && clock_now_ns() < end;) {
		assert_int_equal(need(&alpha), FAILOVER_VERDICT_WAIT);
		sd_event_run(rig_event, 10000);
	}
	failover_claim_waiting(&alpha.claim, text, sizeof(text));
	assert_non_null(strstr(text, "waiting for etcd, no endpoint answers: https://127.0.0.1:"));
	assert_non_null(strstr(text, rig_endpoint[2]));
	assert_int_equal(need(&alpha), FAILOVER_VERDICT_WAIT);

	rig_start(0);
	rig_start(1);
	need_until(&alpha, FAILOVER_CLAIM_OURS);
	side_dispose(&alpha);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_owns_it_for_good),
		cmocka_unit_test(of_two_that_race_one_wins),
		cmocka_unit_test(whoever_is_killed_finds_the_same_owner_again),
		cmocka_unit_test(strangers_are_not_asked_and_not_answered),
		cmocka_unit_test(a_request_can_be_forgotten),
		cmocka_unit_test(the_loser_hears_when_the_winner_acts),
		cmocka_unit_test(a_decision_is_entered_where_nothing_was),
		cmocka_unit_test(with_fence_both_are_needed),
		cmocka_unit_test(a_question_that_is_dropped_may_still_come_to_pass),
		cmocka_unit_test(members_die),
	};

	sigset_t child;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD); /* the loop waits for the fence agent */
	sigprocmask(SIG_BLOCK, &child, NULL);
	return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
