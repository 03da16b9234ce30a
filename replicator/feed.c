/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/feed.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "replicator/xenstream.h"

struct feed {
	int fd;
	int event;
	size_t limit;
	pthread_t thread;

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	struct chunk *head, **tail;
	size_t queued;
	bool failed, ending;
};

/* A chunk that ends a checkpoint is followed by an empty one with this epoch. */
#define CHECKPOINT_MARK UINT64_MAX

static bool write_all(struct feed *f, const void *data, size_t length)
{
	const uint8_t *p = data;
	ssize_t n;

	while (length) {
		n = send(f->fd, p, length, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		length -= (size_t)n;
	}
	return true;
}

static bool write_record(struct feed *f, uint32_t type)
{
	const uint32_t record[2] = {type, 0};

	return write_all(f, record, sizeof(record));
}

static bool write_header(struct feed *f)
{
	const struct {
		uint64_t ident;
		uint32_t version, options;
	} header = {htobe64(XENSTREAM_IDENT), htobe32(XENSTREAM_VERSION), 0};

	return write_all(f, &header, sizeof(header)) &&
	       write_record(f, XENSTREAM_TYPE_LIBXC_CONTEXT);
}

static bool write_chunk(struct feed *f, const struct chunk *c)
{
	if (c->epoch == CHECKPOINT_MARK)
		return write_record(f, XENSTREAM_TYPE_CHECKPOINT_END);
	return write_all(f, c->data, c->length);
}

static void *feed_thread(void *opaque)
{
	struct feed *f = opaque;
	bool ok = write_header(f);
	struct chunk *c;

	pthread_mutex_lock(&f->lock);
	for (;;) {
		while (ok && !f->head && !f->ending)
			pthread_cond_wait(&f->changed, &f->lock);
		c = f->head;
		if (!ok || !c)
			break;
		f->head = c->next;
		if (!f->head)
			f->tail = &f->head;
		pthread_mutex_unlock(&f->lock);
		ok = write_chunk(f, c);
		pthread_mutex_lock(&f->lock);
		f->queued -= c->length;
		free(c);
		eventfd_write(f->event, 1);
	}
	f->failed = !ok;
	pthread_mutex_unlock(&f->lock);
	eventfd_write(f->event, 1);
	return NULL;
}

struct feed *feed_start(int fd, size_t limit)
{
	struct feed *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->fd = fd;
	f->limit = limit;
	f->tail = &f->head;
	f->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	if (f->event < 0 || pthread_create(&f->thread, NULL, feed_thread, f)) {
		if (f->event >= 0)
			close(f->event);
		close(fd);
		free(f);
		return NULL;
	}
	return f;
}

static void append(struct feed *f, struct chunk *c)
{
	c->next = NULL;
	*f->tail = c;
	f->tail = &c->next;
	f->queued += c->length;
}

void feed_push(struct feed *f, struct chunk *c, bool checkpoint)
{
	struct chunk *mark = checkpoint ? calloc(1, sizeof(*mark)) : NULL;

	pthread_mutex_lock(&f->lock);
	if (c)
		append(f, c);
	if (mark) {
		mark->epoch = CHECKPOINT_MARK;
		append(f, mark);
	} else if (checkpoint) {
		/* Acked and cannot be fed: never pretend. */
		f->failed = true;
	}
	pthread_cond_signal(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

bool feed_has_room(struct feed *f)
{
	bool room;

	pthread_mutex_lock(&f->lock);
	room = f->queued < f->limit;
	pthread_mutex_unlock(&f->lock);
	return room;
}

int feed_event_fd(struct feed *f)
{
	return f->event;
}

bool feed_failed(struct feed *f)
{
	eventfd_t ignored;
	bool failed;

	(void)eventfd_read(f->event, &ignored);
	pthread_mutex_lock(&f->lock);
	failed = f->failed;
	pthread_mutex_unlock(&f->lock);
	return failed;
}

static void end(struct feed *f)
{
	if (f->fd < 0)
		return;
	pthread_mutex_lock(&f->lock);
	f->ending = true;
	pthread_cond_signal(&f->changed);
	pthread_mutex_unlock(&f->lock);
	pthread_join(f->thread, NULL);
	close(f->fd);
	f->fd = -1;
}

bool feed_complete(struct feed *f)
{
	end(f);
	return !f->failed;
}

struct feed *feed_free(struct feed *f)
{
	struct chunk *c, *next;

	if (!f)
		return NULL;
	if (f->fd >= 0)
		shutdown(f->fd, SHUT_RDWR);
	end(f);
	for (c = f->head; c; c = next) {
		next = c->next;
		free(c);
	}
	close(f->event);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->changed);
	free(f);
	return NULL;
}
