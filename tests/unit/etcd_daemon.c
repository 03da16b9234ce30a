/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * romulusd with etcd as its arbiter, from a record on disk on: alpha was restarted beside a guest
 * that it had protected on beta, and its workers are programs that only say that they were called.
 */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "failover/state.h"
#include "tests/unit/etcd_rig.h"

static char program[PATH_MAX];
static uint16_t port;
static uint64_t generation;

struct host {
	const char *name, *peer, *address, *peer_address;
	pid_t pid;
};

static struct host alpha = {"alpha", "beta", "127.0.0.1", "127.0.0.2", 0};
static struct host beta = {"beta", "alpha", "127.0.0.2", "127.0.0.1", 0};

/* ---- a host ---------------------------------------------------------------------------------- */

static void configure(const struct host *h)
{
	rig_shell("mkdir -p %s/%s/libexec %s/%s/state/domains && cd %s/%s && "
		  "for w in primary backup; do printf '#!/bin/sh\\necho \"$@\" >>%s/%s/calls\\n' "
		  ">libexec/romulus-$w && chmod +x libexec/romulus-$w || exit 1; done",
		rig_dir, h->name, rig_dir, h->name, rig_dir, h->name, rig_dir, h->name);
	rig_shell("cat >%s/%s/conf <<'X'\nhost = \"%s\"\ntransport = \"plain\"\nport = %u\n"
		  "state-dir = \"%s/%s/state\"\nrun-dir = \"%s/%s/run\"\npeer \"%s\" {\n"
		  "path \"a\" { local = \"%s\" remote = \"%s\" }\narbiter = \"etcd\"\n}\n"
		  "etcd { endpoints = { \"%s\", \"%s\", \"%s\" } ca = \"%s\" certificate = \"%s\" "
		  "key = \"%s\" timeout = 500 }\nX",
		rig_dir, h->name, h->name, port, rig_dir, h->name, rig_dir, h->name, h->peer,
		h->address, h->peer_address, rig_endpoint[0], rig_endpoint[1], rig_endpoint[2],
		rig_conf.ca, rig_conf.certificate, rig_conf.key);
}

static void record(const struct host *h, enum proto_role role)
{
	struct failover_record r = {
		.name = "db", .uuid = RIG_UUID, .generation = generation, .role = role};
	char folder[128];
	struct why why;

	snprintf(r.peer, sizeof(r.peer), "%s", h->peer);
	failover_boot_id(r.boot);
	snprintf(folder, sizeof(folder), "%s/%s/state", rig_dir, h->name);
	assert_int_equal(failover_state_save(folder, &r, &why), 0);
}

static enum failover_decision decision_of(const struct host *h)
{
	struct failover_record r = {.generation = 0};
	char file[160];
	struct why why;

	snprintf(file, sizeof(file), "%s/%s/state/domains/" RIG_UUID ".json", rig_dir, h->name);
	assert_int_equal(failover_state_read(file, &r, &why), 0);
	return r.decision;
}

static void run(struct host *h)
{
	char conf[96], libexec[96], log[96];
	int fd;

	snprintf(conf, sizeof(conf), "%s/%s/conf", rig_dir, h->name);
	snprintf(libexec, sizeof(libexec), "%s/%s/libexec", rig_dir, h->name);
	snprintf(log, sizeof(log), "%s/%s/log", rig_dir, h->name);
	h->pid = fork();
	if (h->pid > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(fd, 1);
	dup2(fd, 2);
	execl(program, program, "-c", conf, "--libexec", libexec, NULL);
	_exit(127);
}

static void end(struct host *h)
{
	int status = -1;

	kill(h->pid, SIGTERM);
	waitpid(h->pid, &status, 0);
	h->pid = 0;
	assert_int_equal(status, 0); /* the sanitizers too have nothing to say */
}

/* What its socket answers to @command; "" when nobody listens yet. The caller's to free. */
static char *command(const struct host *h, const char *command_line)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *text = calloc(1, 65536);
	size_t n = 0;
	ssize_t got;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s/run/control.sock", rig_dir,
		h->name);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
		write(fd, command_line, strlen(command_line)) < 0)
		return text;
	while (n < 65535 && (got = read(fd, text + n, 65535 - n)) > 0)
		n += (size_t)got;
	return text;
}

static void await(const struct host *h, const char *expect)
{
	const uint64_t last = clock_now_ns() + RIG_PATIENCE;
	CLEANUP_FREE char *text = NULL;

	do {
		free(text);
		usleep(20000);
		text = command(h, "{\"command\":\"status\"}\n");
	} while (!strstr(text, expect) && clock_now_ns() < last);
	if (!strstr(text, expect))
		fail_msg("%s does not say %s: %s", h->name, expect, text);
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

static bool called(const struct host *h, const char *argument)
{
	char line[256];

	snprintf(line, sizeof(line), "grep -qe '^%s db ' %s/%s/calls 2>/dev/null", argument,
		rig_dir, h->name);
	return system(line) == 0;
}

/* Whatever a test that failed has left. */
static int finish(void **state)
{
	for (struct host *h = &alpha; h; h = h == &alpha ? &beta : NULL) {
		if (!h->pid)
			continue;
		kill(h->pid, SIGKILL);
		waitpid(h->pid, NULL, 0);
		h->pid = 0;
	}
	return 0;
}

static int begin(void **state)
{
	generation++;
	for (unsigned int i = 0; i < RIG_MEMBERS; i++)
		rig_start(i);
	rig_await();
	rig_shell("rm -rf %s/alpha %s/beta", rig_dir, rig_dir);
	configure(&alpha);
	configure(&beta);
	record(&alpha, PROTO_ROLE_PRIMARY);
	record(&beta, PROTO_ROLE_BACKUP);
	return 0;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void alone_it_waits_for_a_majority_and_goes_on(void **state)
{
	CLEANUP_FREE char *refused = NULL;

	rig_kill(0);
	rig_kill(1);
	run(&alpha);
	await(&alpha, "waiting for etcd, no endpoint answers: https://");
	await(&alpha, "\"answers\":false");
	refused = command(&alpha, "{\"command\":\"confirm-dead\",\"host\":\"beta\"}\n");
	assert_non_null(strstr(refused, "etcd alone decides"));
	assert_int_equal(decision_of(&alpha), FAILOVER_DECISION_NONE);
	rig_start(0);
	rig_start(1);
	await(&alpha, "runs alone");
	await(&alpha, "\"answers\":true");
	assert_int_equal(decision_of(&alpha), FAILOVER_DECISION_SOLO);
	assert_true(called(&alpha, "--repair"));
	await_decided("alpha");
	end(&alpha);
}

static void the_loser_destroys_its_guest_when_the_winner_acts(void **state)
{
	enter_beta(FAILOVER_ETCD_ENTER);
	run(&alpha);
	await(&alpha, "beta is entered in etcd and has not said that it acts on it");
	assert_int_equal(decision_of(&alpha), FAILOVER_DECISION_NONE);
	enter_beta(FAILOVER_ETCD_DECIDE);
	await(&alpha, "beta runs it now");
	assert_true(called(&alpha, "--discard"));
	assert_false(called(&alpha, "--repair")); /* nothing was let out */
	end(&alpha);
}

/* beta was entered and crashed: its standby is gone, and the guest must not be. */
static void a_claim_that_came_to_nothing_costs_nothing(void **state)
{
	enter_beta(FAILOVER_ETCD_ENTER);
	run(&alpha);
	await(&alpha, "beta is entered in etcd and has not said that it acts on it");
	run(&beta);
	await(&alpha, "runs alone");
	assert_int_equal(decision_of(&alpha), FAILOVER_DECISION_SOLO);
	assert_int_equal(decision_of(&beta), FAILOVER_DECISION_RELEASED);
	assert_false(called(&alpha, "--discard"));
	end(&alpha);
	end(&beta);
}

/* etcd is lost for good: an operator knows that beta is off. */
static void an_operator_overrules_a_silent_etcd(void **state)
{
	CLEANUP_FREE char *answer = NULL;

	rig_kill(0);
	rig_kill(1);
	run(&alpha);
	await(&alpha, "waiting for etcd, no endpoint answers: https://");
	answer = command(&alpha, "{\"command\":\"failover\",\"domain\":\"db\"}\n");
	await(&alpha, "runs alone");
	assert_int_equal(decision_of(&alpha), FAILOVER_DECISION_SOLO);
	rig_start(0);
	rig_start(1);
	await_decided("alpha"); /* should beta ask one day */
	end(&alpha);
}

static int set_up(void **state)
{
	char self[PATH_MAX] = "";
	char *slash;
	int fd;

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	slash = strstr(self, "/tests/unit/");
	assert_non_null(slash);
	*slash = '\0';
	snprintf(program, sizeof(program), "%.4000s/romulusd", self);
	port = rig_free_port(&fd);
	close(fd);
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
