/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/store_rig.h"

#include <errno.h>
#include <link.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/why.h"
#include "diskrep/control.h"
#include "diskrep/marker.h"
#include "diskrep/rollback.h"
#include "tests/unit/nbd_client.h"

const size_t rig_sizes[VOLUMES] = {DISK_MAX, 65536};
char rig_dir[64], rig_paths[VOLUMES + 1][80], rig_list[80];
struct diskrep_store *store;
int rig_export[VOLUMES + 1];
rig_disks rig_now, rig_at[EPOCHS + 1];

static char plugin[4096];
static rig_disks got;

/* ---- a store and its disks ---------------------------------------------------------------- */

void rig_put_file(const char *path, const void *data, size_t n)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static void get_disks(const char *const *from)
{
	for (size_t v = 0; v < VOLUMES; v++) {
		FILE *f = fopen(from[v], "re");

		assert_non_null(f);
		assert_int_equal(fread(got[v], 1, rig_sizes[v], f), rig_sizes[v]);
		fclose(f);
	}
}

struct diskrep_store_spec rig_spec(uint64_t limit)
{
	static const char *volumes[VOLUMES] = {rig_paths[0], rig_paths[1]};

	return (struct diskrep_store_spec){.name = "db",
		.run_dir = rig_dir,
		.volumes = volumes,
		.volumes_n = VOLUMES,
		.marker = rig_paths[VOLUMES],
		.undo_limit = limit,
		.plugin = plugin};
}

static void connect_exports(void)
{
	static const char *const names[] = {"0", "1", "marker"};
	uint64_t size = 0;

	for (size_t v = 0; v <= VOLUMES; v++) {
		rig_export[v] = nbd_connect(diskrep_store_nbd_socket(store), names[v], &size);
		assert_true(rig_export[v] >= 0);
		assert_int_equal(size, v < VOLUMES ? rig_sizes[v] : MARKER_SIZE);
	}
	assert_int_equal(nbd_connect(diskrep_store_nbd_socket(store), "2", &size), -ENOENT);
	assert_int_equal(nbd_connect(diskrep_store_nbd_socket(store), "", &size), -ENOENT);
}

void rig_start(uint64_t limit)
{
	const struct diskrep_store_spec spec = rig_spec(limit);
	static const uint8_t zeros[MARKER_SIZE];
	struct why why = {""};

	for (size_t v = 0; v < VOLUMES; v++) {
		for (size_t i = 0; i < rig_sizes[v]; i++)
			rig_now[v][i] = (uint8_t)(i / 512 + i * 7 + v);
		rig_put_file(rig_paths[v], rig_now[v], rig_sizes[v]);
	}
	rig_put_file(rig_paths[VOLUMES], zeros, sizeof(zeros));
	store = diskrep_store_start(&spec, &why);
	if (!store)
		fail_msg("%s", why.text);
	connect_exports();
	assert_int_equal(diskrep_store_expect(store, UUID, NONCE, GENERATION, &why), 0);
}

void rig_stop(void)
{
	for (size_t v = 0; v <= VOLUMES; v++)
		nbd_disconnect(rig_export[v]);
	store = diskrep_store_stop(store);
	assert_null(store);
}

/* A fresh directory in @base; false when there is none there. */
static bool make_dir(const char *base)
{
	snprintf(rig_dir, sizeof(rig_dir), "%s/romulus-store-XXXXXX", base);
	if (!mkdtemp(rig_dir))
		return false;
	for (size_t v = 0; v <= VOLUMES; v++)
		snprintf(rig_paths[v], sizeof(rig_paths[v]), "%s/disk%zu", rig_dir, v);
	snprintf(rig_list, sizeof(rig_list), "%s/list", rig_dir);
	return true;
}

/* Also shows that a store leaves nothing of its own behind. */
static void remove_dir(void)
{
	for (size_t v = 0; v <= VOLUMES; v++)
		unlink(rig_paths[v]);
	unlink(rig_list);
	if (rmdir(rig_dir) < 0)
		fail_msg("something is left in %s", rig_dir);
}

int rig_setup(void **state)
{
	return make_dir("/var/tmp") ? 0 : -1;
}

int rig_setup_shm(void **state)
{
	return make_dir("/dev/shm") ? 0 : -1;
}

int rig_teardown(void **state)
{
	if (store)
		rig_stop();
	remove_dir();
	return 0;
}

/* ---- what the disks' user does ----------------------------------------------------------------
 */

uint32_t rig_random(uint32_t below)
{
	return (uint32_t)rand() % below;
}

/* A random change of 512 bytes to 64 KiB, also in the model. */
void rig_change(void)
{
	static uint8_t data[65536];
	const uint32_t v = rig_random(VOLUMES), sectors = (uint32_t)(rig_sizes[v] / 512),
		       what = rig_random(10);
	const uint32_t offset = (rig_random(20) ? rig_random(sectors) : sectors - 1) * 512;
	uint32_t length = (1 + rig_random(rig_random(3) ? 8 : 128)) * 512;
	const uint16_t fua = rig_random(4) ? 0 : NBD_FUA;

	if (length > rig_sizes[v] - offset)
		length = (uint32_t)rig_sizes[v] - offset;
	memset(data, 0, length);
	if (what < 8)
		for (uint32_t i = 0; i < length; i++)
			data[i] = (uint8_t)rand();
	assert_int_equal(nbd_request(rig_export[v],
				 what < 8    ? NBD_WRITE
				 : what == 8 ? NBD_TRIM
					     : NBD_ZERO,
				 fua, data, length, offset),
		0);
	memcpy(rig_now[v] + offset, data, length);
}

void rig_write_marker(const char *uuid, uint64_t nonce, uint64_t generation, uint64_t epoch)
{
	struct diskrep_marker m = {.nonce = nonce, .generation = generation, .epoch = epoch};
	uint8_t block[DISKREP_MARKER_BYTES], back[DISKREP_MARKER_BYTES];

	assert_int_equal(diskrep_uuid_parse(uuid, m.uuid), 0);
	diskrep_marker_encode(block, &m);
	assert_int_equal(
		nbd_request(rig_export[VOLUMES], NBD_WRITE, 0, block, sizeof(block), 0), 0);
	assert_int_equal(nbd_request(rig_export[VOLUMES], NBD_READ, 0, back, sizeof(back), 0), 0);
	assert_memory_equal(block, back, sizeof(block));
}

/* Wait for the next news: at most 5 s. */
struct diskrep_store_news rig_next_news(void)
{
	struct diskrep_store_news news;
	struct pollfd p = {.fd = diskrep_store_fd(store), .events = POLLIN};

	while (!diskrep_store_news(store, &news))
		if (poll(&p, 1, 5000) != 1)
			fail_msg("no news came");
	return news;
}

void rig_no_news(void)
{
	struct diskrep_store_news news;
	struct pollfd p = {.fd = diskrep_store_fd(store), .events = POLLIN};
	struct diskrep_control_status status;

	/* What the store had to say comes before its answer. */
	assert_int_equal(diskrep_store_status(store, &status, NULL), 0);
	if (diskrep_store_news(store, &news))
		fail_msg("unexpected news %d", (int)news.kind);
	assert_int_equal(poll(&p, 1, 0), 0);
}

void rig_boundary(uint64_t epoch)
{
	struct diskrep_store_news news;

	rig_write_marker(UUID, NONCE, GENERATION, epoch);
	news = rig_next_news();
	assert_int_equal(news.kind, DISKREP_STORE_BOUNDARY);
	assert_int_equal(news.epoch, epoch);
	if (epoch <= EPOCHS)
		memcpy(rig_at[epoch], rig_now, sizeof(rig_now));
}

/* Dump @epoch, replay it onto copies of the disks as they are, compare with the model. */
void rig_compare_rollback(uint64_t epoch)
{
	char copies[VOLUMES][256];
	const char *devices[VOLUMES] = {copies[0], copies[1]},
		   *real[VOLUMES] = {rig_paths[0], rig_paths[1]};
	struct diskrep_rollback_info info;
	struct why why = {""};

	get_disks(real);
	assert_memory_equal(got, rig_now, sizeof(rig_now));
	for (size_t v = 0; v < VOLUMES; v++) {
		snprintf(copies[v], sizeof(copies[v]), "%s.copy", rig_paths[v]);
		rig_put_file(copies[v], got[v], rig_sizes[v]);
	}
	if (diskrep_store_dump(store, epoch, rig_list, &why))
		fail_msg("%s", why.text);
	assert_int_equal(diskrep_rollback_check(rig_list, &info, &why), 0);
	assert_int_equal(info.epoch, epoch);
	assert_int_equal(info.generation, GENERATION);
	assert_int_equal(info.uuid[0], 0xde);
	assert_int_equal(diskrep_rollback_replay(rig_list, devices, VOLUMES, NULL, &why), 0);
	get_disks(devices);
	assert_memory_equal(got, rig_at[epoch], sizeof(got));
	for (size_t v = 0; v < VOLUMES; v++)
		unlink(copies[v]);
	assert_int_equal(diskrep_rollback_forget(rig_list, &why), 0);
}

/* ---- where it is ------------------------------------------------------------------------------
 */

/* A plugin built with AddressSanitizer needs its runtime in nbdkit before anything else. */
static int preload_sanitizer(struct dl_phdr_info *info, size_t size, void *data)
{
	if (!strstr(info->dlpi_name, "libasan.so") && !strstr(info->dlpi_name, "libtsan.so"))
		return 0;
	setenv("LD_PRELOAD", info->dlpi_name, 1);
	setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* nbdkit's own are not ours to mend */
	return 1;
}

static bool has_plugin(void)
{
	ssize_t n = readlink("/proc/self/exe", plugin, sizeof(plugin) - 32);

	assert_true(n > 0);
	plugin[n] = '\0';
	for (int up = 0; up < 3; up++) /* BUILD/tests/unit/store */
		*strrchr(plugin, '/') = '\0';
	strcat(plugin, "/romulus-undo.so");
	return access("/usr/bin/nbdkit", X_OK) == 0 && access(plugin, R_OK) == 0;
}

int rig_find_plugin(void)
{
	if (!has_plugin()) {
		fprintf(stderr, "no nbdkit, or no plugin at %s\n", plugin);
		return 0;
	}
	dl_iterate_phdr(preload_sanitizer, NULL);
	return 1;
}

static void skipped(void **state)
{
	skip();
}

int rig_skip(void)
{
	const struct CMUnitTest none[] = {cmocka_unit_test(skipped)};

	return cmocka_run_group_tests(none, NULL, NULL);
}
