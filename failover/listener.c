/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sessions that peers open: accepted only from a configured address of a configured peer, one
 * question each. A silent or slow asker is dropped at its deadline.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "failover/daemon.h"
#include "failover/hello.h"

#define SEND_NS (100 * NSEC_PER_MSEC)
#define MAX_INBOUND 64u

struct failover_inbound {
	struct failover_endpoint *endpoint;
	struct failover_peer *peer;
	struct proto_session *session;
	sd_event_source *io, *timer;
	bool greeted, asked;
	struct failover_inbound **slot;
	struct failover_inbound *next, **link; /* of all, the newest first */
};

static struct failover_inbound *inbound;
static unsigned int inbound_n;

static void inbound_free(struct failover_inbound *in)
{
	if (in->slot)
		*in->slot = NULL;
	*in->link = in->next;
	if (in->next)
		in->next->link = in->link;
	sd_event_source_disable_unref(in->io);
	sd_event_source_disable_unref(in->timer);
	proto_session_free(in->session);
	free(in);
	inbound_n--;
}

struct failover_peer *failover_inbound_peer(const struct failover_inbound *in)
{
	return in->peer;
}

void failover_inbound_keep(struct failover_inbound *in, struct failover_inbound **slot)
{
	in->slot = slot;
	*slot = in;
}

void failover_inbound_answer(
	struct failover_inbound *in, enum proto_type type, const ProtobufCMessage *message)
{
	struct why why;

	if (!in)
		return;
	if (proto_session_send(in->session, type, message, clock_now_ns() + SEND_NS, &why) < 0)
		log_warning("the answer to %s was lost: %s", in->peer->conf->name, why.text);
	inbound_free(in);
}

void failover_inbound_refuse(
	struct failover_inbound *in, const char *uuid, uint64_t generation, const char *reason)
{
	failover_inbound_put_off(in, uuid, generation, reason, false);
}

void failover_inbound_put_off(struct failover_inbound *in, const char *uuid, uint64_t generation,
	const char *reason, bool later)
{
	Romulus__Refused refused = ROMULUS__REFUSED__INIT;

	refused.later = later;
	refused.uuid = (char *)uuid;
	refused.generation = generation;
	refused.reason = (char *)reason;
	failover_inbound_answer(in, PROTO_REFUSED, &refused.base);
}

/* One line a second at most: who is flooded by strangers has other worries than a full disk. */
static void complain(struct failover_peer *p, const char *reason)
{
	uint64_t now = clock_now_ns();

	p->refused++;
	why_set(&p->refusal, 0, "%s", reason);
	if (p->complained_ns && now - p->complained_ns < NSEC_PER_SEC) {
		p->complaints_kept++;
		return;
	}
	p->complained_ns = now;
	log_warning("session from %s refused: %s%s", p->conf->name, reason,
		p->complaints_kept ? " (and others before it)" : "");
	p->complaints_kept = 0;
}

static void turn_away(struct failover_inbound *in, enum proto_bye code, const char *reason)
{
	proto_session_bye(in->session, code, reason);
	complain(in->peer, reason);
	inbound_free(in);
}

/* False: the session is gone, or waits for its answer. */
static bool take_frame(struct failover_inbound *in, const struct proto_frame *frame)
{
	struct failover *fo = in->endpoint->fo;
	struct why why;
	int r;

	/* It lives: a proof that it is off is void, though no heartbeat may come through. */
	failover_arbiter_heard(&in->peer->arbiter);
	if (!in->greeted) {
		r = failover_hello_check(frame, in->peer->conf->name, &why);
		if (r == 0) {
			in->peer->no_checks = failover_hello_can(frame, PROTO_CAN_CHECK, NULL) < 0;
			r = failover_hello_send(
				in->session, fo->config->host, clock_now_ns() + SEND_NS, &why);
		}
		if (r < 0) {
			turn_away(in, r == -EPROTONOSUPPORT ? PROTO_BYE_VERSION : PROTO_BYE_REFUSED,
				why.text);
			return false;
		}
		in->greeted = true;
		return true;
	}
	if (in->asked) {
		turn_away(in, PROTO_BYE_MALFORMED, "one question for each session");
		return false;
	}
	in->asked = true;
	in->timer = sd_event_source_disable_unref(in->timer);
	switch (frame->type) {
	case PROTO_PREPARE:
		failover_domain_prepare(fo, in, (const Romulus__Prepare *)frame->message);
		return false;
	case PROTO_UNPROTECT:
		failover_domain_unprotect_asked(fo, in, (const Romulus__Unprotect *)frame->message);
		return false;
	case PROTO_CHECK:
		failover_check_asked(fo, in, (const Romulus__Check *)frame->message);
		return false;
	default:
		turn_away(in, PROTO_BYE_MALFORMED, "neither Prepare, Unprotect nor Check");
		return false;
	}
}

static int on_readable(sd_event_source *s, int fd, uint32_t revents, void *data)
{
	struct failover_inbound *in = data;
	struct proto_frame frame;
	struct why why;
	int r;

	while ((r = proto_session_receive(in->session, 0, &frame, &why)) > 0)
		if (!take_frame(in, &frame))
			return 0;
	if (r == 0)
		return 0;
	if (!in->asked)
		complain(in->peer, why.text);
	inbound_free(in);
	return 0;
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *data)
{
	turn_away(data, PROTO_BYE_REFUSED, "nothing was asked in time");
	return 0;
}

static struct failover_peer *peer_at(
	struct failover_endpoint *e, const struct sockaddr_storage *from)
{
	struct failover *fo = e->fo;

	for (size_t i = 0; i < fo->peers_n; i++)
		for (size_t k = 0; k < fo->peers[i].conf->paths_n; k++)
			if (fo->peers[i].endpoint[k] == e &&
				failover_address_same(from, &fo->peers[i].remote[k]))
				return &fo->peers[i];
	return NULL;
}

void failover_listener_close(struct failover *fo)
{
	struct failover_inbound *in, *next;

	for (in = inbound; in; in = next) {
		next = in->next;
		if (in->endpoint->fo == fo)
			inbound_free(in);
	}
}

/* Room for one more: the oldest of those that have not said who they are gives way. */
static bool make_room(void)
{
	struct failover_inbound *oldest = NULL;

	if (inbound_n < MAX_INBOUND)
		return true;
	for (struct failover_inbound *in = inbound; in; in = in->next)
		if (!in->greeted)
			oldest = in;
	if (oldest)
		turn_away(oldest, PROTO_BYE_REFUSED, "too many sessions");
	return oldest;
}

static void inbound_new(
	struct failover_endpoint *e, struct failover_peer *peer, struct proto_session *session)
{
	struct failover_inbound *in = calloc(1, sizeof(*in));

	if (!in)
		abort();
	*in = (struct failover_inbound){.endpoint = e, .peer = peer, .session = session};
	in->link = &inbound;
	in->next = inbound;
	if (inbound)
		inbound->link = &in->next;
	inbound = in;
	inbound_n++;
	sd_event_add_io(e->fo->event, &in->io, proto_session_fd(session), EPOLLIN, on_readable, in);
	sd_event_source_set_priority(in->io, FAILOVER_PRIORITY_STRANGERS);
	sd_event_add_time_relative(e->fo->event, &in->timer, CLOCK_MONOTONIC,
		e->fo->timeouts.connect * 1000, 1000, on_timeout, in);
}

int failover_listener_accept(struct failover_endpoint *e, int listening)
{
	struct sockaddr_storage from;
	socklen_t n = sizeof(from);
	int fd = accept4(listening, (struct sockaddr *)&from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct failover_peer *peer;
	struct proto_session *session;

	if (fd < 0)
		return 0;
	session = proto_session_new(fd);
	if (!session)
		return 0;
	peer = peer_at(e, &from);
	if (!peer || !make_room() ||
		proto_session_secure(session, e->fo->identity, true, peer->conf->name, NULL) < 0) {
		e->fo->strangers++;
		/* Under TLS there is nothing to say to who shows no certificate. */
		if (!e->fo->identity)
			proto_session_bye(session, PROTO_BYE_REFUSED,
				peer ? "too many sessions" : "this address is no configured peer");
		proto_session_free(session);
		return 0;
	}
	inbound_new(e, peer, session);
	return 0;
}
