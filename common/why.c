/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/why.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/text.h"

int why_set(struct why *why, int err, const char *fmt, ...)
{
	va_list ap;

	if (!why)
		return err;
	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	text_clean(why->text);
	return err;
}
