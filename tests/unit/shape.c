/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is other of a domain than it was when its standby was built. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "replicator/shape.h"

static struct shape usual(void)
{
	struct shape s = {0};

	shape_put(&s, "memory", 163840);
	shape_put(&s, "vcpu 0", 0);
	shape_put(&s, "vcpu 1", 0);
	shape_put(&s, "vif 0", 0);
	return s;
}

static void assert_differs(const struct shape *was, const struct shape *is, const char *text)
{
	char what[80] = "";

	assert_true(shape_differs(was, is, what, sizeof(what)));
	assert_string_equal(what, text);
}

static void the_same_is_the_same(void **state)
{
	struct shape was = usual(), is = {0};
	char what[80];

	assert_false(shape_differs(&was, &was, what, sizeof(what)));
	/* xenstore lists in no order. */
	for (size_t i = was.n; i-- > 0;)
		shape_put(&is, was.parts[i].name, was.parts[i].value);
	assert_false(shape_differs(&was, &is, what, sizeof(what)));
}

static void every_change_is_found_and_named(void **state)
{
	struct shape was = usual(), is = usual();

	shape_put(&is, "vbd 51728", 0);
	assert_differs(&was, &is, "vbd 51728 was added");
	assert_differs(&is, &was, "vbd 51728 was taken away");
	is = usual();
	is.parts[0].value = 131072;
	assert_differs(&was, &is, "memory was changed from 160 to 128 MB");
	for (size_t i = 0; i < was.n; i++) {
		char what[80];

		is = usual();
		is.parts[i] = is.parts[--is.n];
		assert_true(shape_differs(&was, &is, what, sizeof(what)));
		assert_non_null(strstr(what, was.parts[i].name));
	}
}

/* One device goes and another comes: that is not the same number of devices. */
static void one_in_the_place_of_another_is_found(void **state)
{
	struct shape was = usual(), is = usual();

	snprintf(is.parts[3].name, sizeof(is.parts[3].name), "vif 1");
	assert_differs(&was, &is, "vif 0 was taken away");
}

static void it_is_bounded(void **state)
{
	struct shape s = {0};

	for (int i = 0; i < SHAPE_PARTS + 5; i++)
		shape_put(&s, "a name that is longer than there is room for in a part", 0);
	assert_int_equal(s.n, SHAPE_PARTS);
	assert_int_equal(strlen(s.parts[0].name), sizeof(s.parts[0].name) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_is_the_same),
		cmocka_unit_test(every_change_is_found_and_named),
		cmocka_unit_test(one_in_the_place_of_another_is_found),
		cmocka_unit_test(it_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
