/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines of drbdsetup events2, those of DRBD 8.4.11 and those that nobody would print. */
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
#include "diskrep/drbd_events.h"
#include "tests/unit/golden.h"

static const char *const files[] = {"drbd/connecting", "drbd/inconsistent", "drbd/peer-diskless",
	"drbd/standalone", "drbd/stream", "drbd/sync-source", "drbd/up-to-date"};

static int parse(const char *line, struct diskrep_drbd_event *e)
{
	return diskrep_drbd_event_parse(line, strlen(line), e);
}

/* In memory of exactly its size, so that a read beyond it is seen. */
static int parse_exact(const char *line, size_t length, struct diskrep_drbd_event *e)
{
	CLEANUP_FREE char *copy = malloc(length ? length : 1);

	assert_non_null(copy);
	memcpy(copy, line, length);
	return diskrep_drbd_event_parse(copy, length, e);
}

static void every_object_is_read(void **state)
{
	struct diskrep_drbd_event e;

	assert_int_equal(parse("exists resource name:db role:Primary suspended:no", &e), 0);
	assert_int_equal(e.action, DISKREP_DRBD_EXISTS);
	assert_int_equal(e.object, DISKREP_DRBD_RESOURCE);
	assert_string_equal(e.resource, "db");
	assert_int_equal(e.role, DISKREP_DRBD_PRIMARY);
	assert_int_equal(e.volume, -1);

	assert_int_equal(parse("change connection name:db peer-node-id:0 conn-name:peer "
			       "connection:Connecting role:Unknown\n",
				 &e),
		0);
	assert_int_equal(e.action, DISKREP_DRBD_CHANGE);
	assert_int_equal(e.object, DISKREP_DRBD_CONNECTION);
	assert_int_equal(e.connection, DISKREP_DRBD_LINK_CONNECTING);
	assert_int_equal(e.role, DISKREP_DRBD_ROLE_UNKNOWN);

	assert_int_equal(
		parse("exists device name:db volume:1 minor:11 disk:UpToDate size:1024", &e), 0);
	assert_int_equal(e.object, DISKREP_DRBD_DEVICE);
	assert_int_equal(e.volume, 1);
	assert_int_equal(e.minor, 11);
	assert_int_equal(e.disk, DISKREP_DRBD_UP_TO_DATE);
	assert_int_equal(e.size_kib, 1024);
	assert_int_equal(e.out_of_sync_kib, -1);

	assert_int_equal(parse("create peer-device name:db volume:0 replication:PausedSyncT "
			       "peer-disk:Outdated out-of-sync:57792",
				 &e),
		0);
	assert_int_equal(e.action, DISKREP_DRBD_CREATE);
	assert_int_equal(e.object, DISKREP_DRBD_PEER_DEVICE);
	assert_int_equal(e.replication, DISKREP_DRBD_SYNC_TARGET);
	assert_int_equal(e.disk, DISKREP_DRBD_OUTDATED);
	assert_int_equal(e.out_of_sync_kib, 57792);

	assert_int_equal(parse("destroy device name:db volume:1 minor:11", &e), 0);
	assert_int_equal(e.action, DISKREP_DRBD_DESTROY);
	assert_int_equal(parse("exists -", &e), 0);
	assert_int_equal(e.action, DISKREP_DRBD_EXISTS);
	assert_int_equal(e.object, DISKREP_DRBD_NO_OBJECT);
}

static void the_unknown_is_passed_over(void **state)
{
	static const char *const others[] = {"", "\n", "- skipped 3", "call helper name:db minor:1",
		"rename resource name:db", "exists path name:db", "exists", "   "};
	struct diskrep_drbd_event e;

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		assert_int_equal(parse(others[i], &e), 0);
		assert_int_equal(e.action, DISKREP_DRBD_OTHER);
	}
	assert_int_equal(
		parse("exists device name:db colour:blue volume:0 odd disk:Purple", &e), 0);
	assert_int_equal(e.volume, 0);
	assert_int_equal(e.disk, DISKREP_DRBD_DISK_UNKNOWN);
}

static void what_cannot_be_is_refused(void **state)
{
	static const char *const bad[] = {
		"exists device name:db volume:",
		"exists device name:db volume:x",
		"exists device name:db volume:-1",
		"exists device name:db minor:99999999999999999999",
		"exists device name:db minor:1048576",
		"exists device name:db size:9223372036854775808",
		"exists device name:",
		"exists resource "
		"name:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};
	struct diskrep_drbd_event e;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse(bad[i], &e), -EBADMSG);
	assert_int_equal(parse("exists device name:db size:9223372036854775807", &e), 0);
	assert_true(e.size_kib == INT64_MAX);
	assert_int_equal(diskrep_drbd_event_parse("exists resource name:d\0b", 24, &e), -EBADMSG);
}

static void every_recorded_line_is_understood(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		CLEANUP_FREE char *text = golden(files[i], NULL);

		for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
			struct diskrep_drbd_event e;

			assert_int_equal(parse_exact(line, (size_t)(end - line), &e), 0);
			assert_int_not_equal(e.action, DISKREP_DRBD_OTHER);
			if (e.object)
				assert_string_equal(e.resource, "db");
			/* A change that mentions only the role has no state. */
			if (e.object == DISKREP_DRBD_CONNECTION && e.action == DISKREP_DRBD_EXISTS)
				assert_int_not_equal(e.connection, DISKREP_DRBD_LINK_UNKNOWN);
			if (e.object == DISKREP_DRBD_PEER_DEVICE && e.action == DISKREP_DRBD_EXISTS)
				assert_int_not_equal(
					e.replication, DISKREP_DRBD_REPLICATION_UNKNOWN);
			if (e.object == DISKREP_DRBD_DEVICE && e.action == DISKREP_DRBD_EXISTS)
				assert_int_not_equal(e.disk, DISKREP_DRBD_DISK_UNKNOWN);
		}
	}
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void garbage_is_survived(void **state)
{
	uint32_t seed = 1;
	size_t length;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		CLEANUP_FREE char *text = golden(files[i], &length);

		for (int round = 0; round < 20000; round++) {
			char line[300];
			size_t n = next_random(&seed) % sizeof(line);
			size_t from = next_random(&seed) % (length > n ? length - n : 1);
			struct diskrep_drbd_event e;

			if (n > length)
				n = length;
			memcpy(line, text + from, n);
			for (uint32_t k = next_random(&seed) % 8; n && k > 0; k--)
				line[next_random(&seed) % n] = (char)next_random(&seed);
			if (parse_exact(line, n, &e) == 0)
				assert_true(e.volume >= -1 && e.minor >= -1 &&
					    strlen(e.resource) <= DISKREP_DRBD_NAME_MAX);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_object_is_read),
		cmocka_unit_test(the_unknown_is_passed_over),
		cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(every_recorded_line_is_understood),
		cmocka_unit_test(garbage_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
