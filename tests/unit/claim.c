/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the standby's memory is claimed, over a hypervisor that is an answer. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/why.h"
#include "replicator/claim.h"
#include "replicator/hv.h"

static int answer;
static unsigned int asked;
static struct why why;

static int ask(struct hv *hv, const char *name, uint64_t memory_kb, struct why *w)
{
	assert_string_equal(name, "db--standby");
	assert_int_equal(memory_kb, 65536);
	asked++;
	return answer ? why_set(w, answer, "no") : 0;
}

static const struct hv_ops ops = {.claim = ask};

static int try_it(struct claim *c, int r)
{
	answer = r;
	return claim_try(c, &ops, NULL, "db", "db--standby", 65536, &why);
}

static int setup(void **state)
{
	asked = 0;
	return 0;
}

static void it_is_asked_for_until_it_is_made(void **state)
{
	struct claim c = {.settled = false};

	for (unsigned int i = 1; i < 5; i++) {
		assert_int_equal(try_it(&c, -EAGAIN), 0);
		assert_int_equal(asked, i);
	}
	assert_int_equal(try_it(&c, 0), 0);
	assert_int_equal(try_it(&c, -ENOMEM), 0); /* once is enough */
	assert_int_equal(asked, 5);
}

static void it_is_not_asked_for_for_ever(void **state)
{
	struct claim c = {.settled = false};

	for (unsigned int i = 0; i < 10000; i++)
		assert_int_equal(try_it(&c, -EAGAIN), 0);
	assert_true(asked < 1000);
}

static void without_room_the_copy_ends(void **state)
{
	struct claim c = {.settled = false};

	assert_int_equal(try_it(&c, -ENOMEM), -ENOMEM);
	assert_non_null(strstr(why.text, "no room for 'db' on the backup host"));
}

static void where_it_cannot_be_made_the_copy_goes_on(void **state)
{
	struct claim c = {.settled = false};

	assert_int_equal(try_it(&c, -EPERM), 0);
	assert_int_equal(try_it(&c, -ENOMEM), 0);
	assert_int_equal(asked, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(it_is_asked_for_until_it_is_made, setup),
		cmocka_unit_test_setup(it_is_not_asked_for_for_ever, setup),
		cmocka_unit_test_setup(without_room_the_copy_ends, setup),
		cmocka_unit_test_setup(where_it_cannot_be_made_the_copy_goes_on, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
