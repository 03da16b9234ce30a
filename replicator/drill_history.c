/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What became of the drills of this host: a line of JSON for each, the newest last. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "replicator/drill.h"

static json_t *entry(const struct drill *d, const char *result)
{
	json_t *phases = json_object();

	for (size_t i = 0; i < DRILL_PHASES; i++)
		json_object_set_new(phases, drill_phase_names[i],
			json_integer((json_int_t)(d->phase_ns[i] / NSEC_PER_MSEC)));
	return json_pack("{s:I, s:s, s:s, s:s, s:I, s:I, s:o, s:s}", "began_ns",
		(json_int_t)d->begun_ns, "domain", d->worker.domain, "result", result, "why",
		strcmp(result, "passed") == 0 ? "" : d->why.text, "checkpoint",
		(json_int_t)d->head.epoch, "age_ms", (json_int_t)(d->age_ns / NSEC_PER_MSEC),
		"phases_ms", phases, "said", d->said);
}

int drill_history_add(const struct drill *d, const char *result, struct why *why)
{
	json_t *line = entry(d, result);
	CLEANUP_FREE char *text = line ? json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
	char path[PATH_MAX];
	int fd, r = 0;

	json_decref(line);
	snprintf(path, sizeof(path), "%s/drills", d->worker.state_dir);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	/* At once, or two of them might share a line. */
	if (!text || fd < 0 || dprintf(fd, "%s\n", text) < 0 || fsync(fd) < 0)
		r = why_set(why, text ? -errno : -EINVAL, "the drill is not noted in %s: %s", path,
			text ? strerror(errno) : "its words are not UTF-8");
	if (fd >= 0)
		close(fd);
	return r;
}
