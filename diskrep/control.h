/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the undo store and its worker say to each other: one line of text per SOCK_SEQPACKET
 * message, without a line end. Numbers are decimal, 64 bits.
 *
 *   worker -> store                      answer
 *   expect UUID NONCE GENERATION         ok       forget everything, wait for boundary 1
 *   commit EPOCH                         ok       drop what is older than boundary EPOCH
 *   dump EPOCH PATH                      ok BYTES rollback file to boundary EPOCH
 *   snapshot EPOCH DIRECTORY             ok       exports drill-N are the disks of boundary EPOCH
 *   release                              ok       and are not any more
 *   status                               ok STATE OLDEST NEWEST USED LARGEST LIMIT LOCKED
 *                                           PROBES ALL VIOLATIONS (of each way, in order)
 *   stop                                 ok       then exit
 *
 * Any of them: `failed TEXT`. At any time the store says `boundary EPOCH`, `overflow`, `error
 * TEXT`. Pure: no I/O. The parsers take anything and read no further than @length.
 */
#ifndef DISKREP_CONTROL_H
#define DISKREP_CONTROL_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "diskrep/marker.h"
#include "diskrep/order.h"
#include "diskrep/undo.h"

#define DISKREP_CONTROL_STATUS_MAX 200      /* bytes of the answer to status */
#define DISKREP_CONTROL_MAX (PATH_MAX + 64) /* bytes of a message; longer ones are malformed */

enum diskrep_control_verb {
	DISKREP_CONTROL_EXPECT,
	DISKREP_CONTROL_COMMIT,
	DISKREP_CONTROL_DUMP,
	DISKREP_CONTROL_SNAPSHOT,
	DISKREP_CONTROL_RELEASE,
	DISKREP_CONTROL_STATUS,
	DISKREP_CONTROL_STOP,
};

struct diskrep_control_request {
	enum diskrep_control_verb verb;
	struct diskrep_marker expected; /* expect */
	uint64_t epoch;                 /* commit, dump, snapshot; never 0 */
	char path[PATH_MAX];            /* dump, snapshot; absolute, printable */
};

struct diskrep_control_status {
	struct diskrep_undo_info undo;
	struct diskrep_order_count order; /* of the self-test of this session */
};

/* 0 with all of *ret set, or -EINVAL. */
int diskrep_control_parse(const char *line, size_t length, struct diskrep_control_request *ret);

/* All of @text is a decimal number that fits. 0 or -EINVAL. */
int diskrep_control_number(const char *text, uint64_t *ret);

/* The arguments of `ok` after status. */
void diskrep_control_print_status(
	const struct diskrep_control_status *status, char *ret, size_t size);
int diskrep_control_parse_status(
	const char *text, struct diskrep_control_status *ret); /* 0 or -EINVAL */

#endif
