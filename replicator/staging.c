/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/staging.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/why.h"

int staging_open(struct staging *st, size_t limit, struct why *why)
{
	memset(st, 0, sizeof(*st));
	st->limit = limit;
	st->fd = memfd_create("romulus-epoch", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	/* Sealed at the limit: a larger epoch fails as a write error instead of eating dom0. */
	if (st->fd < 0 || ftruncate(st->fd, (off_t)limit) ||
		fcntl(st->fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK))
		return why_set(why, -errno, "cannot make a staging buffer of %zu MB: %s",
			limit >> 20, strerror(errno));
	st->map = mmap(NULL, limit, PROT_READ, MAP_SHARED, st->fd, 0);
	if (st->map == MAP_FAILED) {
		st->map = NULL;
		return why_set(why, -errno, "cannot map a staging buffer of %zu MB: %s",
			limit >> 20, strerror(errno));
	}
	return 0;
}

void staging_close(struct staging *st)
{
	if (st->map)
		munmap(st->map, st->limit);
	if (st->fd >= 0)
		close(st->fd);
	st->map = NULL;
	st->fd = -1;
}

void staging_taken(struct staging *st)
{
	off_t end = lseek(st->fd, 0, SEEK_CUR);

	assert(!st->uncommitted && end >= 0);
	st->uncommitted = 1;
	st->length = (size_t)end;
	if (st->length > st->largest)
		st->largest = st->length;
}

void staging_committed(struct staging *st)
{
	assert(st->uncommitted);
	st->uncommitted = 0;
	lseek(st->fd, 0, SEEK_SET);
}
