/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/saver.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

#define HELPER "libxl-save-helper"
#define DOMID 4 /* index of that argument: HELPER --save-domain FD FD DOMID ... */

/* Argument @i of @line, NULL when it has not so many or is cut off there. */
static const char *argument(const char *line, size_t n, unsigned int i)
{
	const char *end = line + n, *zero;

	for (;; i--) {
		zero = memchr(line, '\0', (size_t)(end - line));
		if (!zero || i == 0)
			return zero ? line : NULL;
		line = zero + 1;
	}
}

bool saver_is(const char *line, size_t n, uint32_t domid)
{
	const char *program = argument(line, n, 0), *mode = argument(line, n, 1);
	const char *number = argument(line, n, DOMID), *slash;
	char wanted[16];

	if (!program || !mode || !number)
		return false;
	slash = strrchr(program, '/');
	snprintf(wanted, sizeof(wanted), "%" PRIu32, domid);
	return strcmp(slash ? slash + 1 : program, HELPER) == 0 &&
	       strcmp(mode, "--save-domain") == 0 && strcmp(number, wanted) == 0;
}

static bool is_one(const char *proc, const char *pid, uint32_t domid)
{
	CLEANUP_CLOSE int fd = -1;
	char path[PATH_MAX], line[256];
	ssize_t n;

	snprintf(path, sizeof(path), "%.200s/%.20s/cmdline", proc, pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, line, sizeof(line));
	return n > 0 && saver_is(line, (size_t)n, domid);
}

bool saver_find(const char *proc, uint32_t domid)
{
	const struct dirent *e;
	bool found = false;
	DIR *d = opendir(proc);

	while (d && !found && (e = readdir(d)))
		found = isdigit((unsigned char)e->d_name[0]) && is_one(proc, e->d_name, domid);
	if (d)
		closedir(d);
	return found;
}
