/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two daemons under TLS: certificates and the heartbeat key are changed while they run. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "tests/unit/cluster.h"
#include "tests/unit/daemons.h"

static struct cluster write_certificates(void)
{
	const struct proto_pki_validity validity = proto_pki_ten_years(time(NULL));
	struct cluster c = cluster_new();

	cluster_write(&c, rig_path(&host_alpha, "pki"), "alpha", validity);
	cluster_write(&c, rig_path(&host_beta, "pki"), "beta", validity);
	return c;
}

static void reload(const struct host *h, const char *says)
{
	const unsigned int before = count_events(h, says);
	const uint64_t last = clock_now_ns() + RIG_PATIENCE;

	kill(h->pid, SIGHUP);
	while (count_events(h, says) == before && clock_now_ns() < last)
		usleep(10000);
	assert_int_equal(count_events(h, says), before + 1);
}

/* What @h says of its peer: the forged heartbeats so far, and how long ago a good one came. */
static void hears(const struct host *h, json_int_t *ret_forged, json_int_t *ret_silent_ms)
{
	CLEANUP_FREE char *text = daemon_command(h, "{\"command\":\"status\"}\n");
	json_t *j = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);

	assert_int_equal(
		json_unpack(j, "{s:{s:[{s:I, s:[{s:I}]}]}}", "status", "peers", "heartbeats_forged",
			ret_forged, "paths", "silent_ms", ret_silent_ms),
		0);
	json_decref(j);
}

/* Each understands what the other says after this moment: several heartbeats, and every one. */
static void nobody_falls_silent(void)
{
	const uint64_t start = clock_now_ns(), last = start + RIG_PATIENCE;

	for (struct host *h = &host_alpha; h; h = h == &host_alpha ? &host_beta : NULL) {
		json_int_t forged, silent, passed;

		do {
			usleep(10000);
			hears(h, &forged, &silent);
			assert_int_equal(forged, 0);
			passed = (json_int_t)((clock_now_ns() - start) / NSEC_PER_MSEC);
		} while (silent + 500 > passed && clock_now_ns() < last);
		assert_true(silent + 500 <= passed);
	}
}

static void all_is_well(void)
{
	CLEANUP_FREE char *protect = daemon_answer(PROTECT(&host_alpha)), *unprotect = NULL;

	expect_in(protect, "{\"exit\":0}");
	unprotect = daemon_answer(UNPROTECT(&host_alpha));
	expect_in(unprotect, "{\"exit\":0}");
}

static void under_tls(void)
{
	daemons_transport = "tls";
	daemons_configure(&host_alpha, "", "");
	daemons_configure(&host_beta, "", "");
	rig_shell("mkdir %s %s", rig_path(&host_alpha, "pki"), rig_path(&host_beta, "pki"));
}

static void new_certificates_are_taken_without_a_break(void **state)
{
	CLEANUP_FREE char *protect = NULL, *unprotect = NULL;
	struct cluster old, new;

	under_tls();
	old = write_certificates();
	both_up();
	protect = daemon_answer(PROTECT(&host_alpha));
	expect_in(protect, "{\"exit\":0}");
	new = write_certificates(); /* of another CA, with another heartbeat key */
	reload(&host_alpha, "read again from");
	nobody_falls_silent();
	reload(&host_beta, "read again from");
	nobody_falls_silent();
	daemon_await(&host_alpha, "\"protected\":true");
	assert_int_equal(count_events(&host_alpha, "protect-begin"), 1); /* all the time */
	unprotect = daemon_answer(UNPROTECT(&host_alpha));
	expect_in(unprotect, "{\"exit\":0}");
	all_is_well();
	daemon_end(&host_alpha); /* from here on it has nothing but the new ones */
	daemon_run(&host_alpha);
	daemon_await(&host_alpha, "\"alive\":true");
	daemon_await(&host_beta, "\"alive\":true");
	all_is_well();
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
	cluster_free(&old);
	cluster_free(&new);
}

/* It has nothing but the new key, and has not heard yet what this one would say with it. */
static void a_peer_that_restarts_while_keys_change_is_heard(void **state)
{
	struct cluster old, new;

	under_tls();
	old = write_certificates();
	both_up();
	new = write_certificates();
	reload(&host_alpha, "read again from");
	daemon_end(&host_beta);
	daemon_run(&host_beta);
	daemon_await(&host_beta, "\"alive\":true");
	daemon_await(&host_alpha, "\"alive\":true");
	all_is_well();
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
	cluster_free(&old);
	cluster_free(&new);
}

static void a_bad_certificate_is_not_taken(void **state)
{
	struct cluster c, again;

	under_tls();
	c = write_certificates();
	both_up();
	all_is_well();
	rig_shell("echo nonsense >%s", rig_path(&host_alpha, "pki/host.pem"));
	reload(&host_alpha, "the old certificate stays in use");
	all_is_well();
	rig_shell("cp %s %s", rig_path(&host_beta, "pki/host.pem"),
		rig_path(&host_alpha, "pki/host.pem"));
	reload(&host_alpha, "the old certificate stays in use");
	all_is_well();
	/* Two changes at once: beta would know neither key. */
	again = write_certificates();
	reload(&host_alpha, "read again from");
	cluster_free(&again);
	again = write_certificates();
	reload(&host_alpha, "beta has not got the heartbeat key");
	nobody_falls_silent();
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
	cluster_free(&c);
	cluster_free(&again);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(new_certificates_are_taken_without_a_break),
		TEST(a_peer_that_restarts_while_keys_change_is_heard),
		TEST(a_bad_certificate_is_not_taken),
	};

	return daemons_main(argc, argv, tests, ARRAY_SIZE(tests));
}
