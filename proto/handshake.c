/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first frame of a session in each direction. A side that expects a token reads before it
 * speaks, so that a stranger learns nothing and its refusal is the answer to the other's Hello; in
 * every other case both speak first.
 */
#include "proto/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fault.h"

/* Constant time: how long it takes says nothing about how many bytes were right. */
static bool same_token(const ProtobufCBinaryData *given, const uint8_t *expected)
{
	volatile uint8_t difference = 0;

	if (given->len != PROTO_TOKEN_BYTES)
		return false;
	for (size_t i = 0; i < PROTO_TOKEN_BYTES; i++)
		difference |= (uint8_t)(given->data[i] ^ expected[i]);
	return difference == 0;
}

static int send_hello(struct proto_session *s, const char *host, const char *session_kind,
	const uint8_t *token, uint64_t deadline_ns, struct why *why)
{
	Romulus__Hello hello = ROMULUS__HELLO__INIT;

	hello.version = PROTO_VERSION;
	hello.version_min = PROTO_VERSION_MIN;
	if (fault_point(FAULT_HELLO_VERSION))
		hello.version = hello.version_min = PROTO_VERSION + 1;
	hello.capabilities = PROTO_CAPABILITIES;
	hello.host = (char *)(uintptr_t)host;
	hello.software = (char *)(uintptr_t) "romulus " ROMULUS_VERSION;
	hello.session = (char *)(uintptr_t)session_kind;
	if (token) {
		hello.token.data = (uint8_t *)(uintptr_t)token;
		hello.token.len = PROTO_TOKEN_BYTES;
	}
	return proto_session_send(s, PROTO_HELLO, &hello.base, deadline_ns, why);
}

/* In a handshake the code of a Bye is an answer, not just an end: the caller may act on it. */
static int answer(struct proto_session *s, int err)
{
	if (err != -ECONNRESET)
		return err;
	if (s->bye_code == PROTO_BYE_VERSION)
		s->dead = -EPROTONOSUPPORT;
	else if (s->bye_code == PROTO_BYE_REFUSED)
		s->dead = -EACCES;
	return s->dead;
}

static int receive_hello(struct proto_session *s, uint64_t deadline_ns, struct why *why)
{
	struct proto_frame frame;
	int err;

	s->awaiting_hello = true;
	err = proto_session_receive(s, deadline_ns, &frame, why);
	s->awaiting_hello = false;
	if (err == 0)
		return session_refuse(s, PROTO_BYE_FAILED, -ETIMEDOUT, why,
			"%s has not said Hello in time", s->peer);
	return err < 0 ? err : 0;
}

static int check_hello(struct proto_session *s, const Romulus__Hello *hello,
	const char *session_kind, const uint8_t *expect_token, struct why *why)
{
	if (hello->version_min > hello->version)
		return session_refuse(s, PROTO_BYE_MALFORMED, -EBADMSG, why,
			"%s claims versions %u to %u", s->peer, hello->version_min, hello->version);
	if (hello->version < PROTO_VERSION_MIN || hello->version_min > PROTO_VERSION)
		return session_refuse(s, PROTO_BYE_VERSION, -EPROTONOSUPPORT, why,
			"no common protocol version: %s speaks %u to %u, this host %u to %u; "
			"install the same release on both",
			s->peer, hello->version_min, hello->version, PROTO_VERSION_MIN,
			PROTO_VERSION);
	if (strcmp(hello->session, session_kind) != 0) {
		char kind[32];

		session_printable(kind, sizeof(kind), hello->session);
		return session_refuse(s, PROTO_BYE_REFUSED, -EACCES, why,
			"%s asks for a session of kind \"%s\", this is \"%s\"", s->peer, kind,
			session_kind);
	}
	if (expect_token && !same_token(&hello->token, expect_token))
		return session_refuse(s, PROTO_BYE_REFUSED, -EACCES, why,
			"%s gave a wrong token for this stream", s->peer);
	return 0;
}

int proto_handshake(struct proto_session *s, const char *host, const char *session_kind,
	const uint8_t *send_token, const uint8_t *expect_token, uint64_t deadline_ns,
	Romulus__Hello **ret_hello, struct why *why)
{
	Romulus__Hello *hello;
	char name[64], from[PEER_NAME_MAX];
	int err;

	if (!expect_token) {
		err = send_hello(s, host, session_kind, send_token, deadline_ns, why);
		if (err < 0)
			return answer(s, err);
	}
	err = receive_hello(s, deadline_ns, why);
	if (err < 0)
		return answer(s, err);
	hello = (Romulus__Hello *)s->message;

	snprintf(from, sizeof(from), "%s", s->peer);
	session_printable(name, sizeof(name), hello->host);
	if (name[0])
		snprintf(s->peer, sizeof(s->peer), "%s (%.60s)", name, from);

	err = check_hello(s, hello, session_kind, expect_token, why);
	if (err < 0)
		return err;
	if (expect_token) {
		err = send_hello(s, host, session_kind, send_token, deadline_ns, why);
		if (err < 0)
			return answer(s, err);
	}
	s->greeted = true;
	s->capabilities = hello->capabilities & PROTO_CAPABILITIES;
	s->message = NULL;
	*ret_hello = hello;
	return 0;
}
