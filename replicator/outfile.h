/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that is there whole or not at all: written without a name (O_TMPFILE), on disk before it
 * gets one. Whoever dies before has left nothing, and what had the name before is as it was. Where
 * the file system has no files without a name (NFS), it is written beside, as .NAME.PID.part.
 */
#ifndef REPLICATOR_OUTFILE_H
#define REPLICATOR_OUTFILE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct why;

struct outfile {
	int fd;  /* to write to; -1: not open */
	int dir; /* -1: standard output */
	char path[PATH_MAX], name[NAME_MAX + 1];
	char part[NAME_MAX + 1]; /* the name beside; "": it has none */
};

/* @path "-" is standard output, which cannot be taken back. */
int outfile_open(struct outfile *o, const char *path, struct why *why);
/* Bytes that may be written there. UINT64_MAX: not known. */
uint64_t outfile_room(const struct outfile *o);
/* Give it its name, replacing what had it; both are on disk when this returns 0. */
int outfile_commit(struct outfile *o, struct why *why);
/* Forget it unless it was committed. Any number of times. */
void outfile_close(struct outfile *o);
/* Which file it is, by device and inode; 0, 0: standard output. */
void outfile_id(const struct outfile *o, uint64_t ret[2]);
/* Whether @path is the file @id by now, and on disk as that. */
bool outfile_is(const char *path, const uint64_t id[2]);
/* What process @pid has left beside @path, if it died in outfile_commit. */
void outfile_sweep(const char *path, pid_t pid);

#endif
