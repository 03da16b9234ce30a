/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two guests behind an output buffer in a network namespace of its own, for netbuf_kernel.c:
 *
 *   guest0 --veth-- vif3.0 --bridge-- up0      (and guest1, vif3.1)
 *
 * Numbered frames of every protocol enter at guest0 and are expected, or not, to leave by up0. That
 * is a dummy: a veth would drop what exceeds netdev_max_backlog when a large epoch is released.
 */
#ifndef TESTS_UNIT_NETBUF_RIG_H
#define TESTS_UNIT_NETBUF_RIG_H

#include <stddef.h>
#include <stdint.h>

#include "netbuf/netbuf.h"

#define UUID "5f0d3c1e-0000-4000-8000-00000000002a"
#define QUIET_MS 60
#define ARRIVAL_MS 2000
#define FRAMES_MAX 40000

enum kind { IPV4, IPV6, ARP, VLAN, UNKNOWN, KINDS };

struct nl_sock;

struct rig {
	const char *vifs[2];
	char state_dir[64], record[128]; /* record: the buffer's file in it */
	int guest[2], outside, bridge;   /* packet sockets */
	uint32_t next_number;            /* of the frame that is sent next */
	uint32_t arrived[FRAMES_MAX];    /* the numbers, in order */
	size_t arrived_count;
	struct nl_sock *route;
};

extern struct rig rig;

/* The folder of state files, once for all tests: 0, or -1. */
int make_state_dir(void);
void remove_state_dir(void);

/* Setup and teardown of a test; the namespace is new for each. */
int build_rig(void **state);
int demolish_rig(void **state);

/* Skip the test when the kernel lacks something; ROMULUS_REQUIRE_PLUG=1 makes that a failure. */
void need_plug(void);

void delete_link(const char *name);

/* Returns the length of the frame, which is at most 128 bytes. */
size_t build_frame(uint8_t *frame, enum kind kind, uint32_t number);
/* Send @count frames from guest @which, of every kind in turn. */
void send_from(int which, size_t count);

/* Collect what arrives at @fd until there are @count frames in all, or none for @ms. */
size_t collect(int fd, size_t count, int ms);
/* Exactly the frames 0 .. @count - 1 have come, in order, and no more follow. */
void expect_first(size_t count);

/* A buffer on the first @vifs; the caller frees it. @limit in bytes, 0: the default. */
struct netbuf *installed(size_t vifs, uint32_t limit);
uint64_t held_packets(struct netbuf *nb);
/* Send, and wait until all is in the plug: a busy softirq may bring frames in after the close. */
void send_held(struct netbuf *nb, int which, size_t count);
void nothing_left(void);

#endif
