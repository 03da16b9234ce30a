/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One question to a peer: connect (the paths in order), TLS, Hello both ways, the question, the
 * answer, Bye. All from the event loop; each step has its deadline.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "failover/daemon.h"
#include "failover/hello.h"

#define SEND_NS (100 * NSEC_PER_MSEC) /* a few hundred bytes into an empty socket buffer */

enum step { CONNECTING, SECURING, GREETING, WAITING };

struct failover_request {
	struct failover_peer *peer;
	enum proto_type type;
	ProtobufCMessage *message;
	size_t path;
	enum step step;
	int fd; /* until the session owns it */
	struct proto_session *session;
	sd_event_source *io, *timer, *start;
	struct why why; /* of the last path tried */
	failover_request_done *done;
	void *data;
};

static void close_path(struct failover_request *r)
{
	r->io = sd_event_source_disable_unref(r->io);
	r->timer = sd_event_source_disable_unref(r->timer);
	r->session = proto_session_free(r->session);
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

struct failover_request *failover_request_free(struct failover_request *r)
{
	if (!r)
		return NULL;
	close_path(r);
	sd_event_source_disable_unref(r->start);
	if (r->message)
		protobuf_c_message_free_unpacked(r->message, NULL);
	free(r);
	return NULL;
}

static void finish(struct failover_request *r, const struct proto_frame *frame, enum exit_code code)
{
	r->done(r->data, frame, code, &r->why);
	failover_request_free(r);
}

static void try_path(struct failover_request *r);

static void next_path(struct failover_request *r)
{
	close_path(r);
	r->path++;
	try_path(r);
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *data)
{
	struct failover_request *r = data;

	why_set(&r->why, -ETIMEDOUT, "%s does not answer on %s port %ld", r->peer->conf->name,
		r->peer->conf->paths[r->path].remote, r->peer->fo->config->port);
	if (r->step == WAITING)
		finish(r, NULL, EXIT_CODE_UNREACHABLE);
	else
		next_path(r);
	return 0;
}

static void set_deadline(struct failover_request *r, uint64_t ms)
{
	r->timer = sd_event_source_disable_unref(r->timer);
	sd_event_add_time_relative(
		r->peer->fo->event, &r->timer, CLOCK_MONOTONIC, ms * 1000, 1000, on_timeout, r);
}

static bool said_bye(struct failover_request *r, const struct proto_frame *frame)
{
	const Romulus__Bye *bye = (const Romulus__Bye *)frame->message;

	if (frame->type != PROTO_BYE)
		return false;
	why_set(&r->why, 0, "%s closed the session: %.300s", r->peer->conf->name, bye->reason);
	finish(r, NULL, bye->code == PROTO_BYE_REFUSED ? EXIT_CODE_REFUSED : EXIT_CODE_PROTOCOL);
	return true;
}

/* Returns false when the request is gone. */
static bool take_frame(struct failover_request *r, const struct proto_frame *frame)
{
	int err;

	/* It lives: a proof that it is off is void, though no heartbeat may come through. */
	failover_arbiter_heard(&r->peer->arbiter);
	if (said_bye(r, frame))
		return false;
	if (r->step == GREETING) {
		err = failover_hello_check(frame, r->peer->conf->name, &r->why);
		if (err == 0)
			r->peer->no_checks = failover_hello_can(frame, PROTO_CAN_CHECK, NULL) < 0;
		if (err == 0 && r->type == PROTO_CHECK)
			err = failover_hello_can(frame, PROTO_CAN_CHECK, &r->why);
		if (err < 0) {
			proto_session_bye(r->session,
				err == -EPROTONOSUPPORT ? PROTO_BYE_VERSION : PROTO_BYE_REFUSED,
				r->why.text);
			finish(r, NULL, EXIT_CODE_PROTOCOL);
			return false;
		}
		if (proto_session_send(r->session, r->type, r->message, clock_now_ns() + SEND_NS,
			    &r->why) < 0) {
			next_path(r);
			return false;
		}
		r->step = WAITING;
		set_deadline(r, r->peer->fo->timeouts.reply);
		return true;
	}
	finish(r, frame, EXIT_CODE_OK);
	return false;
}

/* Over other cables it would be the same host with the same certificate: no other path is tried. */
static int give_up_if_refused(struct failover_request *r, int err)
{
	if (err == -EACCES || err == -EPROTONOSUPPORT)
		finish(r, NULL, EXIT_CODE_REFUSED);
	else
		next_path(r);
	return 0;
}

static int on_frames(struct failover_request *r)
{
	struct proto_frame frame;
	int n;

	while ((n = proto_session_receive(r->session, 0, &frame, &r->why)) > 0)
		if (!take_frame(r, &frame))
			return 0;
	if (n == 0)
		return 0;
	if (r->step == WAITING)
		finish(r, NULL, n == -EBADMSG ? EXIT_CODE_PROTOCOL : EXIT_CODE_UNREACHABLE);
	else
		return give_up_if_refused(r, n);
	return 0;
}

static int on_secure(struct failover_request *r)
{
	int err = proto_session_establish(r->session, 0, &r->why);

	if (err == 0)
		return 0;
	if (err > 0)
		err = failover_hello_send(
			r->session, r->peer->fo->config->host, clock_now_ns() + SEND_NS, &r->why);
	if (err < 0)
		return give_up_if_refused(r, err);
	r->step = GREETING;
	return 0;
}

static int on_event(sd_event_source *s, int fd, uint32_t revents, void *data)
{
	struct failover_request *r = data;
	int err = 0;
	socklen_t n = sizeof(err);

	if (r->step == SECURING)
		return on_secure(r);
	if (r->step != CONNECTING)
		return on_frames(r);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n);
	if (err) {
		why_set(&r->why, -err, "%s cannot be reached on %s port %ld: %s",
			r->peer->conf->name, r->peer->conf->paths[r->path].remote,
			r->peer->fo->config->port, strerror(err));
		next_path(r);
		return 0;
	}
	r->session = proto_session_new(TAKE_FD(r->fd));
	if (!r->session || proto_session_secure(r->session, r->peer->fo->identity, false,
				   r->peer->conf->name, &r->why) < 0) {
		next_path(r);
		return 0;
	}
	r->step = SECURING;
	sd_event_source_set_io_events(r->io, EPOLLIN);
	return on_secure(r);
}

static void try_path(struct failover_request *r)
{
	const struct failover_path_config *path;
	struct sockaddr_storage local;
	socklen_t local_len;

	if (r->path == r->peer->conf->paths_n) {
		finish(r, NULL, EXIT_CODE_UNREACHABLE);
		return;
	}
	path = &r->peer->conf->paths[r->path];
	r->step = CONNECTING;
	r->fd = socket(
		r->peer->remote[r->path].ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (r->fd < 0 || failover_address_parse(path->local, 0, &local, &local_len) < 0 ||
		bind(r->fd, (const struct sockaddr *)&local, local_len) < 0 ||
		(connect(r->fd, (const struct sockaddr *)&r->peer->remote[r->path],
			 r->peer->remote_len[r->path]) < 0 &&
			errno != EINPROGRESS)) {
		why_set(&r->why, -errno, "%s cannot be reached from %s to %s: %s",
			r->peer->conf->name, path->local, path->remote, strerror(errno));
		next_path(r);
		return;
	}
	sd_event_add_io(r->peer->fo->event, &r->io, r->fd, EPOLLOUT, on_event, r);
	set_deadline(r, r->peer->fo->timeouts.connect);
}

static int on_start(sd_event_source *s, void *data)
{
	try_path(data);
	return 0;
}

struct failover_request *failover_request_start(struct failover_peer *peer, enum proto_type type,
	const ProtobufCMessage *message, failover_request_done *done, void *data)
{
	struct failover_request *r = calloc(1, sizeof(*r));
	CLEANUP_FREE uint8_t *packed = malloc(protobuf_c_message_get_packed_size(message) + 1);

	if (!r || !packed)
		abort();
	*r = (struct failover_request){
		.peer = peer, .type = type, .fd = -1, .done = done, .data = data};
	r->message = protobuf_c_message_unpack(
		message->descriptor, NULL, protobuf_c_message_pack(message, packed), packed);
	/* From the loop, so that the answer never comes before the caller has stored the request.
	 */
	sd_event_add_defer(peer->fo->event, &r->start, on_start, r);
	return r;
}
