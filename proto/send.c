/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writing half of a session. A frame goes out whole or the session is dead: nothing may follow
 * a torn frame. Pages are written from where they are, never gathered in a buffer.
 */
#include "proto/internal.h"
#include "proto/tls.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "common/cleanup.h"

#define FAREWELL_FRAMES 1024 /* read at most this many in search of a Bye */

/*
 * Writing failed because the peer is gone: if it said why, that is the better sentence. Looks in a
 * session of its own, because the caller may still hold the last received frame of this one.
 */
static int farewell(struct proto_session *s, int err, struct why *why)
{
	struct proto_session last = *s;
	struct proto_frame frame;
	int found = 1;

	last.message = NULL;
	last.unpacked = NULL;
	last.said_bye = true; /* it must not send */
	last.have = s->have - s->frame;
	last.frame = 0;
	last.buffer = malloc(last.capacity);
	if (last.buffer) {
		memcpy(last.buffer, s->buffer + s->frame, last.have);
		for (int i = 0; i < FAREWELL_FRAMES && found > 0; i++)
			found = proto_session_receive(&last, 0, &frame, NULL);
		if (last.message)
			protobuf_c_message_free_unpacked(last.message, NULL);
		proto_packer_free(last.unpacked);
		free(last.buffer);
		/* A Bye leaves its frame behind; a plain close leaves none. An alert is a reason.
		 */
		if ((last.dead == -ECONNRESET && last.frame > 0) || last.dead == -EACCES ||
			last.dead == -EPROTONOSUPPORT) {
			s->bye_code = last.bye_code;
			return session_fail(s, last.dead, why, "%s", last.why.text);
		}
	}
	return session_fail(s, -ECONNRESET, why, "cannot send to %s: %s", s->peer, strerror(-err));
}

/*
 * A write to the socket failed with errno @err: 0 when it may be tried again, else the session is
 * dead.
 */
static int after_failure(struct proto_session *s, int err, uint64_t deadline_ns, struct why *why)
{
	if (err == EINTR)
		return 0;
	if (err == EPIPE || err == ECONNRESET)
		return farewell(s, -err, why);
	if (err != EAGAIN && err != EWOULDBLOCK)
		return session_fail(s, -err, why, "cannot send to %s: %s", s->peer, strerror(err));
	err = proto_wait(s->fd, POLLOUT, deadline_ns);
	if (err < 0)
		return session_fail(s, err, why, "cannot wait for %s: %s", s->peer, strerror(-err));
	if (err == 0)
		return session_fail(s, -ETIMEDOUT, why,
			"%s has not taken what was sent to it in time", s->peer);
	return 0;
}

static int frame_sent(struct proto_session *s)
{
	s->torn = false;
	s->next_out++;
	return 0;
}

static int send_records(struct proto_session *s, const uint8_t *data, size_t length,
	uint64_t deadline_ns, struct why *why)
{
	while (length > 0) {
		struct why flaw;
		ssize_t n = proto_tls_send(s, data, length, &flaw);
		int err;

		if (n < 0) {
			/* GnuTLS keeps the record that it has begun. */
			s->torn = true;
			if (n == -EACCES || n == -EBADMSG)
				return session_fail(s, (int)n, why, "%s", flaw.text);
			err = after_failure(s, (int)-n, deadline_ns, why);
			if (err)
				return err;
			continue;
		}
		s->torn = true;
		data += n;
		length -= (size_t)n;
	}
	return 0;
}

/*
 * A frame's header and the beginning of its payload fill one record; the rest is encrypted from
 * where it is.
 */
static int send_pages_tls(struct proto_session *s, const uint8_t *header, const uint8_t *data,
	size_t length, uint64_t deadline_ns, struct why *why)
{
	uint8_t first[TLS_RECORD_MAX];
	size_t n = sizeof(first) - PROTO_HEADER_BYTES;
	int err;

	if (n > length)
		n = length;
	memcpy(first, header, PROTO_HEADER_BYTES);
	if (n > 0)
		memcpy(first + PROTO_HEADER_BYTES, data, n);
	err = send_records(s, first, PROTO_HEADER_BYTES + n, deadline_ns, why);
	if (err || n == length)
		return err;
	return send_records(s, data + n, length - n, deadline_ns, why);
}

static int send_all(struct proto_session *s, struct iovec *iov, size_t count, int flags,
	uint64_t deadline_ns, struct why *why)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = count};

	for (;;) {
		ssize_t n;
		int err;

		while (msg.msg_iovlen > 0 && msg.msg_iov->iov_len == 0) {
			msg.msg_iov++;
			msg.msg_iovlen--;
		}
		if (msg.msg_iovlen == 0)
			return 0;
		/* writev, but without SIGPIPE */
		n = sendmsg(s->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT | flags);
		if (n < 0) {
			err = after_failure(s, errno, deadline_ns, why);
			if (err)
				return err;
			continue;
		}
		s->torn = true;
		for (size_t i = 0; n > 0; i++) {
			struct iovec *v = &msg.msg_iov[i];
			size_t part = (size_t)n < v->iov_len ? (size_t)n : v->iov_len;

			v->iov_base = (uint8_t *)v->iov_base + part;
			v->iov_len -= part;
			n -= (ssize_t)part;
		}
	}
}

/* The socket does not block (proto_session_new), so neither does sendfile. */
static int send_file(struct proto_session *s, int fd, size_t offset, size_t length,
	uint64_t deadline_ns, struct why *why)
{
	off_t at = (off_t)offset, end = (off_t)(offset + length);

	while (at < end) {
		ssize_t n = sendfile(s->fd, fd, &at, (size_t)(end - at));
		int err = n < 0 ? after_failure(s, errno, deadline_ns, why) : 0;

		if (err)
			return err;
		if (n == 0)
			return session_fail(s, -EIO, why,
				"cannot send to %s: the file of the pages is too short", s->peer);
	}
	return 0;
}

/* Alive, and past the TLS handshake. */
static int ready(struct proto_session *s, uint64_t deadline_ns, struct why *why)
{
	int err = proto_session_establish(s, deadline_ns, why);

	if (err < 0)
		return err;
	if (err == 0)
		return session_fail(s, -ETIMEDOUT, why,
			"%s has not finished the TLS handshake in time", s->peer);
	return 0;
}

int proto_session_send(struct proto_session *s, enum proto_type type,
	const ProtobufCMessage *message, uint64_t deadline_ns, struct why *why)
{
	CLEANUP_FREE uint8_t *frame = NULL;
	struct iovec iov;
	size_t length;
	int err;

	err = ready(s, deadline_ns, why);
	if (err)
		return err;
	err = proto_pack(type, s->next_out, message, &frame, &length);
	if (err < 0)
		return session_refuse(s, PROTO_BYE_FAILED, err, why, "cannot send %s: %s",
			proto_type_name(type), strerror(-err));
	iov = (struct iovec){.iov_base = frame, .iov_len = length};
	err = s->tls ? send_records(s, frame, length, deadline_ns, why)
		     : send_all(s, &iov, 1, 0, deadline_ns, why);
	return err ? err : frame_sent(s);
}

static int check_pages(
	struct proto_session *s, size_t length, uint64_t deadline_ns, struct why *why)
{
	int err = ready(s, deadline_ns, why);

	if (err)
		return err;
	if (length > PROTO_MAX_PAGES)
		return session_refuse(s, PROTO_BYE_FAILED, -EMSGSIZE, why,
			"cannot send %zu bytes in one Pages frame, the limit is %u", length,
			PROTO_MAX_PAGES);
	return 0;
}

static int send_pages(struct proto_session *s, enum proto_type type, const void *data,
	size_t length, uint64_t deadline_ns, struct why *why)
{
	uint8_t header[PROTO_HEADER_BYTES];
	struct iovec iov[2] = {
		{.iov_base = header, .iov_len = sizeof(header)},
		{.iov_base = (void *)(uintptr_t)data, .iov_len = length},
	};
	int err = check_pages(s, length, deadline_ns, why);

	if (err)
		return err;
	proto_header_encode(header, type, s->next_out, data, length);
	err = s->tls ? send_pages_tls(s, header, data, length, deadline_ns, why)
		     : send_all(s, iov, 2, 0, deadline_ns, why);
	return err ? err : frame_sent(s);
}

int proto_session_send_packed_pages(struct proto_session *s, const void *data, size_t length,
	uint64_t deadline_ns, struct why *why)
{
	const uint8_t *packed = NULL;
	size_t n = 0;

	if (s->capabilities & PROTO_CAN_PACK && length <= PROTO_MAX_PAGES)
		n = proto_pack_pages(&s->packed, data, length, &packed);
	return n ? send_pages(s, PROTO_PACKED_PAGES, packed, n, deadline_ns, why)
		 : send_pages(s, PROTO_PAGES, data, length, deadline_ns, why);
}

int proto_session_send_pages(struct proto_session *s, const void *data, size_t length,
	uint64_t deadline_ns, struct why *why)
{
	return send_pages(s, PROTO_PAGES, data, length, deadline_ns, why);
}

int proto_session_send_file_pages(struct proto_session *s, int fd, size_t offset, const void *data,
	size_t length, uint64_t deadline_ns, struct why *why)
{
	uint8_t header[PROTO_HEADER_BYTES];
	struct iovec iov = {.iov_base = header, .iov_len = sizeof(header)};
	int err = check_pages(s, length, deadline_ns, why);

	if (err)
		return err;
	proto_header_encode(header, PROTO_PAGES, s->next_out, data, length);
	if (s->tls)
		err = send_pages_tls(s, header, data, length, deadline_ns, why);
	else
		err = send_all(s, &iov, 1, length ? MSG_MORE : 0, deadline_ns, why);
	if (!err && !s->tls)
		err = send_file(s, fd, offset, length, deadline_ns, why);
	return err ? err : frame_sent(s);
}
