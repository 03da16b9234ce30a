/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/boundary.h"

#include <stdio.h>
#include <string.h>

const char *diskrep_way_name(enum diskrep_way way)
{
	return way == DISKREP_WAY_BRACKET ? "bracket" : "wait";
}

enum diskrep_way diskrep_boundary_choose(
	const struct diskrep_boundary_facts *facts, char *why, size_t size)
{
	const uint32_t sent = facts->test.probes[DISKREP_WAY_BRACKET];
	const struct diskrep_order_count *seen = &facts->count[DISKREP_WAY_BRACKET];
	const uint32_t wait_us = facts->test.us[DISKREP_WAY_WAIT];
	const uint32_t bracket_us = facts->test.us[DISKREP_WAY_BRACKET];

	if (strncmp(facts->drbd, "8.4.", 4) != 0)
		snprintf(why, size, "a flush is known to be a barrier in DRBD 8.4, this is %s",
			facts->drbd[0] ? facts->drbd : "unknown");
	else if (strcmp(facts->write_cache, "write back") != 0)
		snprintf(why, size, "the marker's DRBD device says \"%s\": flushes do not reach it",
			facts->write_cache);
	else if (!sent)
		snprintf(why, size, "the marker volume has no room for the self-test (%u KiB)",
			DISKREP_SELFTEST_BYTES / 1024);
	else if (seen->probes != sent)
		snprintf(why, size, "%u of %u probes of the self-test were seen by the backup",
			seen->probes, sent);
	else if (seen->violations)
		snprintf(why, size, "%u of %u probes came out of order in a bracket",
			seen->violations, sent);
	else if (bracket_us >= wait_us)
		snprintf(why, size, "safe either way, and a bracket takes longer: %u us, not %u",
			bracket_us, wait_us);
	else {
		snprintf(why, size, "safe either way, and waiting takes longer: %u us, not %u",
			wait_us, bracket_us);
		return DISKREP_WAY_BRACKET;
	}
	return DISKREP_WAY_WAIT;
}
