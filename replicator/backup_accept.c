/* SPDX-License-Identifier: GPL-2.0-or-later */
/* romulus-backup, listening: for the one peer that has the token. */
#include "replicator/backup.h"

#include <errno.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define GREETING_TIMEOUT_NS (30 * NSEC_PER_SEC)

int backup_accept(struct backup *b)
{
	Romulus__Report report = ROMULUS__REPORT__INIT;
	uint64_t deadline = clock_now_ns() + GREETING_TIMEOUT_NS;
	uint8_t token[PROTO_TOKEN_BYTES];
	uint16_t port = 0;
	int listener, r;

	if (getrandom(token, sizeof(token), 0) != sizeof(token))
		return why_set(&b->why, -EIO, "no random bytes for a token");
	listener = proto_listen(b->worker.listen, &port, &b->why);
	if (listener < 0)
		return listener;
	report.kind = PROTO_REPORT_LISTENING;
	report.port = port;
	report.token.data = token;
	report.token.len = sizeof(token);
	r = worker_report(&b->worker, &report);

	while (!r && !b->stream) {
		struct pollfd fds[] = {
			{.fd = listener, .events = POLLIN},
			{.fd = proto_session_fd(b->worker.daemon), .events = POLLIN},
		};
		Romulus__Hello *hello = NULL;
		int fd, order;

		if (poll(fds, 2, 1000) < 0 && errno != EINTR)
			r = -errno;
		order = worker_order(&b->worker, 0, NULL);
		if (order)
			r = why_set(&b->why, -ECANCELED, "given up before the primary connected");
		else if (clock_now_ns() > deadline)
			r = why_set(&b->why, -ETIMEDOUT, "the primary did not connect within %d s",
				(int)(GREETING_TIMEOUT_NS / NSEC_PER_SEC));
		if (r || !(fds[0].revents & POLLIN))
			continue;
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		b->stream = proto_session_new(fd);
		/* A stranger without the token is told to go; the primary may still come. */
		if (b->stream && proto_handshake(b->stream, b->worker.host, "stream", NULL, token,
					 clock_now_ns() + 5 * NSEC_PER_SEC, &hello, &b->why)) {
			log_warning("%s: stream refused: %s", b->worker.domain, b->why.text);
			b->stream = proto_session_free(b->stream);
		}
		if (hello)
			romulus__hello__free_unpacked(hello, NULL);
	}
	close(listener);
	return r;
}
