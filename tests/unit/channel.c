/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The trusted channel between two daemons, each with its real sockets, listener, requests and
 * heartbeats, on loopback. What would touch a domain is a stub here and counts: for strangers it
 * must stay at 0.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/clock.h"
#include "failover/daemon.h"
#include "proto/internal.h"
#include "proto/tls.h"
#include "tests/unit/cluster.h"

#define LONG (20 * NSEC_PER_SEC)
#define GARBAGE_CONNECTIONS 10000u
#define INBOUND_MAX 64u        /* the listener's own limit */
#define MEMORY_MAX (16u << 20) /* for INBOUND_MAX half-open handshakes */
#define ALPHA_ADDRESS "127.77.0.1"
#define BETA_ADDRESS "127.77.0.2"
#define ALPHA_SECOND "127.77.1.1"
#define BETA_SECOND "127.77.1.2"
#define STRANGER_ADDRESS "127.77.0.9"

static struct cluster cluster;
static sd_event *loop;
static unsigned int touched;  /* calls that would have changed a domain */
static unsigned int heard_of; /* heartbeats taken for the peer's word */
static uint16_t port;

/* ---- the rest of the daemon ----------------------------------------------------------------- */

void failover_domain_prepare(
	struct failover *fo, struct failover_inbound *in, const Romulus__Prepare *m)
{
	touched++;
	failover_inbound_refuse(in, m->uuid, 1, "not in this test");
}

void failover_domain_unprotect_asked(
	struct failover *fo, struct failover_inbound *in, const Romulus__Unprotect *m)
{
	Romulus__Unprotected answer = ROMULUS__UNPROTECTED__INIT;

	touched++;
	answer.uuid = m->uuid;
	answer.generation = m->generation;
	failover_inbound_answer(in, PROTO_UNPROTECTED, &answer.base);
}

void failover_domains_judge(struct failover_peer *peer)
{
	touched++;
}

void failover_domains_reunited(struct failover_peer *peer)
{
}

void failover_domains_heard(struct failover_peer *peer)
{
	heard_of++;
}

bool failover_domain_state(const struct failover_domain *d, Romulus__DomainState *ret)
{
	return false;
}

/* ---- datagrams, recorded as an eavesdropper would -------------------------------------------- */

struct datagram {
	uint8_t bytes[PROTO_MAX_DATAGRAM];
	size_t n;
	in_addr_t to;
};

#define RECORD_MAX 4096u
static struct datagram *record;
static size_t record_n;

ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct datagram *d = &record[record_n];

	if (msg->msg_name && record_n < RECORD_MAX) {
		d->n = 0;
		d->to = ((const struct sockaddr_in *)msg->msg_name)->sin_addr.s_addr;
		for (size_t i = 0; i < msg->msg_iovlen; i++) {
			memcpy(d->bytes + d->n, msg->msg_iov[i].iov_base, msg->msg_iov[i].iov_len);
			d->n += msg->msg_iov[i].iov_len;
		}
		record_n++;
	}
	return __real_sendmsg(fd, msg, flags);
}

static struct sockaddr_in place(const char *address, uint16_t at_port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(at_port)};

	assert_int_equal(inet_pton(AF_INET, address, &a.sin_addr), 1);
	return a;
}

static void inject(const char *from, const char *to, const void *bytes, size_t n)
{
	struct sockaddr_in a = place(from, 0), b = place(to, port);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(sendto(fd, bytes, n, 0, (struct sockaddr *)&b, sizeof(b)), (ssize_t)n);
	close(fd);
}

/* All that was recorded on its way to @to, in order, from @from. Returns how many. */
static size_t replay(const char *from, const char *to, const char *at)
{
	in_addr_t target = place(to, 0).sin_addr.s_addr;
	size_t n = 0;

	for (size_t i = 0; i < record_n; i++) {
		if (record[i].to != target)
			continue;
		inject(from, at, record[i].bytes, record[i].n);
		n++;
		while (sd_event_run(loop, 0) > 0)
			;
	}
	return n;
}

/* ---- two hosts ------------------------------------------------------------------------------ */

struct host {
	struct failover fo;
	struct why why;
};

static void host_start(struct host *h, const char *name, const char *peer, const char *transport)
{
	bool a = strcmp(name, "alpha") == 0;
	char file[] = "/tmp/romulus-channel-XXXXXX";
	int fd = mkstemp(file);

	dprintf(fd,
		"host = \"%s\"\ntransport = \"%s\"\nport = %u\nheartbeat-interval = 10\n"
		"dead-after = 300\n"
		"peer \"%s\" {\n"
		" path \"r\" { local = \"%s\" remote = \"%s\" }\n"
		" path \"s\" { local = \"%s\" remote = \"%s\" }\n}\n",
		name, transport, port, peer, a ? ALPHA_ADDRESS : BETA_ADDRESS,
		a ? BETA_ADDRESS : ALPHA_ADDRESS, a ? ALPHA_SECOND : BETA_SECOND,
		a ? BETA_SECOND : ALPHA_SECOND);
	close(fd);
	*h = (struct host){.why = {""}};
	if (failover_config_load(file, &h->fo.config, &h->why) < 0)
		fail_msg("%s", h->why.text);
	unlink(file);
	failover_timeouts_init(&h->fo.timeouts, h->fo.config);
	h->fo.timeouts.connect = 500;
	h->fo.event = loop;
	h->fo.events.host = h->fo.config->host;
	h->fo.boot = clock_wall_ns();
	if (strcmp(transport, "tls") == 0)
		h->fo.identity = cluster_host(&cluster, name, DAYS(-1), DAYS(3650));
	assert_int_equal(failover_peers_open(&h->fo, &h->why), 0);
	for (size_t i = 0; i < h->fo.endpoints_n; i++)
		assert_true(h->fo.endpoints[i].udp >= 0 && h->fo.endpoints[i].tcp_io);
}

static void host_stop(struct host *h)
{
	failover_peers_close(&h->fo);
	failover_events_clear(&h->fo.events);
	proto_identity_free(h->fo.identity);
	failover_config_free(h->fo.config);
}

static struct host alpha, beta;

static struct failover_peer *peer_of(struct host *h)
{
	return &h->fo.peers[0];
}

static void spin(void)
{
	for (int i = 0; i < 1000 && sd_event_run(loop, 0) > 0; i++)
		;
}

/* What the tick of a living daemon does. */
static void beat(struct host *h)
{
	failover_peers_tick(&h->fo, clock_now_ns());
	failover_peers_beat(&h->fo);
	spin();
}

static void until_alive(void)
{
	uint64_t deadline = clock_now_ns() + LONG;

	while (!failover_peer_alive(peer_of(&alpha)) || !failover_peer_alive(peer_of(&beta))) {
		assert_true(clock_now_ns() < deadline);
		beat(&alpha);
		beat(&beta);
	}
}

static void until_silent(struct host *h)
{
	uint64_t deadline = clock_now_ns() + LONG;

	while (!failover_peer_silent(peer_of(h))) {
		assert_true(clock_now_ns() < deadline);
		failover_peers_tick(&h->fo, clock_now_ns());
		sd_event_run(loop, 5000);
	}
}

static const char *last_event(const struct host *h)
{
	const struct failover_event_entry *e =
		failover_events_get(&h->fo.events, h->fo.events.last);

	return e && e->text ? e->text : "";
}

static int start_hosts(void **state)
{
	uint16_t free_port = 0;
	int fd = proto_listen(ALPHA_ADDRESS, &free_port, NULL);

	close(fd);
	port = free_port;
	touched = heard_of = 0;
	record_n = 0;
	host_start(&alpha, "alpha", "beta", "tls");
	host_start(&beta, "beta", "alpha", "tls");
	return 0;
}

static int stop_hosts(void **state)
{
	host_stop(&alpha);
	host_stop(&beta);
	return 0;
}

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

/* Bytes of a stranger: noise, or the beginning of a TLS record, of a frame, and then noise. */
static size_t make_garbage(unsigned int i, uint8_t *out, size_t max)
{
	static const uint8_t record_start[] = {22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3};
	static const uint8_t frame_start[] = {'U', 'M', 'O', 'R', 1, 0, 0, 0, 255, 255, 255, 255};
	size_t n = (i * 2654435761u >> 7) % max;

	for (size_t k = 0; k < n; k++)
		out[k] = (uint8_t)((i + 1) * 40503u * (k + 7) >> 5);
	if (i % 3 == 1 && n > sizeof(record_start))
		memcpy(out, record_start, sizeof(record_start));
	if (i % 3 == 2 && n > sizeof(frame_start))
		memcpy(out, frame_start, sizeof(frame_start));
	return n;
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

/* ---- heartbeats ----------------------------------------------------------------------------- */

static void repeated_heartbeats_are_refused(void **state)
{
	uint64_t heard_before;
	size_t n;

	until_alive();
	for (int i = 0; i < 100; i++) {
		beat(&alpha);
		beat(&beta);
	}
	assert_int_equal(peer_of(&alpha)->forged, 0);
	assert_int_equal(peer_of(&alpha)->replayed, 0);

	/* While the peer lives: each is known. */
	heard_before = heard_of;
	n = replay(BETA_ADDRESS, ALPHA_ADDRESS, ALPHA_ADDRESS);
	assert_true(n > 100);
	assert_true(peer_of(&alpha)->replayed > 100);
	assert_int_equal(heard_of, heard_before);

	/* When it is dead they do not bring it back. */
	until_silent(&alpha);
	replay(BETA_ADDRESS, ALPHA_ADDRESS, ALPHA_ADDRESS);
	failover_peers_tick(&alpha.fo, clock_now_ns());
	assert_true(failover_peer_silent(peer_of(&alpha)));

	/* Nor on the other path, nor when our own words come back from there. */
	assert_int_equal(peer_of(&alpha)->forged, 0);
	n = replay(BETA_SECOND, ALPHA_ADDRESS, ALPHA_SECOND);
	assert_int_equal(peer_of(&alpha)->forged, n);
	n += replay(BETA_ADDRESS, BETA_ADDRESS, ALPHA_ADDRESS);
	assert_int_equal(peer_of(&alpha)->forged, n);
	failover_peers_tick(&alpha.fo, clock_now_ns());
	assert_true(failover_peer_silent(peer_of(&alpha)));
	assert_int_equal(heard_of, heard_before);
}

/* A daemon that has forgotten all that it heard is not fed with it. */
static void a_restarted_daemon_takes_no_old_heartbeats(void **state)
{
	unsigned int before;

	until_alive();
	for (int i = 0; i < 20; i++) {
		beat(&alpha);
		beat(&beta);
	}
	host_stop(&alpha);
	host_start(&alpha, "alpha", "beta", "tls");
	before = heard_of;
	assert_true(replay(BETA_ADDRESS, ALPHA_ADDRESS, ALPHA_ADDRESS) > 20);
	assert_int_equal(heard_of, before);
	assert_false(failover_peer_alive(peer_of(&alpha)));
	assert_int_equal(peer_of(&alpha)->forged, 0); /* they are beta's, but old */
	until_alive();                                /* what beta says now counts */
	assert_true(heard_of > before);

	/* And beta's own restart is heard, its old life is not. */
	before = (unsigned int)record_n;
	host_stop(&beta);
	host_start(&beta, "beta", "alpha", "tls");
	until_silent(&alpha);
	until_alive();
	record_n = before;
	before = heard_of;
	replay(BETA_ADDRESS, ALPHA_ADDRESS, ALPHA_ADDRESS);
	assert_int_equal(heard_of, before);

	/* A host that has lost count is told so, where somebody looks. */
	until_silent(&alpha);
	beta.fo.boot = 5;
	beat(&beta);
	assert_false(failover_peer_alive(peer_of(&alpha)));
	assert_non_null(strstr(last_event(&alpha), "its state-dir was lost"));
}

static void forged_heartbeats_are_refused(void **state)
{
	uint8_t bytes[PROTO_MAX_DATAGRAM];
	struct datagram *d = NULL;
	uint64_t forged;
	size_t n = 0;

	until_alive();
	beat(&beta);
	for (size_t i = 0; i < record_n; i++)
		if (record[i].to == place(ALPHA_ADDRESS, 0).sin_addr.s_addr)
			d = &record[i];
	assert_non_null(d);
	heard_of = 0;
	for (size_t bit = 0; bit < d->n * 8; bit++, n++) {
		memcpy(bytes, d->bytes, d->n);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		inject(BETA_ADDRESS, ALPHA_ADDRESS, bytes, d->n);
		spin();
	}
	for (size_t cut = 0; cut < d->n; cut++, n++) {
		inject(BETA_ADDRESS, ALPHA_ADDRESS, d->bytes, cut);
		spin();
	}
	assert_int_equal(peer_of(&alpha)->forged, n);
	assert_non_null(strstr(last_event(&alpha), "not signed with the key of this cluster"));
	assert_int_equal(heard_of, 0);
	forged = peer_of(&alpha)->forged;
	for (unsigned int i = 0; i < 1000; i++) {
		inject(i % 2 ? BETA_ADDRESS : STRANGER_ADDRESS, ALPHA_ADDRESS, bytes,
			make_garbage(i, bytes, sizeof(bytes)));
		spin();
	}
	assert_int_equal(peer_of(&alpha)->forged, forged + 500);
	assert_int_equal(alpha.fo.strangers, 500);
	assert_int_equal(heard_of + touched, 0);
}

/* ---- what is fresh, as a rule ---------------------------------------------------------------- */

static void freshness(void **state)
{
	static const struct {
		size_t path;
		uint64_t boot, sequence, answers;
		enum failover_freshness verdict;
	} steps[] = {
		{0, 10, 1, 0, FAILOVER_BEAT_UNANSWERED}, /* has not heard us */
		{0, 10, 2, 7, FAILOVER_BEAT_FRESH},
		{0, 10, 2, 7, FAILOVER_BEAT_OLD},
		{0, 10, 1, 7, FAILOVER_BEAT_OLD},
		{1, 10, 2, 7, FAILOVER_BEAT_FRESH}, /* the same one over other cables */
		{1, 10, 2, 7, FAILOVER_BEAT_OLD},
		{0, 10, 100, 7, FAILOVER_BEAT_FRESH},
		{1, 10, 36, 7, FAILOVER_BEAT_FRESH}, /* a slow path */
		{1, 10, 35, 7, FAILOVER_BEAT_OLD},
		{0, 10, 200, 7, FAILOVER_BEAT_FRESH},
		{1, 10, 135, 7, FAILOVER_BEAT_OLD}, /* held back */
		{1, 10, 136, 7, FAILOVER_BEAT_FRESH},
		{0, 10, 300, 6, FAILOVER_BEAT_UNANSWERED}, /* said to our last life */
		{0, 9, 400, 7, FAILOVER_BEAT_OLD},         /* of its last life */
		{0, 11, 1, 7, FAILOVER_BEAT_FRESH},
		{0, 10, 500, 7, FAILOVER_BEAT_OLD},
		{1, 11, 1, 7, FAILOVER_BEAT_FRESH},
	};
	struct failover_replay r = {0};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (failover_replay_judge(&r, steps[i].path, steps[i].boot, steps[i].sequence,
			    steps[i].answers, 7) != steps[i].verdict)
			fail_msg("step %zu", i);
}

static int make_world(void **state)
{
	cluster = cluster_new();
	record = calloc(RECORD_MAX + 1, sizeof(*record));
	return sd_event_new(&loop) < 0 || !record;
}

static int drop_world(void **state)
{
	cluster_free(&cluster);
	free(record);
	sd_event_unref(loop);
	return 0;
}

#define CHANNEL_TEST(f) cmocka_unit_test_setup_teardown(f, start_hosts, stop_hosts)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(freshness),
		CHANNEL_TEST(a_peer_is_answered),
		CHANNEL_TEST(strangers_touch_nothing),
		CHANNEL_TEST(plain_and_tls_say_what_differs),
		CHANNEL_TEST(garbage_is_refused_in_bounded_memory),
		CHANNEL_TEST(slow_strangers_do_not_keep_the_peer_out),
		CHANNEL_TEST(an_oversize_frame_is_refused),
		CHANNEL_TEST(a_flood_does_not_hold_up_the_heart),
		CHANNEL_TEST(repeated_heartbeats_are_refused),
		CHANNEL_TEST(a_restarted_daemon_takes_no_old_heartbeats),
		CHANNEL_TEST(forged_heartbeats_are_refused),
	};

	return cmocka_run_group_tests_name("channel", tests, make_world, drop_world);
}
