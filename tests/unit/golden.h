/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files in tests/unit/data, as they were recorded. Included after cmocka.h. */
#ifndef TESTS_UNIT_GOLDEN_H
#define TESTS_UNIT_GOLDEN_H

#include <stdio.h>
#include <stdlib.h>

/* The whole of data/@name as a string, the caller's to free. */
static inline char *golden(const char *name, size_t *ret_length)
{
	char path[256], *text = malloc(65536);
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "tests/unit/data/%s", name);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_non_null(text);
	n = fread(text, 1, 65535, f);
	assert_true(n > 0);
	fclose(f);
	text[n] = '\0';
	if (ret_length)
		*ret_length = n;
	return text;
}

#endif
