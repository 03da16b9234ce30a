/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration: the example is good, and each mistake is named with its key and line. */
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
#include "common/why.h"
#include "failover/config.h"

#define GOOD                                                                                       \
	"host = \"alpha\"\ntransport = \"plain\"\n"                                                \
	"peer \"beta\" {\n path \"r\" { local = \"10.0.0.1\" remote = \"fd90::2\" }\n}\n"

#define ETCD(more) GOOD "etcd {\n endpoints = {\"https://10.0.0.1:2379\"}\n" more "\n}\n"

#define DISKS(more)                                                                                \
	GOOD "domain \"d\" {\n disks {\n volumes = {\"/dev/a\"}\n marker = \"/dev/b\"\n meta = "   \
	     "\"/dev/c\"\n" more "\n}\n}\n"

static int load(const char *text, struct failover_config **ret, struct why *why)
{
	char name[] = "/tmp/romulus-config-XXXXXX";
	int fd = mkstemp(name), r;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	r = failover_config_load(name, ret, why);
	unlink(name);
	return r;
}

static void defaults_and_overrides(void **state)
{
	struct failover_config *c = NULL;
	struct why why;

	assert_int_equal(load(GOOD "domain \"db\" { interval = 25 start = \"/etc/xen/db.cfg\" }\n",
				 &c, &why),
		0);
	assert_string_equal(c->domains[0].start, "/etc/xen/db.cfg");
	assert_true(failover_config_reprotects(c, "db"));
	assert_true(failover_config_reprotects(c, "web"));
	assert_false(failover_config_stays_mute(c, "db"));
	assert_false(failover_config_stays_mute(c, "nobody"));
	assert_int_equal(c->port, 7800);
	assert_int_equal(c->dead_after_ms, 1000);
	assert_int_equal(c->peers[0].arbiter, FAILOVER_ARBITER_MANUAL);
	assert_int_equal(failover_config_interval_ms(c, "db"), 25);
	assert_int_equal(failover_config_interval_ms(c, "web"), 200);
	assert_int_equal(failover_config_staging_mb(c, "db"), 256);
	failover_config_free(c);
}

static void etcd_alone_and_with_fence(void **state)
{
	static const char text[] =
		ETCD("prefix = \"/lab/romulus\" ca = \"/etc/ca\" certificate = \"/c\" key = "
		     "\"/k\"") "peer \"a\" { path \"r\" { local = \"::1\" remote = \"::2\" } "
			       "arbiter = \"etcd\" }\n"
			       "peer \"b\" { path \"r\" { local = \"::1\" remote = \"::3\" } "
			       "arbiter = "
			       "\"etcd+fence\" fence { agent = \"/a\" } }\n";
	struct failover_config *c = NULL;
	struct why why = {""};

	if (load(text, &c, &why) < 0)
		fail_msg("%s", why.text);
	assert_int_equal(c->peers[1].arbiter, FAILOVER_ARBITER_ETCD);
	assert_int_equal(c->peers[2].arbiter, FAILOVER_ARBITER_ETCD_FENCE);
	assert_string_equal(c->etcd.endpoints[0], "https://10.0.0.1:2379");
	assert_string_equal(c->etcd.prefix, "/lab/romulus");
	assert_string_equal(c->etcd.ca, "/etc/ca");
	assert_string_equal(c->etcd.key, "/k");
	assert_int_equal(c->etcd.timeout_ms, 1000);
	failover_config_free(c);
	assert_int_equal(load(ETCD(""), &c, &why), 0);
	assert_string_equal(c->etcd.prefix, "/romulus");
	assert_string_equal(c->etcd.ca, "");
	failover_config_free(c);
}

/* Plain text needs its word. */
static void tls_is_the_default(void **state)
{
	struct failover_config *c = NULL;
	struct why why;

	assert_int_equal(load("host = \"alpha\"\n", &c, &why), 0);
	assert_false(failover_config_is_plain(c));
	assert_string_equal(c->transport, "tls");
	failover_config_free(c);
	assert_int_equal(load(GOOD, &c, &why), 0);
	assert_true(failover_config_is_plain(c));
	failover_config_free(c);
}

static void the_example_is_good(void **state)
{
	struct failover_config *c = NULL;
	struct why why = {""};

	assert_int_equal(failover_config_load("packaging/romulus.conf.example", &c, &why), 0);
	assert_int_equal(c->peers[0].paths_n, 2);
	assert_int_equal(c->peers[0].fences_n, 2);
	assert_int_equal(c->peers[0].fences[0].options_n, 3);
	assert_int_equal(c->peers[0].fences[0].timeout_s, 30);
	assert_string_equal(c->peers[0].fences[1].agent, "/usr/sbin/fence_apc_snmp");
	assert_int_equal(c->peers[0].fence_delay_ms, 500);
	assert_int_equal(c->domains[0].addresses_n, 2);
	assert_null(c->domains[0].start);
	assert_int_equal(c->etcd.endpoints_n, 3);
	assert_string_equal(c->etcd.ca, "/etc/romulus/etcd-ca.pem");
	assert_string_equal(c->domains[0].disks.resource, "db");
	assert_int_equal(c->domains[0].disks.volumes_n, 2);
	assert_string_equal(c->domains[0].disks.volumes[1], "/dev/vg/db-data");
	assert_string_equal(c->domains[0].disks.peer, "");
	assert_int_equal(c->domains[0].disks.undo_limit_mb, 512);
	failover_config_free(c);
}

static void mistakes_are_named(void **state)
{
	static const struct {
		const char *text, *expect, *line;
	} cases[] = {
		{GOOD "port = 0\n", "port", "line 6"},
		{GOOD "port = 65536\n", "port", "line 6"},
		{GOOD "heartbeat-interval = 1\n", "heartbeat-interval", "line 6"},
		{GOOD "dead-after = 10\n", "dead-after", "line 6"},
		{GOOD "dead-after = 100\n", "dead-after", ""},
		{GOOD "ack-timeout = 0\n", "ack-timeout", "line 6"},
		{GOOD "interval = 1\n", "interval", "line 6"},
		{GOOD "staging = 1\n", "staging", "line 6"},
		{GOOD "netbuf-limit = 0\n", "netbuf-limit", "line 6"},
		{GOOD "reprotect-delay = 1\n", "reprotect-delay", "line 6"},
		{GOOD "state-dir = \"x\"\n", "state-dir", "line 6"},
		{GOOD "run-dir = \"x\"\n", "run-dir", "line 6"},
		{GOOD "colour = 1\n", "colour", "line 6"},
		{GOOD "domain \"d\" {\n interval = 1\n}\n", "interval", "line 7"},
		{GOOD "domain \"d\" {\n addresses = {\"x\"}\n}\n", "addresses", "line 7"},
		{GOOD "domain \"d\" {\n start = \"db.cfg\"\n}\n", "start", "line 7"},
		{DISKS("undo-limit = 0"), "undo-limit", "line 11"},
		{DISKS("volumes = {\"/dev/a,b\"}"), "volumes", "line 11"},
		{DISKS("marker = \"b\""), "marker", "line 11"},
		{DISKS("resource = \"a b\""), "resource", ""},
		{DISKS("peer = \"nobody\""), "nobody", ""},
		{GOOD "domain \"d\" { disks { marker = \"/dev/b\" meta = \"/dev/c\" } }\n",
			"volumes", ""},
		{GOOD "domain \"d\" { disks { volumes = {\"/dev/a\"} meta = \"/dev/c\" } }\n",
			"marker", ""},
		{"transport = \"plain\"\n", "host", ""},
		{"host = \"\\xff\"\ntransport = \"plain\"\n", "this host", ""},
		{GOOD "domain \"a\\nb\" { }\n", "a domain", ""},
		{"host = \"a\"\ntransport = \"ssl\"\n", "transport", "line 2"},
		{GOOD "pki-dir = \"x\"\n", "pki-dir", "line 6"},
		{GOOD "peer \"x\" { }\n", "path", ""},
		{GOOD "peer \"x\" { path \"p\" { local = \"::1\" } }\n", "remote", ""},
		{GOOD "peer \"x\" { path \"p\" { local = \"host\" } }\n", "local", "line 6"},
		{GOOD "peer \"x\" { arbiter = \"dice\" }\n", "arbiter", "line 6"},
		{GOOD "domain \"d\" { reprotect = \"no\" }\n", "reprotect", "line 6"},
		{GOOD "domain \"d\" { on-backup-lost = \"mute\" }\n", "on-backup-lost", "line 6"},
		{GOOD "peer \"x\" { fence { options = {\"action=on\"} } }\n", "options", "line 6"},
		{GOOD "peer \"x\" { fence { timeout = 0 } }\n", "timeout", "line 6"},
		{GOOD "peer \"x\" { fence-delay = -1 }\n", "fence-delay", "line 6"},
		{GOOD "peer \"x\" { path \"p\" { local = \"::1\" remote = \"::2\" } fence { agent "
		      "= "
		      "\"/a\" } fence { timeout = 1 } }\n",
			"agent", ""},
		{GOOD "peer \"x\" { path \"p\" { local = \"::1\" remote = \"::2\" } arbiter = "
		      "\"fence\" }\n",
			"agent", ""},
		{GOOD "peer \"x\" { path \"p\" { local = \"::1\" remote = \"::2\" } arbiter = "
		      "\"etcd\" }\n",
			"section etcd", ""},
		{ETCD("") "peer \"x\" { path \"p\" { local = \"::1\" remote = \"::2\" } arbiter = "
			  "\"etcd+fence\" }\n",
			"agent", ""},
		{GOOD "etcd { }\n", "endpoints", ""},
		{ETCD("endpoints = {\"10.0.0.1:2379\"}"), "endpoints", "line 8"},
		{ETCD("endpoints = {\"ftp://10.0.0.1\"}"), "endpoints", "line 8"},
		{ETCD("endpoints = {\"https://a/b\"}"), "endpoints", "line 8"},
		{ETCD("endpoints = {\"https://u@a\"}"), "endpoints", "line 8"},
		{ETCD("prefix = \"romulus\""), "prefix", "line 8"},
		{ETCD("prefix = \"/romulus/\""), "prefix", "line 8"},
		{ETCD("ca = \"ca.pem\""), "ca", "line 8"},
		{ETCD("certificate = \"/c.pem\""), "key", ""},
		{ETCD("timeout = 1"), "timeout", "line 8"},
		{"host = \"beta\"\ntransport = \"plain\"\npeer \"beta\" { path \"p\" { local = "
		 "\"::1\" remote = \"::2\" } }\n",
			"host", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct failover_config *c = NULL;
		struct why why = {""};

		if (load(cases[i].text, &c, &why) == 0)
			fail_msg("accepted: %s", cases[i].text);
		assert_null(c);
		if (!strstr(why.text, cases[i].expect) || !strstr(why.text, cases[i].line))
			fail_msg("%s: %s", cases[i].text, why.text);
	}
}

static void an_absent_file_is_said(void **state)
{
	struct failover_config *c = NULL;
	struct why why = {""};

	assert_int_equal(failover_config_load("/nonexistent/x.conf", &c, &why), -ENOENT);
	assert_non_null(strstr(why.text, "/nonexistent/x.conf"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_and_overrides),
		cmocka_unit_test(etcd_alone_and_with_fence),
		cmocka_unit_test(tls_is_the_default),
		cmocka_unit_test(the_example_is_good),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(an_absent_file_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
