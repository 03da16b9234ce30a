/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `romulus events`: the timeline that an operator reads after a night. */
#include "cli/cli.h"

#include <string.h>
#include <time.h>

void cli_event_line(FILE *out, const json_t *event, uint64_t previous_ns)
{
	/* An integer of JSON, not a double: 19 digits do not fit into one. */
	json_int_t wall = json_integer_value(json_object_get(event, "wall_ns"));
	const char *domain = cli_text(event, "domain");
	time_t seconds = (time_t)(wall / 1000000000);
	struct tm tm;
	char day[32] = "?", step[24] = "";

	if (localtime_r(&seconds, &tm))
		strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &tm);
	if (previous_ns && (uint64_t)wall >= previous_ns)
		snprintf(step, sizeof(step), "+%.3f s",
			(double)((uint64_t)wall - previous_ns) / 1e9);
	fprintf(out, "%s.%03d %12s  %s%s%s  %-12s %s\n", day, (int)(wall / 1000000 % 1000), step,
		cli_text(event, "host"), domain[0] ? "/" : "", domain, cli_text(event, "kind"),
		cli_text(event, "text"));
}
