/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/saver.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

#define HELPER "libxl-save-helper"
#define COMM "libxl-save-help" /* what the kernel keeps of it */
#define DOMID 4                /* index of that argument: HELPER --save-domain FD FD DOMID ... */
#define DUMP_S 10              /* a dump writes without a pause; a slow disk has some */

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

static size_t read_of(const char *proc, const char *pid, const char *name, char *text, size_t size)
{
	CLEANUP_CLOSE int fd = -1;
	char path[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "%.200s/%.20s/%s", proc, pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, text, size);
	return n > 0 ? (size_t)n : 0;
}

/* Its arguments are in its memory, and a process that hangs on a disk may keep others from that. */
static bool is_one(const char *proc, const char *pid, uint32_t domid)
{
	char name[32], line[256];

	return read_of(proc, pid, "comm", name, sizeof(name)) > strlen(COMM) &&
	       memcmp(name, COMM, strlen(COMM)) == 0 &&
	       saver_is(line, read_of(proc, pid, "cmdline", line, sizeof(line)), domid);
}

pid_t saver_find(const char *proc, uint32_t domid)
{
	const struct dirent *e;
	pid_t found = 0;
	DIR *d = opendir(proc);

	while (d && !found && (e = readdir(d)))
		if (isdigit((unsigned char)e->d_name[0]) && is_one(proc, e->d_name, domid))
			found = (pid_t)strtol(e->d_name, NULL, 10);
	if (d)
		closedir(d);
	return found;
}

/* Of "PID (NAME) STATE PARENT ...", where the name may hold anything. 0: not told. */
static pid_t parent_of(const char *proc, pid_t pid)
{
	CLEANUP_CLOSE int fd = -1;
	char path[PATH_MAX], line[256] = "";
	const char *rest;
	int parent;

	snprintf(path, sizeof(path), "%.200s/%d/stat", proc, (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, line, sizeof(line) - 1) <= 0)
		return 0;
	rest = strrchr(line, ')');
	return rest && sscanf(rest + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

static void note_path(char ret[PATH_MAX], const char *run_dir, const char *uuid)
{
	snprintf(ret, PATH_MAX, "%s/saved-%s", run_dir, uuid);
}

int saver_note(const char *proc, const char *run_dir, const char *uuid, uint32_t domid)
{
	const pid_t helper = saver_find(proc, domid);
	const pid_t owner = helper ? parent_of(proc, helper) : 0;
	CLEANUP_FCLOSE FILE *f = NULL;
	char path[PATH_MAX];

	if (owner <= 1)
		return 0;
	note_path(path, run_dir, uuid);
	f = fopen(path, "we");
	return f && fprintf(f, "%" PRIu32 " %d\n", domid, (int)owner) > 0 && fflush(f) == 0
		       ? 0
		       : -errno;
}

bool saver_noted(const char *run_dir, const char *uuid, uint32_t domid)
{
	CLEANUP_FCLOSE FILE *f = NULL;
	char path[PATH_MAX];
	uint32_t noted;
	int owner;

	note_path(path, run_dir, uuid);
	f = fopen(path, "re");
	return f && fscanf(f, "%" SCNu32 " %d", &noted, &owner) == 2 && noted == domid &&
	       owner > 1 && kill(owner, 0) == 0;
}

void saver_forget(const char *run_dir, const char *uuid)
{
	char path[PATH_MAX];

	note_path(path, run_dir, uuid);
	unlink(path);
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
