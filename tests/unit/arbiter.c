/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arbiters: a grant only when the agent's status says off, one run for all, and none by itself. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <signal.h>
#include <systemd/sd-event.h>

#include "failover/arbiter.h"

static const struct failover_timeouts timeouts = {.fence_first = 50, .fence_last = 50};
static unsigned int grants, levels = 1;

static struct failover_claim none;
static const struct failover_question as_primary = {.as_primary = true}, as_backup;

static void news(void *data)
{
	grants++;
}

static bool need(struct failover_arbiter *a, const struct failover_question *q, uint64_t now_ns)
{
	return failover_arbiter_need(a, &none, q, now_ns) == FAILOVER_VERDICT_GRANTED;
}

static int stop(sd_event_source *s, uint64_t usec, void *data)
{
	return sd_event_exit(sd_event_source_get_event(s), 0);
}

/*
 * Run an agent whose body is @script ($action is off or status, $level what the level says) for
 * @ms; the kind of last event.
 */
static void run(
	const char *script, unsigned int ms, enum failover_arbiter_kind kind, char *ret_kind)
{
	char agent[] = "/tmp/romulus-agent-XXXXXX";
	char *first[] = {"plug=beta", "level=1"}, *second[] = {"plug=beta", "level=2"};
	struct failover_fence_config fences[] = {
		{.agent = agent, .options = first, .options_n = 2, .timeout_s = 1},
		{.agent = agent, .options = second, .options_n = 2, .timeout_s = 1},
	};
	struct failover_peer_config peer = {
		.name = "beta", .arbiter = kind, .fences = fences, .fences_n = levels};
	static struct failover_events events;
	struct failover_arbiter a;
	sd_event *event;
	sigset_t mask;
	int fd = mkstemp(agent);

	dprintf(fd,
		"#!/bin/sh\nwhile read l; do case $l in action=*) action=${l#action=};; "
		"plug=beta) plug=1;; level=*) level=${l#level=};; esac; done\n[ \"$plug\" ] || "
		"exit 9\n%s\n",
		script);
	fchmod(fd, 0700);
	close(fd);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	events.host = "alpha";
	grants = 0;
	assert_true(sd_event_new(&event) >= 0);
	failover_arbiter_init(&a, event, &peer, &timeouts, &events, NULL, news, NULL);
	for (int i = 0; i < 3; i++) /* three domains wait */
		assert_false(need(&a, &as_primary, 0));
	sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, ms * 1000, 1, stop, NULL);
	sd_event_loop(event);
	strcpy(ret_kind, failover_events_get(&events, events.last)->kind);
	assert_int_equal(a.proven, grants > 0);
	if (grants) {
		assert_true(need(&a, &as_primary, 0));
		failover_arbiter_heard(&a);
		assert_false(a.proven);
	}
	failover_arbiter_dispose(&a);
	sd_event_unref(event);
	failover_events_clear(&events);
	unlink(agent);
}

static void off_and_status_off_grants_once(void **state)
{
	char kind[24];

	run("[ $action = off ] && exit 0; exit 2", 500, FAILOVER_ARBITER_FENCE, kind);
	assert_int_equal(grants, 1);
	assert_string_equal(kind, "fenced");
}

static void other_outcomes_do_not(void **state)
{
	static const char *const scripts[] = {
		"echo no power >&2; exit 1",
		"exit 0", /* status says on */
		"[ $action = off ] && exit 0; exit 1",
	};
	char kind[24];

	for (size_t i = 0; i < 3; i++) {
		run(scripts[i], 300, FAILOVER_ARBITER_FENCE, kind);
		assert_int_equal(grants, 0);
		assert_true(!strcmp(kind, "fence-failed") || !strcmp(kind, "fence-begin"));
	}
}

static void a_hanging_agent_is_killed(void **state)
{
	char kind[24];

	run("sleep 30", 1030, FAILOVER_ARBITER_FENCE, kind);
	assert_int_equal(grants, 0);
	assert_string_equal(kind, "fence-failed");
}

static void manual_never_grants(void **state)
{
	char kind[24];

	run("exit 2", 100, FAILOVER_ARBITER_MANUAL, kind);
	assert_int_equal(grants, 0);
	assert_string_equal(kind, "waiting");
}

static void the_next_level_is_tried(void **state)
{
	char kind[24];

	levels = 2;
	run("[ $level = 2 ] || exit 1; [ $action = off ] && exit 0; exit 2", 800,
		FAILOVER_ARBITER_FENCE, kind);
	assert_int_equal(grants, 1);
	assert_string_equal(kind, "fenced");
	run("exit 1", 300, FAILOVER_ARBITER_FENCE, kind);
	assert_int_equal(grants, 0);
	levels = 1;
}

/* When both hosts take each other for dead, the primary's shot comes first. */
static void a_backup_waits_before_it_shoots(void **state)
{
	struct failover_fence_config fence = {.agent = "/nonexistent", .timeout_s = 1};
	struct failover_peer_config peer = {.name = "beta",
		.arbiter = FAILOVER_ARBITER_FENCE,
		.fences = &fence,
		.fences_n = 1,
		.fence_delay_ms = 500};
	static struct failover_events events;
	const uint64_t ms = 1000000;
	struct failover_arbiter a;
	uint64_t before;
	sd_event *event;

	events.host = "alpha";
	assert_true(sd_event_new(&event) >= 0);
	failover_arbiter_init(&a, event, &peer, &timeouts, &events, NULL, news, NULL);
	assert_false(need(&a, &as_backup, 1000 * ms));
	assert_false(need(&a, &as_backup, 1499 * ms));
	assert_int_equal(events.last, 0); /* nothing was begun */
	assert_false(need(&a, &as_backup, 1500 * ms));
	before = events.last;
	assert_true(before > 0);
	failover_arbiter_heard(&a);
	assert_false(need(&a, &as_backup, 9000 * ms)); /* a silence of its own */
	assert_int_equal(events.last, before);
	assert_false(need(&a, &as_primary, 9001 * ms));
	assert_true(events.last > before);
	failover_arbiter_dispose(&a);
	sd_event_unref(event);
	failover_events_clear(&events);
}

/* The wait begins when he next asks, doubles no faster than it must, and ends with the silence. */
static void a_failed_agent_is_asked_again(void **state)
{
	struct failover_fence_config fence = {.agent = "/nonexistent", .timeout_s = 1};
	struct failover_peer_config peer = {
		.name = "beta", .arbiter = FAILOVER_ARBITER_FENCE, .fences = &fence, .fences_n = 1};
	static struct failover_events events;
	const uint64_t ms = 1000000;
	struct failover_arbiter a;
	sd_event *event;

	events.host = "alpha";
	assert_true(sd_event_new(&event) >= 0);
	failover_arbiter_init(&a, event, &peer, &timeouts, &events, NULL, news, NULL);
	assert_false(need(&a, &as_primary, 1000 * ms));
	assert_int_equal(events.last, 2); /* begun, failed */
	assert_false(need(&a, &as_primary, 1010 * ms));
	assert_false(need(&a, &as_primary, 1059 * ms));
	assert_int_equal(events.last, 2);
	assert_false(need(&a, &as_primary, 1060 * ms));
	assert_int_equal(events.last, 4);
	failover_arbiter_heard(&a);
	assert_false(need(&a, &as_primary, 1061 * ms)); /* a silence of its own */
	assert_int_equal(events.last, 6);
	failover_arbiter_dispose(&a);
	sd_event_unref(event);
	failover_events_clear(&events);
}

static void an_operators_word_is_a_proof(void **state)
{
	struct failover_peer_config peer = {.name = "beta", .arbiter = FAILOVER_ARBITER_MANUAL};
	static struct failover_events events;
	struct failover_arbiter a;

	events.host = "alpha";
	grants = 0;
	failover_arbiter_init(&a, NULL, &peer, &timeouts, &events, NULL, news, NULL);
	assert_false(need(&a, &as_primary, 0));
	failover_arbiter_confirm(&a);
	assert_int_equal(grants, 1);
	assert_true(need(&a, &as_primary, 0));
	failover_arbiter_heard(&a);
	assert_false(need(&a, &as_primary, 0));
	failover_arbiter_dispose(&a);
	failover_events_clear(&events);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(off_and_status_off_grants_once),
		cmocka_unit_test(other_outcomes_do_not),
		cmocka_unit_test(a_hanging_agent_is_killed),
		cmocka_unit_test(manual_never_grants),
		cmocka_unit_test(the_next_level_is_tried),
		cmocka_unit_test(a_backup_waits_before_it_shoots),
		cmocka_unit_test(a_failed_agent_is_asked_again),
		cmocka_unit_test(an_operators_word_is_a_proof),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
