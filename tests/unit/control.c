/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The language between the undo store and its worker: the right lines, and anything else. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "diskrep/control.h"

#define UUID "deadbeef-0102-0304-0506-0708090a0b0c"

static int parse(const char *line, struct diskrep_control_request *ret)
{
	return diskrep_control_parse(line, strlen(line), ret);
}

static void requests_are_understood(void **state)
{
	struct diskrep_control_request q;

	assert_int_equal(parse("expect " UUID " 18446744073709551615 3", &q), 0);
	assert_int_equal(q.verb, DISKREP_CONTROL_EXPECT);
	assert_int_equal(q.expected.uuid[0], 0xde);
	assert_true(q.expected.nonce == UINT64_MAX);
	assert_int_equal(q.expected.generation, 3);
	assert_int_equal(parse("commit 12", &q), 0);
	assert_int_equal(q.verb, DISKREP_CONTROL_COMMIT);
	assert_int_equal(q.epoch, 12);
	assert_int_equal(parse("dump 7 /var/lib/a list", &q), 0);
	assert_int_equal(q.verb, DISKREP_CONTROL_DUMP);
	assert_int_equal(q.epoch, 7);
	assert_string_equal(q.path, "/var/lib/a list");
	assert_int_equal(parse("snapshot 9 /var/lib/romulus", &q), 0);
	assert_int_equal(q.verb, DISKREP_CONTROL_SNAPSHOT);
	assert_int_equal(q.epoch, 9);
	assert_string_equal(q.path, "/var/lib/romulus");
	assert_int_equal(parse("release", &q), 0);
	assert_int_equal(q.verb, DISKREP_CONTROL_RELEASE);
	assert_int_equal(parse("status", &q), 0);
	assert_int_equal(q.verb, DISKREP_CONTROL_STATUS);
	assert_int_equal(parse("stop", &q), 0);
	assert_int_equal(q.verb, DISKREP_CONTROL_STOP);
}

static void anything_else_is_refused(void **state)
{
	static const char *const wrong[] = {"", " ", "expect", "expect ", "expect " UUID,
		"expect " UUID " 1", "expect " UUID " 1 ", "expect " UUID " 0 1",
		"expect " UUID " 1 2 3", "expect x 1 2", "commit", "commit ", "commit 0",
		"commit -1", "commit +1", "commit 1 ", "commit  1", "commit 1x", "commit 0x1",
		"commit 18446744073709551616", "dump 1", "dump 1 ", "dump 1 relative", "dump /a 1",
		"dump 0 /a", "snapshot 1", "snapshot 0 /a", "snapshot 1 a", "release 1",
		"dump 1 /a\nb", "status ", "status 1", "stop\n", "stop1", "Stop", "boundary 1",
		"ok"};
	struct diskrep_control_request q = {.epoch = 42};
	char nul[] = "commit 1\0";

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		if (parse(wrong[i], &q) != -EINVAL)
			fail_msg("accepted: '%s'", wrong[i]);
	assert_int_equal(diskrep_control_parse(nul, sizeof(nul), &q), -EINVAL);
	assert_int_equal(q.epoch, 42); /* untouched */
}

static void paths_are_bounded(void **state)
{
	struct diskrep_control_request q;
	char line[DISKREP_CONTROL_MAX + 1];

	memset(line, 'a', sizeof(line));
	memcpy(line, "dump 1 /", 8);
	assert_int_equal(diskrep_control_parse(line, 7 + PATH_MAX - 1, &q), 0);
	assert_int_equal(strlen(q.path), PATH_MAX - 1);
	assert_int_equal(diskrep_control_parse(line, 7 + PATH_MAX, &q), -EINVAL);
	assert_int_equal(diskrep_control_parse(line, sizeof(line), &q), -EINVAL);
}

/* In exactly as much memory as there is text, so that a look beyond its end is seen. */
static void garbage_is_survived(void **state)
{
	static const char *const seeds[] = {
		"expect " UUID " 123 4", "commit 77", "dump 5 /a/b", "status", "stop", ""};
	struct diskrep_control_request q;
	struct diskrep_control_status info;

	srand(5);
	for (int round = 0; round < 300000; round++) {
		const char *seed = seeds[(size_t)rand() % ARRAY_SIZE(seeds)];
		const size_t n = strlen(seed) + (size_t)rand() % 8;
		CLEANUP_FREE char *line = malloc(n ? n : 1);

		for (size_t i = 0; i < n; i++)
			line[i] = (char)(i < strlen(seed) ? seed[i] : rand());
		for (int flips = rand() % 4; n && flips > 0; flips--)
			line[(size_t)rand() % n] = (char)rand();
		diskrep_control_parse(line, n, &q);
		if (n) {
			line[n - 1] = '\0';
			diskrep_control_parse_status(line, &info);
		}
	}
}

static void status_is_text_and_back(void **state)
{
	static const struct diskrep_control_status statuses[] = {
		{{DISKREP_UNDO_IDLE, 0, 0, 0, 4096, 0, false}, {0, 0, 0}},
		{{DISKREP_UNDO_SAVING, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
			 true},
			{UINT32_MAX, UINT32_MAX, UINT32_MAX}},
		{{DISKREP_UNDO_OVERFLOW, 1, 2, 3, 4, 5, true}, {6, 7, 8}},
	};
	static const char *const wrong[] = {"", "idle", "idle 1 2 3 4 5 6 7 8",
		"idle 1 2 3 4 5 6 7 8 9 10", "asleep 1 2 3 4 5 6 7 8 9", "idle 1 2 3 x 5 6 7 8 9",
		"idle 1 2 3 4 5 6 7 8 4294967296"};
	struct diskrep_control_status got;
	char text[DISKREP_CONTROL_STATUS_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		const struct diskrep_control_status *s = &statuses[i];

		diskrep_control_print_status(s, text, sizeof(text));
		assert_int_equal(diskrep_control_parse_status(text, &got), 0);
		assert_int_equal(got.undo.state, s->undo.state);
		assert_true(got.undo.oldest == s->undo.oldest);
		assert_true(got.undo.newest == s->undo.newest);
		assert_true(got.undo.used == s->undo.used && got.undo.limit == s->undo.limit);
		assert_true(got.undo.largest == s->undo.largest);
		assert_int_equal(got.undo.locked, s->undo.locked);
		assert_memory_equal(&got.order, &s->order, sizeof(got.order));
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(diskrep_control_parse_status(wrong[i], &got), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_understood),
		cmocka_unit_test(anything_else_is_refused),
		cmocka_unit_test(paths_are_bounded),
		cmocka_unit_test(garbage_is_survived),
		cmocka_unit_test(status_is_text_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
