/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A resource's file, what cannot be one, and the label of its metadata device. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "diskrep/meta.h"
#include "diskrep/resource.h"
#include "tests/unit/golden.h"

static const char *const disks[] = {"/dev/vg/db", "/dev/vg/db-log"};

static struct diskrep_resource db(void)
{
	return (struct diskrep_resource){.name = "db",
		.volumes = disks,
		.volumes_n = 2,
		.marker = "/dev/vg/db-marker",
		.meta = "/dev/vg/db-meta",
		.port = 7789,
		.minor = 10,
		.host = "alpha",
		.peer = "beta",
		.address = "10.90.1.11",
		.peer_address = "10.90.1.12"};
}

static void the_file(void **state)
{
	CLEANUP_FREE char *expected = golden("drbd/romulus-db.res", NULL);
	CLEANUP_FREE char *here = NULL, *there = NULL, *six = NULL;
	struct diskrep_resource res = db();
	struct why why;
	char path[64];

	assert_int_equal(diskrep_resource_validate(&res, &why), 0);
	assert_int_equal(diskrep_resource_text(&res, &here), 0);
	assert_string_equal(here, expected);
	diskrep_resource_path(&res, path, sizeof(path));
	assert_string_equal(path, "/etc/drbd.d/romulus-db.res");

	/* Seen from the other host it is the same. */
	res.host = "beta", res.peer = "alpha";
	res.address = "10.90.1.12", res.peer_address = "10.90.1.11";
	assert_int_equal(diskrep_resource_text(&res, &there), 0);
	assert_string_equal(there, expected);

	res.address = "fd90:1::12", res.peer_address = "fd90:1::11";
	assert_int_equal(diskrep_resource_validate(&res, &why), 0);
	assert_int_equal(diskrep_resource_text(&res, &six), 0);
	assert_non_null(strstr(six, "address ipv6 [fd90:1::11]:7789;"));
}

static void refuse(struct diskrep_resource res, const char *words)
{
	struct why why = {""};

	assert_int_equal(diskrep_resource_validate(&res, &why), -EINVAL);
	if (!strstr(why.text, words))
		fail_msg("no \"%s\" in: %s", words, why.text);
}

#define REFUSE(member, value, words)                                                               \
	do {                                                                                       \
		struct diskrep_resource res_ = db();                                               \
		res_.member = (value);                                                             \
		refuse(res_, words);                                                               \
	} while (0)

static void what_cannot_be_a_resource(void **state)
{
	static const char *const same[] = {"/dev/vg/db", "/dev/vg/db"};
	static const char *const relative[] = {"vg/db", "/dev/vg/db-log"};

	REFUSE(name, NULL, "name of a resource");
	REFUSE(name, "", "name of a resource");
	REFUSE(name, "a b", "name of a resource");
	REFUSE(name, "a;b", "name of a resource");
	REFUSE(name, "-a", "name of a resource");
	REFUSE(name, "../x", "name of a resource");
	REFUSE(name, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "at most 48");
	REFUSE(volumes_n, 0, "0 volumes");
	REFUSE(volumes_n, DISKREP_MAX_VOLUMES, "16 volumes");
	REFUSE(volumes, same, "twice");
	REFUSE(volumes, relative, "vg/db");
	REFUSE(marker, "/dev/vg/db", "twice");
	REFUSE(marker, NULL, "missing");
	REFUSE(meta, "/dev/vg/db", "data and metadata both");
	REFUSE(meta, NULL, "metadata device is missing");
	REFUSE(port, 0, "port 0");
	REFUSE(port, 65536, "port 65536");
	REFUSE(minor, 1u << 20, "too high");
	REFUSE(host, "beta", "two hosts");
	REFUSE(peer, NULL, "two hosts");
	REFUSE(host, "al pha", "two hosts");
	REFUSE(address, "alpha", "numeric");
	REFUSE(address, "10.90.1.12", "numeric");
	REFUSE(address, "fd90::1", "one kind");
	REFUSE(peer_address, NULL, "numeric");
}

static void the_label_comes_back(void **state)
{
	uint8_t block[DISKREP_META_LABEL_BYTES];
	struct diskrep_meta_label label, back;
	struct why why;

	assert_int_equal(diskrep_meta_divide("db", 3, 131072, 16384, &label, &why), 0);
	assert_int_equal(label.volumes, 3);
	assert_int_equal(label.share[0].start, 2048);
	for (size_t i = 1; i < 3; i++)
		assert_int_equal(label.share[i].start,
			label.share[i - 1].start + label.share[i - 1].sectors);
	assert_true(label.share[2].start + label.share[2].sectors <= 16384);
	diskrep_meta_encode(&label, block);
	assert_int_equal(diskrep_meta_decode(block, &back), 0);
	assert_memory_equal(&label, &back, sizeof(label));
	for (size_t i = 0; i < sizeof(block); i++) {
		block[i] ^= 0x20;
		assert_int_equal(diskrep_meta_decode(block, &back), -EBADMSG);
		block[i] ^= 0x20;
	}
	memset(block, 0, sizeof(block));
	assert_int_equal(diskrep_meta_decode(block, &back), -ENODATA);
}

static void metadata_has_room(void **state)
{
	struct diskrep_meta_label label;
	struct why why;

	/* 1 TiB: 2^28 bits are 32 MiB of bitmap. */
	assert_int_equal(diskrep_meta_needed(UINT64_C(1) << 31), 72 + 65536);
	assert_int_equal(diskrep_meta_needed(1), 256);
	assert_int_equal(
		diskrep_meta_divide("db", 2, UINT64_C(1) << 31, 131072, &label, &why), -ENOSPC);
	assert_non_null(strstr(why.text, "needs 66632 KiB"));
	assert_int_equal(
		diskrep_meta_divide("db", 2, UINT64_C(1) << 31, 66632 * 2, &label, &why), 0);
	assert_true(label.share[1].sectors >= diskrep_meta_needed(UINT64_C(1) << 31));
	assert_int_equal(diskrep_meta_divide("db", 2, 8, 100, &label, &why), -ENOSPC);
	assert_int_equal(diskrep_meta_divide("db", 0, 8, 131072, &label, &why), -EINVAL);
	assert_int_equal(diskrep_meta_divide("db", 17, 8, 131072, &label, &why), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_file),
		cmocka_unit_test(what_cannot_be_a_resource),
		cmocka_unit_test(the_label_comes_back),
		cmocka_unit_test(metadata_has_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
