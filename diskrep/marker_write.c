/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two ways, one promise. A write that has completed here closes its DRBD epoch (drbd_req.c,
 * drbd_req_complete, start_new_tl_epoch), so a barrier always lies between the guest's completed
 * writes and the marker. The barrier behind the marker is there
 * - when the marker itself has completed, on every DRBD, or
 * - in DRBD 8.4 when an empty flush has been submitted behind it (QUEUE_AS_DRBD_BARRIER), provided
 *   that it gets to DRBD: the block layer drops it on a device that says "write through".
 * A flush before the marker would add nothing to what the completed writes have closed. The write's
 * submission is done when io_submit() returns, for DRBD has no queue in front of it while the
 * marker's place is in the activity log.
 */
#include "diskrep/marker_write.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <time.h>

#include "common/fault.h"

#define MARK_TIMEOUT_S 30

enum { WRITE = 1, FLUSH = 2 };

int diskrep_marker_write_open(struct diskrep_marker_write *w, int fd)
{
	*w = (struct diskrep_marker_write){.fd = fd};
	return io_setup(2, &w->aio);
}

void diskrep_marker_write_close(struct diskrep_marker_write *w)
{
	if (w->aio)
		io_destroy(w->aio);
	w->aio = NULL;
}

static int submit(struct diskrep_marker_write *w, struct iocb *cb, unsigned int what)
{
	int r;

	cb->data = (void *)(uintptr_t)what;
	r = io_submit(w->aio, 1, &cb);
	if (r != 1)
		return r < 0 ? r : -EIO;
	w->pending |= what;
	return 0;
}

int diskrep_marker_write_begin(struct diskrep_marker_write *w, void *block, enum diskrep_way way)
{
	struct iocb cb;
	int r;

	assert(!w->pending);
	io_prep_pwrite(&cb, w->fd, block, DISKREP_MARKER_BYTES, 0);
	r = submit(w, &cb, WRITE);
	if (r || way != DISKREP_WAY_BRACKET || fault_point(FAULT_MARKER_UNFLUSHED))
		return r;
	io_prep_fdsync(&cb, w->fd);
	return submit(w, &cb, FLUSH);
}

/* Until none of @what is pending. */
static int reap(struct diskrep_marker_write *w, unsigned int what)
{
	struct timespec limit = {.tv_sec = MARK_TIMEOUT_S};
	struct io_event event;
	long res;
	int r;

	while (w->pending & what) {
		r = io_getevents(w->aio, 1, 1, &event, &limit);
		if (r == -EINTR)
			continue;
		if (r != 1)
			return r ? r : -ETIMEDOUT;
		w->pending &= ~(unsigned int)(uintptr_t)event.data;
		res = (long)event.res;
		if (res < 0)
			return (int)res;
		if ((uintptr_t)event.data == WRITE && res != DISKREP_MARKER_BYTES)
			return -EIO;
	}
	return 0;
}

int diskrep_marker_write_pass(struct diskrep_marker_write *w, enum diskrep_way way)
{
	if (way == DISKREP_WAY_WAIT)
		fault_point(FAULT_MARKER_SLOW);
	return reap(w, way == DISKREP_WAY_BRACKET ? FLUSH : WRITE);
}

int diskrep_marker_write_settle(struct diskrep_marker_write *w)
{
	return reap(w, WRITE | FLUSH);
}
