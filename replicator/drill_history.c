/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/drill_history.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/why.h"

static void history_path(const char *state_dir, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, "%s/drills", state_dir);
}

int drill_history_open(const char *state_dir, FILE **ret, struct why *why)
{
	char path[PATH_MAX];

	history_path(state_dir, path);
	*ret = fopen(path, "re");
	if (*ret || errno == ENOENT)
		return 0;
	return why_set(why, -errno,
		"the history of the drills of this host, %.300s, cannot be read: %s; no protection "
		"depends on it",
		path, strerror(errno));
}

int drill_history_add(const char *state_dir, const json_t *drill, struct why *why)
{
	CLEANUP_FREE char *text =
		drill ? json_dumps(drill, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
	CLEANUP_CLOSE int fd = -1;
	char path[PATH_MAX];

	history_path(state_dir, path);
	if (!text)
		return why_set(why, -EINVAL,
			"the drill is not noted in %s: its words are not UTF-8", path);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	/* At once, or two of them might share a line. */
	if (fd < 0 || dprintf(fd, "%s\n", text) < 0 || fsync(fd) < 0)
		return why_set(
			why, -errno, "the drill is not noted in %s: %s", path, strerror(errno));
	return 0;
}
