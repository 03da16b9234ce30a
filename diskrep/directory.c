/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>

#include "common/cleanup.h"

int diskrep_sync_directory_of(const char *path)
{
	char copy[PATH_MAX];
	CLEANUP_CLOSE int fd = -1;

	if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
		return -ENAMETOOLONG;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}
