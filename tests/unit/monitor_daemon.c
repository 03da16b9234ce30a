/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * romulusd and what the monitor of a guest says: alpha was restarted beside a guest that it had
 * protected on beta. The monitor is this program too, and says what the test tells it.
 */
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "proto/proto.h"
#include "tests/unit/daemon_rig.h"

static char dir[] = "/tmp/romulus-monitor-XXXXXX";
static uint64_t generation;

/* ---- the monitor ----------------------------------------------------------------------------- */

static void note(const char *host, const char *what, const char *argument)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/calls", host);
	f = fopen(path, "a");
	if (f) {
		fprintf(f, "%s %s\n", what, argument);
		fclose(f);
	}
}

/* The test has put a kind and a text into the file. */
static void say_what_is_told(const char *host, struct proto_session *s)
{
	Romulus__Report report = ROMULUS__REPORT__INIT;
	char path[PATH_MAX], text[200] = "";
	struct why why;
	FILE *f;

	snprintf(path, sizeof(path), "%s/say", host);
	f = fopen(path, "r");
	if (!f)
		return;
	if (fscanf(f, "%u %199[^\n]", &report.kind, text) < 1)
		report.kind = 0;
	fclose(f);
	unlink(path);
	if (!report.kind)
		exit(1);
	report.text = text;
	proto_session_send(s, PROTO_REPORT, &report.base, clock_now_ns() + NSEC_PER_SEC, &why);
}

static int be_monitor(const char *host, int argc, char **argv)
{
	struct proto_session *s = proto_session_new(3);
	struct proto_frame frame;
	char line[PATH_MAX] = "", number[16];
	struct why why;
	int r;

	for (int i = 0; i < argc; i++) {
		strncat(line, argv[i], sizeof(line) - strlen(line) - 2);
		strcat(line, " ");
	}
	note(host, "monitor", line);
	for (;;) {
		r = proto_session_receive(s, clock_now_ns() + 20 * NSEC_PER_MSEC, &frame, &why);
		if (r < 0)
			break;
		if (r > 0 && frame.type == PROTO_ORDER) {
			snprintf(number, sizeof(number), "%u",
				((const Romulus__Order *)frame.message)->kind);
			note(host, "order", number);
		}
		say_what_is_told(host, s);
	}
	proto_session_free(s);
	return 0;
}

/* ---- the test -------------------------------------------------------------------------------- */

static void tell(unsigned int kind, const char *text)
{
	rig_shell("echo '%u %s' >%s/alpha/say.new && mv %s/alpha/say.new %s/alpha/say", kind, text,
		dir, dir, dir);
}

static void await_call(const struct host *h, const char *pattern)
{
	const uint64_t last = clock_now_ns() + RIG_PATIENCE;

	while (!daemon_called(h, pattern) && clock_now_ns() < last)
		usleep(20000);
	if (!daemon_called(h, pattern))
		fail_msg("%s was not called with %s", h->name, pattern);
}

static void await_event(const char *kind)
{
	const uint64_t last = clock_now_ns() + RIG_PATIENCE;
	CLEANUP_FREE char *text = NULL;
	char expect[64];

	snprintf(expect, sizeof(expect), "\"kind\":\"%s\"", kind);
	do {
		free(text);
		usleep(20000);
		text = daemon_command(&host_alpha, "{\"command\":\"events\"}\n");
	} while (!strstr(text, expect) && clock_now_ns() < last);
	if (!strstr(text, expect))
		fail_msg("no event %s: %s", kind, text);
}

static void with_monitor(const struct host *h)
{
	char self[PATH_MAX] = "";

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	rig_shell("cd %s/%s && printf '#!/bin/sh\\nexec %.3000s --monitor %s/%s \"$@\"\\n' "
		  ">libexec/romulus-monitor && chmod +x libexec/romulus-monitor",
		dir, h->name, self, dir, h->name);
}

static int begin(void **state)
{
	generation++;
	daemon_configure(&host_alpha, "manual", "");
	daemon_configure(&host_beta, "manual", "");
	with_monitor(&host_alpha);
	with_monitor(&host_beta);
	daemon_record(&host_alpha, PROTO_ROLE_PRIMARY, generation);
	daemon_record(&host_beta, PROTO_ROLE_BACKUP, generation);
	return 0;
}

static int finish(void **state)
{
	daemon_rig_finish();
	return 0;
}

/* It asks nobody, and is done with it when the backup says that it has let go. */
static void what_ended_is_given_up_on_both_hosts(void **state)
{
	struct failover_record r;

	daemon_run(&host_alpha);
	await_call(&host_alpha, "^monitor --domain db --uuid " RIG_UUID " .*--restrain");
	tell(PROTO_REPORT_GUEST_ENDED, "the guest has powered off and is destroyed (on_poweroff)");
	daemon_await(&host_alpha, "\"state\":\"closing\"");
	daemon_await(&host_alpha, "powered off");
	daemon_await(&host_alpha, "protection ends when beta has let its standby go");
	r = daemon_record_of(&host_alpha);
	assert_int_equal(r.decision, FAILOVER_DECISION_ENDED);
	assert_false(r.intent);
	/* What it still had to say is dropped, not let go. */
	await_call(&host_alpha, "^--repair db --uuid " RIG_UUID);
	assert_false(daemon_called(&host_alpha, "--release"));
	daemon_run(&host_beta);
	daemon_await(&host_alpha, "\"state\":\"idle\"");
	daemon_await(&host_alpha, "(on_poweroff); protection has ended\"");
	assert_int_equal(daemon_record_of(&host_beta).decision, FAILOVER_DECISION_RELEASED);
	assert_false(daemon_called(&host_alpha, "--discard"));
	daemon_end(&host_beta);
	daemon_end(&host_alpha);
}

/* It waits, restrained, until the backup has let go; then it may run, and is wanted protected. */
static void what_restarts_waits_for_the_decision(void **state)
{
	struct failover_record r;

	daemon_run(&host_alpha);
	await_call(&host_alpha, "^monitor .*--restrain");
	tell(PROTO_REPORT_GUEST_RESTARTS, "the guest has rebooted and is started again");
	await_event("guest-restarts");
	daemon_await(&host_alpha, "\"state\":\"want-solo\"");
	tell(PROTO_REPORT_GUEST_RESTARTED, "");
	await_event("guest-restarted");
	assert_int_equal(daemon_record_of(&host_alpha).decision, FAILOVER_DECISION_NONE);
	assert_false(daemon_called(&host_alpha, "^order"));
	assert_false(daemon_called(&host_alpha, "--repair"));
	daemon_run(&host_beta);
	await_call(&host_alpha, "^--repair db --uuid " RIG_UUID " .*--release");
	await_call(&host_alpha, "^order 2");     /* SOLO: it may run */
	await_call(&host_alpha, "^--domain db"); /* protection is tried again, by a worker */
	r = daemon_record_of(&host_alpha);
	assert_int_equal(r.decision, FAILOVER_DECISION_SOLO);
	assert_true(r.intent);
	daemon_end(&host_beta);
	daemon_end(&host_alpha);
}

/* One that runs alone has nobody to be agreed with. */
static void what_ends_alone_has_ended(void **state)
{
	daemon_run(&host_alpha);
	daemon_run(&host_beta);
	daemon_await(&host_alpha, "runs alone");
	await_call(&host_alpha, "^monitor ");
	daemon_end(&host_beta);
	tell(PROTO_REPORT_GUEST_ENDED, "the domain was destroyed");
	daemon_await(&host_alpha, "the domain was destroyed; protection has ended");
	daemon_await(&host_alpha, "\"state\":\"idle\"");
	assert_int_equal(daemon_record_of(&host_alpha).decision, FAILOVER_DECISION_ENDED);
	daemon_end(&host_alpha);
}

/* It is no worker: its death changes nothing but that there is a new one. */
static void a_monitor_that_dies_is_replaced(void **state)
{
	daemon_run(&host_alpha);
	await_call(&host_alpha, "^monitor ");
	rig_shell("mv %s/alpha/calls %s/alpha/calls.old", dir, dir);
	tell(0, "");
	await_call(&host_alpha, "^monitor .*--restrain");
	daemon_await(&host_alpha, "\"state\":\"want-solo\"");
	daemon_end(&host_alpha);
}

static int set_up(void **state)
{
	assert_non_null(mkdtemp(dir));
	daemon_rig_begin(dir);
	return 0;
}

static int tear_down(void **state)
{
	rig_shell("rm -rf %s", dir);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			what_ended_is_given_up_on_both_hosts, begin, finish),
		cmocka_unit_test_setup_teardown(
			what_restarts_waits_for_the_decision, begin, finish),
		cmocka_unit_test_setup_teardown(what_ends_alone_has_ended, begin, finish),
		cmocka_unit_test_setup_teardown(a_monitor_that_dies_is_replaced, begin, finish),
	};

	signal(SIGPIPE, SIG_IGN);
	if (argc > 2 && strcmp(argv[1], "--monitor") == 0)
		return be_monitor(argv[2], argc - 3, argv + 3);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
