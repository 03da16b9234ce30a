/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/feed.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "replicator/xenstream.h"

struct feed {
	int fd;
	int event;
	size_t limit;
	pthread_t thread;
	struct replica replica; /* the thread's */
	feed_visitor *visit;
	void *visit_opaque;

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	struct chunk *head, **tail;
	size_t queued;
	bool failed, ending, visiting;
};

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

/* It reads on while it has what it needs, so what it has not read yet it has not come to. */
static bool is_read(struct feed *f)
{
	int unread = 0;

	return ioctl(f->fd, SIOCOUTQ, &unread) == 0 && unread == 0;
}

static bool is_ending(struct feed *f)
{
	bool ending;

	pthread_mutex_lock(&f->lock);
	ending = f->ending;
	pthread_mutex_unlock(&f->lock);
	return ending;
}

/*
 * A checkpoint is applied when the next record of libxc's is read, and what follows that until it
 * ends is kept apart (xg_sr_restore.c, handle_checkpoint). So a checkpoint in which nothing has
 * changed, and which has been read, stands for the one before being in the standby's memory.
 */
static bool visit(struct feed *f)
{
	struct pollfd gone = {.fd = f->fd};
	bool read = false;

	if (!write_record(f, XENSTREAM_RECORD_CHECKPOINT) ||
		!write_record(f, XENSTREAM_TYPE_CHECKPOINT_END))
		return false;
	while (!is_ending(f) && !(read = is_read(f)))
		if (poll(&gone, 1, 1) > 0)
			return false;
	if (read)
		f->visit(f->visit_opaque, &f->replica);
	pthread_mutex_lock(&f->lock);
	f->visiting = false;
	pthread_mutex_unlock(&f->lock);
	return true;
}

static bool write_chunk(struct feed *f, const struct chunk *c)
{
	if (c->kind == CHUNK_CHECKPOINT)
		return write_record(f, XENSTREAM_TYPE_CHECKPOINT_END);
	if (c->kind == CHUNK_VISIT)
		return visit(f);
	replica_feed(&f->replica, c->data, c->length);
	return write_all(f, c->data, c->length);
}

static void *feed_thread(void *opaque)
{
	struct feed *f = opaque;
	const struct xenstream_begin begin = xenstream_begin();
	bool ok = write_all(f, &begin, sizeof(begin));
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
	f->visiting = false; /* it is not come to any more */
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
		mark->kind = CHUNK_CHECKPOINT;
		append(f, mark);
	} else if (checkpoint) {
		/* Acked and cannot be fed: never pretend. */
		f->failed = true;
	}
	pthread_cond_signal(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

bool feed_visit(struct feed *f, feed_visitor *visitor, void *opaque)
{
	struct chunk *mark = feed_visiting(f) ? NULL : calloc(1, sizeof(*mark));

	if (!mark)
		return false;
	mark->kind = CHUNK_VISIT;
	pthread_mutex_lock(&f->lock);
	f->visit = visitor;
	f->visit_opaque = opaque;
	f->visiting = !f->failed && !f->ending;
	append(f, mark);
	pthread_cond_signal(&f->changed);
	pthread_mutex_unlock(&f->lock);
	return true;
}

bool feed_visiting(struct feed *f)
{
	bool visiting;

	pthread_mutex_lock(&f->lock);
	visiting = f->visiting;
	pthread_mutex_unlock(&f->lock);
	return visiting;
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
	replica_clear(&f->replica);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->changed);
	free(f);
	return NULL;
}
