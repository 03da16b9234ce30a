/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/asked.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "common/cleanup.h"

static void path_of(char ret[PATH_MAX], const char *run_dir, const char *uuid)
{
	snprintf(ret, PATH_MAX, "%s/asked-%s", run_dir, uuid);
}

int asked_open(const char *run_dir, const char *uuid)
{
	char path[PATH_MAX];
	int fd;

	path_of(path, run_dir, uuid);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return fd >= 0 ? fd : -errno;
}

int asked_note(int fd, uint32_t domid)
{
	return pwrite(fd, &domid, sizeof(domid), 0) == sizeof(domid) ? 0 : -errno;
}

bool asked_noted(const char *run_dir, const char *uuid, uint32_t domid)
{
	CLEANUP_CLOSE int fd = -1;
	char path[PATH_MAX];
	uint32_t noted = 0;

	path_of(path, run_dir, uuid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, &noted, sizeof(noted)) == sizeof(noted) && noted == domid;
}

void asked_forget(const char *run_dir, const char *uuid)
{
	char path[PATH_MAX];

	path_of(path, run_dir, uuid);
	unlink(path);
}
