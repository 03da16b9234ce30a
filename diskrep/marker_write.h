/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One marker on its way to the marker volume. When it has completed, everything that is written
 * from now on lies behind it. The self-test's markers go the same way as the real ones.
 */
#ifndef DISKREP_MARKER_WRITE_H
#define DISKREP_MARKER_WRITE_H

#include <stdbool.h>

#include <libaio.h>

#include "diskrep/probe.h"

struct diskrep_marker_write {
	int fd; /* of the marker volume, O_DIRECT; the owner's */
	io_context_t aio;
	bool pending;
};

int diskrep_marker_write_open(struct diskrep_marker_write *w, int fd);
void diskrep_marker_write_close(struct diskrep_marker_write *w); /* waits for what is pending */

/*
 * Begin writing @block, DISKREP_MARKER_BYTES, aligned, untouched until _wait(), to the start of the
 * volume; nothing may be pending. Does not wait for a disk. 0 or a negative errno, as below.
 */
int diskrep_marker_write_begin(struct diskrep_marker_write *w, void *block);

/* Wait until it has completed, if it is pending. -ETIMEDOUT: 30 s. */
int diskrep_marker_write_wait(struct diskrep_marker_write *w);

#endif
