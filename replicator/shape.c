/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/shape.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void shape_put(struct shape *s, const char *name, uint64_t value)
{
	struct shape_part *p = &s->parts[s->n];

	if (s->n == SHAPE_PARTS)
		return;
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->value = value;
	s->n++;
}

static const struct shape_part *find(const struct shape *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->parts[i].name, name) == 0)
			return &s->parts[i];
	return NULL;
}

bool shape_differs(const struct shape *was, const struct shape *is, char *ret, size_t size)
{
	for (size_t i = 0; i < was->n; i++) {
		const struct shape_part *old = &was->parts[i], *new = find(is, old->name);

		if (!new)
			snprintf(ret, size, "%s was taken away", old->name);
		else if (new->value != old->value)
			snprintf(ret, size, "%s was changed from %" PRIu64 " to %" PRIu64 " MB",
				old->name, old->value / 1024, new->value / 1024);
		else
			continue;
		return true;
	}
	for (size_t i = 0; i < is->n; i++) {
		if (find(was, is->parts[i].name))
			continue;
		snprintf(ret, size, "%s was added", is->parts[i].name);
		return true;
	}
	return false;
}
