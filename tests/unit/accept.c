/* SPDX-License-Identifier: GPL-2.0-or-later */
/* romulus-backup listening for its stream: strangers come first, stay and say nothing. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "replicator/backup.h"
#include "tests/unit/cluster.h"
#include "tests/unit/pair.h"

#define STRANGERS 40 /* more than wait beside each other, and than a listener's backlog */

static struct cluster cluster;

/* The worker in a thread of its own, and what it has told its daemon. */
struct backup_side {
	struct backup b;
	char dir[32];
	struct proto_session *daemon;
	pthread_t thread;
	uint16_t port;
	uint8_t token[PROTO_TOKEN_BYTES];
	int result;
};

static void *accept_stream(void *opaque)
{
	struct backup_side *side = opaque;

	side->result = backup_accept(&side->b);
	return NULL;
}

static void start(struct backup_side *side)
{
	const Romulus__Report *report;
	struct proto_frame frame;
	int fd[2];

	*side = (struct backup_side){.b.worker = {.domain = "db",
					     .host = "beta",
					     .peer = "alpha",
					     .listen = "127.0.0.1",
					     .pki = side->dir},
		.dir = "/tmp/romulus-accept-XXXXXX"};
	assert_non_null(mkdtemp(side->dir));
	cluster_write(&cluster, side->dir, "beta", proto_pki_ten_years(time(NULL)));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	side->b.worker.daemon = proto_session_new(fd[0]);
	side->daemon = proto_session_new(fd[1]);
	assert_int_equal(pthread_create(&side->thread, NULL, accept_stream, side), 0);
	assert_int_equal(proto_session_receive(side->daemon, SOON, &frame, NULL), 1);
	report = (const Romulus__Report *)frame.message;
	assert_int_equal(report->kind, PROTO_REPORT_LISTENING);
	side->port = (uint16_t)report->port;
	memcpy(side->token, report->token.data, PROTO_TOKEN_BYTES);
}

static void stop(struct backup_side *side)
{
	pthread_join(side->thread, NULL);
	proto_session_free(side->b.stream);
	proto_session_free(side->b.worker.daemon);
	proto_session_free(side->daemon);
	proto_identity_free(side->b.worker.identity);
	cluster_remove(side->dir);
}

static struct proto_session *dial(const struct backup_side *side)
{
	int fd = proto_connect(NULL, "127.0.0.1", side->port, SOON, NULL);

	assert_true(fd >= 0);
	return proto_session_new(fd);
}

/* Connect as the primary would. Returns what the handshakes came to. */
static int knock(const struct backup_side *side, struct proto_identity *id, const uint8_t *token,
	struct why *why)
{
	struct proto_session *s = dial(side);
	Romulus__Hello *hello = NULL;
	int r = proto_session_secure(s, id, false, "beta", why);

	if (!r)
		r = proto_handshake(s, "alpha", "stream", token, NULL, SOON, &hello, why);
	if (hello)
		romulus__hello__free_unpacked(hello, NULL);
	proto_session_free(s);
	return r;
}

static void the_primary_comes_through_a_crowd(void **state)
{
	struct proto_identity *alpha = cluster_host(&cluster, "alpha", DAYS(-1), DAYS(10));
	struct proto_session *crowd[STRANGERS];
	uint64_t began = clock_now_ns();
	struct backup_side side;
	struct why why = {""};

	start(&side);
	for (int i = 0; i < STRANGERS; i++) {
		crowd[i] = dial(&side);
		if (i % 2) /* the beginning of a TLS record, and no more */
			assert_int_equal(
				send(proto_session_fd(crowd[i]), "\x16\x03\x01", 3, MSG_NOSIGNAL),
				3);
	}
	if (knock(&side, alpha, side.token, &why))
		fail_msg("%s", why.text);
	stop(&side);
	assert_int_equal(side.result, 0);
	/* One that is silent has 5 s; nobody waited for that, let alone for all of them. */
	assert_true(clock_now_ns() - began < 5 * NSEC_PER_SEC);
	for (int i = 0; i < STRANGERS; i++)
		proto_session_free(crowd[i]);
	proto_identity_free(alpha);
}

static void only_the_primary_gets_the_stream(void **state)
{
	struct cluster other = cluster_new();
	struct proto_identity *alpha = cluster_host(&cluster, "alpha", DAYS(-1), DAYS(10));
	struct proto_identity *gamma = cluster_host(&cluster, "gamma", DAYS(-1), DAYS(10));
	struct proto_identity *forged = cluster_host(&other, "alpha", DAYS(-1), DAYS(10));
	uint8_t wrong[PROTO_TOKEN_BYTES] = {0};
	struct backup_side side;
	struct why why = {""};

	start(&side);
	/* With the token, but not the certificate, and the other way round. */
	assert_int_equal(knock(&side, gamma, side.token, &why), -EACCES);
	assert_non_null(strstr(why.text, "another name for the peer"));
	assert_int_equal(knock(&side, forged, side.token, &why), -EACCES);
	assert_int_equal(knock(&side, NULL, side.token, &why), -EBADMSG);
	assert_non_null(strstr(why.text, "speaks TLS"));
	assert_int_equal(knock(&side, alpha, wrong, &why), -EACCES);
	assert_non_null(strstr(why.text, "wrong token"));
	assert_int_equal(knock(&side, alpha, side.token, &why), 0);
	stop(&side);
	assert_int_equal(side.result, 0);
	proto_identity_free(alpha);
	proto_identity_free(gamma);
	proto_identity_free(forged);
	cluster_free(&other);
}

static void without_a_certificate_nothing_listens(void **state)
{
	struct backup b = {.worker = {.domain = "db", .host = "beta", .pki = "/nonexistent"}};

	assert_int_equal(backup_accept(&b), -EACCES);
	assert_non_null(strstr(b.why.text, "romulus pki init"));
}

static int make_cluster(void **state)
{
	cluster = cluster_new();
	return 0;
}

static int drop_cluster(void **state)
{
	cluster_free(&cluster);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_primary_comes_through_a_crowd),
		cmocka_unit_test(only_the_primary_gets_the_stream),
		cmocka_unit_test(without_a_certificate_nothing_listens),
	};

	return cmocka_run_group_tests_name("accept", tests, make_cluster, drop_cluster);
}
