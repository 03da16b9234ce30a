/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *log_name = "romulus";

void log_open(const char *name)
{
	log_name = name;
}

void log_line(int priority, const char *fmt, ...)
{
	const char *debug = getenv("ROMULUS_DEBUG");
	char line[1024];
	va_list ap;

	if (priority == LOG_DEBUG && !(debug && *debug))
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* One write per line, so that lines of several processes do not mix. */
	fprintf(stderr, "<%d>%s: %s\n", priority, log_name, line);
}
