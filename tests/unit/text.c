/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Foreign text for a person: what is UTF-8 stays, anything else does no harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/text.h"
#include "common/why.h"

static void text_stays_as_it_is(void **state)
{
	static const char *const good[] = {"", "fence_ipmilan: off", "caf\xc3\xa9",
		"\xc2\xa0\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf",
		"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		char text[64];

		strcpy(text, good[i]);
		text_clean(text);
		assert_string_equal(text, good[i]);
		assert_true(text_valid(good[i]));
	}
}

static void anything_else_is_replaced(void **state)
{
	static const struct {
		const char *from, *to;
	} cases[] = {
		{"a\nb\x7f\x1b[2J", "a?b??[2J"},
		{"caf\xe9 x", "caf? x"},
		{"cut \xf0\x9f\x98", "cut ???"},
		{"\xc0\xaf \xe0\x80\xaf \xf0\x80\x80\xaf", "?? ??? ????"}, /* too long */
		{"\xed\xa0\x80 \xf4\x90\x80\x80 \xff", "??? ???? ?"},
		{"\xc2\x9b"
		 "31m",
			"??31m"}, /* CSI in one character */
		{"\x80\xc3\xc3\xa9", "??\xc3\xa9"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[64];

		assert_false(text_valid(cases[i].from));
		strcpy(text, cases[i].from);
		text_clean(text);
		assert_string_equal(text, cases[i].to);
	}
}

/* A sentence is cut to fit wherever that is. */
static void sentences_are_text(void **state)
{
	char letters[WHY_MAX + 2];
	struct why why;

	for (size_t shift = 0; shift < 2; shift++) {
		memset(letters, 'x', sizeof(letters));
		for (size_t i = shift; i + 1 < sizeof(letters) - 1; i += 2)
			memcpy(letters + i, "\xc3\xa9", 2);
		letters[sizeof(letters) - 1] = '\0';
		why_set(&why, 0, "%s", letters);
		assert_true(text_valid(why.text));
		assert_int_equal(strlen(why.text), WHY_MAX - 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_stays_as_it_is),
		cmocka_unit_test(anything_else_is_replaced),
		cmocka_unit_test(sentences_are_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
