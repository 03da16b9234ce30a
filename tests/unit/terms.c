/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What two hosts must agree upon. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "failover/terms.h"

static const struct {
	struct failover_terms ours, theirs;
	const char *says; /* NULL: they agree */
} cases[] = {
	{{"a", "manual", "", 0}, {"b", "manual", "", 0}, NULL},
	{{"a", "fence", "", 0}, {"b", "fence", "", 0}, NULL},
	{{"a", "etcd", "/r", 7}, {"b", "etcd", "/r", 7}, NULL},
	{{"a", "etcd", "/r", 0}, {"b", "etcd", "/r", 7}, NULL}, /* has not answered one of them */
	{{"a", "etcd", "/r", 7}, {"b", "etcd", "/r", 0}, NULL},
	{{"a", "fence", "", 0}, {"b", "manual", "", 0},
		"arbiter is \"fence\" on a and \"manual\" on b"},
	{{"a", "etcd", "/r", 7}, {"b", "etcd+fence", "/r", 7}, "\"etcd+fence\" on b"},
	{{"a", "manual", "", 0}, {"b", "etcd", "/r", 7}, "\"etcd\" on b"},
	{{"a", "etcd", "/r", 7}, {"b", "etcd", "/s", 7},
		"prefix in etcd is \"/r\" on a and \"/s\" on b"},
	{{"a", "etcd", "/r", 7}, {"b", "etcd", "/r", 8}, "two different etcd clusters"},
	{{"a", "etcd+fence", "/r", 7}, {"b", "etcd+fence", "/r", 8}, "two different etcd clusters"},
	{{"a", "manual", "", 0}, {"b", "", "", 0}, "b does not say"},
};

static void what_differs_is_said(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct why why = {""};
		const int r = failover_terms_agree(&cases[i].ours, &cases[i].theirs, &why);

		assert_int_equal(r, cases[i].says ? -EPERM : 0);
		if (cases[i].says && !strstr(why.text, cases[i].says))
			fail_msg("%zu: %s", i, why.text);
	}
}

/* Who asks whom must not matter. */
static void it_is_the_same_from_both_sides(void **state)
{
	struct why why;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (cases[i].theirs.arbiter[0])
			assert_int_equal(
				failover_terms_agree(&cases[i].theirs, &cases[i].ours, &why),
				cases[i].says ? -EPERM : 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_differs_is_said),
		cmocka_unit_test(it_is_the_same_from_both_sides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
