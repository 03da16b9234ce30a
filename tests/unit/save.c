/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saving and restoring with a made-up hypervisor: whatever fails, and however the file is damaged,
 * there is one good file or one good domain.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/fault.h"
#include "replicator/outfile.h"
#include "replicator/save.h"
#include "replicator/saver.h"
#include "tests/unit/made_stream.h"

#define UUID "00000000-0000-4000-8000-000000000001"
#define DOMID 7u
#define BUILT 9u

static char dir[64], file[96], disk[96], hook[96], traces[96];
static struct why why;

/* In memory that a process which dies shares with its survivor. */
static struct xen {
	struct made stream;
	size_t stops_at; /* libxl fails there; 0: it does not */
	bool cut;        /* it says that all went well, with half of the stream */
	bool disks;
	uint64_t memory_kb;

	bool runs, suspended, gone; /* of the domain that is saved */
	unsigned int builds;        /* domains that were begun */
	bool built, standby, built_runs;
	char *got; /* what arrived in it */
	size_t got_n;
	char config[512];
} * xen;

/* ---- the hypervisor ------------------------------------------------------------------------- */

pid_t saver_find(const char *proc, uint32_t domid)
{
	return 0;
}

void hv_domain_clear(struct hv_domain *dom)
{
	free(dom->config_json);
	memset(dom, 0, sizeof(*dom));
}

static int find(struct hv *hv, const char *name, struct hv_domain *ret, struct why *w)
{
	if (strcmp(name, "db") != 0)
		return why_set(w, -ENOENT, "there is no domain %s", name);
	*ret = (struct hv_domain){.domid = DOMID,
		.name = "db",
		.uuid = UUID,
		.type = HV_TYPE_PVH,
		.memory_kb = xen->memory_kb,
		.suspended = xen->suspended,
		.hypervisor = "4.17"};
	if (xen->disks) {
		ret->disk_count = 1;
		snprintf(ret->disks[0].path, sizeof(ret->disks[0].path), "%s", disk);
	}
	ret->config_json = strdup(xen->config);
	return 0;
}

static int write_out(struct hv *hv, uint32_t domid, int fd, bool live, struct why *w)
{
	size_t n = xen->cut ? xen->stream.n / 2 : xen->stops_at ? xen->stops_at : xen->stream.n;

	assert_int_equal(domid, DOMID);
	xen->suspended = true;
	for (size_t at = 0; at < n;) {
		ssize_t done = write(fd, xen->stream.bytes + at, n - at);

		if (done < 0)
			break;
		at += (size_t)done;
	}
	if (!xen->stops_at)
		return 0;
	xen->suspended = false;
	return why_set(w, -EIO, "libxl failed");
}

static int resume(struct hv *hv, uint32_t domid, struct why *w)
{
	assert_int_equal(domid, DOMID);
	assert_false(xen->gone);
	xen->suspended = false;
	return 0;
}

static int kill_domain(struct hv *hv, uint32_t domid, struct why *w)
{
	if (domid == DOMID) {
		xen->gone = true;
		xen->suspended = false;
		return 0;
	}
	assert_int_equal(domid, BUILT);
	xen->built = false;
	return 0;
}

static int can_host(struct hv *hv, const char *name, const char *uuid, uint64_t memory_kb,
	const char *here, struct why *w)
{
	return 0;
}

static int read_in(struct hv *hv, const char *config_json, const char *name, int fd,
	uint32_t *ret_domid, struct why *w)
{
	ssize_t n;

	xen->builds++;
	xen->got_n = 0;
	assert_string_equal(name, "db--restoring");
	assert_string_equal(config_json, xen->config);
	while ((n = read(fd, xen->got + xen->got_n, MADE_MAX - xen->got_n)) > 0)
		xen->got_n += (size_t)n;
	xen->built = xen->standby = true;
	*ret_domid = BUILT;
	return 0;
}

static int activate(struct hv *hv, uint32_t domid, const char *standby, const char *name, bool run,
	struct hv_domain *ret, struct why *w)
{
	assert_string_equal(standby, "db--restoring");
	assert_string_equal(name, "db");
	xen->standby = false;
	xen->built_runs = run;
	*ret = (struct hv_domain){0};
	return 0;
}

static int look(
	struct hv *hv, const char *uuid, uint32_t domid, struct hv_sight *ret, struct why *w)
{
	*ret = (struct hv_sight){.exists = domid == BUILT && xen->built,
		.paused = !xen->built_runs,
		.shut_down = domid == DOMID && xen->suspended,
		.end = HV_END_SUSPEND,
		.other = !domid && xen->built ? BUILT : 0};
	return 0;
}

static const struct hv_ops ops = {
	.find = find,
	.write_out = write_out,
	.resume = resume,
	.take_back = resume,
	.kill = kill_domain,
	.can_host = can_host,
	.read_in = read_in,
	.activate = activate,
	.look = look,
};

/* ---- the rig -------------------------------------------------------------------------------- */

static struct save_notice *notice;

static struct save begin(void)
{
	const struct save s = {
		.ops = &ops, .notice = notice, .file = file, .host = "alpha", .domain = "db"};

	*notice = (struct save_notice){0};
	xen->suspended = xen->gone = xen->built = xen->standby = xen->built_runs = false;
	xen->builds = 0;
	return s;
}

/* How many names there are in the folder of the file, which is empty to begin with. */
static unsigned int names(void)
{
	DIR *d = opendir(dir);
	unsigned int n = 0;

	assert_non_null(d);
	for (const struct dirent *e; (e = readdir(d));)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

static void put_file(const char *path, const void *data, size_t n, mode_t mode)
{
	CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, n), (ssize_t)n);
}

static uint8_t *get_file(const char *path, size_t *ret_n)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *bytes;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	bytes = malloc((size_t)st.st_size + 1);
	assert_non_null(bytes);
	assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
	bytes[st.st_size] = '\0';
	*ret_n = (size_t)st.st_size;
	return bytes;
}

static void arm(const char *fault)
{
	assert_int_equal(setenv("ROMULUS_FAULT", fault, 1), 0);
	assert_int_equal(fault_init(&why), 0);
}

static void make_stream(uint32_t pages)
{
	free(xen->stream.bytes);
	xen->stream = made_stream(pages);
}

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/var/tmp/romulus-save.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/db.save", dir);
	snprintf(disk, sizeof(disk), "%s/disk", dir);
	snprintf(hook, sizeof(hook), "%s/hook", dir);
	snprintf(traces, sizeof(traces), "%s/traces", dir);
	memset(xen, 0, sizeof(*xen));
	xen->memory_kb = 64;
	xen->got = malloc(MADE_MAX);
	assert_non_null(xen->got);
	snprintf(xen->config, sizeof(xen->config),
		"{\"c_info\": {\"type\": \"pvh\", \"name\": \"db\", \"uuid\": \"" UUID "\"},"
		" \"b_info\": {\"max_memkb\": 64},"
		" \"disks\": [{\"pdev_path\": \"%s\", \"vdev\": \"xvda\", \"readwrite\": 1},"
		" {\"pdev_path\": \"/none\", \"vdev\": \"xvdb\"}]}",
		disk);
	make_stream(300);
	arm("");
	return 0;
}

static int teardown(void **state)
{
	unlink(file);
	unlink(disk);
	unlink(hook);
	unlink(traces);
	assert_int_equal(rmdir(dir), 0); /* nothing else was left */
	free(xen->got);
	free(xen->stream.bytes);
	return 0;
}

/* A file of @format, whose domain is then gone, or runs on. */
static void save_as(enum savefile_format format, bool checkpoint)
{
	struct save s = begin();

	s.format = format;
	s.checkpoint = checkpoint;
	s.no_snapshot = true;
	assert_int_equal(save_run(&s, &why), 0);
	assert_int_equal(xen->gone, !checkpoint);
	assert_false(xen->suspended);
	assert_int_equal(notice->stage, SAVE_NOTHING);
	if (!xen->disks)
		put_file(disk, "", 0, 0600);
}

/* ---- there and back ------------------------------------------------------------------------- */

static void comes_back(enum savefile_format format)
{
	CLEANUP_FREE uint8_t *before = NULL, *after = NULL;
	struct save s;
	size_t n, m;

	save_as(format, false);
	before = get_file(file, &n);
	for (int again = 0; again < 2; again++) {
		s = begin();
		assert_int_equal(restore_run(&s, &why), 0);
		assert_true(xen->built && xen->built_runs && !xen->standby);
		assert_int_equal(xen->got_n, xen->stream.n);
		assert_memory_equal(xen->got, xen->stream.bytes, xen->stream.n);
		assert_int_equal(s.domid, BUILT);
	}
	after = get_file(file, &m);
	assert_int_equal(n, m);
	assert_memory_equal(before, after, n);
}

static void a_domain_comes_back(void **state)
{
	comes_back(SAVEFILE_ROMULUS);
}

static void one_of_many_chunks_comes_back(void **state)
{
	make_stream(3500000);
	comes_back(SAVEFILE_ROMULUS);
}

static void the_last_chunk_may_be_full(void **state)
{
	for (uint32_t n = 2 * SAVEFILE_CHUNK - 256; n <= 2 * SAVEFILE_CHUNK; n += 8) {
		make_stream(n);
		if (xen->stream.n % SAVEFILE_CHUNK == 0) {
			comes_back(SAVEFILE_ROMULUS);
			return;
		}
	}
	fail_msg("no stream of whole chunks was made");
}

static void xls_format_comes_back(void **state)
{
	comes_back(SAVEFILE_XL);
}

/* tools/xl/xl.h: magic, byte order, flags (JSON, stream of version 2), optional data. */
static void xls_format_is_xls(void **state)
{
	CLEANUP_FREE uint8_t *bytes = NULL;
	const uint32_t config_n = (uint32_t)strlen(xen->config) + 1;
	uint32_t word[5];
	size_t n;

	save_as(SAVEFILE_XL, false);
	bytes = get_file(file, &n);
	assert_int_equal(n, 52 + config_n + xen->stream.n);
	assert_memory_equal(bytes, "Xen saved domain, xl format\n \0 \r", 32);
	memcpy(word, bytes + 32, sizeof(word));
	assert_int_equal(word[0], 0x01020304);
	assert_int_equal(word[1], 3);
	assert_int_equal(word[2], 0);
	assert_int_equal(word[3], 4 + config_n);
	assert_int_equal(word[4], config_n);
	assert_string_equal((char *)bytes + 52, xen->config);
	assert_memory_equal(bytes + 52 + config_n, xen->stream.bytes, xen->stream.n);
}

static void it_may_stay_paused(void **state)
{
	struct save s;

	save_as(SAVEFILE_ROMULUS, false);
	s = begin();
	s.paused = true;
	assert_int_equal(restore_run(&s, &why), 0);
	assert_true(xen->built && !xen->built_runs && !xen->standby);
}

/* Restore the file through a pipe. */
static int restore_piped(void)
{
	const int before = dup(STDIN_FILENO);
	struct save s = begin();
	int fd[2], r;
	pid_t pid;

	s.file = "-";
	assert_int_equal(pipe(fd), 0);
	pid = fork();
	if (pid == 0) {
		CLEANUP_FREE uint8_t *bytes = NULL;
		size_t n;

		close(fd[0]);
		bytes = get_file(file, &n);
		_exit(savefile_write_all(fd[1], bytes, n, NULL) != 0);
	}
	assert_true(pid > 0 && before >= 0);
	close(fd[1]);
	assert_int_equal(dup2(fd[0], STDIN_FILENO), STDIN_FILENO);
	close(fd[0]);
	r = restore_run(&s, &why);
	dup2(before, STDIN_FILENO);
	close(before);
	waitpid(pid, NULL, 0);
	return r;
}

static void a_pipe_is_verified_first(void **state)
{
	make_stream(2500000);
	save_as(SAVEFILE_ROMULUS, false);
	assert_int_equal(setenv("TMPDIR", dir, 1), 0);
	assert_int_equal(restore_piped(), 0);
	assert_true(xen->built && xen->got_n == xen->stream.n);
	assert_memory_equal(xen->got, xen->stream.bytes, xen->stream.n);
	assert_int_equal(truncate(file, 3000), 0);
	assert_int_equal(restore_piped(), -EBADMSG);
	assert_int_equal(xen->builds, 0);
	assert_int_equal(setenv("TMPDIR", "/nowhere", 1), 0);
	assert_int_equal(restore_piped(), -ENOENT);
	assert_non_null(strstr(why.text, "TMPDIR"));
	unsetenv("TMPDIR");
	assert_int_equal(names(), 2); /* the file and the disk */
}

/* ---- damage --------------------------------------------------------------------------------- */

static unsigned int refused;

static void is_refused(const uint8_t *bytes, size_t n)
{
	struct save s = begin();
	int r;

	put_file(file, bytes, n, 0600);
	r = restore_run(&s, &why);
	if (r != -EBADMSG && r != -ENODATA && r != -EPROTONOSUPPORT)
		fail_msg("%zu bytes: %d, %s", n, r, why.text);
	assert_int_equal(xen->builds, 0);
	assert_non_null(strstr(why.text, "No domain was created"));
	refused++;
}

static void no_damaged_file_creates_a_domain(void **state)
{
	CLEANUP_FREE uint8_t *bytes = NULL;
	size_t n;

	refused = 0;
	save_as(SAVEFILE_ROMULUS, false);
	bytes = get_file(file, &n);
	for (size_t at = 0; at < n; at++) {
		bytes[at] ^= (uint8_t)(1u << at % 8);
		is_refused(bytes, n);
		bytes[at] ^= (uint8_t)(1u << at % 8);
		is_refused(bytes, at);
	}
	bytes[n] = 0;
	is_refused(bytes, n + 1);
	assert_true(refused >= 1000);
}

/* In a larger one, at random: a seed that fails is printed by the message above. */
static void no_damaged_chunk_creates_a_domain(void **state)
{
	CLEANUP_FREE uint8_t *bytes = NULL;
	unsigned int seed = 1;
	size_t n;

	make_stream(2500000);
	save_as(SAVEFILE_ROMULUS, false);
	bytes = get_file(file, &n);
	for (int i = 0; i < 60; i++) {
		const size_t at = (size_t)rand_r(&seed) % n;
		const uint8_t bit = (uint8_t)(1u << rand_r(&seed) % 8);

		bytes[at] ^= bit;
		is_refused(bytes, n);
		bytes[at] ^= bit;
		is_refused(bytes, at);
	}
}

/* Whole frames that are left out, or are in another's place, have good checksums of their own. */
static void no_frame_can_be_left_out(void **state)
{
	CLEANUP_FREE uint8_t *bytes = NULL, *less = NULL;
	size_t n, at = SAVEFILE_HEADER_BYTES;
	uint64_t sequence = 0;

	make_stream(2500000);
	save_as(SAVEFILE_ROMULUS, false);
	bytes = get_file(file, &n);
	less = malloc(n);
	assert_non_null(less);
	while (at < n) {
		struct savefile_frame f;
		size_t rest, size;

		assert_int_equal(savefile_frame_decode(bytes + at, sequence++, &f, &why), 0);
		size = SAVEFILE_FRAME_BYTES + f.length;
		rest = n - at - size;
		memcpy(less, bytes, at);
		memcpy(less + at, bytes + at + size, rest);
		is_refused(less, at + rest);
		at += size;
	}
	assert_int_equal(sequence, 5); /* about, three chunks, end */
}

static void put_frame(uint8_t *at, struct savefile_frame *f, uint64_t sequence)
{
	f->sequence = sequence;
	savefile_frame_encode(at, f, at + SAVEFILE_FRAME_BYTES);
}

/* Each of the checks alone, for where the others would not see it. */
static void a_wrong_checksum_is_enough(void **state)
{
	CLEANUP_FREE uint8_t *bytes = NULL;
	struct savefile_frame f;
	uint8_t *end;
	size_t n;

	save_as(SAVEFILE_ROMULUS, false);
	bytes = get_file(file, &n);
	bytes[SAVEFILE_HEADER_BYTES + 12] ^= 1;
	end = bytes + n - SAVEFILE_FRAME_BYTES - SAVEFILE_END_BYTES;
	assert_int_equal(savefile_frame_decode(end, 2, &f, NULL), 0);
	assert_int_equal(gnutls_hash_fast(GNUTLS_DIG_SHA256, bytes, (size_t)(end - bytes),
				 end + SAVEFILE_FRAME_BYTES + 16),
		0);
	put_frame(end, &f, 2);
	is_refused(bytes, n);
	bytes[SAVEFILE_HEADER_BYTES + 12] ^= 1;
	assert_int_equal(gnutls_hash_fast(GNUTLS_DIG_SHA256, bytes, (size_t)(end - bytes),
				 end + SAVEFILE_FRAME_BYTES + 16),
		0);
	put_frame(end, &f, 2);
	put_file(file, bytes, n, 0600);
	{
		struct save s = begin();

		assert_int_equal(restore_run(&s, &why), 0); /* as it was */
	}
}

/* Two chunks of pages that have changed places, and are numbered as if they had not. */
static void a_wrong_sum_is_enough(void **state)
{
	CLEANUP_FREE uint8_t *bytes = NULL, *other = NULL;
	size_t n, at = SAVEFILE_HEADER_BYTES, size[4];
	struct savefile_frame f[4];

	make_stream(3500000);
	save_as(SAVEFILE_ROMULUS, false);
	bytes = get_file(file, &n);
	other = malloc(n);
	assert_non_null(other);
	memcpy(other, bytes, n);
	for (uint64_t i = 0; i < 4; i++) {
		assert_int_equal(savefile_frame_decode(bytes + at, i, &f[i], NULL), 0);
		size[i] = SAVEFILE_FRAME_BYTES + f[i].length;
		at += size[i];
	}
	at -= size[2] + size[3];
	memcpy(other + at, bytes + at + size[2], size[3]);
	memcpy(other + at + size[3], bytes + at, size[2]);
	put_frame(other + at, &f[3], 2);
	put_frame(other + at + size[3], &f[2], 3);
	assert_memory_not_equal(other, bytes, n);
	is_refused(other, n);
	assert_non_null(strstr(why.text, "not all that was written"));
}

static void no_cut_file_of_xl_creates_a_domain(void **state)
{
	CLEANUP_FREE uint8_t *bytes = NULL;
	size_t n;

	save_as(SAVEFILE_XL, false);
	bytes = get_file(file, &n);
	for (size_t at = 0; at < n; at++)
		is_refused(bytes, at);
	bytes[n] = 0;
	is_refused(bytes, n + 1);
	for (size_t at = 0; at < 52; at++) {
		bytes[at] ^= 1;
		is_refused(bytes, n);
		bytes[at] ^= 1;
	}
}

/* ---- failures of a save --------------------------------------------------------------------- */

static void the_guest_runs_on(struct save *s, int err)
{
	assert_int_equal(save_run(s, &why), err);
	assert_false(xen->gone);
	assert_false(xen->suspended);
	assert_int_equal(notice->stage, SAVE_NOTHING);
}

static void a_save_that_fails_leaves_nothing(void **state)
{
	static const struct {
		const char *fault;
		size_t stops_at;
		bool cut;
		int err;
	} rows[] = {
		{"save-write=fail", 0, false, -ENOSPC},
		{"save-commit=fail", 0, false, -EIO},
		{"save-named=fail", 0, false, -EIO},
		{"", 100, false, -EIO},
		{"", 0, true, -EBADMSG},
	};

	for (size_t i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
		struct save s = begin();

		arm(rows[i / 2].fault);
		xen->stops_at = rows[i / 2].stops_at;
		xen->cut = rows[i / 2].cut;
		s.checkpoint = i % 2;
		the_guest_runs_on(&s, rows[i / 2].err);
		assert_int_equal(names(), 0);
	}
}

/* The pipe holds less: libxl is in the middle of it when nobody reads any more. */
static void a_large_save_that_fails_leaves_nothing(void **state)
{
	struct save s = begin();

	make_stream(2500000);
	arm("save-write=fail");
	the_guest_runs_on(&s, -ENOSPC);
	assert_int_equal(names(), 0);
}

static void what_was_there_stays_until_all_is_written(void **state)
{
	CLEANUP_FREE uint8_t *bytes = NULL;
	struct save s = begin();
	size_t n;

	put_file(file, "old", 3, 0600);
	arm("save-commit=fail");
	the_guest_runs_on(&s, -EIO);
	bytes = get_file(file, &n);
	assert_string_equal((char *)bytes, "old");
	arm("");
	save_as(SAVEFILE_ROMULUS, false);
	comes_back(SAVEFILE_ROMULUS);
	unlink(disk);
	assert_int_equal(names(), 1);
}

static void a_folder_that_is_not_there_is_said_first(void **state)
{
	struct save s = begin();

	s.file = "/nowhere/at/all";
	the_guest_runs_on(&s, -ENOENT);
	s.file = dir;
	the_guest_runs_on(&s, -EEXIST);
}

static void no_room_is_said_first(void **state)
{
	struct save s = begin();

	xen->memory_kb = UINT64_C(1) << 50;
	the_guest_runs_on(&s, -ENOSPC);
	assert_non_null(strstr(why.text, "no room for"));
	assert_non_null(strstr(why.text, "--force"));
	s.force = true;
	assert_int_equal(save_run(&s, &why), 0);
	assert_true(xen->gone);
}

static void what_is_protected_is_not_saved(void **state)
{
	struct save s = begin();

	s.protected_[s.protected_n++] = UUID;
	the_guest_runs_on(&s, -EBUSY);
	assert_non_null(strstr(why.text, "romulus unprotect db"));
	assert_int_equal(names(), 0);
}

/* ---- the worker's death --------------------------------------------------------------------- */

static void who_survives_lets_the_guest_run(void **state)
{
	const struct save s = begin();

	*notice = (struct save_notice){.stage = SAVE_SUSPENDS, .domid = DOMID};
	xen->suspended = true;
	assert_int_equal(save_mend(&s, &why), 0);
	assert_false(xen->suspended || xen->gone);
}

static void who_survives_destroys_what_is_saved(void **state)
{
	const struct save s = begin();

	*notice = (struct save_notice){.stage = SAVE_KEPT, .domid = DOMID};
	assert_int_equal(save_mend(&s, &why), 1);
	assert_true(xen->gone);
}

static void who_survives_destroys_what_is_half_built(void **state)
{
	const struct save s = begin();

	*notice = (struct save_notice){.stage = SAVE_BUILDS, .uuid = UUID};
	assert_int_equal(save_mend(&s, &why), 0);
	xen->built = true;
	assert_int_equal(save_mend(&s, &why), 0);
	assert_false(xen->built);
	xen->built = xen->built_runs = true;
	assert_int_equal(save_mend(&s, &why), 0);
	assert_true(xen->built);
}

static void one_that_was_left_suspended_is_resumed(void **state)
{
	struct save s = begin();

	xen->suspended = true;
	assert_int_equal(save_run(&s, &why), -EAGAIN);
	assert_non_null(strstr(why.text, "romulus resume db"));
	assert_true(xen->suspended);
	s.protected_[s.protected_n++] = "db";
	assert_int_equal(resume_run(&s, &why), -EBUSY);
	assert_true(xen->suspended);
	s.protected_n = 0;
	assert_int_equal(resume_run(&s, &why), 0);
	assert_false(xen->suspended);
	assert_int_equal(resume_run(&s, &why), -EAGAIN);
}

static void write_hook(const char *body)
{
	char script[512];
	const int n =
		snprintf(script, sizeof(script), "#!/bin/sh\necho \"$@\" >>%s\n%s\n", traces, body);

	put_file(hook, script, (size_t)n, 0700);
	put_file(disk, "", 0, 0600);
	put_file(traces, "", 0, 0600);
	xen->disks = true;
}

/* Where @fault is armed; then what the second process of romulus-save does. */
static void dies(const char *fault, struct save *s, int (*run)(struct save *s, struct why *w))
{
	int status;
	pid_t pid;

	arm(fault);
	pid = fork();
	if (pid == 0) {
		run(s, &why);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	arm("");
	outfile_sweep(file, pid);
	assert_true(save_mend(s, &why) >= 0);
}

static void a_save_may_die_anywhere(void **state)
{
	static const struct {
		const char *fault;
		bool saved;
	} rows[] = {
		{"save-write=crash", false},
		{"save-commit=crash", false},
		{"save-linked=crash", false},
		{"save-named=crash", true},
		{"save-kept=crash", true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP_FREE uint8_t *bytes = NULL;
		struct save s = begin();
		size_t n;

		put_file(file, "old", 3, 0600);
		dies(rows[i].fault, &s, save_run);
		assert_int_equal(names(), 1);
		assert_false(xen->suspended);
		assert_int_equal(xen->gone, rows[i].saved);
		bytes = get_file(file, &n);
		assert_int_equal(strcmp((char *)bytes, "old") != 0, rows[i].saved);
	}
	put_file(disk, "", 0, 0600);
	{
		struct save s = begin();

		assert_int_equal(restore_run(&s, &why), 0); /* of the last one */
	}
}

static void a_checkpoint_may_die_anywhere(void **state)
{
	static const struct {
		const char *fault;
		bool saved;
	} rows[] = {
		{"save-write=crash", false},
		{"save-commit=crash", false},
		{"save-linked=crash", false},
		{"save-named=crash", true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP_FREE char *bytes = NULL, *text = NULL;
		struct save s;
		size_t n;

		write_hook("");
		s = begin();
		put_file(file, "old", 3, 0600);
		s.checkpoint = true;
		s.hook = hook;
		dies(rows[i].fault, &s, save_run);
		assert_int_equal(names(), 4); /* and the disk, the hook, its traces */
		assert_false(xen->suspended || xen->gone);
		bytes = (char *)get_file(file, &n);
		assert_int_equal(strcmp(bytes, "old") != 0, rows[i].saved);
		text = (char *)get_file(traces, &n);
		assert_int_equal(strstr(text, "take db") != NULL, i > 0);
		assert_int_equal(strstr(text, "drop db") != NULL, i > 0 && !rows[i].saved);
	}
}

static void a_restore_may_die(void **state)
{
	struct save s;

	save_as(SAVEFILE_ROMULUS, false);
	s = begin();
	dies("restore-built=crash", &s, restore_run);
	assert_int_equal(xen->builds, 1);
	assert_false(xen->built);
	s = begin();
	assert_int_equal(restore_run(&s, &why), 0);
}

static void a_restore_that_fails_leaves_no_domain(void **state)
{
	struct save s;

	save_as(SAVEFILE_ROMULUS, false);
	s = begin();
	arm("restore-built=fail");
	assert_int_equal(restore_run(&s, &why), -EIO);
	assert_int_equal(xen->builds, 1);
	assert_false(xen->built);
	assert_int_equal(notice->stage, SAVE_NOTHING);
}

/* ---- what may not be restored --------------------------------------------------------------- */

static void what_is_protected_here_is_not_restored(void **state)
{
	struct save s;

	save_as(SAVEFILE_ROMULUS, false);
	s = begin();
	s.protected_[s.protected_n++] = "db";
	assert_int_equal(restore_run(&s, &why), -EBUSY);
	assert_int_equal(xen->builds, 0);
}

static void a_disk_that_is_not_there_is_said(void **state)
{
	struct save s;

	save_as(SAVEFILE_ROMULUS, false);
	unlink(disk);
	s = begin();
	assert_int_equal(restore_run(&s, &why), -ENOENT);
	assert_non_null(strstr(why.text, disk));
	assert_int_equal(xen->builds, 0);
}

/* A device of DRBD's that cannot be opened is one that is secondary here. */
static void a_disk_that_is_secondary_here_is_said(void **state)
{
	struct save s;

	save_as(SAVEFILE_ROMULUS, false);
	unlink(disk);
	assert_int_equal(mknod(disk, S_IFBLK | 0600, makedev(147, 4095)), 0);
	s = begin();
	assert_int_equal(restore_run(&s, &why), -EBUSY);
	assert_non_null(strstr(why.text, "not primary here"));
	assert_int_equal(xen->builds, 0);
}

static void a_check_creates_no_domain(void **state)
{
	struct save s;

	save_as(SAVEFILE_ROMULUS, true);
	unlink(disk);
	s = begin();
	s.check = true;
	assert_int_equal(restore_run(&s, &why), 0);
	assert_true(s.checkpoint);
	assert_int_equal(xen->builds, 0);
}

/* ---- checkpoints and their disks ------------------------------------------------------------ */

static void disks_of_a_checkpoint_are_asked_for(void **state)
{
	struct save s = begin();

	xen->disks = true;
	s.checkpoint = true;
	the_guest_runs_on(&s, -EINVAL);
	assert_non_null(strstr(why.text, "--snapshot"));
	assert_int_equal(names(), 0);
}

static void a_checkpoint_has_its_snapshot(void **state)
{
	CLEANUP_FREE char *text = NULL;
	struct save s = begin();
	size_t n;

	write_hook("echo snapshot-of-$3; echo not this");
	s.checkpoint = true;
	s.hook = hook;
	the_guest_runs_on(&s, 0);
	text = (char *)get_file(traces, &n);
	assert_int_equal(strncmp(text, "take db ", 8), 0);
	assert_non_null(strstr(text, disk));
	put_file(traces, "", 0, 0600);

	s = begin();
	assert_int_equal(restore_run(&s, &why), -EINVAL); /* its disks have gone on */
	assert_non_null(strstr(why.text, " snapshot-of-"));
	assert_int_equal(xen->builds, 0);
	s = begin();
	s.hook = hook;
	write_hook("");
	assert_int_equal(restore_run(&s, &why), 0);
	free(text);
	text = (char *)get_file(traces, &n);
	assert_int_equal(strncmp(text, "restore db 20", 13), 0); /* of the time */
	assert_null(strstr(text, "snapshot-of-"));
	s = begin();
	s.no_snapshot = true;
	assert_int_equal(restore_run(&s, &why), 0);
}

static void without_its_snapshot_a_checkpoint_is_none(void **state)
{
	struct save s = begin();

	write_hook("echo the disk is full >&2; exit 3");
	s.checkpoint = true;
	s.hook = hook;
	the_guest_runs_on(&s, -EIO);
	assert_non_null(strstr(why.text, "the disk is full"));
	assert_int_equal(access(file, F_OK), -1);
}

static void without_its_file_a_snapshot_is_dropped(void **state)
{
	CLEANUP_FREE char *text = NULL;
	struct save s = begin();
	size_t n;

	write_hook("[ $1 != take ] || echo snap");
	arm("save-commit=fail");
	s.checkpoint = true;
	s.hook = hook;
	the_guest_runs_on(&s, -EIO);
	text = (char *)get_file(traces, &n);
	assert_non_null(strstr(text, "drop db 20"));
	assert_int_equal(access(file, F_OK), -1);
}

static void *shared(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_domain_comes_back),
		TEST(one_of_many_chunks_comes_back),
		TEST(the_last_chunk_may_be_full),
		TEST(xls_format_comes_back),
		TEST(xls_format_is_xls),
		TEST(it_may_stay_paused),
		TEST(a_pipe_is_verified_first),
		TEST(no_damaged_file_creates_a_domain),
		TEST(no_damaged_chunk_creates_a_domain),
		TEST(no_frame_can_be_left_out),
		TEST(a_wrong_checksum_is_enough),
		TEST(a_wrong_sum_is_enough),
		TEST(no_cut_file_of_xl_creates_a_domain),
		TEST(a_save_that_fails_leaves_nothing),
		TEST(a_large_save_that_fails_leaves_nothing),
		TEST(what_was_there_stays_until_all_is_written),
		TEST(a_folder_that_is_not_there_is_said_first),
		TEST(no_room_is_said_first),
		TEST(what_is_protected_is_not_saved),
		TEST(who_survives_lets_the_guest_run),
		TEST(who_survives_destroys_what_is_saved),
		TEST(who_survives_destroys_what_is_half_built),
		TEST(one_that_was_left_suspended_is_resumed),
		TEST(a_save_may_die_anywhere),
		TEST(a_checkpoint_may_die_anywhere),
		TEST(a_restore_may_die),
		TEST(a_restore_that_fails_leaves_no_domain),
		TEST(what_is_protected_here_is_not_restored),
		TEST(a_disk_that_is_not_there_is_said),
		TEST(a_disk_that_is_secondary_here_is_said),
		TEST(a_check_creates_no_domain),
		TEST(disks_of_a_checkpoint_are_asked_for),
		TEST(a_checkpoint_has_its_snapshot),
		TEST(without_its_snapshot_a_checkpoint_is_none),
		TEST(without_its_file_a_snapshot_is_dropped),
	};

	signal(SIGPIPE, SIG_IGN);
	xen = shared(sizeof(*xen));
	notice = shared(sizeof(*notice));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
