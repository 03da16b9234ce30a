/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two daemons: a guest is protected and let go, and what keeps it from that. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/daemons.h"

static void a_guest_is_protected_and_let_go(void **state)
{
	CLEANUP_FREE char *text = NULL, *after = NULL;

	both_up();
	text = daemon_answer(PROTECT(&host_alpha));
	expect_in(text, "{\"exit\":0}");
	daemon_await(&host_beta, "\"name\":\"db\"");
	after = daemon_answer(UNPROTECT(&host_alpha));
	expect_in(after, "{\"exit\":0}");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* What it held has been cleared away there, or the next attempt is to be made again. */
static void await_clear(const struct host *h)
{
	CLEANUP_FREE char *text = NULL;

	do {
		free(text);
		usleep(20000);
		text = daemon_command(h, "{\"command\":\"status\"}\n");
	} while (strstr(text, "\"state\":\"releasing\""));
}

/* While the worker looks at the guest, and while the backup makes up its mind. */
static void an_attempt_can_be_called_off(void **state)
{
	static const struct {
		const struct host *host;
		const char *mark;
	} silent[] = {{&host_alpha, "libexec/romulus-primary.silent"},
		{&host_beta, "libexec/romulus-backup.silent"}};
	static const char *const states[] = {"\"state\":\"checking\"", "\"state\":\"preparing\""};

	both_up();
	for (size_t i = 0; i < ARRAY_SIZE(silent); i++) {
		CLEANUP_FREE char *called_off = NULL, *protect = NULL, *later = NULL,
				  *end_it = NULL;
		int asked;

		rig_shell("touch %s", rig_path(silent[i].host, silent[i].mark));
		asked = PROTECT(&host_alpha);
		daemon_await(&host_alpha, states[i]);
		called_off = daemon_answer(UNPROTECT(&host_alpha));
		expect_in(called_off, "\"exit\":0");
		expect_in(called_off, "called off");
		protect = daemon_answer(asked);
		expect_in(protect, "\"exit\":1");
		daemon_await(&host_alpha, "\"domains\":[]"); /* forgotten, nothing is tried again */
		rig_shell("rm %s", rig_path(silent[i].host, silent[i].mark));
		if (i == 1)
			break;
		later = daemon_answer(PROTECT(&host_alpha));
		expect_in(later, "{\"exit\":0}");
		end_it = daemon_answer(UNPROTECT(&host_alpha));
		expect_in(end_it, "{\"exit\":0}");
		await_clear(&host_beta);
	}
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* On either host: the backup would run a second one when it boots. */
static void what_xendomains_starts_is_not_protected(void **state)
{
	CLEANUP_FREE char *here = NULL, *there = NULL, *none = NULL;

	both_up();
	rig_shell("echo 'name = \"db\"' >%s", rig_path(&host_alpha, "auto/db"));
	here = daemon_answer(PROTECT(&host_alpha));
	expect_in(here, "\"exit\":4");
	expect_in(here, "alpha/auto/db");
	rig_shell("mv %s %s", rig_path(&host_alpha, "auto/db"), rig_path(&host_beta, "auto/db"));
	there = daemon_answer(PROTECT(&host_alpha));
	expect_in(there, "\"exit\":5");
	expect_in(there, "beta/auto/db");
	unlink(rig_path(&host_beta, "auto/db"));
	none = daemon_answer(PROTECT(&host_alpha));
	expect_in(none, "{\"exit\":0}");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

static void restart_beta(const char *more, const char *top)
{
	daemon_end(&host_beta);
	daemons_configure(&host_beta, more, top);
	daemon_run(&host_beta);
	daemon_await(&host_beta, "\"alive\":true");
	daemon_await(&host_alpha, "\"alive\":true");
}

/* Who may look, with more connections than there can be. */
static void nobody_locks_root_out(void **state)
{
	CLEANUP_FREE char *text = NULL;
	int fd[80];

	if (geteuid() != 0)
		skip();
	daemon_run(&host_alpha);
	daemon_await(&host_alpha, "\"domains\"");
	assert_int_equal(seteuid(65534), 0);
	setfsuid(0); /* the folder of the test is root's */
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		fd[i] = daemon_ask(&host_alpha, "");
	assert_int_equal(seteuid(0), 0);
	text = daemon_command(&host_alpha, "{\"command\":\"status\"}\n");
	expect_in(text, "{\"exit\":0}");
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
	daemon_end(&host_alpha);
}

#define ETCD(prefix) "etcd { endpoints = { \"http://127.0.0.1:1\" } prefix = \"" prefix "\" }\n"

static void hosts_that_decide_differently_do_not_pair(void **state)
{
	CLEANUP_FREE char *kind = NULL, *prefix = NULL, *good = NULL;

	daemons_configure(&host_alpha, "arbiter = \"etcd\"", ETCD("/romulus"));
	both_up();
	kind = daemon_answer(PROTECT(&host_alpha));
	expect_in(kind, "\"exit\":5");
	expect_in(kind, "arbiter is \\\"manual\\\" on beta and \\\"etcd\\\" on alpha");
	restart_beta("arbiter = \"etcd\"", ETCD("/elsewhere"));
	prefix = daemon_answer(PROTECT(&host_alpha));
	expect_in(prefix, "\"exit\":5");
	expect_in(prefix, "/elsewhere");
	restart_beta("arbiter = \"etcd\"", ETCD("/romulus"));
	good = daemon_answer(PROTECT(&host_alpha));
	expect_in(good, "{\"exit\":0}");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* Where there is no hypervisor it is said, and the rest goes on. */
static void a_watchdog_that_is_not_to_be_had_is_said(void **state)
{
	const bool xen = access("/dev/xen/privcmd", F_OK) == 0;

	daemons_configure(&host_alpha, "", "watchdog = \"hypervisor\"");
	daemon_run(&host_alpha);
	daemon_await(&host_alpha, xen ? "\"watchdog\":\"not armed\"" : "\"watchdog\":\"failed\"");
	daemon_end(&host_alpha);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_guest_is_protected_and_let_go),
		TEST(an_attempt_can_be_called_off),
		TEST(what_xendomains_starts_is_not_protected),
		TEST(nobody_locks_root_out),
		TEST(hosts_that_decide_differently_do_not_pair),
		TEST(a_watchdog_that_is_not_to_be_had_is_said),
	};

	return daemons_main(argc, argv, tests, ARRAY_SIZE(tests));
}
