/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/netbuf_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netlink/route/link.h>
#include <netlink/route/link/bridge.h>
#include <netlink/route/link/veth.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/clock.h"
#include "common/why.h"
#include "netbuf/internal.h"

#define MAGIC "ROMULUS!"

struct label {
	char magic[8];
	uint32_t number;
} __attribute__((packed));

struct rig rig = {.vifs = {"vif3.0", "vif3.1"}};
static struct why why;

int make_state_dir(void)
{
	snprintf(rig.state_dir, sizeof(rig.state_dir), "/tmp/netbuf.XXXXXX");
	if (!mkdtemp(rig.state_dir))
		return -1;
	snprintf(rig.record, sizeof(rig.record), "%s/%s", rig.state_dir, UUID);
	return 0;
}

void remove_state_dir(void)
{
	rmdir(rig.state_dir);
}

/* Topology */

static void set_up(const char *name)
{
	struct rtnl_link *old, *new = rtnl_link_alloc();

	assert_int_equal(rtnl_link_get_kernel(rig.route, 0, name, &old), 0);
	rtnl_link_set_flags(new, IFF_UP);
	assert_int_equal(rtnl_link_change(rig.route, old, new, 0), 0);
	rtnl_link_put(old);
	rtnl_link_put(new);
}

static void enslave(const char *port)
{
	struct rtnl_link *master, *link;

	assert_int_equal(rtnl_link_get_kernel(rig.route, 0, "br0", &master), 0);
	assert_int_equal(rtnl_link_get_kernel(rig.route, 0, port, &link), 0);
	assert_int_equal(rtnl_link_enslave(rig.route, master, link), 0);
	rtnl_link_put(master);
	rtnl_link_put(link);
}

void delete_link(const char *name)
{
	struct rtnl_link *link;

	assert_int_equal(rtnl_link_get_kernel(rig.route, 0, name, &link), 0);
	assert_int_equal(rtnl_link_delete(rig.route, link), 0);
	rtnl_link_put(link);
}

static void wire(const char *inside, const char *port)
{
	assert_int_equal(rtnl_link_veth_add(rig.route, inside, port, getpid()), 0);
	enslave(port);
	set_up(inside);
	set_up(port);
}

static int add_dummy(const char *name)
{
	struct rtnl_link *link = rtnl_link_alloc();
	int err;

	rtnl_link_set_name(link, name);
	err = rtnl_link_set_type(link, "dummy");
	if (!err)
		err = rtnl_link_add(rig.route, link, NLM_F_CREATE | NLM_F_EXCL);
	rtnl_link_put(link);
	return err;
}

static int packet_socket(const char *name)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	int size = 128 << 20;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	/* Held frames are charged to their sender here, unlike a rig.guest's. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	address.sll_ifindex = (int)if_nametoindex(name);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void no_ipv6_chatter(void)
{
	FILE *f = fopen("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w");

	if (!f)
		return;
	fputs("1\n", f);
	fclose(f);
}

/* What the kernel lacks, or NULL. */
static const char *missing;

int build_rig(void **state)
{
	struct netbuf *nb;
	int err;

	rig.guest[0] = rig.guest[1] = rig.outside = rig.bridge = -1;
	if (missing)
		return 0;
	if (unshare(CLONE_NEWNET)) {
		missing = "permission to make network namespaces";
		return 0;
	}
	no_ipv6_chatter();
	rig.route = nl_socket_alloc();
	if (nl_connect(rig.route, NETLINK_ROUTE) || rtnl_link_bridge_add(rig.route, "br0")) {
		missing = "bridge";
		return 0;
	}
	set_up("br0");
	if (add_dummy("up0")) {
		missing = "dummy";
		return 0;
	}
	enslave("up0");
	set_up("up0");
	wire("guest0", "vif3.0");
	wire("guest1", "vif3.1");
	rig.guest[0] = packet_socket("guest0");
	rig.guest[1] = packet_socket("guest1");
	rig.outside = packet_socket("up0");
	rig.bridge = packet_socket("br0");
	rig.next_number = 0;
	rig.arrived_count = 0;

	nb = netbuf_new(&netbuf_kernel_ops, UUID, rig.vifs, 1, 0, rig.state_dir);
	err = netbuf_install(nb, &why);
	if (err == -EOPNOTSUPP)
		missing = "sch_plug, ifb, act_mirred or cls_matchall";
	else if (err)
		print_message("install: %s\n", why.text);
	else
		err = netbuf_remove(nb, &why);
	netbuf_free(nb);
	return missing ? 0 : err;
}

int demolish_rig(void **state)
{
	close(rig.guest[0]);
	close(rig.guest[1]);
	close(rig.outside);
	close(rig.bridge);
	nl_socket_free(rig.route);
	rig.route = NULL;
	unlink(rig.record);
	return 0;
}

void need_plug(void)
{
	if (!missing)
		return;
	print_message("the kernel lacks %s\n", missing);
	if (getenv("ROMULUS_REQUIRE_PLUG"))
		fail();
	skip();
}

/* Frames */

size_t build_frame(uint8_t *frame, enum kind kind, uint32_t number)
{
	static const uint8_t addresses[] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};
	static const uint8_t ipv4[] = {0x08, 0x00, 0x45, 0, 0, 60, 0, 0, 0, 0, 64, 17, 0x66, 0xaf,
		10, 0, 0, 1, 10, 0, 0, 2, 0, 9, 0, 9, 0, 40, 0, 0};
	static const uint8_t ipv6[] = {0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 59, 64, 0xfd, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2};
	static const uint8_t arp[] = {0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0,
		0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2};
	static const uint8_t tag[] = {0x81, 0x00, 0x00, 0x2a};
	static const uint8_t unknown[] = {0x88, 0xb5};
	struct label label = {.magic = MAGIC, .number = number};
	size_t n = 0;

#define APPEND(part) (memcpy(frame + n, (part), sizeof(part)), n += sizeof(part))
	memset(frame, 0, 128);
	APPEND(addresses);
	switch (kind) {
	case VLAN:
		APPEND(tag);
		APPEND(ipv4);
		break;
	case IPV4:
		APPEND(ipv4);
		break;
	case IPV6:
		APPEND(ipv6);
		break;
	case ARP:
		APPEND(arp);
		break;
	default:
		APPEND(unknown);
	}
#undef APPEND
	memcpy(frame + n, &label, sizeof(label));
	n += 32;
	return n;
}

void send_from(int which, size_t count)
{
	uint8_t frame[128];

	for (size_t i = 0; i < count; i++, rig.next_number++) {
		size_t n = build_frame(frame, rig.next_number % KINDS, rig.next_number);

		assert_int_equal(send(rig.guest[which], frame, n, 0), n);
	}
}

size_t collect(int fd, size_t count, int ms)
{
	uint64_t until = clock_now_ns() + (uint64_t)ms * NSEC_PER_MSEC;

	while (rig.arrived_count < count && clock_now_ns() < until) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		struct sockaddr_ll from;
		socklen_t length = sizeof(from);
		const struct label *label;
		uint8_t frame[2048];
		ssize_t n;

		if (poll(&p, 1, 5) <= 0)
			continue;
		n = recvfrom(fd, frame, sizeof(frame), 0, (struct sockaddr *)&from, &length);
		if (n <= 0 || (from.sll_pkttype == PACKET_OUTGOING) != (fd == rig.outside))
			continue;
		label = memmem(frame, (size_t)n, MAGIC, strlen(MAGIC));
		if (!label)
			continue;
		assert_true(rig.arrived_count < FRAMES_MAX);
		memcpy(&rig.arrived[rig.arrived_count++], &label->number, sizeof(uint32_t));
		until = clock_now_ns() + (uint64_t)ms * NSEC_PER_MSEC;
	}
	return rig.arrived_count;
}

void expect_first(size_t count)
{
	collect(rig.outside, count, ARRIVAL_MS);
	collect(rig.outside, FRAMES_MAX, QUIET_MS);
	assert_int_equal(rig.arrived_count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(rig.arrived[i], i);
}

/* Buffer */

struct netbuf *installed(size_t vifs, uint32_t limit)
{
	struct netbuf *nb =
		netbuf_new(&netbuf_kernel_ops, UUID, rig.vifs, vifs, limit, rig.state_dir);

	assert_non_null(nb);
	if (netbuf_install(nb, &why))
		fail_msg("install: %s", why.text);
	return nb;
}

void nothing_left(void)
{
	assert_int_equal(if_nametoindex("rb3.0"), 0);
	assert_int_equal(if_nametoindex("rb3.1"), 0);
	assert_int_equal(access(rig.record, F_OK), -1);
}

uint64_t held_packets(struct netbuf *nb)
{
	uint64_t bytes, packets, drops;

	assert_int_equal(netbuf_backlog(nb, &bytes, &packets, &drops), 0);
	assert_int_equal(drops, 0);
	assert_true(!packets == !bytes);
	return packets;
}

void send_held(struct netbuf *nb, int which, size_t count)
{
	uint64_t until = clock_now_ns() + ARRIVAL_MS * NSEC_PER_MSEC;
	uint64_t expected = held_packets(nb) + count;

	send_from(which, count);
	while (held_packets(nb) < expected && clock_now_ns() < until)
		usleep(200);
	assert_int_equal(held_packets(nb), expected);
}
