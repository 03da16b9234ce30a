/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a drill's disks have that the real ones have not: old content that was overwritten since the
 * boundary, and what the drill itself has written. In files without a name, which take no more room
 * than is in them and are gone with their process. Blocks are those of undo.h; one user at a time.
 */
#ifndef DISKREP_SNAPSHOT_H
#define DISKREP_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct why;
struct diskrep_snapshot;

/* @dir: where the files are; @spare: bytes that are left free there, or puts fail. 0 with *ret
 * owned by the caller, or a negative errno. */
int diskrep_snapshot_open(const uint64_t *sizes, size_t volumes_n, const char *dir, uint64_t spare,
	struct diskrep_snapshot **ret, struct why *why);
struct diskrep_snapshot *diskrep_snapshot_close(struct diskrep_snapshot *p); /* NULL ok; NULL */

bool diskrep_snapshot_has(const struct diskrep_snapshot *p, uint32_t volume, uint64_t block);

/* Of a whole block, @length bytes of it (less for a short last one). 0 or a negative errno. */
int diskrep_snapshot_put(struct diskrep_snapshot *p, uint32_t volume, uint64_t block,
	const void *content, uint32_t length);
int diskrep_snapshot_get(const struct diskrep_snapshot *p, uint32_t volume, uint64_t block,
	void *ret, uint32_t length);

#endif
