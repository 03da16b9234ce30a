/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/hello.h"

#include <errno.h>
#include <string.h>

#include "common/why.h"

#define SESSION_KIND "peer"

int failover_hello_send(
	struct proto_session *s, const char *host, uint64_t deadline_ns, struct why *why)
{
	Romulus__Hello hello = ROMULUS__HELLO__INIT;

	hello.version = PROTO_VERSION;
	hello.version_min = PROTO_VERSION_MIN;
	hello.capabilities = PROTO_CAPABILITIES;
	hello.host = (char *)host;
	hello.software = (char *)"romulus " ROMULUS_VERSION;
	hello.session = (char *)SESSION_KIND;
	return proto_session_send(s, PROTO_HELLO, &hello.base, deadline_ns, why);
}

int failover_hello_check(const struct proto_frame *frame, const char *host, struct why *why)
{
	const Romulus__Hello *hello = (const Romulus__Hello *)frame->message;

	if (frame->type != PROTO_HELLO)
		return why_set(why, -EBADMSG, "the session begins with %s instead of Hello",
			proto_type_name(frame->type));
	if (hello->version < PROTO_VERSION_MIN || hello->version_min > PROTO_VERSION)
		return why_set(why, -EPROTONOSUPPORT,
			"%.64s speaks protocol versions %u to %u, this host %u to %u: install the "
			"same Romulus on both",
			hello->host, hello->version_min, hello->version, PROTO_VERSION_MIN,
			PROTO_VERSION);
	if (strcmp(hello->session, SESSION_KIND) != 0)
		return why_set(why, -EPERM, "a session of kind \"%.32s\" is not for this port",
			hello->session);
	if (host && strcmp(hello->host, host) != 0)
		return why_set(why, -EPERM,
			"the host there calls itself %.64s, the configuration says %s: correct "
			"host or peer in romulus.conf",
			hello->host, host);
	return 0;
}

int failover_hello_can(const struct proto_frame *frame, uint64_t capability, struct why *why)
{
	const Romulus__Hello *hello = (const Romulus__Hello *)frame->message;

	if (hello->capabilities & capability)
		return 0;
	return why_set(why, -EPROTONOSUPPORT,
		"%.64s (%.64s) does not know that question: install the same Romulus on both",
		hello->host, hello->software);
}
