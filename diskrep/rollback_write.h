/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing the rollback file from an undo map; the undo store's half of rollback.h. */
#ifndef DISKREP_ROLLBACK_WRITE_H
#define DISKREP_ROLLBACK_WRITE_H

#include <stdint.h>

struct diskrep_marker;
struct diskrep_undo;
struct why;

/*
 * Persist what takes @volumes volumes back to boundary @at->epoch as @path: written beside it,
 * synced, renamed, directory synced, so that @path is the whole file or not there. @undo must not
 * change meanwhile. Returns 0 with the bytes of content in *ret_bytes, or a negative errno: -EINVAL
 * and -ENOSPC as diskrep_undo_rollback().
 */
int diskrep_rollback_write(const char *path, struct diskrep_undo *undo,
	const struct diskrep_marker *at, uint32_t volumes, uint64_t *ret_bytes, struct why *why);

#endif
