/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state of a resource, what is said of it, and which options are in force: from recordings. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "diskrep/drbd.h"
#include "diskrep/drbd_show.h"
#include "tests/unit/golden.h"

static void expect(const char *file, struct diskrep_drbd_status *s, const char *summary)
{
	char text[DISKREP_DRBD_SUMMARY_MAX];
	CLEANUP_FREE char *lines = NULL;
	struct why why = {""};
	size_t length;

	lines = golden(file, &length);
	assert_int_equal(diskrep_drbd_status_parse(lines, length, "db", s, &why), 0);
	assert_true(s->up);
	assert_int_equal(s->volumes, 2);
	assert_int_equal(s->volume[0].minor, 10);
	assert_int_equal(s->volume[1].minor, 11);
	assert_string_equal(diskrep_drbd_summary(s, text), summary);
}

static void the_recorded_states(void **state)
{
	struct diskrep_drbd_status s;

	expect("drbd/up-to-date", &s, "connected, up to date");
	assert_int_equal(s.connection, DISKREP_DRBD_CONNECTED);
	assert_int_equal(s.role, DISKREP_DRBD_PRIMARY);
	assert_int_equal(s.peer_role, DISKREP_DRBD_SECONDARY);
	assert_int_equal(s.volume[0].size_kib, 65536);
	assert_int_equal(s.volume[0].sync_percent, -1);
	assert_true(diskrep_drbd_in_step(&s));

	expect("drbd/connecting", &s, "waiting for the peer");
	assert_int_equal(s.connection, DISKREP_DRBD_CONNECTING);
	assert_int_equal(s.peer_role, DISKREP_DRBD_ROLE_UNKNOWN);
	assert_false(diskrep_drbd_in_step(&s));

	expect("drbd/standalone", &s, "disconnected");
	assert_int_equal(s.connection, DISKREP_DRBD_STANDALONE);
	assert_int_equal(s.role, DISKREP_DRBD_SECONDARY);

	expect("drbd/inconsistent", &s, "connected, the local disk is inconsistent");
	assert_int_equal(s.connection, DISKREP_DRBD_CONNECTED);
	assert_false(diskrep_drbd_in_step(&s));

	expect("drbd/sync-source", &s, "resync to the peer 11 %");
	assert_int_equal(s.connection, DISKREP_DRBD_SYNCING);
	assert_int_equal(s.volume[0].sync_percent, 11);
	assert_int_equal(s.volume[1].sync_percent, -1);
	assert_false(diskrep_drbd_in_step(&s));

	expect("drbd/peer-diskless", &s, "connected, the peer's disk is not attached");
	assert_int_equal(s.volume[0].peer_disk, DISKREP_DRBD_DISKLESS);
	assert_int_equal(s.connection, DISKREP_DRBD_CONNECTED);
	assert_false(diskrep_drbd_in_step(&s));
}

static void what_protection_waits_for(void **state)
{
	static const struct {
		const char *file, *sentence;
	} cases[] = {
		{"drbd/connecting",
			"the disks of 'db' are not connected (waiting for the peer): protection "
			"waits for DRBD; see that its port is open between the hosts (drbdadm dump "
			"db)"},
		{"drbd/standalone",
			"the disks of 'db' are not connected (disconnected): protection waits for "
			"DRBD; see that its port is open between the hosts (drbdadm dump db)"},
		{"drbd/sync-source", "the disks of 'db' are not up to date (resync to the peer 11 "
				     "%): protection waits for the resync"},
		{"drbd/peer-diskless",
			"the disks of 'db' are not up to date (connected, the peer's disk is not "
			"attached): protection waits for the resync"},
	};
	struct diskrep_drbd_status s;
	struct why why = {"untouched"};
	char text[DISKREP_DRBD_SUMMARY_MAX];

	expect("drbd/up-to-date", &s, "connected, up to date");
	assert_int_equal(diskrep_drbd_obstacle(&s, "db", &why), 0);
	assert_string_equal(why.text, "untouched");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP_FREE char *lines = NULL;
		size_t length;

		lines = golden(cases[i].file, &length);
		assert_int_equal(diskrep_drbd_status_parse(lines, length, "db", &s, &why), 0);
		assert_int_equal(diskrep_drbd_obstacle(&s, "db", &why), -EAGAIN);
		assert_string_equal(why.text, cases[i].sentence);
		assert_non_null(strstr(why.text, diskrep_drbd_summary(&s, text)));
	}
}

static int parse(const char *lines, struct diskrep_drbd_status *s, struct why *why)
{
	return diskrep_drbd_status_parse(lines, strlen(lines), "db", s, why);
}

static void other_states(void **state)
{
	struct diskrep_drbd_status s;
	char text[DISKREP_DRBD_SUMMARY_MAX];
	struct why why;

	assert_int_equal(parse("exists -\n", &s, &why), 0);
	assert_false(s.up);
	assert_string_equal(diskrep_drbd_summary(&s, text), "not up");
	assert_int_equal(parse("exists resource name:web role:Primary\n", &s, &why), 0);
	assert_false(s.up);
	/* In the handshake the kernel calls the connection connected already. */
	assert_int_equal(
		parse("exists resource name:db role:Secondary\n"
		      "exists connection name:db connection:Connected role:Primary\n"
		      "exists device name:db volume:0 minor:10 disk:UpToDate\n"
		      "exists peer-device name:db volume:0 replication:Off peer-disk:DUnknown",
			&s, &why),
		0);
	assert_int_equal(s.connection, DISKREP_DRBD_CONNECTING);
	/* The last bit of a large resync is not 100 %. */
	assert_int_equal(parse("exists resource name:db role:Secondary\n"
			       "exists connection name:db connection:Connected role:Primary\n"
			       "exists device name:db volume:0 minor:10 disk:Inconsistent "
			       "size:4294967296\n"
			       "exists peer-device name:db volume:0 replication:SyncTarget "
			       "peer-disk:UpToDate out-of-sync:4\n",
				 &s, &why),
		0);
	assert_string_equal(diskrep_drbd_summary(&s, text), "resync from the peer 99 %");
	assert_int_equal(parse("exists resource name:db role:Primary\n"
			       "exists connection name:db connection:Connected role:Secondary\n"
			       "exists device name:db volume:0 minor:10 disk:UpToDate size:8\n"
			       "exists peer-device name:db volume:0 replication:Ahead "
			       "peer-disk:UpToDate out-of-sync:4\n",
				 &s, &why),
		0);
	assert_string_equal(diskrep_drbd_summary(&s, text), "connected, the peer is left behind");
}

static void what_makes_no_sense_is_refused(void **state)
{
	struct diskrep_drbd_status s;
	struct why why;

	assert_int_equal(parse("exists device name:db volume:16 minor:1\n", &s, &why), -EBADMSG);
	assert_non_null(strstr(why.text, "volume:16"));
	assert_int_equal(parse("exists device name:db minor:1\n", &s, &why), -EBADMSG);
	assert_int_equal(parse("exists device name:db volume:1 minor:1\n", &s, &why), -EBADMSG);
	assert_non_null(strstr(why.text, "no volume 0"));
	assert_int_equal(parse("exists device name:db volume:x\n", &s, &why), -EBADMSG);
}

static void options_in_force(void **state)
{
	char value[DISKREP_DRBD_VALUE_MAX];
	CLEANUP_FREE char *text = golden("drbd/show", NULL);

	assert_true(diskrep_drbd_show_value(text, -1, "net", "protocol", value));
	assert_string_equal(value, "A");
	assert_true(diskrep_drbd_show_value(text, -1, "net", "cram-hmac-alg", value));
	assert_string_equal(value, "");
	assert_true(diskrep_drbd_show_value(text, 1, "disk", "disk-drain", value));
	assert_string_equal(value, "yes");
	assert_true(diskrep_drbd_show_value(text, 0, "volume", "disk", value));
	assert_string_equal(value, "/dev/mapper/romulus-db-0");
	assert_true(diskrep_drbd_show_value(text, 1, "volume", "meta-disk", value));
	assert_string_equal(value, "/dev/mapper/romulus-db-1-meta");
	assert_false(diskrep_drbd_show_value(text, 2, "volume", "disk", value));
	assert_false(diskrep_drbd_show_value(text, -1, "disk", "disk-drain", value));
	assert_false(diskrep_drbd_show_value(text, -1, "net", "proto", value));
	assert_string_equal(value, "");
	assert_false(diskrep_drbd_show_value("{{{{{{{{{{ a b; }", -1, "", "a", value));
	assert_false(diskrep_drbd_show_value("net { protocol \"A", -1, "net", "protocol", value));
	assert_false(diskrep_drbd_show_value("}}; net { x # protocol A;", -1, "net", "x", value));
}

static void cut_options_are_survived(void **state)
{
	char value[DISKREP_DRBD_VALUE_MAX];
	size_t length;
	CLEANUP_FREE char *text = golden("drbd/show", &length);

	for (size_t n = 0; n < length; n++) {
		CLEANUP_FREE char *cut = strndup(text + n, length / 2);

		diskrep_drbd_show_value(cut, 1, "disk", "read-balancing", value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_recorded_states),
		cmocka_unit_test(what_protection_waits_for),
		cmocka_unit_test(other_states),
		cmocka_unit_test(what_makes_no_sense_is_refused),
		cmocka_unit_test(options_in_force),
		cmocka_unit_test(cut_options_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
