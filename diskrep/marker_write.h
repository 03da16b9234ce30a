/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One marker on its way to the marker volume, and when it has been passed: when everything that is
 * written from now on lies behind it. The self-test's markers go the same way as the real ones.
 */
#ifndef DISKREP_MARKER_WRITE_H
#define DISKREP_MARKER_WRITE_H

#include <libaio.h>

#include "diskrep/probe.h"

struct diskrep_marker_write {
	int fd; /* of the marker volume, O_DIRECT; the owner's */
	io_context_t aio;
	unsigned int pending; /* bits of what has not completed */
};

int diskrep_marker_write_open(struct diskrep_marker_write *w, int fd);
void diskrep_marker_write_close(struct diskrep_marker_write *w); /* waits for what is pending */

/*
 * Begin writing @block, DISKREP_MARKER_BYTES, aligned, untouched until _settle(), to the start of
 * the volume; nothing may be pending. Does not wait for a disk. 0 or a negative errno, as below.
 */
int diskrep_marker_write_begin(struct diskrep_marker_write *w, void *block, enum diskrep_way way);

/* Wait until the marker has been passed, @way being that of _begin(). -ETIMEDOUT: 30 s. */
int diskrep_marker_write_pass(struct diskrep_marker_write *w, enum diskrep_way way);

/* Wait until nothing is pending. */
int diskrep_marker_write_settle(struct diskrep_marker_write *w);

#endif
