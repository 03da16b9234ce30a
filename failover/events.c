/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/events.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"

void failover_event(
	struct failover_events *ev, const char *domain, const char *kind, const char *fmt, ...)
{
	struct failover_event_entry *e = &ev->ring[++ev->last % FAILOVER_EVENTS_MAX];
	char text[768];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text_clean(text);
	free(e->text);
	e->text = strdup(text);
	e->number = ev->last;
	e->wall_ns = clock_wall_ns();
	e->monotonic_ns = clock_now_ns();
	snprintf(e->domain, sizeof(e->domain), "%s", domain ? domain : "");
	text_clean(e->domain); /* it may have been cut */
	snprintf(e->kind, sizeof(e->kind), "%s", kind);
	log_notice("%s%s%s: %s", e->domain, domain ? " " : "", e->kind, text);
	if (ev->follow)
		ev->follow(ev->data, e);
}

const struct failover_event_entry *failover_events_get(
	const struct failover_events *ev, uint64_t number)
{
	const struct failover_event_entry *e = &ev->ring[number % FAILOVER_EVENTS_MAX];

	return number > 0 && e->number == number ? e : NULL;
}

void failover_events_clear(struct failover_events *ev)
{
	for (size_t i = 0; i < FAILOVER_EVENTS_MAX; i++)
		free(ev->ring[i].text);
	memset(ev->ring, 0, sizeof(ev->ring));
}
