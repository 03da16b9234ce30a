/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The trusted channel between two daemons: who is answered, and what strangers can do. */
#include "tests/unit/channel_rig.h"

#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "failover/hello.h"
#include "proto/internal.h"
#include "proto/tls.h"

#define GARBAGE_CONNECTIONS 10000u
#define INBOUND_MAX 64u        /* the listener's own limit */
#define MEMORY_MAX (16u << 20) /* for INBOUND_MAX half-open handshakes */

/* ---- a request ------------------------------------------------------------------------------ */

struct outcome {
	bool done;
	enum exit_code code;
	enum proto_type type;
	struct why why;
};

static void note_outcome(
	void *data, const struct proto_frame *frame, enum exit_code code, const struct why *why)
{
	struct outcome *o = data;

	o->done = true;
	o->code = code;
	o->type = frame ? frame->type : 0;
	o->why = *why;
}

static struct outcome ask(struct host *from)
{
	static char uuid[] = "deadbeef-0102-0304-0506-0708090a0b0c";
	Romulus__Unprotect question = ROMULUS__UNPROTECT__INIT;
	struct outcome o = {.done = false};
	uint64_t deadline = clock_now_ns() + LONG;

	question.uuid = uuid;
	question.generation = 1;
	assert_non_null(failover_request_start(
		peer_of(from), PROTO_UNPROTECT, &question.base, note_outcome, &o));
	while (!o.done && clock_now_ns() < deadline)
		sd_event_run(loop, 10000);
	assert_true(o.done);
	return o;
}

/* An older one, which would take it for garbage. */
static void what_a_peer_does_not_know_is_not_asked(void **state)
{
	static char name[] = "beta", software[] = "romulus 0.0.9";
	Romulus__Hello hello = ROMULUS__HELLO__INIT;
	const struct proto_frame frame = {.type = PROTO_HELLO, .message = &hello.base};
	struct why why;

	hello.host = name;
	hello.software = software;
	assert_int_equal(failover_hello_can(&frame, PROTO_CAN_CHECK, &why), -EPROTONOSUPPORT);
	assert_non_null(strstr(why.text, "beta (romulus 0.0.9)"));
	hello.capabilities = ~PROTO_CAN_CHECK;
	assert_int_equal(failover_hello_can(&frame, PROTO_CAN_CHECK, &why), -EPROTONOSUPPORT);
	hello.capabilities = PROTO_CAN_CHECK;
	assert_int_equal(failover_hello_can(&frame, PROTO_CAN_CHECK, &why), 0);
}

static void a_peer_is_answered(void **state)
{
	struct outcome o = ask(&beta);

	assert_int_equal(o.code, EXIT_CODE_OK);
	assert_int_equal(o.type, PROTO_UNPROTECTED);
	assert_int_equal(touched, 1);
	o = ask(&alpha);
	assert_int_equal(o.code, EXIT_CODE_OK);
	assert_int_equal(peer_of(&alpha)->refused, 0);
}

/* It was installed anew meanwhile: both sides of a session say what they can do. */
static void what_a_peer_has_learnt_it_is_asked(void **state)
{
	peer_of(&alpha)->no_checks = peer_of(&beta)->no_checks = true;
	ask(&beta);
	assert_false(peer_of(&alpha)->no_checks || peer_of(&beta)->no_checks);
}

/* Beta's certificate becomes that of another host, or another cluster: both sides say why. */
static void expect_refused_request(
	struct proto_identity *id, const char *asker_hears, const char *asked_says)
{
	struct proto_identity *old = beta.fo.identity;
	uint64_t refused = peer_of(&alpha)->refused, deadline = clock_now_ns() + LONG;
	struct outcome o;

	beta.fo.identity = id;
	o = ask(&beta);
	beta.fo.identity = old;
	while (peer_of(&alpha)->refused == refused && clock_now_ns() < deadline)
		sd_event_run(loop, 10000);
	assert_int_equal(o.code, EXIT_CODE_REFUSED);
	if (!strstr(o.why.text, asker_hears))
		fail_msg("the asker hears: %s", o.why.text);
	if (!strstr(peer_of(&alpha)->refusal.text, asked_says))
		fail_msg("the asked says: %s", peer_of(&alpha)->refusal.text);
	assert_int_equal(touched, 0);
	proto_identity_free(id);
}

static void strangers_touch_nothing(void **state)
{
	struct cluster other = cluster_new();
	struct proto_identity *id;

	expect_refused_request(cluster_host(&cluster, "gamma", DAYS(-1), DAYS(10)),
		"another name for the peer at this address", "is that of gamma");
	expect_refused_request(cluster_host(&cluster, "beta", DAYS(-9), DAYS(-1)),
		"this host's certificate has expired", "expired on");
	id = cluster_host(&other, "beta", DAYS(-1), DAYS(10));
	expect_refused_request(id, "not signed by the CA of this cluster", "does not know the CA");
	assert_int_equal(peer_of(&alpha)->refused, 3);
	cluster_free(&other);
}

static void plain_and_tls_say_what_differs(void **state)
{
	struct outcome o;

	proto_identity_free(beta.fo.identity);
	beta.fo.identity = NULL;
	o = ask(&beta);
	assert_int_not_equal(o.code, EXIT_CODE_OK);
	assert_non_null(strstr(peer_of(&alpha)->refusal.text, "is transport the same"));
	assert_int_equal(touched, 0);
	beat(&beta);
	assert_int_equal(peer_of(&alpha)->forged, 2); /* one a path */
	assert_non_null(strstr(last_event(&alpha), "transport is \"plain\" there"));
	assert_int_equal(heard_of, 0);
}

/* ---- garbage -------------------------------------------------------------------------------- */

static unsigned int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Bytes that the program has allocated; the sanitizer's count where it is linked. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t allocated(void)
{
	return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes()
						       : mallinfo2().uordblks;
}

static int dial(const char *from)
{
	struct sockaddr_in a = place(from, 0), b = place(ALPHA_ADDRESS, port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct linger reset = {.l_onoff = 1};

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&b, sizeof(b)), 0);
	/* Thousands of ports must not stay in TIME_WAIT. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	return fd;
}

static void garbage_is_refused_in_bounded_memory(void **state)
{
	unsigned int fds = open_fds(), fds_most = 0;
	size_t before, most = 0;
	uint8_t bytes[2048];
	uint64_t deadline;

	ask(&beta); /* whatever is allocated once */
	touched = 0;
	before = allocated();
	for (unsigned int i = 0; i < GARBAGE_CONNECTIONS; i++) {
		int fd = dial(i % 10 ? BETA_ADDRESS : STRANGER_ADDRESS);
		size_t n = make_garbage(i, bytes, sizeof(bytes));

		(void)!send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		sd_event_run(loop, 0);
		sd_event_run(loop, 0);
		if (open_fds() > fds_most)
			fds_most = open_fds();
		if (allocated() > most)
			most = allocated();
		close(fd);
	}
	deadline = clock_now_ns() + LONG;
	while (alpha.fo.strangers + peer_of(&alpha)->refused < GARBAGE_CONNECTIONS &&
		clock_now_ns() < deadline)
		sd_event_run(loop, 10000);
	assert_int_equal(alpha.fo.strangers, GARBAGE_CONNECTIONS / 10);
	assert_int_equal(peer_of(&alpha)->refused, GARBAGE_CONNECTIONS - GARBAGE_CONNECTIONS / 10);
	assert_int_equal(touched, 0);
	assert_in_range(fds_most, fds, fds + INBOUND_MAX + 2);
	assert_in_range(most, 0, before + MEMORY_MAX);
	assert_in_range(allocated(), 0, before + 65536);
	assert_int_equal(open_fds(), fds);
	assert_int_equal(ask(&beta).code, EXIT_CODE_OK); /* and it still serves */
}

/*
 * Twice as many as there is room for begin a ClientHello of 512 bytes and go on with a byte now and
 * then: nothing is wrong with it, only that it does not end in time.
 */
static const uint8_t slow_hello[] = {22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3};

static void slow_strangers_do_not_keep_the_peer_out(void **state)
{
	int fd[2 * INBOUND_MAX];
	unsigned int fds = open_fds();
	size_t before = allocated();
	uint64_t began;
	char byte;

	for (size_t i = 0; i < ARRAY_SIZE(fd); i++) {
		fd[i] = dial(BETA_ADDRESS);
		assert_int_equal(send(fd[i], slow_hello, 1, MSG_NOSIGNAL), 1);
		spin();
	}
	assert_in_range(open_fds(), 0, fds + ARRAY_SIZE(fd) + INBOUND_MAX);
	assert_in_range(allocated(), 0, before + MEMORY_MAX);
	assert_int_equal(peer_of(&alpha)->refused, INBOUND_MAX);
	assert_non_null(strstr(peer_of(&alpha)->refusal.text, "too many sessions"));
	assert_int_equal(ask(&beta).code, EXIT_CODE_OK);
	began = clock_now_ns();
	for (size_t k = 1; peer_of(&alpha)->refused < ARRAY_SIZE(fd); k++) {
		uint64_t next = clock_now_ns() + 5 * NSEC_PER_MSEC;

		assert_true(clock_now_ns() - began < LONG);
		byte = k < sizeof(slow_hello) ? (char)slow_hello[k] : 7;
		for (size_t i = INBOUND_MAX; i < ARRAY_SIZE(fd); i++)
			(void)!send(fd[i], &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		while (clock_now_ns() < next)
			sd_event_run(loop, 1000);
	}
	assert_int_equal(peer_of(&alpha)->refused, ARRAY_SIZE(fd));
	assert_string_equal(peer_of(&alpha)->refusal.text, "nothing was asked in time");
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++) {
		ssize_t n;

		while ((n = recv(fd[i], &byte, 1, MSG_DONTWAIT)) > 0)
			; /* an alert, perhaps */
		assert_true(n == 0 || errno == ECONNRESET);
		close(fd[i]);
	}
	assert_int_equal(open_fds(), fds);
	assert_int_equal(touched, 1); /* the peer's own question */
}

/* The peer itself, with its certificate, sends a frame that announces 4 GB. */
static void an_oversize_frame_is_refused(void **state)
{
	struct proto_session *s = proto_session_new(dial(BETA_ADDRESS));
	uint8_t header[PROTO_HEADER_BYTES];
	uint64_t deadline = clock_now_ns() + LONG;
	struct proto_frame frame;
	size_t before = allocated();
	struct why why = {""};
	int r = 0;

	assert_int_equal(proto_session_secure(s, beta.fo.identity, false, "alpha", NULL), 0);
	while (r == 0 && clock_now_ns() < deadline) {
		r = proto_session_establish(s, 0, &why);
		sd_event_run(loop, 1000);
	}
	assert_int_equal(r, 1);
	proto_header_encode(header, PROTO_PREPARE, 0, NULL, 0);
	memset(header + 8, 0xff, 4);
	assert_int_equal(gnutls_record_send(*(gnutls_session_t *)s->tls, header, sizeof(header)),
		(int)sizeof(header));
	while ((r = proto_session_receive(s, 0, &frame, &why)) == 0 && clock_now_ns() < deadline)
		sd_event_run(loop, 1000);
	assert_int_equal(r, -ECONNRESET);
	assert_non_null(strstr(why.text, "Prepare frame of 4294967295 bytes is over the limit"));
	assert_non_null(
		strstr(peer_of(&alpha)->refusal.text, "4294967295 bytes is over the limit"));
	assert_in_range(allocated(), 0, before + (1 << 20));
	assert_int_equal(touched, 0);
	proto_session_free(s);
}

static int count_tick(sd_event_source *s, uint64_t usec, void *data)
{
	++*(unsigned int *)data;
	return 0;
}

/* Who waits in crowds, with or without a word, waits until this host has said that it lives. */
static void a_flood_does_not_hold_up_the_heart(void **state)
{
	unsigned int ticks = 0;
	sd_event_source *tick = NULL;
	uint8_t bytes[64] = {0};
	int fd[24];

	for (size_t i = 0; i < ARRAY_SIZE(fd); i++) {
		fd[i] = dial(BETA_ADDRESS);
		if (i < 16) /* some are in already, the others stand at the door */
			spin();
		(void)!send(fd[i], slow_hello, sizeof(slow_hello), MSG_NOSIGNAL);
	}
	sd_event_add_time_relative(loop, &tick, CLOCK_MONOTONIC, 0, 1, count_tick, &ticks);
	sd_event_source_set_priority(tick, FAILOVER_PRIORITY_TICK);
	sd_event_run(loop, 100000);
	assert_int_equal(ticks, 1);

	/* Datagrams go first, but not for ever. */
	for (int i = 0; i < 17; i++) {
		for (int k = 0; k < 70; k++)
			inject(BETA_ADDRESS, ALPHA_ADDRESS, bytes, sizeof(bytes));
		sd_event_run(loop, 0);
	}
	assert_true(peer_of(&alpha)->forged > 1024);
	sd_event_source_set_time_relative(tick, 0);
	sd_event_source_set_enabled(tick, SD_EVENT_ONESHOT);
	sd_event_run(loop, 100000);
	assert_int_equal(ticks, 2);
	failover_peers_tick(&alpha.fo, clock_now_ns());
	spin();
	until_alive();
	sd_event_source_disable_unref(tick);
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
	spin();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CHANNEL_TEST(a_peer_is_answered),
		CHANNEL_TEST(what_a_peer_has_learnt_it_is_asked),
		cmocka_unit_test(what_a_peer_does_not_know_is_not_asked),
		CHANNEL_TEST(strangers_touch_nothing),
		CHANNEL_TEST(plain_and_tls_say_what_differs),
		CHANNEL_TEST(garbage_is_refused_in_bounded_memory),
		CHANNEL_TEST(slow_strangers_do_not_keep_the_peer_out),
		CHANNEL_TEST(an_oversize_frame_is_refused),
		CHANNEL_TEST(a_flood_does_not_hold_up_the_heart),
	};

	return cmocka_run_group_tests_name("channel", tests, make_world, drop_world);
}
