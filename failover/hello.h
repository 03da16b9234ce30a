/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Greeting between daemons from an event loop, where proto_handshake's waiting has no place. */
#ifndef FAILOVER_HELLO_H
#define FAILOVER_HELLO_H

#include "proto/proto.h"

int failover_hello_send(
	struct proto_session *s, const char *host, uint64_t deadline_ns, struct why *why);

/*
 * Check the first frame of the other side. @host NULL: any name. Returns 0, -EPROTONOSUPPORT (no
 * common version), -EPERM (not who it should be) or -EBADMSG, with a sentence.
 */
int failover_hello_check(const struct proto_frame *frame, const char *host, struct why *why);

/* Does it state @capability? 0 or -EPROTONOSUPPORT with a sentence. */
int failover_hello_can(const struct proto_frame *frame, uint64_t capability, struct why *why);

#endif
