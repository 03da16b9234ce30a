/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/channel_rig.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/internal.h"

struct cluster cluster;
sd_event *loop;
unsigned int touched, heard_of;
uint16_t port;

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

void failover_check_asked(struct failover *fo, struct failover_inbound *in, const Romulus__Check *m)
{
	touched++;
	failover_inbound_refuse(in, m->uuid, 0, "not in this test");
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

#define RECORD_MAX 4096u
struct datagram *record;
size_t record_n;

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

struct sockaddr_in place(const char *address, uint16_t at_port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(at_port)};

	assert_int_equal(inet_pton(AF_INET, address, &a.sin_addr), 1);
	return a;
}

void inject(const char *from, const char *to, const void *bytes, size_t n)
{
	struct sockaddr_in a = place(from, 0), b = place(to, port);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(sendto(fd, bytes, n, 0, (struct sockaddr *)&b, sizeof(b)), (ssize_t)n);
	close(fd);
}

size_t replay(const char *from, const char *to, const char *at)
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

void host_start(struct host *h, const char *name, const char *peer, const char *transport)
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

void host_stop(struct host *h)
{
	failover_peers_close(&h->fo);
	failover_events_clear(&h->fo.events);
	proto_identity_free(h->fo.identity);
	failover_config_free(h->fo.config);
}

struct host alpha, beta;

struct failover_peer *peer_of(struct host *h)
{
	return &h->fo.peers[0];
}

void spin(void)
{
	for (int i = 0; i < 1000 && sd_event_run(loop, 0) > 0; i++)
		;
}

void beat(struct host *h)
{
	failover_peers_tick(&h->fo, clock_now_ns());
	failover_peers_beat(&h->fo);
	spin();
}

void until_alive(void)
{
	uint64_t deadline = clock_now_ns() + LONG;

	while (!failover_peer_alive(peer_of(&alpha)) || !failover_peer_alive(peer_of(&beta))) {
		assert_true(clock_now_ns() < deadline);
		beat(&alpha);
		beat(&beta);
	}
}

void until_silent(struct host *h)
{
	uint64_t deadline = clock_now_ns() + LONG;

	while (!failover_peer_silent(peer_of(h))) {
		assert_true(clock_now_ns() < deadline);
		failover_peers_tick(&h->fo, clock_now_ns());
		sd_event_run(loop, 5000);
	}
}

const char *last_event(const struct host *h)
{
	const struct failover_event_entry *e =
		failover_events_get(&h->fo.events, h->fo.events.last);

	return e && e->text ? e->text : "";
}

int start_hosts(void **state)
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

int stop_hosts(void **state)
{
	host_stop(&alpha);
	host_stop(&beta);
	return 0;
}

int make_world(void **state)
{
	cluster = cluster_new();
	record = calloc(RECORD_MAX + 1, sizeof(*record));
	return sd_event_new(&loop) < 0 || !record;
}

int drop_world(void **state)
{
	cluster_free(&cluster);
	free(record);
	sd_event_unref(loop);
	return 0;
}

/* ---- strangers ------------------------------------------------------------------------------- */

size_t make_garbage(unsigned int i, uint8_t *out, size_t max)
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
