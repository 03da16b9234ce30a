/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Probe frames, byte for byte, and between two hosts that are network namespaces: a bridge xenbr0
 * on each, and a cable between their uplinks that may be in one VLAN, in two, or cut.
 */
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/why.h"
#include "replicator/segment.h"

#define ARRIVAL_NS (5 * NSEC_PER_SEC)
#define QUIET_NS (200 * NSEC_PER_MSEC)

static const uint8_t nonce[SEGMENT_NONCE_BYTES] = {
	1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

/* ---- the frame ------------------------------------------------------------------------------- */

static void a_probe_is_these_bytes(void **state)
{
	/* clang-format off */
	static const uint8_t expected[SEGMENT_FRAME_BYTES] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x16, 0x3e, 0x01, 0x02, 0x03, 0x88, 0xb5,
		'R', 'O', 'M', 'U', 'p', 'r', 'o', 'b',
		1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
		'x', 'e', 'n', 'b', 'r', '0',
	};
	/* clang-format on */
	static const uint8_t mac[] = {0x00, 0x16, 0x3e, 0x01, 0x02, 0x03};
	uint8_t frame[SEGMENT_FRAME_BYTES];

	memset(frame, 0xa5, sizeof(frame));
	segment_frame(frame, mac, "xenbr0", nonce);
	assert_memory_equal(frame, expected, sizeof(expected));
}

static void only_all_of_it_is_a_probe(void **state)
{
	static const uint8_t mac[] = {0x00, 0x16, 0x3e, 0x01, 0x02, 0x03};
	uint8_t frame[SEGMENT_FRAME_BYTES];

	segment_frame(frame, mac, "xenbr0", nonce);
	assert_true(segment_matches(frame, sizeof(frame), "xenbr0", nonce));
	assert_false(segment_matches(frame, sizeof(frame), "xenbr1", nonce));
	assert_false(segment_matches(frame, sizeof(frame), "xenbr", nonce));
	for (size_t n = 0; n < 54; n++)
		assert_false(segment_matches(frame, n, "xenbr0", nonce));
	for (size_t i = 12; i < 54; i++) {
		frame[i] ^= 1;
		assert_false(segment_matches(frame, sizeof(frame), "xenbr0", nonce));
		frame[i] ^= 1;
	}
}

static void names_stay_in_their_folder(void **state)
{
	static const char *const bad[] = {"", ".", "..", "../../etc", "a/b", "0123456789abcdef"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_false(segment_is_name(bad[i]));
		assert_false(segment_is_bridge(bad[i]));
	}
	assert_true(segment_is_name("xenbr0.100"));
	assert_false(segment_is_bridge("lo"));
}

/* ---- two hosts ------------------------------------------------------------------------------- */

static int home = -1, host[2] = {-1, -1}; /* namespaces */
static const char *missing;               /* what is not there for it; NULL: nothing */

static int own_namespace(void)
{
	return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

static int run(const char *line)
{
	return system(line);
}

static void enter(int ns)
{
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
}

/* The second namespace is reached by a descriptor of this process. */
static int begin(void **state)
{
	char line[128];

	home = own_namespace();
	missing =
		home < 0 || unshare(CLONE_NEWNET) ? "permission to make network namespaces" : NULL;
	if (missing)
		return 0;
	host[1] = own_namespace();
	if (unshare(CLONE_NEWNET))
		return -1;
	host[0] = own_namespace();
	snprintf(line, sizeof(line), "ip link add up0 type veth peer name up0 netns /proc/%d/fd/%d",
		getpid(), host[1]);
	if (run("ip link add xenbr0 type bridge") || run(line)) {
		missing = "bridge or veth";
		return 0;
	}
	for (int i = 0; i < 2; i++) {
		enter(host[i]);
		if (i && run("ip link add xenbr0 type bridge"))
			return -1;
		if (run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip link set xenbr0 up && ip "
			"link set up0 up"))
			return -1;
	}
	return 0;
}

static int end(void **state)
{
	if (home >= 0)
		setns(home, CLONE_NEWNET);
	for (int i = 0; i < 2; i++) {
		if (host[i] >= 0)
			close(host[i]);
		host[i] = -1;
	}
	if (home >= 0)
		close(home);
	home = -1;
	return 0;
}

static void need_hosts(void)
{
	if (!missing)
		return;
	print_message("this kernel lacks %s\n", missing);
	if (getenv("ROMULUS_REQUIRE_PLUG"))
		fail();
	skip();
}

static void on(int which, const char *line)
{
	enter(host[which]);
	if (run(line))
		fail_msg("failed: %s", line);
}

/* Host 0 sends probes of @bridge with @sent, host 1 listens on its own for @bridge and @awaited. */
static bool arrives(const char *bridge, const uint8_t *sent, const uint8_t *awaited, uint64_t ns)
{
	const uint64_t until = clock_now_ns() + ns;
	struct why why;
	bool heard = false;
	int from, to;

	enter(host[1]);
	to = segment_open(bridge, &why);
	enter(host[0]);
	from = segment_open(bridge, &why);
	if (from < 0 || to < 0)
		fail_msg("%s", why.text);
	while (!heard && clock_now_ns() < until) {
		segment_send(from, bridge, sent);
		poll(NULL, 0, 10);
		heard = segment_heard(to, bridge, awaited);
	}
	close(from);
	close(to);
	return heard;
}

static void plug(int which, const char *port)
{
	char line[128];

	snprintf(line, sizeof(line), "ip link set %s up && ip link set %s master xenbr0", port,
		port);
	on(which, line);
}

static void one_segment(void **state)
{
	uint8_t other[SEGMENT_NONCE_BYTES] = {9};

	need_hosts();
	enter(host[1]);
	assert_true(segment_is_bridge("xenbr0"));
	assert_false(segment_is_bridge("up0"));
	plug(0, "up0");
	plug(1, "up0");
	assert_true(arrives("xenbr0", nonce, nonce, ARRIVAL_NS));
	assert_false(arrives("xenbr0", nonce, other, QUIET_NS)); /* somebody else's check */
}

static void a_cut_cable(void **state)
{
	need_hosts();
	plug(0, "up0");
	assert_false(arrives("xenbr0", nonce, nonce, QUIET_NS));
	plug(1, "up0");
	assert_true(arrives("xenbr0", nonce, nonce, ARRIVAL_NS));
	on(0, "ip link set up0 down");
	assert_false(arrives("xenbr0", nonce, nonce, QUIET_NS));
}

/* The same name, the same cable: tagged otherwise it is another segment. */
static void another_vlan(void **state)
{
	enter(host[0]);
	if (!missing && run("ip link add link up0 name up0.100 type vlan id 100"))
		missing = "8021q";
	need_hosts();
	on(1, "ip link add link up0 name up0.101 type vlan id 101");
	on(1, "ip link add link up0 name up0.100 type vlan id 100");
	plug(0, "up0.100");
	plug(1, "up0.101");
	assert_false(arrives("xenbr0", nonce, nonce, QUIET_NS));
	on(1, "ip link set up0.101 nomaster");
	plug(1, "up0.100");
	assert_true(arrives("xenbr0", nonce, nonce, ARRIVAL_NS));
}

static void a_bridge_that_is_down(void **state)
{
	need_hosts();
	plug(0, "up0");
	plug(1, "up0");
	on(0, "ip link set xenbr0 down");
	assert_false(arrives("xenbr0", nonce, nonce, QUIET_NS));
	on(0, "ip link set xenbr0 up");
	on(1, "ip link set xenbr0 down");
	assert_false(arrives("xenbr0", nonce, nonce, QUIET_NS));
}

/* In a world of its own, where /sys is that of the network namespace. */
static bool filters(void)
{
	const pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
			mount("sysfs", "/sys", "sysfs", 0, NULL))
			_exit(2);
		_exit(segment_filters("xenbr0"));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
	return WEXITSTATUS(status) == 1;
}

static void a_bridge_that_filters_vlans(void **state)
{
	enter(host[0]);
	if (!missing && run("ip link add xenbr1 type bridge vlan_filtering 1"))
		missing = "bridges that filter VLANs";
	need_hosts();
	assert_false(filters());
	on(0, "ip link set xenbr0 type bridge vlan_filtering 1");
	assert_true(filters());
	assert_false(segment_filters("up0"));
	assert_false(segment_filters("../../etc"));
}

#define NET(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_probe_is_these_bytes),
		cmocka_unit_test(only_all_of_it_is_a_probe),
		cmocka_unit_test(names_stay_in_their_folder),
		NET(one_segment),
		NET(a_cut_cable),
		NET(another_vlan),
		NET(a_bridge_that_is_down),
		NET(a_bridge_that_filters_vlans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
