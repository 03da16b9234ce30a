/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The frames that announce a takeover, byte for byte, and what is refused. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/why.h"
#include "failover/announce.h"

static const uint8_t mac[ANNOUNCE_MAC_LENGTH] = {0x00, 0x16, 0x3e, 0x01, 0x02, 0x03};

static void rarp(void **state)
{
	/* clang-format off */
	static const uint8_t expected[60] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x16, 0x3e, 0x01, 0x02, 0x03, 0x80, 0x35,
		0x00, 0x01, 0x08, 0x00, 6, 4, 0x00, 0x03,
		0x00, 0x16, 0x3e, 0x01, 0x02, 0x03, 0, 0, 0, 0,
		0x00, 0x16, 0x3e, 0x01, 0x02, 0x03, 0, 0, 0, 0,
	};
	/* clang-format on */
	uint8_t frame[ANNOUNCE_FRAME_MAX];

	memset(frame, 0xa5, sizeof(frame));
	assert_int_equal(failover_announce_rarp(frame, mac), sizeof(expected));
	assert_memory_equal(frame, expected, sizeof(expected));
}

static void gratuitous_arp(void **state)
{
	/* clang-format off */
	static const uint8_t expected[60] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x16, 0x3e, 0x01, 0x02, 0x03, 0x08, 0x06,
		0x00, 0x01, 0x08, 0x00, 6, 4, 0x00, 0x01,
		0x00, 0x16, 0x3e, 0x01, 0x02, 0x03, 192, 0, 2, 21,
		0, 0, 0, 0, 0, 0, 192, 0, 2, 21,
	};
	/* clang-format on */
	uint8_t frame[ANNOUNCE_FRAME_MAX];
	struct in_addr address;

	inet_pton(AF_INET, "192.0.2.21", &address);
	memset(frame, 0xa5, sizeof(frame));
	assert_int_equal(failover_announce_arp(frame, mac, &address), sizeof(expected));
	assert_memory_equal(frame, expected, sizeof(expected));
}

static void unsolicited_na(void **state)
{
	/* The check sum was computed independently. */
	/* clang-format off */
	static const uint8_t expected[86] = {
		0x33, 0x33, 0, 0, 0, 1, 0x00, 0x16, 0x3e, 0x01, 0x02, 0x03, 0x86, 0xdd,
		0x60, 0, 0, 0, 0, 32, 58, 255,
		0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x21,
		0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
		136, 0, 0x1c, 0x42, 0x20, 0, 0, 0,
		0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x21,
		2, 1, 0x00, 0x16, 0x3e, 0x01, 0x02, 0x03,
	};
	/* clang-format on */
	uint8_t frame[ANNOUNCE_FRAME_MAX];
	struct in6_addr address;

	inet_pton(AF_INET6, "fd00::21", &address);
	memset(frame, 0xa5, sizeof(frame));
	assert_int_equal(failover_announce_na(frame, mac, &address), sizeof(expected));
	assert_memory_equal(frame, expected, sizeof(expected));
}

static void nonsense_is_refused(void **state)
{
	static const char *const bad[] = {"", "00:16:3e:01:02", "00:16:3e:01:02:03:04",
		"01:16:3e:01:02:03", "0:16:3e:01:02:03", "00:16:3e:01:02:0g", "00-16-3e-01-02-03"};
	const char *good = "00:16:3e:01:02:03";
	struct why why;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
			failover_announce("vif3.0", "br0", bad[i], NULL, 0, &why), -EINVAL);
	assert_int_equal(failover_announce("vif3.0", "../br0", good, NULL, 0, &why), -EINVAL);
	assert_int_equal(failover_announce("vif/3.0", "br0", good, NULL, 0, &why), -EINVAL);
	assert_int_equal(failover_announce("vifnone.0", "brnone", good, NULL, 0, &why), -ENODEV);
	assert_non_null(strstr(why.text, "vifnone.0"));
}

static void schedule_ascends_from_zero(void **state)
{
	assert_int_equal(failover_announce_schedule_ms[0], 0);
	for (size_t i = 1; i < ANNOUNCE_ROUNDS; i++)
		assert_true(
			failover_announce_schedule_ms[i] > failover_announce_schedule_ms[i - 1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rarp),
		cmocka_unit_test(gratuitous_arp),
		cmocka_unit_test(unsolicited_na),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(schedule_ascends_from_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
