/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two daemons, alpha and beta, each with its real sockets, listener, requests and heartbeats, on
 * loopback, in one loop. What would touch a domain is a stub here and counts: for strangers it must
 * stay at 0.
 */
#ifndef TESTS_UNIT_CHANNEL_RIG_H
#define TESTS_UNIT_CHANNEL_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include <cmocka.h>

#include "common/clock.h"
#include "failover/daemon.h"
#include "tests/unit/cluster.h"

#define LONG (20 * NSEC_PER_SEC)
#define ALPHA_ADDRESS "127.77.0.1"
#define BETA_ADDRESS "127.77.0.2"
#define ALPHA_SECOND "127.77.1.1"
#define BETA_SECOND "127.77.1.2"
#define STRANGER_ADDRESS "127.77.0.9"

struct host {
	struct failover fo;
	struct why why;
};

extern struct host alpha, beta;
extern struct cluster cluster;
extern sd_event *loop;
extern unsigned int touched;  /* calls that would have changed a domain */
extern unsigned int heard_of; /* heartbeats taken for the peer's word */
extern uint16_t port;

/* cmocka's setups and teardowns: of a group, and of a test that has both hosts. */
int make_world(void **state);
int drop_world(void **state);
int start_hosts(void **state);
int stop_hosts(void **state);
#define CHANNEL_TEST(f) cmocka_unit_test_setup_teardown(f, start_hosts, stop_hosts)

void host_start(struct host *h, const char *name, const char *peer, const char *transport);
void host_stop(struct host *h);
struct failover_peer *peer_of(struct host *h);
const char *last_event(const struct host *h);

void spin(void);
void beat(struct host *h); /* what the tick of a living daemon does */
void until_alive(void);
void until_silent(struct host *h);

/* Datagrams, as an eavesdropper would record them. */
struct datagram {
	uint8_t bytes[PROTO_MAX_DATAGRAM];
	size_t n;
	in_addr_t to;
};
extern struct datagram *record;
extern size_t record_n;

struct sockaddr_in place(const char *address, uint16_t at_port);
void inject(const char *from, const char *to, const void *bytes, size_t n);
/* All that was recorded on its way to @to, in order, from @from to @at. Returns how many. */
size_t replay(const char *from, const char *to, const char *at);

/* Bytes of a stranger: noise, or the beginning of a TLS record, of a frame, and then noise. */
size_t make_garbage(unsigned int i, uint8_t *out, size_t max);

#endif
