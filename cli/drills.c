/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `romulus drills`: when, whether it passed, how old the checkpoint was, where the time went. */
#include "cli/cli.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

void cli_drill_line(FILE *out, const json_t *drill)
{
	const time_t began =
		(time_t)(json_integer_value(json_object_get(drill, "began_ns")) / 1000000000);
	const json_t *phases = json_object_get(drill, "phases_ms"), *ms;
	const char *result = cli_text(drill, "result"), *why = cli_text(drill, "why"), *name;
	char day[32] = "?";
	double total = 0;
	struct tm tm;

	if (localtime_r(&began, &tm))
		strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &tm);
	fprintf(out, "%s  %s  %s%s", day, cli_text(drill, "domain"),
		json_is_true(json_object_get(drill, "planned")) ? "planned, " : "",
		strcmp(result, "failed") == 0 ? "FAILED" : result);
	if (cli_number(drill, "checkpoint"))
		fprintf(out, ", checkpoint %" PRIu64 ", %.1f s old",
			cli_number(drill, "checkpoint"),
			(double)cli_number(drill, "age_ms") / 1000);
	json_object_foreach ((json_t *)phases, name, ms) {
		total += json_number_value(ms);
		fprintf(out, ", %s %.1f", name, json_number_value(ms) / 1000);
	}
	fprintf(out, ", %.1f s%s%s\n", total / 1000, why[0] ? ": " : "", why);
}
