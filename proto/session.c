/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames over a connected stream socket: life, end and receiving; send.c writes. Not thread safe:
 * one thread at a time per session.
 *
 * Invariants: the buffer grows only for a header that passed its checks, never beyond the largest
 * frame; a message is parsed only after its checksum; after the first error nothing more is read or
 * written, so a peer that breaks the specification is never reinterpreted from the middle.
 */
#include "proto/internal.h"
#include "proto/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"

/* Read ahead this far for small frames; the rest of a larger one is read exactly into place. */
#define READ_AHEAD 4096u
#define MAX_FRAME (PROTO_HEADER_BYTES + PROTO_MAX_PAGES)

void session_printable(char *out, size_t size, const char *in)
{
	size_t i;

	for (i = 0; in[i] && i < size - 1; i++)
		out[i] = in[i] >= 0x20 && in[i] < 0x7f ? in[i] : '?';
	out[i] = '\0';
	if (in[i] && size > 3)
		memcpy(out + size - 4, "...", 4);
}

static int vfail(struct proto_session *s, int err, struct why *why, const char *fmt, va_list ap)
{
	if (!s->dead) {
		s->dead = err;
		vsnprintf(s->why.text, sizeof(s->why.text), fmt, ap);
	}
	return why_set(why, s->dead, "%s", s->why.text);
}

int session_fail(struct proto_session *s, int err, struct why *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err = vfail(s, err, why, fmt, ap);
	va_end(ap);
	return err;
}

/* Best effort: one attempt, and nothing when the stream ends inside a frame. */
static void send_bye(struct proto_session *s, enum proto_bye code, const char *reason)
{
	Romulus__Bye bye = ROMULUS__BYE__INIT;
	CLEANUP_FREE uint8_t *frame = NULL;
	char text[WHY_MAX];
	size_t length;

	if (s->torn || s->said_bye || (s->tls && !proto_tls_established(s->tls)))
		return;
	session_printable(text, sizeof(text), reason ? reason : "");
	bye.code = code;
	bye.reason = text;
	if (proto_pack(PROTO_BYE, s->next_out, &bye.base, &frame, &length) < 0)
		return;
	s->said_bye = true;
	if (s->tls)
		proto_tls_send(s, frame, length, NULL);
	else
		while (send(s->fd, frame, length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
			errno == EINTR)
			;
}

int session_refuse(struct proto_session *s, enum proto_bye code, int err, struct why *why,
	const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err = vfail(s, err, why, fmt, ap);
	va_end(ap);
	send_bye(s, code, s->why.text);
	return err;
}

int session_dead(const struct proto_session *s, struct why *why)
{
	return why_set(why, s->dead, "%s", s->why.text);
}

static void name_peer(struct proto_session *s)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	char text[INET6_ADDRSTRLEN];

	snprintf(s->peer, sizeof(s->peer), "the other end");
	if (getpeername(s->fd, (struct sockaddr *)&address, &length) < 0)
		return;
	if (address.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&address;

		if (inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text)))
			snprintf(s->peer, sizeof(s->peer), "%s:%u", text, ntohs(in->sin_port));
	} else if (address.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&address;

		if (inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof(text)))
			snprintf(s->peer, sizeof(s->peer), "[%s]:%u", text, ntohs(in->sin6_port));
	}
}

struct proto_session *proto_session_new(int fd)
{
	struct proto_session *s = calloc(1, sizeof(*s));
	int flags;

	if (!s) {
		close(fd);
		return NULL;
	}
	s->fd = fd;
	s->buffer = malloc(READ_AHEAD);
	s->capacity = READ_AHEAD;
	flags = fcntl(fd, F_GETFL);
	/* An inherited socket has neither flag yet. */
	if (!s->buffer || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
		fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return proto_session_free(s);
	name_peer(s);
	return s;
}

struct proto_session *proto_session_free(struct proto_session *s)
{
	if (!s)
		return NULL;
	/* Unread input would make close() send a reset, which may overtake our Bye. */
	for (size_t drained = 0; s->said_bye && drained < MAX_FRAME;) {
		ssize_t n = recv(s->fd, s->buffer, s->capacity, MSG_DONTWAIT);

		if (n <= 0)
			break;
		drained += (size_t)n;
	}
	if (s->message)
		protobuf_c_message_free_unpacked(s->message, NULL);
	proto_tls_free(s->tls);
	proto_packer_free(s->packed);
	proto_packer_free(s->unpacked);
	free(s->buffer);
	close(s->fd);
	free(s);
	return NULL;
}

int proto_session_fd(const struct proto_session *s)
{
	return s->fd;
}

void proto_session_bye(struct proto_session *s, enum proto_bye code, const char *reason)
{
	if (s->dead)
		return;
	session_fail(s, -ESHUTDOWN, NULL, "this side ended the session%s%s",
		reason && *reason ? ": " : "", reason ? reason : "");
	send_bye(s, code, reason);
}

/* ---- receive -------------------------------------------------------------------------------- */

/* Free the frame handed out and move what was read ahead (< READ_AHEAD) to the front. */
static void drop_frame(struct proto_session *s)
{
	if (s->message)
		protobuf_c_message_free_unpacked(TAKE_PTR(s->message), NULL);
	if (s->frame == 0)
		return;
	s->have -= s->frame;
	memmove(s->buffer, s->buffer + s->frame, s->have);
	s->frame = 0;
}

/* @total comes from a header that passed its checks, so it is at most MAX_FRAME. */
static bool reserve(struct proto_session *s, size_t total)
{
	size_t capacity = s->capacity;
	uint8_t *buffer;

	assert(total <= MAX_FRAME);
	if (total <= capacity)
		return true;
	while (capacity < total)
		capacity *= 2;
	if (capacity > MAX_FRAME)
		capacity = MAX_FRAME;
	buffer = realloc(s->buffer, capacity);
	if (!buffer)
		return false;
	s->buffer = buffer;
	s->capacity = capacity;
	return true;
}

/* recv(), with errors as negative errno and a sentence for those that mean the end. */
static ssize_t take_bytes(struct proto_session *s, void *data, size_t length, struct why *flaw)
{
	ssize_t n;

	if (s->tls)
		return proto_tls_recv(s, data, length, flaw);
	n = recv(s->fd, data, length, MSG_DONTWAIT);
	return n >= 0 ? n
		      : why_set(flaw, -errno, "cannot receive from %s: %s", s->peer,
				strerror(errno));
}

/* Read until @want bytes are there. Returns 1, 0 at the deadline, or the error of a dead session.
 */
static int fill(struct proto_session *s, size_t want, uint64_t deadline_ns, struct why *why)
{
	size_t limit = want > READ_AHEAD ? want : READ_AHEAD;

	while (s->have < want) {
		struct why flaw;
		ssize_t n = take_bytes(s, s->buffer + s->have, limit - s->have, &flaw);
		int err;

		if (n > 0) {
			s->have += (size_t)n;
			continue;
		}
		if (n == 0 && proto_is_tls(s->buffer, s->have)) /* an alert is 7 bytes */
			return session_fail(s, -EBADMSG, why,
				"%s speaks TLS, this host does not: make transport the same on "
				"both hosts",
				s->peer);
		if (n == 0)
			return session_fail(s, -ECONNRESET, why, "%s closed the connection%s",
				s->peer, s->have ? " in the middle of a frame" : "");
		if (n == -EINTR)
			continue;
		if (n != -EAGAIN)
			return session_fail(s, (int)n, why, "%s", flaw.text);
		err = proto_wait(s->fd, POLLIN, deadline_ns);
		if (err < 0)
			return session_fail(
				s, err, why, "cannot wait for %s: %s", s->peer, strerror(-err));
		if (err == 0)
			return 0;
	}
	return 1;
}

static int check_order(const struct proto_session *s, const struct proto_header *h, struct why *why)
{
	if (s->awaiting_hello && h->type != PROTO_HELLO && h->type != PROTO_BYE)
		return why_set(why, -EBADMSG, "%s frame before Hello", proto_type_name(h->type));
	if (h->type == PROTO_PACKED_PAGES && !(s->capabilities & PROTO_CAN_PACK))
		return why_set(why, -EBADMSG, "PackedPages frame that was not agreed on");
	if (s->greeted && h->type == PROTO_HELLO)
		return why_set(why, -EBADMSG, "second Hello in one session");
	return 0;
}

static int take_bye(struct proto_session *s, const Romulus__Bye *bye, struct why *why)
{
	static const char *const names[] = {
		[PROTO_BYE_DONE] = "done",
		[PROTO_BYE_MALFORMED] = "malformed frame",
		[PROTO_BYE_VERSION] = "no common version",
		[PROTO_BYE_REFUSED] = "refused",
		[PROTO_BYE_FAILED] = "failed",
	};
	char reason[REASON_MAX];

	session_printable(reason, sizeof(reason), bye->reason);
	s->bye_code = bye->code;
	return session_fail(s, -ECONNRESET, why, "%s ended the session (%s)%s%s", s->peer,
		bye->code < ARRAY_SIZE(names) ? names[bye->code] : "unknown code",
		reason[0] ? ": " : "", reason);
}

bool proto_session_gave_up(const struct proto_session *s)
{
	return s->bye_code == PROTO_BYE_FAILED;
}

int proto_session_receive(
	struct proto_session *s, uint64_t deadline_ns, struct proto_frame *ret, struct why *why)
{
	struct proto_header h;
	struct why flaw;
	int err;

	if (s->dead)
		return session_dead(s, why);
	err = proto_session_establish(s, deadline_ns, why);
	if (err <= 0)
		return err;
	drop_frame(s);
	err = fill(s, PROTO_HEADER_BYTES, deadline_ns, why);
	if (err <= 0)
		return err;
	if (proto_header_decode(s->buffer, s->next_in, &h, &flaw) < 0 ||
		check_order(s, &h, &flaw) < 0)
		goto malformed;
	if (!reserve(s, PROTO_HEADER_BYTES + h.length))
		return session_refuse(s, PROTO_BYE_FAILED, -ENOMEM, why,
			"no memory for a frame of %u bytes", h.length);
	err = fill(s, PROTO_HEADER_BYTES + h.length, deadline_ns, why);
	if (err <= 0)
		return err;
	if (proto_payload_check(&h, s->buffer + PROTO_HEADER_BYTES, &flaw) < 0)
		goto malformed;
	if (h.type == PROTO_PACKED_PAGES) {
		err = proto_unpack_pages(&s->unpacked, s->buffer + PROTO_HEADER_BYTES, h.length,
			&ret->data, &ret->length, &flaw);
		if (err == -ENOMEM)
			return session_refuse(s, PROTO_BYE_FAILED, err, why,
				"no memory to unpack pages of %s", s->peer);
		if (err < 0)
			goto malformed;
	} else if (h.type != PROTO_PAGES) {
		s->message = proto_unpack(h.type, s->buffer + PROTO_HEADER_BYTES, h.length);
		if (!s->message) {
			why_set(&flaw, 0, "payload of a %s frame is no such message",
				proto_type_name(h.type));
			goto malformed;
		}
	}
	s->next_in++;
	s->frame = PROTO_HEADER_BYTES + h.length;
	if (h.type == PROTO_BYE)
		return take_bye(s, (const Romulus__Bye *)s->message, why);
	ret->type = h.type == PROTO_PACKED_PAGES ? PROTO_PAGES : h.type;
	ret->message = s->message;
	if (h.type != PROTO_PACKED_PAGES) {
		ret->data = h.type == PROTO_PAGES ? s->buffer + PROTO_HEADER_BYTES : NULL;
		ret->length = h.type == PROTO_PAGES ? h.length : 0;
	}
	return 1;
malformed:
	return session_refuse(
		s, PROTO_BYE_MALFORMED, -EBADMSG, why, "from %s: %s", s->peer, flaw.text);
}

bool proto_session_pending(const struct proto_session *s)
{
	size_t unread = s->have - s->frame;
	struct proto_header h;

	if (s->dead)
		return false;
	/* Perhaps not a whole frame: then the next receive takes it all and returns 0. */
	if (s->tls && proto_tls_pending(s->tls))
		return true;
	if (unread < PROTO_HEADER_BYTES)
		return false;
	/* A bad header counts: there is an error to fetch that no poll would report. */
	if (proto_header_decode(s->buffer + s->frame, s->next_in, &h, NULL) < 0)
		return true;
	return unread >= PROTO_HEADER_BYTES + h.length;
}
