/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Output buffer against the running kernel, in network namespaces of its own:
 *
 *   guest0 --veth-- vif3.0 --bridge-- up0      (and guest1, vif3.1)
 *
 * Numbered frames of every protocol enter at guest0 and are expected, or not, to leave by up0. That
 * is a dummy: a veth would drop what exceeds netdev_max_backlog when a large epoch is released.
 * Skipped where the kernel has no sch_plug, ifb, cls_matchall, bridge or dummy;
 * ROMULUS_REQUIRE_PLUG=1 makes that a failure.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netlink/route/link.h>
#include <netlink/route/link/bridge.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/tc.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/clock.h"
#include "common/fault.h"
#include "common/why.h"
#include "netbuf/internal.h"

#define UUID "5f0d3c1e-0000-4000-8000-00000000002a"
#define MAGIC "ROMULUS!"
#define QUIET_MS 60
#define ARRIVAL_MS 2000
#define FRAMES_MAX 40000

enum kind { IPV4, IPV6, ARP, VLAN, UNKNOWN, KINDS };

struct label {
	char magic[8];
	uint32_t number;
} __attribute__((packed));

static const char *const both[] = {"vif3.0", "vif3.1"};
static char state_dir[64], record[128];
static int guest[2], outside, bridge;
static uint32_t next_number;
static uint32_t arrived[FRAMES_MAX];
static size_t arrived_count;
static struct nl_sock *route;
static struct why why;

/* Topology */

static void set_up(const char *name)
{
	struct rtnl_link *old, *new = rtnl_link_alloc();

	assert_int_equal(rtnl_link_get_kernel(route, 0, name, &old), 0);
	rtnl_link_set_flags(new, IFF_UP);
	assert_int_equal(rtnl_link_change(route, old, new, 0), 0);
	rtnl_link_put(old);
	rtnl_link_put(new);
}

static void enslave(const char *port)
{
	struct rtnl_link *master, *link;

	assert_int_equal(rtnl_link_get_kernel(route, 0, "br0", &master), 0);
	assert_int_equal(rtnl_link_get_kernel(route, 0, port, &link), 0);
	assert_int_equal(rtnl_link_enslave(route, master, link), 0);
	rtnl_link_put(master);
	rtnl_link_put(link);
}

static void delete_link(const char *name)
{
	struct rtnl_link *link;

	assert_int_equal(rtnl_link_get_kernel(route, 0, name, &link), 0);
	assert_int_equal(rtnl_link_delete(route, link), 0);
	rtnl_link_put(link);
}

static void wire(const char *inside, const char *port)
{
	assert_int_equal(rtnl_link_veth_add(route, inside, port, getpid()), 0);
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
		err = rtnl_link_add(route, link, NLM_F_CREATE | NLM_F_EXCL);
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
	/* Held frames are charged to their sender here, unlike a guest's. */
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

static int build(void **state)
{
	struct netbuf *nb;
	int err;

	guest[0] = guest[1] = outside = bridge = -1;
	if (missing)
		return 0;
	if (unshare(CLONE_NEWNET)) {
		missing = "permission to make network namespaces";
		return 0;
	}
	no_ipv6_chatter();
	route = nl_socket_alloc();
	if (nl_connect(route, NETLINK_ROUTE) || rtnl_link_bridge_add(route, "br0")) {
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
	guest[0] = packet_socket("guest0");
	guest[1] = packet_socket("guest1");
	outside = packet_socket("up0");
	bridge = packet_socket("br0");
	next_number = 0;
	arrived_count = 0;

	nb = netbuf_new(&netbuf_kernel_ops, UUID, both, 1, 0, state_dir);
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

static int demolish(void **state)
{
	close(guest[0]);
	close(guest[1]);
	close(outside);
	close(bridge);
	nl_socket_free(route);
	route = NULL;
	unlink(record);
	return 0;
}

static void need_plug(void)
{
	if (!missing)
		return;
	print_message("the kernel lacks %s\n", missing);
	if (getenv("ROMULUS_REQUIRE_PLUG"))
		fail();
	skip();
}

/* Frames */

static size_t build_frame(uint8_t *frame, enum kind kind, uint32_t number)
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

static void send_from(int which, size_t count)
{
	uint8_t frame[128];

	for (size_t i = 0; i < count; i++, next_number++) {
		size_t n = build_frame(frame, next_number % KINDS, next_number);

		assert_int_equal(send(guest[which], frame, n, 0), n);
	}
}

/* Collect what arrives at @fd until there are @count frames in all, or none for @ms. */
static size_t collect(int fd, size_t count, int ms)
{
	uint64_t until = clock_now_ns() + (uint64_t)ms * NSEC_PER_MSEC;

	while (arrived_count < count && clock_now_ns() < until) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		struct sockaddr_ll from;
		socklen_t length = sizeof(from);
		const struct label *label;
		uint8_t frame[2048];
		ssize_t n;

		if (poll(&p, 1, 5) <= 0)
			continue;
		n = recvfrom(fd, frame, sizeof(frame), 0, (struct sockaddr *)&from, &length);
		if (n <= 0 || (from.sll_pkttype == PACKET_OUTGOING) != (fd == outside))
			continue;
		label = memmem(frame, (size_t)n, MAGIC, strlen(MAGIC));
		if (!label)
			continue;
		assert_true(arrived_count < FRAMES_MAX);
		memcpy(&arrived[arrived_count++], &label->number, sizeof(uint32_t));
		until = clock_now_ns() + (uint64_t)ms * NSEC_PER_MSEC;
	}
	return arrived_count;
}

/* Exactly the frames 0 .. @count - 1 have come, in order, and no more follow. */
static void expect_first(size_t count)
{
	collect(outside, count, ARRIVAL_MS);
	collect(outside, FRAMES_MAX, QUIET_MS);
	assert_int_equal(arrived_count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(arrived[i], i);
}

/* Buffer */

static struct netbuf *installed(size_t vifs, uint32_t limit)
{
	struct netbuf *nb = netbuf_new(&netbuf_kernel_ops, UUID, both, vifs, limit, state_dir);

	assert_non_null(nb);
	if (netbuf_install(nb, &why))
		fail_msg("install: %s", why.text);
	return nb;
}

#define ok(call)                                                                                   \
	do {                                                                                       \
		if (call)                                                                          \
			fail_msg(#call ": %s", why.text);                                          \
	} while (0)

static void nothing_left(void)
{
	assert_int_equal(if_nametoindex("rb3.0"), 0);
	assert_int_equal(if_nametoindex("rb3.1"), 0);
	assert_int_equal(access(record, F_OK), -1);
}

static uint64_t held_packets(struct netbuf *nb)
{
	uint64_t bytes, packets, drops;

	assert_int_equal(netbuf_backlog(nb, &bytes, &packets, &drops), 0);
	assert_int_equal(drops, 0);
	assert_true(!packets == !bytes);
	return packets;
}

/* Send, and wait until all is in the plug: a busy softirq may bring frames in after the close. */
static void send_held(struct netbuf *nb, int which, size_t count)
{
	uint64_t until = clock_now_ns() + ARRIVAL_MS * NSEC_PER_MSEC;
	uint64_t expected = held_packets(nb) + count;

	send_from(which, count);
	while (held_packets(nb) < expected && clock_now_ns() < until)
		usleep(200);
	assert_int_equal(held_packets(nb), expected);
}

static void frames_pass_without_a_buffer(void **state)
{
	need_plug();
	send_from(0, 20);
	expect_first(20);
}

static void every_protocol_is_held_until_released(void **state)
{
	struct netbuf *nb;

	need_plug();
	nb = installed(1, 0);
	send_held(nb, 0, 20);
	expect_first(0);
	assert_int_equal(held_packets(nb), 20);
	ok(netbuf_close_epoch(nb, &why));
	send_held(nb, 0, 20);
	expect_first(0);
	assert_int_equal(held_packets(nb), 40);
	ok(netbuf_release_epoch(nb, &why));
	expect_first(20);
	assert_int_equal(held_packets(nb), 20);
	ok(netbuf_close_epoch(nb, &why));
	expect_first(20);
	ok(netbuf_release_epoch(nb, &why));
	expect_first(40);
	ok(netbuf_remove(nb, &why));
	netbuf_free(nb);
	nothing_left();
}

static void second_close_lets_nothing_go(void **state)
{
	struct netbuf *nb;

	need_plug();
	nb = installed(1, 0);
	send_held(nb, 0, 5);
	ok(netbuf_close_epoch(nb, &why));
	send_held(nb, 0, 5);
	assert_int_equal(netbuf_close_epoch(nb, &why), -EBUSY);
	ok(netbuf_release_epoch(nb, &why));
	expect_first(5);
	ok(netbuf_remove(nb, &why));
	expect_first(10);
	netbuf_free(nb);
}

static void epochs_of_two_vifs_go_together(void **state)
{
	uint64_t longest = 0, sum = 0;
	struct netbuf *nb;

	need_plug();
	nb = installed(2, 0);
	for (size_t epoch = 1; epoch <= 200; epoch++) {
		uint64_t before, took;

		send_held(nb, 0, 3);
		/* In order between the vifs too: their frames leave by one release each. */
		before = clock_now_ns();
		ok(netbuf_close_epoch(nb, &why));
		took = clock_now_ns() - before;
		longest = took > longest ? took : longest;
		sum += took;
		ok(netbuf_release_epoch(nb, &why));
		collect(outside, 3 * epoch, ARRIVAL_MS);
		assert_int_equal(arrived_count, 3 * epoch);
	}
	print_message("closing 2 vifs: mean %u us, longest %u us\n", (unsigned)(sum / 200 / 1000),
		(unsigned)(longest / 1000));
	send_held(nb, 0, 4);
	send_held(nb, 1, 4);
	expect_first(600);
	assert_int_equal(held_packets(nb), 8);
	ok(netbuf_remove(nb, &why));
	collect(outside, 608, ARRIVAL_MS);
	assert_int_equal(arrived_count, 608);
	netbuf_free(nb);
	nothing_left();
}

static void large_epoch_is_held_and_released_whole(void **state)
{
	struct netbuf *nb;

	need_plug();
	nb = installed(1, 0);
	send_held(nb, 0, 20000);
	assert_int_equal(held_packets(nb), 20000);
	ok(netbuf_close_epoch(nb, &why));
	send_held(nb, 0, 10);
	ok(netbuf_release_epoch(nb, &why));
	expect_first(20000);
	ok(netbuf_remove(nb, &why));
	expect_first(20010);
	netbuf_free(nb);
}

static void beyond_the_limit_the_newest_are_dropped(void **state)
{
	uint64_t bytes, packets, drops;
	struct netbuf *nb;

	need_plug();
	nb = installed(1, 4096);
	send_from(0, 200);
	assert_int_equal(netbuf_backlog(nb, &bytes, &packets, &drops), 0);
	assert_true(bytes <= 4096 && packets < 200);
	assert_int_equal(packets + drops, 200);
	ok(netbuf_remove(nb, &why));
	expect_first((size_t)packets);
	netbuf_free(nb);
}

static void the_other_direction_is_free(void **state)
{
	static const uint8_t to_guest[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
	uint8_t frame[128];
	struct netbuf *nb;
	size_t n;

	need_plug();
	nb = installed(1, 0);
	n = build_frame(frame, IPV4, 0);
	memcpy(frame, to_guest, sizeof(to_guest));
	assert_int_equal(send(bridge, frame, n, 0), n);
	assert_int_equal(collect(guest[0], 1, ARRIVAL_MS), 1);
	ok(netbuf_remove(nb, &why));
	netbuf_free(nb);
}

static void remove_lets_all_go_and_leaves_nothing(void **state)
{
	struct netbuf *nb;

	need_plug();
	nb = installed(2, 0);
	send_held(nb, 0, 100);
	ok(netbuf_close_epoch(nb, &why));
	send_held(nb, 0, 100);
	assert_int_equal(access(record, F_OK), 0);
	ok(netbuf_remove(nb, &why));
	nothing_left();
	send_from(0, 100);
	expect_first(300);
	ok(netbuf_remove(nb, &why));
	ok(netbuf_install(nb, &why));
	send_from(0, 10);
	expect_first(300);
	ok(netbuf_remove(nb, &why));
	expect_first(310);
	netbuf_free(nb);
}

static void remove_under_traffic_loses_nothing(void **state)
{
	size_t total = 30000, inversions = 0;
	struct netbuf *nb;
	pid_t sender;
	int status;

	need_plug();
	nb = installed(1, 0);
	sender = fork();
	if (!sender) {
		for (size_t i = 0; i < total / 100; i++) {
			send_from(0, 100);
			usleep(300);
		}
		_exit(0);
	}
	usleep(20000);
	ok(netbuf_remove(nb, &why));
	nothing_left();
	assert_int_equal(waitpid(sender, &status, 0), sender);
	collect(outside, total, ARRIVAL_MS);
	assert_int_equal(arrived_count, total);
	for (size_t i = 1; i < total; i++)
		inversions += arrived[i] < arrived[i - 1];
	print_message("frames out of order: %zu of %zu\n", inversions, total);
	assert_true(inversions <= 2);
	netbuf_free(nb);
}

static void dead_worker_is_swept(void **state)
{

	need_plug();
	for (int release = 0; release < 2; release++) {
		struct netbuf *nb = installed(2, 0);

		send_held(nb, 0, 10);
		ok(netbuf_close_epoch(nb, &why));
		netbuf_free(nb);
		nb = netbuf_new(&netbuf_kernel_ops, UUID, both, 2, 0, state_dir);
		assert_int_equal(netbuf_install(nb, &why), -EEXIST);
		netbuf_free(nb);
		assert_int_equal(if_nametoindex("rb3.0") > 0, 1);
		assert_int_equal(netbuf_sweep(state_dir, release ? UUID : NULL, release, &why), 2);
		nothing_left();
		assert_int_equal(netbuf_sweep(state_dir, UUID, release, &why), 0);
		collect(outside, FRAMES_MAX, QUIET_MS);
		assert_int_equal(arrived_count, release ? 11 : 0);
		send_from(0, 1);
		collect(outside, arrived_count + 1, ARRIVAL_MS);
		assert_int_equal(arrived_count, release ? 12 : 1);
	}
}

static void half_gone_objects_are_swept(void **state)
{

	need_plug();
	netbuf_free(installed(2, 0));
	delete_link("guest0"); /* the domain is gone, and its vif */
	delete_link("rb3.1");  /* somebody removed the queue: guest1 is mute */
	send_from(1, 1);
	expect_first(0);
	assert_int_equal(netbuf_sweep(state_dir, UUID, 1, &why), 2);
	nothing_left();
	next_number = 0;
	send_from(1, 5);
	expect_first(5);
}

static void vanished_vif_is_no_obstacle(void **state)
{
	struct netbuf *nb;

	need_plug();
	nb = installed(1, 0);
	send_held(nb, 0, 10);
	ok(netbuf_close_epoch(nb, &why));
	delete_link("guest0");
	ok(netbuf_release_epoch(nb, &why));
	ok(netbuf_remove(nb, &why));
	netbuf_free(nb);
	nothing_left();
}

static void install_is_all_or_nothing(void **state)
{
	static const char *const names[] = {"vif3.0", "vif9.9"};
	struct netbuf *nb;

	need_plug();
	nb = netbuf_new(&netbuf_kernel_ops, UUID, names, 2, 0, state_dir);
	assert_int_equal(netbuf_install(nb, &why), -ENODEV);
	assert_non_null(strstr(why.text, "vif9.9"));
	nothing_left();
	assert_int_equal(if_nametoindex("rb9.9"), 0);
	netbuf_free(nb);
	send_from(0, 5);
	expect_first(5);
}

static void foreign_ingress_qdisc_is_left_alone(void **state)
{
	struct rtnl_qdisc *qdisc;
	struct netbuf *nb;

	need_plug();
	qdisc = rtnl_qdisc_alloc();
	rtnl_tc_set_ifindex(TC_CAST(qdisc), (int)if_nametoindex("vif3.0"));
	rtnl_tc_set_parent(TC_CAST(qdisc), TC_H_INGRESS);
	rtnl_tc_set_handle(TC_CAST(qdisc), TC_HANDLE(0xffff, 0));
	assert_int_equal(rtnl_tc_set_kind(TC_CAST(qdisc), "ingress"), 0);
	assert_int_equal(rtnl_qdisc_add(route, qdisc, NLM_F_CREATE | NLM_F_EXCL), 0);
	nb = netbuf_new(&netbuf_kernel_ops, UUID, both, 1, 0, state_dir);
	assert_int_equal(netbuf_install(nb, &why), -EEXIST);
	netbuf_free(nb);
	nothing_left();
	assert_int_equal(rtnl_qdisc_delete(route, qdisc), 0);
	rtnl_qdisc_put(qdisc);
}

static void bypass_fault_holds_nothing(void **state)
{
	struct netbuf *nb;

	need_plug();
	setenv("ROMULUS_FAULT", "plug-bypass=fail", 1);
	assert_int_equal(fault_init(&why), 0);
	nb = installed(1, 0);
	send_from(0, 5);
	expect_first(5);
	ok(netbuf_close_epoch(nb, &why));
	send_from(0, 5);
	expect_first(10);
	ok(netbuf_release_epoch(nb, &why));
	ok(netbuf_remove(nb, &why));
	netbuf_free(nb);
	unsetenv("ROMULUS_FAULT");
	assert_int_equal(fault_init(&why), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, build, demolish)
	const struct CMUnitTest tests[] = {
		TEST(frames_pass_without_a_buffer),
		TEST(every_protocol_is_held_until_released),
		TEST(second_close_lets_nothing_go),
		TEST(epochs_of_two_vifs_go_together),
		TEST(large_epoch_is_held_and_released_whole),
		TEST(beyond_the_limit_the_newest_are_dropped),
		TEST(the_other_direction_is_free),
		TEST(remove_lets_all_go_and_leaves_nothing),
		TEST(remove_under_traffic_loses_nothing),
		TEST(dead_worker_is_swept),
		TEST(half_gone_objects_are_swept),
		TEST(vanished_vif_is_no_obstacle),
		TEST(install_is_all_or_nothing),
		TEST(foreign_ingress_qdisc_is_left_alone),
		TEST(bypass_fault_holds_nothing),
	};
	int failed;

	snprintf(state_dir, sizeof(state_dir), "/tmp/netbuf.XXXXXX");
	if (!mkdtemp(state_dir))
		return 1;
	snprintf(record, sizeof(record), "%s/%s", state_dir, UUID);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(state_dir);
	return failed;
}
