/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/restrain.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "replicator/hv.h"

static void path_of(char ret[PATH_MAX], const char *run_dir, const char *uuid)
{
	snprintf(ret, PATH_MAX, "%s/restrained-%s", run_dir, uuid);
}

/* 0: there is none. */
static uint32_t held(const char *path)
{
	CLEANUP_FCLOSE FILE *f = fopen(path, "re");
	uint32_t domid;

	return f && fscanf(f, "%" SCNu32, &domid) == 1 ? domid : 0;
}

/* The note outlives an `xl unpause`, and the domain; where that cannot be told it is believed. */
static bool is_paused(const struct hv_ops *ops, struct hv *hv, const char *uuid, uint32_t domid)
{
	struct hv_sight s;
	struct why why;

	return ops->look(hv, uuid, domid, &s, &why) || (s.exists && s.paused);
}

/* First paused, then noted: one that dies in between leaves a paused guest, never one that talks.
 */
int restrain_pause(const struct hv_ops *ops, struct hv *hv, const char *run_dir, const char *uuid,
	uint32_t domid, struct why *why)
{
	CLEANUP_CLOSE int fd = -1;
	char path[PATH_MAX];
	int r;

	path_of(path, run_dir, uuid);
	if (held(path) == domid && is_paused(ops, hv, uuid, domid))
		return 0;
	unlink(path); /* of one that is no more */
	r = ops->pause(hv, domid, why);
	if (r)
		return r;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 && dprintf(fd, "%" PRIu32 "\n", domid) > 0)
		return 0;
	/* It stays paused: that must not depend on a file. */
	return why_set(why, -errno,
		"domain %" PRIu32 " is paused and that could not be noted in %s: %s; when `romulus "
		"status` says that it runs here, `xl unpause %" PRIu32 "`",
		domid, path, strerror(errno), domid);
}

void restrain_forget(const char *run_dir, const char *uuid)
{
	char path[PATH_MAX];

	path_of(path, run_dir, uuid);
	unlink(path);
}

int restrain_let_go(const struct hv_ops *ops, struct hv *hv, const char *run_dir, const char *uuid,
	struct why *why)
{
	char path[PATH_MAX];
	uint32_t domid;

	path_of(path, run_dir, uuid);
	domid = held(path);
	/* Who removes the file is the one that unpauses. */
	if (!domid || unlink(path) < 0 || !is_paused(ops, hv, uuid, domid))
		return 0;
	return ops->unpause(hv, domid, why);
}
