/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/save.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/fault.h"
#include "common/text.h"
#include "diskrep/drbd.h"

#define PIECE (1u << 20)
#define SPOOL_DIR "/var/tmp"

/* ---- the file ------------------------------------------------------------------------------- */

/* What cannot be read twice is copied first: none of it is used before all of it is verified. */
static int spool(int from, struct why *why)
{
	const char *folder = getenv("TMPDIR") ? getenv("TMPDIR") : SPOOL_DIR;
	CLEANUP_CLOSE int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	CLEANUP_FREE uint8_t *piece = malloc(PIECE);
	ssize_t n;
	int r = 0;

	if (fd < 0 || !piece)
		return why_set(why, -errno,
			"no temporary file in %s, where the standard input is kept until it has "
			"been verified: %s; TMPDIR names another folder",
			folder, strerror(errno));
	while (!r && (n = read(from, piece, PIECE)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return why_set(why, -errno, "the standard input cannot be read: %s",
				strerror(errno));
		r = savefile_write_all(fd, piece, (size_t)n, NULL);
	}
	if (r)
		return why_set(why, r,
			"the standard input, which is kept in %s until it has been verified, "
			"cannot be written there: %s; TMPDIR names another folder",
			folder, strerror(-r));
	return TAKE_FD(fd);
}

/* The file, to be read more than once. */
static int open_file(const struct save *s, struct why *why)
{
	const bool standard = strcmp(s->file, "-") == 0;
	CLEANUP_CLOSE int fd = standard ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
					: open(s->file, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return why_set(why, -errno, "%s cannot be opened: %s", s->file, strerror(errno));
	if (S_ISDIR(st.st_mode) || isatty(fd))
		return why_set(why, -EINVAL, "%s is not the file of a saved domain", s->file);
	if (!standard && S_ISREG(st.st_mode))
		return TAKE_FD(fd);
	return spool(fd, why);
}

struct count {
	struct save *save;
	const char *stage;
	uint64_t bytes, total;
	int to; /* -1: only counted */
};

static int take(void *opaque, const void *data, size_t n, struct why *why)
{
	struct count *c = opaque;

	c->bytes += n;
	if (c->save->progress)
		c->save->progress(c->stage, c->bytes, c->total, c->bytes);
	return c->to < 0 ? 0 : savefile_write_all(c->to, data, n, why);
}

/* ---- what it is of -------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* libxl leaves out what is as it would be anyway. */
static bool is_true(const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	return json_is_true(v) || json_integer_value(v) != 0;
}

static void describe_disks(const json_t *config, struct hv_domain *ret)
{
	const json_t *disk;
	size_t i;

	json_array_foreach (json_object_get(config, "disks"), i, disk) {
		const size_t n = ret->disk_count;

		if (n == HV_MAX_DISKS || !is_true(disk, "readwrite") || is_true(disk, "is_cdrom"))
			continue;
		ret->disk_count++;
		snprintf(ret->disks[n].vdev, sizeof(ret->disks[n].vdev), "%s",
			text_of(disk, "vdev"));
		snprintf(ret->disks[n].path, sizeof(ret->disks[n].path), "%s",
			text_of(disk, "pdev_path"));
	}
}

/* The names by which others are asked about it; libxl reads the whole. */
static int describe(const char *config_json, struct hv_domain *ret, struct why *why)
{
	json_t *config = json_loads(config_json, 0, NULL);
	const json_t *info = json_object_get(config, "c_info");
	int r = 0;

	*ret = (struct hv_domain){0};
	snprintf(ret->name, sizeof(ret->name), "%s", text_of(info, "name"));
	snprintf(ret->uuid, sizeof(ret->uuid), "%s", text_of(info, "uuid"));
	ret->memory_kb = (uint64_t)json_integer_value(
		json_object_get(json_object_get(config, "b_info"), "max_memkb"));
	describe_disks(config, ret);
	if (!ret->name[0] || !text_valid(ret->name) || strlen(ret->uuid) != 36)
		r = why_set(why, -EBADMSG,
			"the configuration in the file has no name or no uuid of a domain: it was "
			"not written by libxl, or is damaged");
	json_decref(config);
	return r;
}

/* ---- whether it may be here ----------------------------------------------------------------- */

/* DRBD lets nobody write to a device that is secondary here (drbd_open, drbd_main.c). */
static int check_disk(const char *name, const char *path, struct why *why)
{
	CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	const int err = errno;
	struct stat st;

	if (fd >= 0 || path[0] != '/') /* a target of libxl's, not a path: its own to judge */
		return 0;
	if (stat(path, &st) == 0 && S_ISBLK(st.st_mode) && major(st.st_rdev) == DISKREP_DRBD_MAJOR)
		return why_set(why, -EBUSY,
			"%s, a disk of '%s', is not primary here (DRBD: %s): nothing was restored. "
			"Restore it on the host where it is, or make it primary with `drbdadm "
			"primary` if the other host does not use it",
			path, name, strerror(err));
	return why_set(why, -err,
		"%s, a disk of '%s', cannot be opened to be written: %s; nothing was restored",
		path, name, strerror(err));
}

static int check_host(struct save *s, const struct hv_domain *dom, struct why *why)
{
	int r;

	if (save_is_protected(s, dom->name, dom->uuid))
		return why_set(why, -EBUSY,
			"'%s' is under protection of Romulus on this host (`romulus status %s`): "
			"an older state of it must not run beside that; nothing was restored. "
			"`romulus unprotect %s` and destroy it first",
			dom->name, dom->name, dom->name);
	r = s->ops->can_host(s->hv, dom->name, dom->uuid, dom->memory_kb, "this host", why);
	for (size_t i = 0; !r && i < dom->disk_count; i++)
		r = check_disk(dom->name, dom->disks[i].path, why);
	return r;
}

static int put_back_disks(struct save *s, const struct savefile_about *about,
	const struct hv_domain *dom, struct why *why)
{
	const char *note = about->note ? about->note : "";
	char tag[sizeof(s->notice->tag)];

	if (!dom->disk_count || s->no_snapshot || (!about->checkpoint && !s->hook))
		return 0;
	if (!s->hook)
		return why_set(why, -EINVAL,
			"'%s' ran on after this checkpoint of it, so its disks are not those of "
			"the file: nothing was restored. Say --snapshot PROGRAM to put back their "
			"snapshot (%s), or --no-snapshot if they have been put back",
			dom->name, note[0] ? note : "none is noted");
	/* The first word is the name of the snapshot; what its taker said is for people. */
	snprintf(tag, sizeof(tag), "%.*s", (int)strcspn(note, " "), note);
	return save_hook(s, "restore", tag, NULL, why);
}

/* ---- building ------------------------------------------------------------------------------- */

struct feeder {
	struct count count;
	int fd, err;
	struct why why;
};

static void *feed_run(void *data)
{
	struct feeder *f = data;

	if (lseek(f->fd, 0, SEEK_SET) < 0)
		f->err = why_set(&f->why, -errno, "the file cannot be read: %s", strerror(errno));
	else
		f->err = savefile_read(f->fd, take, &f->count, NULL, &f->why);
	close(f->count.to);
	return NULL;
}

static int build(struct save *s, int fd, const struct savefile_about *about,
	const struct hv_domain *dom, const char *standby, struct why *why)
{
	struct feeder f = {
		.fd = fd, .count = {.save = s, .stage = "restore", .total = about->stream_bytes}};
	pthread_t thread;
	int to[2], r;

	if (pipe2(to, O_CLOEXEC) < 0)
		return why_set(why, -errno, "no pipe: %s", strerror(errno));
	f.count.to = to[1];
	s->notice->stage = SAVE_BUILDS;
	if (pthread_create(&thread, NULL, feed_run, &f)) {
		close(to[0]);
		close(to[1]);
		return why_set(why, -ENOMEM, "no thread to read the file");
	}
	r = s->ops->read_in(s->hv, about->config_json, standby, to[0], &s->domid, why);
	close(to[0]);
	pthread_join(thread, NULL);
	if (!r && f.err) {
		r = why_set(why, f.err, "%s", f.why.text);
		s->ops->kill(s->hv, s->domid, NULL);
	}
	return r;
}

static int let_run(
	struct save *s, const struct hv_domain *dom, const char *standby, struct why *why)
{
	struct hv_domain now;
	int r;

	if (fault_point(FAULT_RESTORE_BUILT))
		r = why_set(why, -EIO, "fault point restore-built");
	else
		r = s->ops->activate(s->hv, s->domid, standby, dom->name, !s->paused, &now, why);
	if (r)
		save_mend(s, NULL);
	else
		hv_domain_clear(&now);
	s->notice->runs = !r;
	return r;
}

static int restore_domain(
	struct save *s, int fd, const struct savefile_about *about, struct why *why)
{
	struct hv_domain dom;
	char standby[sizeof(dom.name) + 16];
	int r = describe(about->config_json, &dom, why);

	if (r)
		return r;
	save_note_domain(s->notice, &dom);
	snprintf(standby, sizeof(standby), "%s--restoring", dom.name);
	if (s->check)
		return 0;
	r = check_host(s, &dom, why);
	if (!r)
		r = put_back_disks(s, about, &dom, why);
	if (!r)
		r = build(s, fd, about, &dom, standby, why);
	if (!r)
		r = let_run(s, &dom, standby, why);
	s->notice->stage = SAVE_NOTHING;
	return r;
}

int restore_run(struct save *s, struct why *why)
{
	CLEANUP_CLOSE int fd = open_file(s, why);
	struct count count = {.save = s, .stage = "verify", .to = -1};
	struct savefile_about about;
	struct why what;
	int r;

	if (fd < 0)
		return fd;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return why_set(why, -errno, "%s cannot be read: %s", s->file, strerror(errno));
	r = savefile_read(fd, take, &count, &about, &what);
	if (r)
		r = why_set(why, r, "%s: %s. No domain was created", s->file, what.text);
	else
		r = restore_domain(s, fd, &about, why);
	s->stream_bytes = about.stream_bytes;
	s->saved_ns = about.saved_ns;
	s->checkpoint = about.checkpoint;
	savefile_about_clear(&about);
	return r;
}
