/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/save_rig.h"

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
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/fault.h"
#include "replicator/saver.h"

struct rig_xen *rig_xen;
struct save_notice *rig_notice;
char rig_dir[64], rig_file[96], rig_disk[96], rig_hook[96], rig_traces[96];
static struct why why;

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
	*ret = (struct hv_domain){.domid = RIG_DOMID,
		.name = "db",
		.uuid = RIG_UUID,
		.type = HV_TYPE_PVH,
		.memory_kb = rig_xen->memory_kb,
		.suspended = rig_xen->suspended,
		.hypervisor = "4.17"};
	if (rig_xen->disks) {
		ret->disk_count = 1;
		snprintf(ret->disks[0].path, sizeof(ret->disks[0].path), "%s", rig_disk);
	}
	ret->config_json = strdup(rig_xen->config);
	return 0;
}

static int write_out(struct hv *hv, uint32_t domid, int fd, bool live, struct why *w)
{
	size_t n = rig_xen->cut        ? rig_xen->stream.n / 2
		   : rig_xen->stops_at ? rig_xen->stops_at
				       : rig_xen->stream.n;

	assert_int_equal(domid, RIG_DOMID);
	rig_xen->suspended = true;
	for (size_t at = 0; at < n;) {
		ssize_t done = write(fd, rig_xen->stream.bytes + at, n - at);

		if (done < 0)
			break;
		at += (size_t)done;
	}
	if (!rig_xen->stops_at)
		return 0;
	rig_xen->suspended = false;
	return why_set(w, -EIO, "libxl failed");
}

static int resume(struct hv *hv, uint32_t domid, struct why *w)
{
	assert_int_equal(domid, RIG_DOMID);
	assert_false(rig_xen->gone);
	rig_xen->suspended = false;
	return 0;
}

static int kill_domain(struct hv *hv, uint32_t domid, struct why *w)
{
	if (domid == RIG_DOMID) {
		rig_xen->gone = true;
		rig_xen->suspended = false;
		return 0;
	}
	assert_int_equal(domid, RIG_BUILT);
	rig_xen->built = false;
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

	rig_xen->builds++;
	rig_xen->got_n = 0;
	assert_string_equal(name, "db--restoring");
	assert_string_equal(config_json, rig_xen->config);
	while ((n = read(fd, rig_xen->got + rig_xen->got_n, MADE_MAX - rig_xen->got_n)) > 0)
		rig_xen->got_n += (size_t)n;
	rig_xen->built = rig_xen->standby = true;
	*ret_domid = RIG_BUILT;
	return 0;
}

static int activate(struct hv *hv, uint32_t domid, const char *standby, const char *name, bool run,
	struct hv_domain *ret, struct why *w)
{
	assert_string_equal(standby, "db--restoring");
	assert_string_equal(name, "db");
	rig_xen->standby = false;
	rig_xen->built_runs = run;
	*ret = (struct hv_domain){0};
	return 0;
}

static int look(
	struct hv *hv, const char *uuid, uint32_t domid, struct hv_sight *ret, struct why *w)
{
	*ret = (struct hv_sight){.exists = domid == RIG_BUILT && rig_xen->built,
		.paused = !rig_xen->built_runs,
		.shut_down = domid == RIG_DOMID && rig_xen->suspended,
		.end = HV_END_SUSPEND,
		.other = !domid && rig_xen->built ? RIG_BUILT : 0};
	return 0;
}

static const struct hv_ops rig_ops = {
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

struct save rig_begin_save(void)
{
	const struct save s = {.ops = &rig_ops,
		.notice = rig_notice,
		.file = rig_file,
		.host = "alpha",
		.domain = "db"};

	*rig_notice = (struct save_notice){0};
	rig_xen->suspended = rig_xen->gone = rig_xen->built = rig_xen->standby =
		rig_xen->built_runs = false;
	rig_xen->builds = 0;
	return s;
}

unsigned int rig_names(void)
{
	DIR *d = opendir(rig_dir);
	unsigned int n = 0;

	assert_non_null(d);
	for (const struct dirent *e; (e = readdir(d));)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

void rig_put_file(const char *path, const void *data, size_t n, mode_t mode)
{
	CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, n), (ssize_t)n);
}

uint8_t *rig_get_file(const char *path, size_t *ret_n)
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

void rig_arm(const char *fault)
{
	assert_int_equal(setenv("ROMULUS_FAULT", fault, 1), 0);
	assert_int_equal(fault_init(&why), 0);
}

void rig_make_stream(uint32_t pages)
{
	free(rig_xen->stream.bytes);
	rig_xen->stream = made_stream(pages);
}

int rig_setup(void **state)
{
	snprintf(rig_dir, sizeof(rig_dir), "/var/tmp/romulus-save.XXXXXX");
	assert_non_null(mkdtemp(rig_dir));
	snprintf(rig_file, sizeof(rig_file), "%s/db.save", rig_dir);
	snprintf(rig_disk, sizeof(rig_disk), "%s/disk", rig_dir);
	snprintf(rig_hook, sizeof(rig_hook), "%s/hook", rig_dir);
	snprintf(rig_traces, sizeof(rig_traces), "%s/traces", rig_dir);
	memset(rig_xen, 0, sizeof(*rig_xen));
	rig_xen->memory_kb = 64;
	rig_xen->got = malloc(MADE_MAX);
	assert_non_null(rig_xen->got);
	snprintf(rig_xen->config, sizeof(rig_xen->config),
		"{\"c_info\": {\"type\": \"pvh\", \"name\": \"db\", \"uuid\": \"" RIG_UUID "\"},"
		" \"b_info\": {\"max_memkb\": 64},"
		" \"disks\": [{\"pdev_path\": \"%s\", \"vdev\": \"xvda\", \"readwrite\": 1},"
		" {\"pdev_path\": \"/none\", \"vdev\": \"xvdb\"}]}",
		rig_disk);
	rig_make_stream(300);
	rig_arm("");
	return 0;
}

int rig_teardown(void **state)
{
	unlink(rig_file);
	unlink(rig_disk);
	unlink(rig_hook);
	unlink(rig_traces);
	assert_int_equal(rmdir(rig_dir), 0); /* nothing else was left */
	free(rig_xen->got);
	free(rig_xen->stream.bytes);
	return 0;
}

void rig_save_as(enum savefile_format format, bool checkpoint)
{
	struct save s = rig_begin_save();

	s.format = format;
	s.checkpoint = checkpoint;
	s.no_snapshot = true;
	assert_int_equal(save_run(&s, &why), 0);
	assert_int_equal(rig_xen->gone, !checkpoint);
	assert_false(rig_xen->suspended);
	assert_int_equal(rig_notice->stage, SAVE_NOTHING);
	if (!rig_xen->disks)
		rig_put_file(rig_disk, "", 0, 0600);
}

void rig_write_hook(const char *body)
{
	char script[512];
	const int n = snprintf(
		script, sizeof(script), "#!/bin/sh\necho \"$@\" >>%s\n%s\n", rig_traces, body);

	rig_put_file(rig_hook, script, (size_t)n, 0700);
	rig_put_file(rig_disk, "", 0, 0600);
	rig_put_file(rig_traces, "", 0, 0600);
	rig_xen->disks = true;
}

static void *shared(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int rig_begin(void)
{
	signal(SIGPIPE, SIG_IGN);
	rig_xen = shared(sizeof(*rig_xen));
	rig_notice = shared(sizeof(*rig_notice));
	return rig_xen && rig_notice ? 0 : -1;
}
