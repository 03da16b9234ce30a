/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A write that has completed here closes its DRBD epoch (drbd_req.c: drbd_req_complete,
 * start_new_tl_epoch), so a barrier lies between the guest's completed writes and the marker, and
 * another one between the marker, once it has completed, and what follows. That holds on every
 * DRBD. Why there is no flush behind the marker instead: docs/architecture.md, "What differs".
 */
#include "diskrep/marker_write.h"

#include <assert.h>
#include <errno.h>
#include <time.h>

#define MARK_TIMEOUT_S 30

int diskrep_marker_write_open(struct diskrep_marker_write *w, int fd)
{
	*w = (struct diskrep_marker_write){.fd = fd};
	return io_setup(1, &w->aio);
}

void diskrep_marker_write_close(struct diskrep_marker_write *w)
{
	if (w->aio)
		io_destroy(w->aio);
	w->aio = NULL;
}

int diskrep_marker_write_begin(struct diskrep_marker_write *w, void *block)
{
	struct iocb cb, *list = &cb;
	int r;

	assert(!w->pending);
	io_prep_pwrite(&cb, w->fd, block, DISKREP_MARKER_BYTES, 0);
	r = io_submit(w->aio, 1, &list);
	if (r != 1)
		return r < 0 ? r : -EIO;
	w->pending = true;
	return 0;
}

int diskrep_marker_write_wait(struct diskrep_marker_write *w)
{
	struct timespec limit = {.tv_sec = MARK_TIMEOUT_S};
	struct io_event event;
	long res;
	int r;

	if (!w->pending)
		return 0;
	do
		r = io_getevents(w->aio, 1, 1, &event, &limit);
	while (r == -EINTR);
	if (r != 1)
		return r ? r : -ETIMEDOUT;
	w->pending = false;
	res = (long)event.res;
	if (res == DISKREP_MARKER_BYTES)
		return 0;
	return res < 0 ? (int)res : -EIO;
}
