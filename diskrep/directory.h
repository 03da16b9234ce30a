/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file's creation, renaming or removal lasts only when its directory has been synced: fsync(2).
 */
#ifndef DISKREP_DIRECTORY_H
#define DISKREP_DIRECTORY_H

/* fsync the directory that holds @path. 0 or a negative errno. */
int diskrep_sync_directory_of(const char *path);

#endif
