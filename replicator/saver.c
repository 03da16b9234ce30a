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
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

#define HELPER "libxl-save-helper"
#define DOMID 4   /* index of that argument: HELPER --save-domain FD FD DOMID ... */
#define DUMP_S 10 /* a dump writes without a pause; a slow disk has some */

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

/* NAME as xl of Xen 4.17 has it, or NAME-TIME. */
static bool is_of(const char *file, const char *name)
{
	const size_t n = strlen(name);

	return strncmp(file, name, n) == 0 && (!file[n] || file[n] == '-');
}

bool saver_dumps(const char *dir, const char *name, time_t now)
{
	const struct dirent *e;
	bool found = false;
	struct stat st;
	DIR *d = opendir(dir);

	while (d && !found && (e = readdir(d)))
		found = is_of(e->d_name, name) && fstatat(dirfd(d), e->d_name, &st, 0) == 0 &&
			S_ISREG(st.st_mode) && st.st_mtime >= now - DUMP_S;
	if (d)
		closedir(d);
	return found;
}
