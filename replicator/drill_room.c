/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A drill's place: its lock, the socket for the memory, and the end of all that it has made. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <systemd/sd-id128.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "netbuf/bubble.h"
#include "replicator/drill.h"

#define AGAIN_MS 200
#define LEAVES_NS (60 * NSEC_PER_SEC) /* what removing all of it may take */

/*
 * While it is there, there may be something to remove. Whoever starts drills starts one at a time;
 * but one may be removing its own when the next daemon's sweep begins: @wait.
 */
static void lock_path(const struct drill *d, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, "%s/drill-%s", d->worker.run_dir, d->worker.domain);
}

int drill_lock(struct drill *d, bool wait)
{
	const uint64_t until = clock_now_ns() + (wait ? LEAVES_NS : 0);
	char path[PATH_MAX];

	lock_path(d, path);
	d->lock_fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (d->lock_fd < 0)
		return why_set(&d->why, -errno, "%s cannot be made: %s", path, strerror(errno));
	while (flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (clock_now_ns() >= until)
			return why_set(
				&d->why, -EBUSY, "a drill of '%s' is under way", d->worker.domain);
		poll(NULL, 0, AGAIN_MS);
	}
	return 0;
}

/* In the file that is locked: there is something to remove, and this is to be known of it. */
int drill_note(struct drill *d, const char *text)
{
	if (dprintf(d->lock_fd, "%s\n", text) > 0)
		return 0;
	return why_set(&d->why, -errno, "the drill cannot be noted in %s: %s", d->worker.run_dir,
		strerror(errno));
}

static int destroy(struct drill *d, struct why *why)
{
	int r = standby_destroy(&d->standby, d->ops, d->hv, why), other;

	other = d->ops->destroy(d->hv, d->name, why);
	return r ? r : other;
}

/* What is there of a drill, as @notes say: of this one or of one before that died. */
static int remove_noted(struct drill *d, char *notes, struct why *why)
{
	char *line, *next;
	int r = destroy(d, why), err;

	for (line = strtok_r(notes, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
		err = diskrep_drill_detach(line, why);
		r = r ? r : err;
	}
	err = netbuf_bubble_close(d->worker.uuid, why);
	return r ? r : err;
}

static int remove_all(struct drill *d, struct why *why)
{
	char notes[(DISKREP_MAX_VOLUMES + 1) * DISKREP_DRILL_NOTE_MAX];
	const ssize_t n = pread(d->lock_fd, notes, sizeof(notes) - 1, 0);
	int r = 0;

	/* Without a note there was none: what has the name of one is somebody's own. */
	if (n > 0) {
		notes[n] = '\0';
		r = remove_noted(d, notes, why);
	}
	if (!r && n > 0 && ftruncate(d->lock_fd, 0) < 0)
		r = why_set(why, -errno, "cannot forget the drill: %s", strerror(errno));
	lseek(d->lock_fd, 0, SEEK_SET);
	if (d->source_fd >= 0) /* now the snapshot can go */
		close(TAKE_FD(d->source_fd));
	if (d->listen_fd >= 0)
		close(TAKE_FD(d->listen_fd));
	unlink(d->path);
	return r;
}

int drill_leave(struct drill *d, struct why *why)
{
	char path[PATH_MAX];
	int r = remove_all(d, why);

	lock_path(d, path);
	if (!r)
		unlink(path);
	return r;
}

static int listen_for_memory(struct drill *d)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t mask;
	int r;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", d->path);
	d->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	mask = umask(0177);
	r = d->listen_fd < 0 ? -errno
	    : bind(d->listen_fd, (const struct sockaddr *)&address, sizeof(address)) < 0
		    ? -errno
		    : listen(d->listen_fd, 1);
	umask(mask);
	return r < 0 ? why_set(&d->why, r, "cannot listen on %s: %s", d->path, strerror(-r)) : 0;
}

int drill_make_room(struct drill *d)
{
	int r = remove_all(d, &d->why);
	sd_id128_t id;

	if (sd_id128_randomize(&id) < 0 || !sd_id128_to_uuid_string(id, d->uuid))
		abort();
	if (!r)
		r = d->ops->can_host(d->hv, d->name, d->uuid, d->worker.memory_kb,
			"this host beside its standby", &d->why);
	if (!r)
		r = drill_note(d, d->name);
	return r ? r : listen_for_memory(d);
}
