/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * romulus-backup, listening: for the one peer that has the token, and under TLS the certificate.
 * Strangers can connect as well; the few whose handshakes are under way wait beside each other, so
 * that one that says nothing does not keep the primary out.
 */
#include "replicator/backup.h"

#include <errno.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"

#define GREETING_TIMEOUT_NS (30 * NSEC_PER_SEC)
#define HANDSHAKE_TIMEOUT_NS (5 * NSEC_PER_SEC)
#define GUESTS_MAX 8u    /* handshakes at a time: the oldest goes when one more comes */
#define COMPLAINTS_MAX 8 /* log lines about strangers */

struct porch {
	struct guest {
		struct proto_session *session;
		uint64_t deadline_ns;
	} guests[GUESTS_MAX];
	const uint8_t *token;
	unsigned int refused;
};

static void turn_away(struct backup *b, struct porch *p, struct guest *g)
{
	if (p->refused++ < COMPLAINTS_MAX)
		log_warning("%s: stream refused: %s", b->worker.domain, b->why.text);
	g->session = proto_session_free(g->session);
}

static void let_onto(struct backup *b, struct porch *p, int fd)
{
	struct guest *g = &p->guests[0];

	for (size_t i = 1; i < GUESTS_MAX; i++)
		if (g->session && p->guests[i].deadline_ns < g->deadline_ns)
			g = &p->guests[i];
	if (g->session) {
		why_set(&b->why, 0, "too many connections that do not say who they are");
		turn_away(b, p, g);
	}
	g->session = proto_session_new(fd);
	g->deadline_ns = clock_now_ns() + HANDSHAKE_TIMEOUT_NS;
	if (g->session &&
		proto_session_secure(g->session, b->worker.identity, true, b->worker.peer, &b->why))
		turn_away(b, p, g);
}

/* A stranger without the token is told to go; the primary may still come. */
static void hear(struct backup *b, struct porch *p, struct guest *g)
{
	Romulus__Hello *hello = NULL;
	int r = proto_session_establish(g->session, 0, &b->why);

	if (r == 0 && clock_now_ns() < g->deadline_ns)
		return;
	if (r == 0)
		r = why_set(&b->why, -ETIMEDOUT, "a connection has not said who it is in time");
	else if (r > 0)
		r = proto_handshake(g->session, b->worker.host, "stream", NULL, p->token,
			g->deadline_ns, &hello, &b->why);
	if (hello)
		romulus__hello__free_unpacked(hello, NULL);
	if (r < 0)
		turn_away(b, p, g);
	else
		b->stream = TAKE_PTR(g->session);
}

/* One round: whoever connects, whoever goes on, and the daemon. */
static int wait_for_stream(struct backup *b, struct porch *p, int listener)
{
	struct pollfd fds[2 + GUESTS_MAX] = {
		{.fd = listener, .events = POLLIN},
		{.fd = proto_session_fd(b->worker.daemon), .events = POLLIN},
	};
	int fd;

	for (size_t i = 0; i < GUESTS_MAX; i++)
		fds[2 + i] = (struct pollfd){
			.fd = p->guests[i].session ? proto_session_fd(p->guests[i].session) : -1,
			.events = POLLIN};
	if (poll(fds, ARRAY_SIZE(fds), 1000) < 0 && errno != EINTR)
		return -errno;
	if (worker_order(&b->worker, 0, NULL))
		return why_set(&b->why, -ECANCELED, "given up before the primary connected");
	for (size_t i = 0; i < GUESTS_MAX && !b->stream; i++)
		if (p->guests[i].session)
			hear(b, p, &p->guests[i]);
	if (b->stream || !(fds[0].revents & POLLIN))
		return 0;
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		let_onto(b, p, fd);
	return 0;
}

int backup_accept(struct backup *b)
{
	Romulus__Report report = ROMULUS__REPORT__INIT;
	uint64_t deadline = clock_now_ns() + GREETING_TIMEOUT_NS;
	uint8_t token[PROTO_TOKEN_BYTES];
	struct porch porch = {.token = token};
	uint16_t port = 0;
	int listener, r;

	if (getrandom(token, sizeof(token), 0) != sizeof(token))
		return why_set(&b->why, -EIO, "no random bytes for a token");
	r = worker_identify(&b->worker, &b->why);
	if (r)
		return r;
	listener = proto_listen(b->worker.listen, &port, &b->why);
	if (listener < 0)
		return listener;
	report.kind = PROTO_REPORT_LISTENING;
	report.port = port;
	report.token.data = token;
	report.token.len = sizeof(token);
	r = worker_report(&b->worker, &report);
	while (!r && !b->stream) {
		r = wait_for_stream(b, &porch, listener);
		if (!r && !b->stream && clock_now_ns() > deadline)
			r = why_set(&b->why, -ETIMEDOUT, "the primary did not connect within %d s",
				(int)(GREETING_TIMEOUT_NS / NSEC_PER_SEC));
	}
	for (size_t i = 0; i < GUESTS_MAX; i++)
		proto_session_free(porch.guests[i].session);
	if (porch.refused > COMPLAINTS_MAX)
		log_warning("%s: %u streams refused in all", b->worker.domain, porch.refused);
	close(listener);
	return r;
}
