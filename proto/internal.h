/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of a session share; nobody else includes this. */
#ifndef PROTO_INTERNAL_H
#define PROTO_INTERNAL_H

#include "common/why.h"
#include "proto/pack.h"
#include "proto/proto.h"

#define PEER_NAME_MAX 128
#define REASON_MAX 320 /* of a peer's sentence shown; leaves room for ours in WHY_MAX */

struct proto_tls;

struct proto_session {
	int fd;
	struct proto_tls *tls;    /* NULL: plain */
	char peer[PEER_NAME_MAX]; /* for sentences: printable */

	/* Input: buffer[0, frame) was handed to the caller, buffer[frame, have) is unread. */
	uint8_t *buffer;
	size_t capacity;
	size_t have;
	size_t frame;
	ProtobufCMessage *message; /* of the frame handed out */
	struct proto_packer *unpacked;
	uint64_t next_in;

	uint64_t next_out;
	struct proto_packer *packed;
	bool torn; /* part of a frame was written: nothing may follow it, not even a Bye */

	bool awaiting_hello;   /* inside a handshake: nothing but Hello or Bye may come */
	bool greeted;          /* handshake over: no second Hello may come */
	uint64_t capabilities; /* of both sides */
	bool said_bye;
	uint32_t bye_code; /* code of the Bye received */

	int dead; /* negative errno, or 0 while the session lives */
	struct why why;
};

/* Mark the session dead with @err and a sentence, once; returns what proto_session_* must. */
int session_fail(struct proto_session *s, int err, struct why *why, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Say Bye with @code and the sentence, then as session_fail(). */
int session_refuse(struct proto_session *s, enum proto_bye code, int err, struct why *why,
	const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Repeat the error of a dead session. */
int session_dead(const struct proto_session *s, struct why *why);

/* Copy a peer's string: printable ASCII, bounded, "..." when cut. */
void session_printable(char *out, size_t size, const char *in);

/* Wait for @events on @fd. Returns 1, 0 at the deadline (as for receive), or a negative errno. */
int proto_wait(int fd, short events, uint64_t deadline_ns);

#endif
