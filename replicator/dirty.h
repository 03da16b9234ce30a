/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Log-dirty bitmaps. */
#ifndef REPLICATOR_DIRTY_H
#define REPLICATOR_DIRTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Whether all pages that were dirty @before are dirty @now, as they must be when nobody has cleared
 * the bitmap in between. Both are @words long.
 */
static inline bool dirty_covers(const uint64_t *now, const uint64_t *before, size_t words)
{
	uint64_t lost = 0;

	for (size_t i = 0; i < words; i++)
		lost |= before[i] & ~now[i];
	return lost == 0;
}

/* Whether there is no page in the @words long @bitmap. */
static inline bool dirty_none(const uint64_t *bitmap, size_t words)
{
	uint64_t any = 0;

	for (size_t i = 0; i < words; i++)
		any |= bitmap[i];
	return any == 0;
}

#endif
