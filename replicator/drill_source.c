/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/drill_source.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/why.h"
#include "replicator/xenstream.h"

struct drill_source {
	int fd;
	const struct hv_ops *ops;
	struct hv *hv; /* the visit's own: libxl's is the worker's while that goes on */
	const char *standby, *config_json;
	uint64_t epoch, acked_ns; /* 0: not begun */
	bool stopped;
};

static int write_all(int fd, const void *data, size_t n, struct why *why)
{
	const uint8_t *p = data;

	while (n > 0) {
		ssize_t done = send(fd, p, n, MSG_NOSIGNAL);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return why_set(why, -errno, "the drill does not take the memory: %s",
				strerror(errno));
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

static int write_end(int fd, struct why *why)
{
	static const uint32_t end[2] = {XENSTREAM_RECORD_END, 0};

	return write_all(fd, end, sizeof(end), why);
}

static int write_head(const struct drill_source *s, const struct replica *replica, struct why *why)
{
	const char *text = replica->broken ? replica->broken : s->config_json;
	const uint32_t length = (uint32_t)strlen(text);
	const struct drill_head head = {
		.epoch = s->epoch,
		.acked_ns = s->acked_ns,
		.config_length = replica->broken ? 0 : length,
		.why_length = replica->broken ? length : 0,
	};
	int r = write_all(s->fd, &head, sizeof(head), why);

	return r ? r : write_all(s->fd, text, length, why);
}

/* As `xl save` would write it: the records of libxc's, its end, and the end of libxl's. */
static int write_stream(
	const struct drill_source *s, const struct replica *replica, struct why *why)
{
	const struct xenstream_begin begin = xenstream_begin();
	int r = write_all(s->fd, &begin, sizeof(begin), why);

	if (!r)
		r = write_all(s->fd, replica->head.data, replica->head.length, why);
	if (!r)
		r = s->ops->copy_out(s->hv, s->standby, replica, s->fd, why);
	if (!r)
		r = write_all(s->fd, replica->tail.data, replica->tail.length, why);
	if (!r)
		r = write_end(s->fd, why);
	return r ? r : write_end(s->fd, why);
}

static void visit(void *opaque, const struct replica *replica)
{
	struct drill_source *s = opaque;
	struct why why;
	int r = write_head(s, replica, &why);

	if (!r && !replica->broken)
		r = write_stream(s, replica, &why);
	if (!r && !replica->broken)
		return;
	if (r)
		log_warning("drill of %s: %s", s->standby, why.text);
	shutdown(s->fd, SHUT_RDWR);
}

int drill_source_open(const char *path, const struct hv_ops *ops, const char *standby,
	const char *config_json, struct drill_source **ret, struct why *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct drill_source *s = calloc(1, sizeof(*s));

	if (!s)
		return why_set(why, -ENOMEM, "no memory for a drill");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	*s = (struct drill_source){.ops = ops, .standby = standby, .config_json = config_json};
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || connect(s->fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		why_set(why, -errno, "the drill does not listen on %s: %s", path, strerror(errno));
		drill_source_free(s);
		return -ECONNREFUSED;
	}
	s->hv = ops->open(why);
	if (!s->hv) {
		drill_source_free(s);
		return -ENODEV;
	}
	*ret = s;
	return 0;
}

void drill_source_begin(struct drill_source *s, struct feed *feed, uint64_t epoch)
{
	s->epoch = epoch;
	s->acked_ns = clock_now_ns();
	if (!feed_visit(feed, visit, s))
		shutdown(s->fd, SHUT_RDWR);
}

bool drill_source_begun(const struct drill_source *s)
{
	return s->epoch > 0;
}

int drill_source_fd(const struct drill_source *s)
{
	return s->fd;
}

/* The drill never says anything. */
bool drill_source_over(const struct drill_source *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLIN};

	return poll(&p, 1, 0) != 0;
}

bool drill_source_stopped(const struct drill_source *s)
{
	return s->stopped;
}

void drill_source_stop(struct drill_source *s)
{
	s->stopped = true;
	shutdown(s->fd, SHUT_RDWR);
}

struct drill_source *drill_source_free(struct drill_source *s)
{
	if (!s)
		return NULL;
	if (s->fd >= 0)
		close(s->fd);
	if (s->hv)
		s->ops->close(s->hv);
	free(s);
	return NULL;
}
