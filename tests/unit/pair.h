/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two ends of a session, for the tests of proto/. Include after cmocka.h. */
#ifndef TESTS_UNIT_PAIR_H
#define TESTS_UNIT_PAIR_H

#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "proto/proto.h"

#define SOON (clock_now_ns() + 5 * NSEC_PER_SEC)

/* Two ends; `raw` speaks bytes where `b` is NULL. */
struct pair {
	struct proto_session *a, *b;
	int raw;
};

static inline struct pair open_pair(bool both)
{
	struct pair p = {.raw = -1};
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	p.a = proto_session_new(fd[0]);
	assert_non_null(p.a);
	if (both)
		p.b = proto_session_new(fd[1]);
	else
		p.raw = fd[1];
	return p;
}

static inline void close_pair(struct pair *p)
{
	proto_session_free(p->a);
	proto_session_free(p->b);
	if (p->raw >= 0)
		close(p->raw);
}

#endif
