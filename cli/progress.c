/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli.h"

#include "common/progress.h"

void cli_progress_format(char *out, size_t size, unsigned int columns, const json_t *progress)
{
	const char *stage = cli_text(progress, "stage");
	const struct progress p = {
		.stage = stage[0] ? stage : "copy",
		.counts = !stage[0] || json_object_get(progress, "total"),
		.pages = cli_number(progress, "pages"),
		.total = cli_number(progress, "total"),
		.bytes = cli_number(progress, "bytes"),
		.bytes_per_s = cli_number(progress, "bytes_per_s"),
		.eta_s = cli_number(progress, "eta_s"),
		.round = cli_number(progress, "round"),
		.dirty = cli_number(progress, "dirty"),
	};

	progress_format(out, size, columns, &p);
}
