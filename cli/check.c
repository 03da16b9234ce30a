/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `romulus check`: result, name and what was found in columns; what to do below a row that did not
 * pass; then the sum.
 */
#include "cli/cli.h"

#include <string.h>

#define NAME_WIDTH_MAX 24

static int name_width(const json_t *rows)
{
	const json_t *row;
	size_t i, width = 0;

	json_array_foreach (rows, i, row) {
		const size_t n = strlen(cli_text(row, "name"));

		if (n > width)
			width = n;
	}
	return width < NAME_WIDTH_MAX ? (int)width : NAME_WIDTH_MAX;
}

/* What needs a person's eye is in capitals, as in status. */
static const char *shown(const char *result)
{
	if (!strcmp(result, "fail"))
		return "FAIL";
	return strcmp(result, "warn") == 0 ? "WARN" : result;
}

void cli_check_print(FILE *out, const json_t *check)
{
	const json_t *rows = json_object_get(check, "checks"), *row;
	const int width = name_width(rows);
	size_t i, passed = 0, warned = 0, failed = 0;

	json_array_foreach (rows, i, row) {
		const char *result = cli_text(row, "result"), *todo = cli_text(row, "do");

		passed += !strcmp(result, "pass");
		warned += !strcmp(result, "warn");
		failed += !strcmp(result, "fail");
		fprintf(out, "%-4.4s  %-*s  %s\n", shown(result), width, cli_text(row, "name"),
			cli_text(row, "found"));
		if (todo[0])
			fprintf(out, "%*s  -> %s\n", width + 6, "", todo);
	}
	fprintf(out, "%s on %s: %zu passed, %zu %s, %zu failed\n", cli_text(check, "domain"),
		cli_text(check, "host"), passed, warned, warned == 1 ? "warning" : "warnings",
		failed);
}
