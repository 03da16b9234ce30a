/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The primary's half of a disk checkpoint: the marker that is written, while the guest stands, down
 * the same DRBD stream as the guest's own writes. Everything that the guest was told is written
 * lies before it, everything that it writes later lies behind it. Used by romulus-primary only.
 */
#ifndef DISKREP_PRIMARY_H
#define DISKREP_PRIMARY_H

#include <stdint.h>

#define DISKREP_PRIMARY_LINE_MAX 160

struct why;
struct diskrep_primary;

/*
 * Get @resource ready on the host whose guest uses it: it must be up and primary here; connects it
 * when it stands alone. @uuid: of the domain, as text. Returns 0 with *ret owned by the caller, or
 * a negative errno with a sentence.
 */
int diskrep_primary_open(
	const char *resource, const char *uuid, struct diskrep_primary **ret, struct why *why);
struct diskrep_primary *diskrep_primary_close(
	struct diskrep_primary *p); /* NULL ok; returns NULL */

/* 0 when @path is the device of one of its data volumes, else -EOPNOTSUPP with a sentence. */
int diskrep_primary_covers(struct diskrep_primary *p, const char *path, struct why *why);

/* Marks this pairing; random, never 0. The backup is told it before the first boundary. */
uint64_t diskrep_primary_nonce(const struct diskrep_primary *p);

/*
 * Before the first checkpoint, the guest still running: bring the marker's place into DRBD's
 * activity log, for a first marker that waits for a metadata write would stretch the pause; then
 * run the self-test of write ordering, of which the backup counts what it sees.
 */
int diskrep_primary_prime(struct diskrep_primary *p, uint64_t generation, struct why *why);

/* What the self-test was and what the backup counted: one line, DISKREP_PRIMARY_LINE_MAX bytes. */
void diskrep_primary_tested(
	const struct diskrep_primary *p, uint32_t seen, uint32_t violations, char *ret);

/*
 * With the guest suspended: begin writing boundary @epoch; does not wait. Then _mark_wait(), before
 * the guest is resumed: what it writes then lies behind the boundary. What lies between (the
 * capture of the memory) runs beside it. Each returns 0 or a negative errno.
 */
int diskrep_primary_mark(struct diskrep_primary *p, uint64_t epoch, struct why *why);
int diskrep_primary_mark_wait(struct diskrep_primary *p, struct why *why);

/*
 * What keeps the backup's disks from following, as far as DRBD on this host knows; "" when it knows
 * of nothing. It asks DRBD, which takes some milliseconds.
 */
void diskrep_primary_obstacle(struct diskrep_primary *p, struct why *ret);

#endif
