/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rollback file in a worker's hands: checked as a whole, written back through DRBD (so that its
 * bitmap knows), forgotten. A worker that died in between is repeated by another one: the file
 * holds contents, not differences, so writing it twice is writing it once.
 */
#ifndef DISKREP_ROLLBACK_H
#define DISKREP_ROLLBACK_H

#include <stddef.h>
#include <stdint.h>

struct why;

struct diskrep_rollback_info {
	uint8_t uuid[16]; /* of the domain */
	uint64_t generation, epoch;
	uint32_t volumes;
	uint64_t records, bytes; /* of content */
};

struct diskrep_rollback_stats {
	uint64_t records, bytes; /* written */
};

/*
 * Read all of @path. 0 with *ret set (NULL ok); -ENOENT when there is none; -EBADMSG when it is
 * torn, damaged or something else: then it must not be used.
 */
int diskrep_rollback_check(const char *path, struct diskrep_rollback_info *ret, struct why *why);

/*
 * Write @path back: its volume V to devices[V]. Nothing is written unless the whole file is good,
 * is for exactly @n volumes, and every record fits its device; synced when it returns 0. *ret_stats
 * (NULL ok) is set on success only. Can be repeated after any failure.
 */
int diskrep_rollback_replay(const char *path, const char *const *devices, size_t n,
	struct diskrep_rollback_stats *ret_stats, struct why *why);

/* It has been written back: remove it, for good. 0 also when it is not there. */
int diskrep_rollback_forget(const char *path, struct why *why);

#endif
