/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Output buffer against the running kernel, in the rig of netbuf_rig.h. Skipped where the kernel
 * has no sch_plug, ifb, cls_matchall, bridge or dummy; ROMULUS_REQUIRE_PLUG=1 makes that a failure.
 */
#include <errno.h>
#include <net/if.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/tc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/clock.h"
#include "common/fault.h"
#include "common/why.h"
#include "tests/unit/netbuf_rig.h"

static struct why why;

#define ok(call)                                                                                   \
	do {                                                                                       \
		if (call)                                                                          \
			fail_msg(#call ": %s", why.text);                                          \
	} while (0)

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
		collect(rig.outside, 3 * epoch, ARRIVAL_MS);
		assert_int_equal(rig.arrived_count, 3 * epoch);
	}
	print_message("closing 2 vifs: mean %u us, longest %u us\n", (unsigned)(sum / 200 / 1000),
		(unsigned)(longest / 1000));
	send_held(nb, 0, 4);
	send_held(nb, 1, 4);
	expect_first(600);
	assert_int_equal(held_packets(nb), 8);
	ok(netbuf_remove(nb, &why));
	collect(rig.outside, 608, ARRIVAL_MS);
	assert_int_equal(rig.arrived_count, 608);
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
	assert_int_equal(send(rig.bridge, frame, n, 0), n);
	assert_int_equal(collect(rig.guest[0], 1, ARRIVAL_MS), 1);
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
	assert_int_equal(access(rig.record, F_OK), 0);
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
	collect(rig.outside, total, ARRIVAL_MS);
	assert_int_equal(rig.arrived_count, total);
	for (size_t i = 1; i < total; i++)
		inversions += rig.arrived[i] < rig.arrived[i - 1];
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
		nb = netbuf_new(&netbuf_kernel_ops, UUID, rig.vifs, 2, 0, rig.state_dir);
		assert_int_equal(netbuf_install(nb, &why), -EEXIST);
		netbuf_free(nb);
		assert_int_equal(if_nametoindex("rb3.0") > 0, 1);
		assert_int_equal(
			netbuf_sweep(rig.state_dir, release ? UUID : NULL, release, &why), 2);
		nothing_left();
		assert_int_equal(netbuf_sweep(rig.state_dir, UUID, release, &why), 0);
		collect(rig.outside, FRAMES_MAX, QUIET_MS);
		assert_int_equal(rig.arrived_count, release ? 11 : 0);
		send_from(0, 1);
		collect(rig.outside, rig.arrived_count + 1, ARRIVAL_MS);
		assert_int_equal(rig.arrived_count, release ? 12 : 1);
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
	assert_int_equal(netbuf_sweep(rig.state_dir, UUID, 1, &why), 2);
	nothing_left();
	rig.next_number = 0;
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
	nb = netbuf_new(&netbuf_kernel_ops, UUID, names, 2, 0, rig.state_dir);
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
	assert_int_equal(rtnl_qdisc_add(rig.route, qdisc, NLM_F_CREATE | NLM_F_EXCL), 0);
	nb = netbuf_new(&netbuf_kernel_ops, UUID, rig.vifs, 1, 0, rig.state_dir);
	assert_int_equal(netbuf_install(nb, &why), -EEXIST);
	netbuf_free(nb);
	nothing_left();
	assert_int_equal(rtnl_qdisc_delete(rig.route, qdisc), 0);
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, build_rig, demolish_rig)
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

	if (make_state_dir())
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	remove_state_dir();
	return failed;
}
