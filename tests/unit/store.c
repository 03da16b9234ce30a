/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real undo store, nbdkit and all, on files: through its NBD socket and a worker's handle. Run
 * once on a directory that takes O_DIRECT and once on one that may not.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/why.h"
#include "diskrep/control.h"
#include "diskrep/marker.h"
#include "diskrep/probe.h"
#include "diskrep/rollback.h"
#include "diskrep/store.h"
#include "tests/unit/nbd_client.h"

#define UUID "deadbeef-0102-0304-0506-0708090a0b0c"
#define NONCE UINT64_C(0x123456789abcdef0)
#define GENERATION 5
#define VOLUMES 2
#define DISK_MAX (257 * 4096 + 512)
#define MARKER_SIZE 131072
#define EPOCHS 12

static const size_t sizes[VOLUMES] = {DISK_MAX, 65536};

typedef uint8_t disks[VOLUMES][DISK_MAX];

static char plugin[4096], dir[64], paths[VOLUMES + 1][80], list[80];
static struct diskrep_store *store;
static int export[VOLUMES + 1]; /* the marker's last */
static disks now, at[EPOCHS + 1], got;

/* ---- a store and its disks ---------------------------------------------------------------- */

static void put_file(const char *path, const void *data, size_t n)
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
		assert_int_equal(fread(got[v], 1, sizes[v], f), sizes[v]);
		fclose(f);
	}
}

static struct diskrep_store_spec spec_of(uint64_t limit)
{
	static const char *volumes[VOLUMES] = {paths[0], paths[1]};

	return (struct diskrep_store_spec){.name = "db",
		.run_dir = dir,
		.volumes = volumes,
		.volumes_n = VOLUMES,
		.marker = paths[VOLUMES],
		.undo_limit = limit,
		.plugin = plugin};
}

static void connect_exports(void)
{
	static const char *const names[] = {"0", "1", "marker"};
	uint64_t size = 0;

	for (size_t v = 0; v <= VOLUMES; v++) {
		export[v] = nbd_connect(diskrep_store_nbd_socket(store), names[v], &size);
		assert_true(export[v] >= 0);
		assert_int_equal(size, v < VOLUMES ? sizes[v] : MARKER_SIZE);
	}
	assert_int_equal(nbd_connect(diskrep_store_nbd_socket(store), "2", &size), -ENOENT);
	assert_int_equal(nbd_connect(diskrep_store_nbd_socket(store), "", &size), -ENOENT);
}

static void start(uint64_t limit)
{
	const struct diskrep_store_spec spec = spec_of(limit);
	static const uint8_t zeros[MARKER_SIZE];
	struct why why = {""};

	for (size_t v = 0; v < VOLUMES; v++) {
		for (size_t i = 0; i < sizes[v]; i++)
			now[v][i] = (uint8_t)(i / 512 + i * 7 + v);
		put_file(paths[v], now[v], sizes[v]);
	}
	put_file(paths[VOLUMES], zeros, sizeof(zeros));
	store = diskrep_store_start(&spec, &why);
	if (!store)
		fail_msg("%s", why.text);
	connect_exports();
	assert_int_equal(diskrep_store_expect(store, UUID, NONCE, GENERATION, &why), 0);
}

static void stop(void)
{
	for (size_t v = 0; v <= VOLUMES; v++)
		nbd_disconnect(export[v]);
	store = diskrep_store_stop(store);
	assert_null(store);
}

/* A fresh directory in @base; false when there is none there. */
static bool make_dir(const char *base)
{
	snprintf(dir, sizeof(dir), "%s/romulus-store-XXXXXX", base);
	if (!mkdtemp(dir))
		return false;
	for (size_t v = 0; v <= VOLUMES; v++)
		snprintf(paths[v], sizeof(paths[v]), "%s/disk%zu", dir, v);
	snprintf(list, sizeof(list), "%s/list", dir);
	return true;
}

/* Also shows that a store leaves nothing of its own behind. */
static void remove_dir(void)
{
	for (size_t v = 0; v <= VOLUMES; v++)
		unlink(paths[v]);
	unlink(list);
	if (rmdir(dir) < 0)
		fail_msg("something is left in %s", dir);
}

static int setup(void **state)
{
	return make_dir("/var/tmp") ? 0 : -1;
}

static int setup_shm(void **state)
{
	return make_dir("/dev/shm") ? 0 : -1;
}

static int teardown(void **state)
{
	if (store)
		stop();
	remove_dir();
	return 0;
}

/* ---- what the disks' user does ----------------------------------------------------------------
 */

static uint32_t rnd(uint32_t below)
{
	return (uint32_t)rand() % below;
}

/* A random change of 512 bytes to 64 KiB, also in the model. */
static void change(void)
{
	static uint8_t data[65536];
	const uint32_t v = rnd(VOLUMES), sectors = (uint32_t)(sizes[v] / 512), what = rnd(10);
	const uint32_t offset = (rnd(20) ? rnd(sectors) : sectors - 1) * 512;
	uint32_t length = (1 + rnd(rnd(3) ? 8 : 128)) * 512;
	const uint16_t fua = rnd(4) ? 0 : NBD_FUA;

	if (length > sizes[v] - offset)
		length = (uint32_t)sizes[v] - offset;
	memset(data, 0, length);
	if (what < 8)
		for (uint32_t i = 0; i < length; i++)
			data[i] = (uint8_t)rand();
	assert_int_equal(nbd_request(export[v],
				 what < 8    ? NBD_WRITE
				 : what == 8 ? NBD_TRIM
					     : NBD_ZERO,
				 fua, data, length, offset),
		0);
	memcpy(now[v] + offset, data, length);
}

static void write_marker(const char *uuid, uint64_t nonce, uint64_t generation, uint64_t epoch)
{
	struct diskrep_marker m = {.nonce = nonce, .generation = generation, .epoch = epoch};
	uint8_t block[DISKREP_MARKER_BYTES], back[DISKREP_MARKER_BYTES];

	assert_int_equal(diskrep_uuid_parse(uuid, m.uuid), 0);
	diskrep_marker_encode(block, &m);
	assert_int_equal(nbd_request(export[VOLUMES], NBD_WRITE, 0, block, sizeof(block), 0), 0);
	assert_int_equal(nbd_request(export[VOLUMES], NBD_READ, 0, back, sizeof(back), 0), 0);
	assert_memory_equal(block, back, sizeof(block));
}

/* Wait for the next news: at most 5 s. */
static struct diskrep_store_news next_news(void)
{
	struct diskrep_store_news news;
	struct pollfd p = {.fd = diskrep_store_fd(store), .events = POLLIN};

	while (!diskrep_store_news(store, &news))
		if (poll(&p, 1, 5000) != 1)
			fail_msg("no news came");
	return news;
}

static void no_news(void)
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

static void boundary(uint64_t epoch)
{
	struct diskrep_store_news news;

	write_marker(UUID, NONCE, GENERATION, epoch);
	news = next_news();
	assert_int_equal(news.kind, DISKREP_STORE_BOUNDARY);
	assert_int_equal(news.epoch, epoch);
	if (epoch <= EPOCHS)
		memcpy(at[epoch], now, sizeof(now));
}

/* Dump @epoch, replay it onto copies of the disks as they are, compare with the model. */
static void compare_rollback(uint64_t epoch)
{
	char copies[VOLUMES][256];
	const char *devices[VOLUMES] = {copies[0], copies[1]},
		   *real[VOLUMES] = {paths[0], paths[1]};
	struct diskrep_rollback_info info;
	struct why why = {""};

	get_disks(real);
	assert_memory_equal(got, now, sizeof(now));
	for (size_t v = 0; v < VOLUMES; v++) {
		snprintf(copies[v], sizeof(copies[v]), "%s.copy", paths[v]);
		put_file(copies[v], got[v], sizes[v]);
	}
	if (diskrep_store_dump(store, epoch, list, &why))
		fail_msg("%s", why.text);
	assert_int_equal(diskrep_rollback_check(list, &info, &why), 0);
	assert_int_equal(info.epoch, epoch);
	assert_int_equal(info.generation, GENERATION);
	assert_int_equal(info.uuid[0], 0xde);
	assert_int_equal(diskrep_rollback_replay(list, devices, VOLUMES, NULL, &why), 0);
	get_disks(devices);
	assert_memory_equal(got, at[epoch], sizeof(got));
	for (size_t v = 0; v < VOLUMES; v++)
		unlink(copies[v]);
	assert_int_equal(diskrep_rollback_forget(list, &why), 0);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void rollback_gives_the_disks_at_the_boundary(void **state)
{
	struct diskrep_control_status status;

	srand(11);
	start(64 << 20);
	for (int i = 0; i < 30; i++)
		change();
	assert_int_equal(diskrep_store_status(store, &status, NULL), 0);
	assert_int_equal(status.undo.state, DISKREP_UNDO_IDLE);
	assert_int_equal(status.undo.used, 0);
	for (uint64_t epoch = 1; epoch <= EPOCHS; epoch++) {
		boundary(epoch);
		for (int i = 0; i < 30; i++)
			change();
		if (epoch > 4)
			assert_int_equal(diskrep_store_commit(store, epoch - 4, NULL), 0);
	}
	assert_int_equal(diskrep_store_status(store, &status, NULL), 0);
	assert_int_equal(status.undo.state, DISKREP_UNDO_SAVING);
	assert_int_equal(status.undo.oldest, EPOCHS - 4);
	assert_int_equal(status.undo.newest, EPOCHS);
	for (uint64_t epoch = EPOCHS - 4; epoch <= EPOCHS; epoch++)
		compare_rollback(epoch);
	assert_int_equal(diskrep_store_dump(store, EPOCHS - 5, list, NULL), -EIO);
	assert_int_equal(diskrep_store_dump(store, EPOCHS + 1, list, NULL), -EIO);
	assert_int_equal(diskrep_store_commit(store, EPOCHS + 1, NULL), -EIO);
	for (size_t v = 0; v <= VOLUMES; v++)
		assert_int_equal(nbd_request(export[v], NBD_FLUSH, 0, NULL, 0, 0), 0);
	no_news();
	stop();
}

static void a_full_store_says_so_and_goes_on(void **state)
{
	struct diskrep_control_status status;

	start(16 * 4096);
	boundary(1);
	assert_int_equal(nbd_request(export[1], NBD_ZERO, 0, NULL, 65536, 0), 0);
	memset(now[1], 0, 65536);
	compare_rollback(1);
	assert_int_equal(nbd_request(export[0], NBD_WRITE, 0, now[1], 512, 512), 0);
	memset(now[0] + 512, 0, 512);
	assert_int_equal(next_news().kind, DISKREP_STORE_OVERFLOW);
	write_marker(UUID, NONCE, GENERATION, 2);
	no_news(); /* said once; no boundary any more */
	assert_int_equal(diskrep_store_status(store, &status, NULL), 0);
	assert_int_equal(status.undo.state, DISKREP_UNDO_OVERFLOW);
	assert_int_equal(diskrep_store_dump(store, 1, list, NULL), -EIO);
	assert_int_equal(diskrep_store_commit(store, 1, NULL), -EIO);
	assert_int_equal(diskrep_store_expect(store, UUID, NONCE, GENERATION, NULL), 0);
	boundary(1);
	assert_int_equal(nbd_request(export[0], NBD_TRIM, 0, NULL, 8192, 4096), 0);
	memset(now[0] + 4096, 0, 8192);
	compare_rollback(1);
	stop();
}

static void only_the_expected_marker_counts(void **state)
{
	struct diskrep_store_news news;
	uint8_t zeros[512] = {0};

	start(1 << 20);
	write_marker("deadbeef-0102-0304-0506-0708090a0b0d", NONCE, GENERATION, 1);
	write_marker(UUID, NONCE + 1, GENERATION, 1);
	write_marker(UUID, NONCE, GENERATION + 1, 1);
	assert_int_equal(nbd_request(export[VOLUMES], NBD_WRITE, 0, zeros, 512, 0), 0);
	no_news();
	boundary(1);
	write_marker(UUID, NONCE, GENERATION, 3);
	news = next_news();
	assert_int_equal(news.kind, DISKREP_STORE_ERROR);
	assert_string_equal(news.text, "boundary 3 came instead of 2");
	boundary(2);
	stop();
}

/* ---- the self-test --------------------------------------------------------------------------- */

static void put_probe(void *block, enum diskrep_probe_kind kind, uint32_t round, uint64_t nonce)
{
	struct diskrep_probe p = {.session = {.nonce = nonce, .generation = GENERATION},
		.round = round,
		.kind = kind,
		.completed = kind == DISKREP_PROBE_MARKER};

	assert_int_equal(diskrep_uuid_parse(UUID, p.session.uuid), 0);
	diskrep_probe_encode(block, &p);
}

static void write_probe(enum diskrep_probe_kind kind, uint32_t round, uint64_t nonce)
{
	uint8_t block[DISKREP_PROBE_BYTES];

	put_probe(block, kind, round, nonce);
	assert_int_equal(nbd_request(export[VOLUMES], NBD_WRITE, 0, block, sizeof(block),
				 kind == DISKREP_PROBE_MARKER ? 0 : 8192),
		0);
}

static void counted(uint32_t probes, uint32_t violations)
{
	struct diskrep_control_status status;

	assert_int_equal(diskrep_store_status(store, &status, NULL), 0);
	assert_int_equal(status.order.probes, probes);
	assert_int_equal(status.order.violations, violations);
}

static void probes_are_counted_and_cost_nothing(void **state)
{
	uint8_t joined[2 * DISKREP_PROBE_BYTES] = {0};
	struct diskrep_control_status status;

	start(1 << 20);
	write_probe(DISKREP_PROBE_EARLY, 1, NONCE + 1); /* of another session */
	counted(0, 0);
	write_probe(DISKREP_PROBE_EARLY, 1, NONCE);
	write_probe(DISKREP_PROBE_MARKER, 1, NONCE);
	write_probe(DISKREP_PROBE_LATE, 1, NONCE);
	counted(3, 0);
	write_probe(DISKREP_PROBE_LATE, 2, NONCE);
	write_probe(DISKREP_PROBE_MARKER, 2, NONCE); /* and without its early one */
	counted(5, 2);
	/* Joined by a queue into one write they had no order; nor must they lie at its start. */
	put_probe(joined, DISKREP_PROBE_MARKER, 3, NONCE);
	put_probe(joined + DISKREP_PROBE_BYTES, DISKREP_PROBE_LATE, 3, NONCE);
	assert_int_equal(nbd_request(export[VOLUMES], NBD_WRITE, 0, joined, sizeof(joined), 0), 0);
	counted(7, 4);
	memset(joined, 0, sizeof(joined));
	put_probe(joined + 512, DISKREP_PROBE_EARLY, 4, NONCE);
	assert_int_equal(nbd_request(export[VOLUMES], NBD_WRITE, 0, joined, sizeof(joined),
				 2 * DISKREP_PROBE_BYTES - 512),
		0);
	counted(8, 4);
	assert_int_equal(
		nbd_request(export[0], NBD_WRITE, 0, joined + 512, DISKREP_PROBE_BYTES, 0), 0);
	counted(8, 4); /* a guest may write what it likes */

	no_news(); /* no boundary */
	boundary(1);
	write_probe(DISKREP_PROBE_LATE, 4, NONCE);
	assert_int_equal(diskrep_store_status(store, &status, NULL), 0);
	assert_int_equal(status.undo.used, 0);
	assert_int_equal(diskrep_store_expect(store, UUID, NONCE + 1, GENERATION, NULL), 0);
	counted(0, 0);
	stop();
}

static void news_during_a_call_is_kept(void **state)
{
	struct pollfd p;
	struct diskrep_control_status status;
	struct diskrep_store_news news;

	start(1 << 20);
	p = (struct pollfd){.fd = diskrep_store_fd(store), .events = POLLIN};
	for (uint64_t epoch = 1; epoch <= 20; epoch++)
		write_marker(UUID, NONCE, GENERATION, epoch);
	assert_int_equal(diskrep_store_status(store, &status, NULL), 0);
	assert_int_equal(status.undo.newest, 20);
	for (uint64_t epoch = 1; epoch <= 20; epoch++) {
		assert_int_equal(poll(&p, 1, 0), 1);
		assert_int_equal(diskrep_store_news(store, &news), 1);
		assert_int_equal(news.epoch, epoch);
	}
	no_news();
	/* What an earlier session was told does not reach the next one. */
	write_marker(UUID, NONCE, GENERATION, 21);
	assert_int_equal(diskrep_store_expect(store, UUID, NONCE + 1, GENERATION, NULL), 0);
	no_news();
	stop();
}

static void a_store_outlives_its_worker(void **state)
{
	const struct diskrep_store_spec spec = spec_of(1 << 20);
	struct diskrep_store *again;
	struct why why = {""};

	start(1 << 20);
	boundary(1);
	change();
	store = diskrep_store_close(store);
	change();
	write_marker(UUID, NONCE, GENERATION, 2); /* nobody listens */
	memcpy(at[2], now, sizeof(now));
	change();
	store = diskrep_store_find(&spec);
	assert_non_null(store);
	again = diskrep_store_start(&spec, &why);
	assert_null(again);
	assert_non_null(strstr(why.text, "already"));
	/* That attempt has taken the connection over: this worker is told. */
	assert_int_equal(next_news().kind, DISKREP_STORE_GONE);
	assert_int_equal(diskrep_store_commit(store, 1, NULL), -EPIPE);
	diskrep_store_close(store);
	store = diskrep_store_find(&spec);
	compare_rollback(1);
	compare_rollback(2);
	assert_int_equal(diskrep_store_commit(store, 2, NULL), 0);
	boundary(3);
	stop();
	assert_null(diskrep_store_find(&spec));
}

static int store_pid(void)
{
	CLEANUP_FCLOSE FILE *f = NULL;
	char path[96];
	int pid = 0;

	snprintf(path, sizeof(path), "%s/store-db.pid", dir);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &pid), 1);
	return pid;
}

/* Every thread of it, those of the connections too. */
static void every_thread_of_it_is_confined(void **state)
{
	struct dirent *e;
	char path[64];
	size_t threads = 0;
	DIR *tasks;

	start(1 << 20);
	snprintf(path, sizeof(path), "/proc/%d/task", store_pid());
	tasks = opendir(path);
	assert_non_null(tasks);
	while ((e = readdir(tasks))) {
		CLEANUP_FCLOSE FILE *f = NULL;
		char file[340], line[256];
		unsigned long long rights = 0, mode = ~0ull;

		if (e->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s/status", path, e->d_name);
		f = fopen(file, "re");
		while (f && fgets(line, sizeof(line), f)) {
			if (strncmp(line, "CapEff:", 7) == 0 || strncmp(line, "CapBnd:", 7) == 0)
				rights |= strtoull(line + 7, NULL, 16);
			if (strncmp(line, "Seccomp:", 8) == 0)
				mode = strtoull(line + 8, NULL, 10);
		}
		if (mode == ~0ull)
			continue; /* one whose connection has just ended */
		assert_int_equal(rights & ~(1ull << 14), 0); /* all but CAP_IPC_LOCK */
		assert_int_equal(mode, 2);
		threads++;
	}
	closedir(tasks);
	assert_true(threads > VOLUMES);
	stop();
}

static void a_killed_store_is_gone(void **state)
{
	struct diskrep_store_news news;
	struct pollfd p;
	int pid;

	start(1 << 20);
	pid = store_pid();
	assert_true(getsid(pid) == pid);
	kill(pid, SIGKILL);
	assert_int_equal(next_news().kind, DISKREP_STORE_GONE);
	assert_int_equal(diskrep_store_news(store, &news), 0); /* said once */
	p = (struct pollfd){.fd = diskrep_store_fd(store), .events = POLLIN};
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(diskrep_store_commit(store, 1, NULL), -EPIPE);
	stop();
}

static void it_stops_while_disks_are_connected(void **state)
{
	const uint64_t before = clock_now_ns();

	start(1 << 20);
	store = diskrep_store_stop(store);
	assert_true(clock_now_ns() - before < 4 * NSEC_PER_SEC); /* of its own accord, not killed */
	for (size_t v = 0; v <= VOLUMES; v++)
		nbd_disconnect(export[v]);
}

static void a_store_that_cannot_start_says_so(void **state)
{
	struct diskrep_store_spec spec = spec_of(1 << 20);
	CLEANUP_FREE char *preload = getenv("LD_PRELOAD") ? strdup(getenv("LD_PRELOAD")) : NULL;
	struct why why = {""};

	put_file(paths[0], now[0], sizes[0]); /* paths[1] is missing */
	/* Under AddressSanitizer nbdkit hangs in exit() (libp11-kit); so there the plugin is
	 * missing. */
	unsetenv("LD_PRELOAD");
	assert_null(diskrep_store_start(&spec, &why));
	assert_non_null(strstr(why.text, "did not start"));
	assert_null(diskrep_store_find(&spec));
	if (preload)
		setenv("LD_PRELOAD", preload, 1);
	spec.run_dir = "/tmp/a-run-directory-whose-name-is-so-long-that-no-socket-can-be-made-in-"
		       "it-because-an-address-has-108-bytes";
	assert_null(diskrep_store_start(&spec, &why));
	assert_non_null(strstr(why.text, "too long"));
	assert_null(diskrep_store_stop(NULL));
	assert_null(diskrep_store_close(NULL));
}

/* Whatever comes, each message is answered, and the store still knows what it knew. */
static void garbage_on_the_control_socket_is_refused(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	static char message[DISKREP_CONTROL_MAX + 2000];
	const struct diskrep_store_spec spec = spec_of(1 << 20);
	struct diskrep_control_status status;
	int fd;

	srand(17);
	start(1 << 20);
	boundary(1);
	store = diskrep_store_close(store);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/store-db.ctl", dir);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	for (int round = 0; round < 3000; round++) {
		const size_t n = rnd(rnd(10) ? 64 : sizeof(message));
		char answer[64];

		for (size_t i = 0; i < n; i++)
			message[i] = (char)rand();
		if (n > 10 && rnd(2))
			memcpy(message, rnd(2) ? "commit " : "dump 9 ", 7); /* no such boundary */
		assert_int_equal(send(fd, message, n, MSG_NOSIGNAL), n);
		assert_true(recv(fd, answer, sizeof(answer), 0) > 6);
		assert_memory_equal(answer, "failed", 6);
	}
	close(fd);
	store = diskrep_store_find(&spec);
	assert_int_equal(diskrep_store_status(store, &status, NULL), 0);
	assert_int_equal(status.undo.state, DISKREP_UNDO_SAVING);
	assert_int_equal(status.undo.newest, 1);
	stop();
}

/* A plugin built with AddressSanitizer needs its runtime in nbdkit before anything else. */
static int preload_sanitizer(struct dl_phdr_info *info, size_t size, void *data)
{
	if (!strstr(info->dlpi_name, "libasan.so") && !strstr(info->dlpi_name, "libtsan.so"))
		return 0;
	setenv("LD_PRELOAD", info->dlpi_name, 1);
	setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* nbdkit's own are not ours to mend */
	return 1;
}

static bool find_plugin(void)
{
	ssize_t n = readlink("/proc/self/exe", plugin, sizeof(plugin) - 32);

	assert_true(n > 0);
	plugin[n] = '\0';
	for (int up = 0; up < 3; up++) /* BUILD/tests/unit/store */
		*strrchr(plugin, '/') = '\0';
	strcat(plugin, "/romulus-undo.so");
	return access("/usr/bin/nbdkit", X_OK) == 0 && access(plugin, R_OK) == 0;
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void skipped(void **state)
{
	skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(rollback_gives_the_disks_at_the_boundary),
		{"rollback_gives_the_disks_without_o_direct",
			rollback_gives_the_disks_at_the_boundary, setup_shm, teardown, NULL},
		STORE_TEST(a_full_store_says_so_and_goes_on),
		STORE_TEST(only_the_expected_marker_counts),
		STORE_TEST(probes_are_counted_and_cost_nothing),
		STORE_TEST(news_during_a_call_is_kept),
		STORE_TEST(a_store_outlives_its_worker),
		STORE_TEST(every_thread_of_it_is_confined),
		STORE_TEST(a_killed_store_is_gone),
		STORE_TEST(it_stops_while_disks_are_connected),
		STORE_TEST(a_store_that_cannot_start_says_so),
		STORE_TEST(garbage_on_the_control_socket_is_refused),
	};
	const struct CMUnitTest none[] = {cmocka_unit_test(skipped)};

	if (!find_plugin()) {
		fprintf(stderr, "no nbdkit, or no plugin at %s\n", plugin);
		return cmocka_run_group_tests(none, NULL, NULL);
	}
	dl_iterate_phdr(preload_sanitizer, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
