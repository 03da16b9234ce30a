/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fault.h"
#include "common/why.h"

static int fail(const struct outfile *o, struct why *why, const char *what)
{
	return why_set(why, -errno, "%s cannot be %s: %s", o->path, what, strerror(errno));
}

static int open_standard_output(struct outfile *o, struct why *why)
{
	if (isatty(STDOUT_FILENO))
		return why_set(why, -EINVAL,
			"a saved domain is not for a terminal: redirect the standard output");
	o->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	/* What libxl's helper, a hook or a hotplug script prints must not get into it. */
	if (o->fd < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return fail(o, why, "opened");
	return 0;
}

static void part_name(char ret[NAME_MAX + 1], const char *name, pid_t pid)
{
	snprintf(ret, NAME_MAX + 1, ".%.*s.%d.part", NAME_MAX - 24, name, (int)pid);
}

static const char *folder_of(const char *path, char ret[PATH_MAX], const char **ret_name)
{
	const char *slash = strrchr(path, '/');

	*ret_name = slash ? slash + 1 : path;
	if (slash)
		snprintf(ret, PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
	else
		snprintf(ret, PATH_MAX, ".");
	return ret;
}

/* What is there already is replaced in the end: not where that would surprise. */
static int refuse_special(const struct outfile *o, struct why *why)
{
	struct stat st;

	if (fstatat(o->dir, o->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(o, why, "looked at");
	if (!S_ISREG(st.st_mode))
		return why_set(why, -EEXIST,
			"%s is there and is not an ordinary file: nothing was saved. Name another "
			"file, or `-` and redirect the standard output",
			o->path);
	return 0;
}

int outfile_open(struct outfile *o, const char *path, struct why *why)
{
	char folder[PATH_MAX];
	const char *name;
	int r;

	*o = (struct outfile){.fd = -1, .dir = -1};
	folder_of(path, folder, &name);
	if (strlen(path) >= sizeof(o->path) || strlen(name) > NAME_MAX || !name[0])
		return why_set(why, -EINVAL, "'%.200s' cannot be the name of a file", path);
	snprintf(o->path, sizeof(o->path), "%s", path);
	if (strcmp(path, "-") == 0)
		return open_standard_output(o, why);
	snprintf(o->name, sizeof(o->name), "%s", name);
	o->dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (o->dir < 0)
		return why_set(why, -errno, "the folder of %s cannot be opened: %s", o->path,
			strerror(errno));
	r = refuse_special(o, why);
	if (r)
		return r;
	o->fd = openat(o->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (o->fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
		return o->fd < 0 ? fail(o, why, "written") : 0;
	part_name(o->part, o->name, getpid());
	o->fd = openat(o->dir, o->part, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	return o->fd < 0 ? fail(o, why, "written") : 0;
}

uint64_t outfile_room(const struct outfile *o)
{
	struct statvfs fs;

	if (o->dir < 0 || fstatvfs(o->fd, &fs) < 0)
		return UINT64_MAX;
	return (uint64_t)fs.f_bavail * fs.f_frsize;
}

/* A name that is taken cannot be linked to: a second name, which then replaces it. */
static int link_in(struct outfile *o)
{
	char self[32];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", o->fd);
	if (linkat(AT_FDCWD, self, o->dir, o->name, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	if (errno != EEXIST)
		return -1;
	part_name(o->part, o->name, getpid());
	unlinkat(o->dir, o->part, 0);
	return linkat(AT_FDCWD, self, o->dir, o->part, AT_SYMLINK_FOLLOW);
}

int outfile_commit(struct outfile *o, struct why *why)
{
	if (o->dir < 0) /* a pipe has nothing to wait for */
		return fsync(o->fd) < 0 && errno != EINVAL && errno != EROFS
			       ? fail(o, why, "written")
			       : 0;
	if (fsync(o->fd) < 0)
		return fail(o, why, "written");
	if (!o->part[0] && link_in(o) < 0)
		return fail(o, why, "given its name");
	if (o->part[0] && fault_point(FAULT_SAVE_LINKED))
		return why_set(why, -EIO, "fault point save-linked");
	if (o->part[0] && renameat(o->dir, o->part, o->dir, o->name) < 0)
		return fail(o, why, "given its name");
	o->part[0] = '\0';
	if (fault_point(FAULT_SAVE_NAMED))
		errno = EIO;
	else if (fsync(o->dir) == 0)
		return 0;
	fail(o, why, "kept under its name");
	unlinkat(o->dir, o->name, 0); /* who is told that there is none must not find one */
	return -EIO;
}

void outfile_close(struct outfile *o)
{
	if (o->part[0])
		unlinkat(o->dir, o->part, 0);
	if (o->fd >= 0)
		close(o->fd);
	if (o->dir >= 0)
		close(o->dir);
	o->part[0] = '\0';
	o->fd = o->dir = -1;
}

void outfile_id(const struct outfile *o, uint64_t ret[2])
{
	struct stat st;

	ret[0] = ret[1] = 0;
	if (o->dir < 0 || fstat(o->fd, &st) < 0)
		return;
	ret[0] = st.st_dev;
	ret[1] = st.st_ino;
}

bool outfile_is(const char *path, const uint64_t id[2])
{
	char folder[PATH_MAX];
	CLEANUP_CLOSE int dir = -1;
	const char *name;
	struct stat st;

	dir = open(folder_of(path, folder, &name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return id[1] && dir >= 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_dev == id[0] && st.st_ino == id[1] && fsync(dir) == 0;
}

void outfile_sweep(const char *path, pid_t pid)
{
	char folder[PATH_MAX], part[NAME_MAX + 1];
	CLEANUP_CLOSE int dir = -1;
	const char *name;

	dir = open(folder_of(path, folder, &name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	part_name(part, name, pid);
	if (dir >= 0)
		unlinkat(dir, part, 0);
}
