/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The instance of a drill: its memory from the backup's worker, disks, network, its start. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "netbuf/bubble.h"
#include "replicator/drill.h"

#define ANSWER_NS (60 * NSEC_PER_SEC) /* of the backup's worker, which does nothing slow */
#define COPY_NS (600 * NSEC_PER_SEC)  /* all of it; the backup breaks it off before */

static int read_all(struct drill *d, int fd, void *to, size_t n, uint64_t until_ns)
{
	uint8_t *p = to;

	while (n > 0) {
		int r = drill_await(d, fd, until_ns);
		ssize_t got = r ? r : read(fd, p, n);

		if (r == -ETIMEDOUT)
			why_set(&d->why, r, "no checkpoint came in time: is the primary heard?");
		if (!r && got <= 0)
			r = why_set(&d->why, -ECONNRESET,
				"the backup's worker has broken off: `journalctl -u "
				"romulusd` says why");
		if (r)
			return r;
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

static int read_text(struct drill *d, int fd, size_t length, uint64_t until_ns, char **ret)
{
	char *text = length <= DRILL_CONFIG_MAX ? calloc(1, length + 1) : NULL;
	int r = text ? read_all(d, fd, text, length, until_ns)
		     : why_set(&d->why, -EBADMSG, "the backup's worker makes no sense");

	if (r)
		free(TAKE_PTR(text));
	*ret = text;
	return r;
}

/* Each is noted at once: it is known to whoever comes after one that dies. */
static int attach_disks(struct drill *d)
{
	CLEANUP_FREE char *list = strdup(d->worker.volumes ? d->worker.volumes : "");
	char note[DISKREP_DRILL_NOTE_MAX], *next, *disk = list ? strtok_r(list, ",", &next) : NULL;
	int r = diskrep_drill_open(d->worker.resource, d->worker.run_dir, &d->disks, &d->why);

	for (; !r && disk && d->disks.n + 1 < d->disks.status.volumes;
		disk = strtok_r(NULL, ",", &next)) {
		r = diskrep_drill_attach(&d->disks, disk, note, &d->why);
		if (!r)
			r = drill_note(d, note);
	}
	return r;
}

static int build(struct drill *d, int stream_fd, const char *config_json)
{
	CLEANUP_FREE char *config = NULL;
	unsigned int bridges;
	int r = d->worker.resource ? attach_disks(d) : 0;

	config = r ? NULL : drill_domain(d, config_json, &bridges, &d->why);
	if (!r && !config)
		r = -EBADMSG;
	if (!r)
		r = netbuf_bubble_open(d->worker.uuid, bridges ? bridges : 1, &d->why);
	netbuf_bubble_name(d->worker.uuid, 0, d->bridge);
	if (r) {
		close(stream_fd);
		return r;
	}
	return standby_start_whole(&d->standby, d->ops, d->name, config, stream_fd, &d->why);
}

/* Until the restore has all of it, and has attached the devices. */
static int hear(struct drill *d, enum standby_stage wanted, uint64_t until_ns)
{
	struct standby_news news;
	int r = drill_await(d, d->standby.news_fd, until_ns);

	if (r == -ETIMEDOUT)
		return why_set(&d->why, r, "the instance was not built in time");
	if (r)
		return r;
	r = standby_news(&d->standby, &news);
	if (r > 0 && news.stage == wanted) {
		d->domid = news.dom.domid;
		return 0;
	}
	return why_set(&d->why, -EIO, "the instance could not be built: %s",
		r > 0 && news.stage == STANDBY_FAILED ? news.why.text : "its restore process died");
}

int drill_copy(struct drill *d)
{
	const uint64_t until = clock_now_ns() + COPY_NS;
	CLEANUP_FREE char *text = NULL;
	CLEANUP_CLOSE int fd = -1;
	int r;

	worker_say(&d->worker, PROTO_REPORT_LISTENING, d->path, 0);
	r = drill_await(d, d->listen_fd, clock_now_ns() + ANSWER_NS);
	if (r == -ETIMEDOUT)
		return why_set(&d->why, r,
			"the backup's worker does not answer: `journalctl -u romulusd` says why");
	if (!r)
		fd = accept4(d->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (!r && fd < 0)
		r = why_set(&d->why, -errno, "the backup's worker: %s", strerror(errno));
	if (!r)
		r = read_all(d, fd, &d->head, sizeof(d->head), until);
	if (!r && d->head.why_length) {
		r = read_text(d, fd, d->head.why_length, until, &text);
		return r ? r : why_set(&d->why, -EOPNOTSUPP, "%.300s", text);
	}
	if (!r)
		r = read_text(d, fd, d->head.config_length, until, &text);
	if (!r) {
		d->source_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		r = build(d, TAKE_FD(fd), text);
	}
	if (!r)
		r = hear(d, STANDBY_RESTORED, until);
	d->age_ns = clock_now_ns() - d->head.acked_ns;
	return r;
}

int drill_start(struct drill *d)
{
	standby_go(&d->standby);
	return hear(d, STANDBY_RUNNING, clock_now_ns() + COPY_NS);
}
