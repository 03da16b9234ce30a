/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a copy has gone on for long enough. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/clock.h"
#include "common/cleanup.h"
#include "replicator/precopy.h"

#define ALL 100000u
#define PAGES_PER_MS 25u /* about 100 MB/s */

static char reason[PRECOPY_REASON_MAX];

/* Send @dirty, round after round, until the last one; returns how many there were before it. */
static unsigned int rounds(struct precopy_terms terms, const uint64_t *dirty, size_t n)
{
	struct precopy p = {.terms = terms};
	uint64_t now = NSEC_PER_SEC, pages = ALL;
	unsigned int round;

	for (round = 0; round <= n; round++) {
		if (precopy_is_last(&p, round, pages, now, reason))
			return round;
		now += pages * NSEC_PER_MSEC / PAGES_PER_MS;
		pages = round < n ? dirty[round] : 0;
	}
	fail_msg("it goes on after all of them");
	return 0;
}

#define ROUNDS(terms, ...)                                                                         \
	rounds((struct precopy_terms)terms, (const uint64_t[]){__VA_ARGS__},                       \
		ARRAY_SIZE(((const uint64_t[]){__VA_ARGS__})))
#define TERMS(r, t, d)                                                                             \
	{                                                                                          \
		.max_rounds = (r), .dirty_threshold = (t), .max_downtime_ms = (d)                  \
	}

static void little_is_left(void **state)
{
	assert_int_equal(ROUNDS(TERMS(10, 256, 0), 20000, 4000, 300, 256, 255, 3), 5);
	assert_non_null(strstr(reason, "255 pages are left to send, fewer than 256"));
}

static void there_are_rounds_enough(void **state)
{
	assert_int_equal(ROUNDS(TERMS(3, 256, 0), 50000, 40000, 30000, 20000), 3);
	assert_non_null(strstr(reason, "3 rounds are over and 30000 pages left"));
}

/* 5000 pages dirtied in the 800 ms that 20000 take: 1250 in the 200 ms of theirs, 50 ms. */
static void what_is_left_is_fast_enough(void **state)
{
	assert_int_equal(ROUNDS(TERMS(0, 0, 100), 20000, 5000, 1250), 2);
	assert_non_null(strstr(reason, "in about 50 ms, no more than 100"));
	assert_int_equal(ROUNDS(TERMS(0, 0, 40), 20000, 5000, 1250), 3);
}

/* A guest that dirties as fast as is sent is not waited for. */
static void more_rounds_are_in_vain(void **state)
{
	assert_int_equal(ROUNDS(TERMS(0, 256, 0), 30000, 29000, 29500, 29000), 3);
	assert_non_null(strstr(reason, "29500 pages while as many are sent"));
	/* One round that is, and one that is not. */
	assert_int_equal(ROUNDS(TERMS(0, 256, 0), 30000, 29000, 15000, 14500, 200), 5);
}

/* All of it has to be sent once, whatever there is. */
static void the_first_round_is_never_the_last(void **state)
{
	struct precopy p = {.terms = TERMS(10, ALL + 1, 1000000)};

	assert_false(precopy_is_last(&p, 0, ALL, NSEC_PER_SEC, reason));
	assert_true(precopy_is_last(&p, 1, ALL, 2 * NSEC_PER_SEC, reason));
}

/* Of a guest that is paused, or idle, and of a clock that did not move. */
static void nothing_left_is_the_end(void **state)
{
	struct precopy p = {.terms = TERMS(10, 256, 0)};

	assert_false(precopy_is_last(&p, 0, ALL, NSEC_PER_SEC, reason));
	assert_true(precopy_is_last(&p, 1, 0, NSEC_PER_SEC, reason));
	assert_int_equal(p.downtime_ms, 0);
	p.terms = (struct precopy_terms){0}; /* nor does it need a limit */
	assert_false(precopy_is_last(&p, 0, ALL, NSEC_PER_SEC, reason));
	assert_true(precopy_is_last(&p, 1, 0, NSEC_PER_SEC, reason));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(little_is_left),
		cmocka_unit_test(there_are_rounds_enough),
		cmocka_unit_test(what_is_left_is_fast_enough),
		cmocka_unit_test(more_rounds_are_in_vain),
		cmocka_unit_test(the_first_round_is_never_the_last),
		cmocka_unit_test(nothing_left_is_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
