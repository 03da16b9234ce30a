/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Output buffer without a kernel: the order of epochs, names, and the record of what is ours. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/why.h"
#include "netbuf/internal.h"

#define UUID "0b4a5b5e-6f0e-4f0a-9d3a-1f2e3d4c5b6a"

static char dir[64];

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/netbuf.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static struct netbuf *buffer(const struct netbuf_ops *ops, const char *vif)
{
	struct netbuf *nb = netbuf_new(ops, UUID, &vif, 1, 0, dir);

	assert_non_null(nb);
	return nb;
}

static void epochs_alternate(void **state)
{
	struct netbuf *nb = buffer(&netbuf_null_ops, "vif3.0");
	uint64_t bytes = 1, packets = 1, drops = 1;
	struct why why;

	assert_int_equal(netbuf_close_epoch(nb, &why), -ENOTCONN);
	assert_int_equal(netbuf_install(nb, &why), 0);
	assert_int_equal(netbuf_install(nb, &why), -EALREADY);
	assert_int_equal(netbuf_release_epoch(nb, &why), -ENOENT);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(netbuf_close_epoch(nb, &why), 0);
		assert_int_equal(netbuf_close_epoch(nb, &why), -EBUSY);
		assert_non_null(strstr(why.text, UUID));
		assert_int_equal(netbuf_release_epoch(nb, &why), 0);
	}
	assert_int_equal(netbuf_backlog(nb, &bytes, &packets, &drops), 0);
	assert_int_equal(bytes + packets + drops, 0);
	assert_int_equal(netbuf_remove(nb, &why), 0);
	assert_int_equal(netbuf_remove(nb, &why), 0);
	assert_int_equal(netbuf_install(nb, &why), 0);
	assert_null(netbuf_free(nb));
	assert_null(netbuf_free(NULL));
}

static int failures;

static int may_fail(struct netbuf *nb, struct why *why)
{
	return failures-- > 0 ? why_set(why, -ENODEV, "gone") : 0;
}

static int succeed(struct netbuf *nb, struct why *why)
{
	return 0;
}

static void after_a_failure_only_remove_is_left(void **state)
{
	const struct netbuf_ops ops = {"failing", succeed, may_fail, may_fail, may_fail};
	struct netbuf *nb = buffer(&ops, "vif3.0");
	struct why why;

	assert_int_equal(netbuf_install(nb, &why), 0);
	failures = 1;
	assert_int_equal(netbuf_close_epoch(nb, &why), -ENODEV);
	assert_int_equal(netbuf_close_epoch(nb, &why), -EIO);
	assert_int_equal(netbuf_release_epoch(nb, &why), -EIO);
	failures = 1;
	assert_int_equal(netbuf_remove(nb, &why), -ENODEV);
	assert_int_equal(netbuf_remove(nb, &why), 0);
	netbuf_free(nb);
}

static void names_are_checked(void **state)
{
	static const char *const bad[] = {"", ".", "..", "a/b", "a b", "a:b", "0123456789abcdef"};
	static const char *const twice[] = {"vif3.0", "vif3.0"};
	char ifb[IFNAMSIZ];
	struct netbuf *nb;
	struct why why;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		nb = buffer(&netbuf_null_ops, bad[i]);
		assert_int_equal(netbuf_install(nb, &why), -EINVAL);
		netbuf_free(nb);
	}
	assert_int_equal(netbuf_ifb_name("vif3.0", ifb), 0);
	assert_string_equal(ifb, "rb3.0");
	assert_int_equal(netbuf_ifb_name("vif12345.0-emu", ifb), 0);
	assert_string_equal(ifb, "rb12345.0-emu");
	assert_int_equal(netbuf_ifb_name("vif", ifb), 0);
	assert_string_equal(ifb, "rbvif");
	assert_int_equal(netbuf_ifb_name("webserver-net0", ifb), -ENAMETOOLONG);
	assert_int_equal(netbuf_ifb_name("webserver-net", ifb), 0);

	nb = netbuf_new(&netbuf_null_ops, UUID, twice, 2, 0, dir);
	assert_int_equal(netbuf_install(nb, &why), -EINVAL);
	netbuf_free(nb);
	nb = netbuf_new(&netbuf_null_ops, "../etc/passwd", twice, 1, 0, dir);
	assert_int_equal(netbuf_install(nb, &why), -EINVAL);
	netbuf_free(nb);
	assert_null(netbuf_new(&netbuf_null_ops, UUID, NULL, NETBUF_MAX_VIFS + 1, 0, dir));
	assert_int_equal(netbuf_sweep(dir, "..", 1, &why), -EINVAL);
}

static void record_comes_back(void **state)
{
	struct netbuf_state out = {.count = 2, .vifs = {{"vif3.0", "rb3.0"}, {"vif3.1", "rb3.1"}}};
	struct netbuf_state in;
	char deep[96];
	struct why why;

	snprintf(deep, sizeof(deep), "%s/run/romulus", dir);
	assert_int_equal(netbuf_state_read(deep, UUID, &in, &why), -ENOENT);
	assert_int_equal(netbuf_state_write(deep, UUID, &out, &why), 0);
	assert_int_equal(netbuf_state_read(deep, UUID, &in, &why), 0);
	assert_memory_equal(&in, &out, sizeof(in));
	assert_int_equal(netbuf_state_write(deep, UUID, &out, &why), -EEXIST);
	assert_int_equal(netbuf_state_unlink(deep, UUID, &why), 0);
	assert_int_equal(netbuf_state_unlink(deep, UUID, &why), 0);
	assert_int_equal(netbuf_state_read(deep, UUID, &in, &why), -ENOENT);
}

static void malformed_records_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"romulus-netbuf 2 0\n",
		"romulus-netbuf 1\n",
		"romulus-netbuf 1 \n",
		"romulus-netbuf 1 -1\n",
		"romulus-netbuf 1 1x\nvif3.0 rb3.0\n",
		"romulus-netbuf 1 17\n",
		"romulus-netbuf 1 99999999999999999999\n",
		"romulus-netbuf 1 1\n",
		"romulus-netbuf 1 1\nvif3.0\n",
		"romulus-netbuf 1 1\nvif3.0 rb3.0",
		"romulus-netbuf 1 1\nvif3.0 rb3.0\nvif3.1 rb3.1\n",
		"romulus-netbuf 1 1\nvif3.0 ../x\n",
		"romulus-netbuf 1 1\nvif3.0 0123456789abcdef\n",
		"romulus-netbuf 1 1\n rb3.0\n",
		"romulus-netbuf 1 1\nvif3.0 rb3.0 more\n",
	};
	struct netbuf_state in;
	struct why why;
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, UUID);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		FILE *f = fopen(path, "w");

		assert_non_null(f);
		fputs(bad[i], f);
		fclose(f);
		assert_int_equal(netbuf_state_read(dir, UUID, &in, &why), -EBADMSG);
		assert_int_equal(netbuf_sweep(dir, UUID, 1, &why), -EBADMSG);
		assert_int_equal(netbuf_sweep(dir, NULL, 1, &why), -EBADMSG);
		assert_non_null(strstr(why.text, path));
	}
	unlink(path);
}

static void sweep_takes_absent_objects_as_done(void **state)
{
	struct netbuf_state out = {.count = 1, .vifs = {{"vifnone.0", "rbnone.0"}}};
	char missing[96], own[96];
	struct why why;

	snprintf(missing, sizeof(missing), "%s/missing", dir);
	snprintf(own, sizeof(own), "%s/sweep", dir);
	assert_int_equal(netbuf_sweep(missing, NULL, 1, &why), 0);
	assert_int_equal(netbuf_sweep(own, UUID, 1, &why), 0);
	assert_int_equal(netbuf_state_write(own, UUID, &out, &why), 0);
	assert_int_equal(netbuf_sweep(own, NULL, 1, &why), 0);
	assert_int_equal(netbuf_state_write(own, UUID, &out, &why), 0); /* the record is gone */
	assert_int_equal(netbuf_sweep(own, UUID, 0, &why), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(epochs_alternate),
		cmocka_unit_test(after_a_failure_only_remove_is_left),
		cmocka_unit_test(names_are_checked),
		cmocka_unit_test(record_comes_back),
		cmocka_unit_test(malformed_records_are_refused),
		cmocka_unit_test(sweep_takes_absent_objects_as_done),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
