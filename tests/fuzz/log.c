/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In place of common/log.c: millions of lines that nobody reads, made all the same. */
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>

void log_open(const char *name)
{
}

void log_line(int priority, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
}
