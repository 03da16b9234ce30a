/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Setting a resource up on this host, starting and stopping it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "diskrep/command.h"
#include "diskrep/device.h"
#include "diskrep/lower.h"
#include "diskrep/meta.h"
#include "diskrep/resource.h"

#define DRBDADM "/usr/sbin/drbdadm"
#define CREATE_MD_MS 300000 /* it zeroes 32 MiB of bitmap for each TiB */
#define FILE_MOST 16384

/* What drbdmeta says when there is metadata already and nobody confirms; drbdmeta.c, 9.22. */
#define HAS_METADATA "Valid meta data seems to be in place"

struct setup {
	const struct diskrep_resource *res;
	const struct diskrep_prepare *how;
	struct diskrep_meta_label label;
	bool up; /* before we came */
};

static void say(const struct setup *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void say(const struct setup *s, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	s->how->say(s->how->data, text);
}

/* ---- devices --------------------------------------------------------------------------------- */

static int read_label(
	const struct diskrep_resource *res, struct diskrep_meta_label *ret, struct why *why)
{
	int r = diskrep_meta_read(res->meta, ret, why);

	if (r)
		return r;
	if (strcmp(ret->resource, res->name) != 0)
		return why_set(why, -EEXIST,
			"the metadata device %s belongs to resource %s, not to %s", res->meta,
			ret->resource, res->name);
	if (ret->volumes != diskrep_resource_volumes(res))
		return why_set(why, -EEXIST,
			"the metadata device %s is divided for %u volumes and resource %s has %zu "
			"with its marker",
			res->meta, ret->volumes, res->name, diskrep_resource_volumes(res));
	return 0;
}

/* With DRBD down nobody uses the lower device: one that a dead worker left on its store goes. */
static int lower_afresh(const char *name, const char *device, struct why *why)
{
	int r = diskrep_lower_create(name, device, why);

	if (r != -EEXIST)
		return r;
	r = diskrep_lower_remove(name, why);
	return r ? r : diskrep_lower_create(name, device, why);
}

static int make_devices(
	const struct diskrep_resource *res, const struct diskrep_meta_label *label, struct why *why)
{
	char name[DISKREP_LOWER_NAME_MAX];
	int r = 0;

	for (size_t i = 0; i < diskrep_resource_volumes(res) && r == 0; i++) {
		diskrep_resource_lower(res->name, i, name);
		r = lower_afresh(name, diskrep_resource_disk(res, i), why);
		if (r)
			return r;
		diskrep_resource_meta(res->name, i, name);
		r = diskrep_lower_create_part(
			name, res->meta, label->share[i].start, label->share[i].sectors, why);
	}
	return r;
}

int diskrep_resource_devices(const struct diskrep_resource *res, struct why *why)
{
	struct diskrep_meta_label label;
	int r = read_label(res, &label, why);

	return r ? r : make_devices(res, &label, why);
}

int diskrep_resource_up(const struct diskrep_resource *res, struct why *why)
{
	struct diskrep_drbd_status status;
	int r = diskrep_drbd_status(res->name, &status, why);

	/* One that is up has its devices; but the module may have been told otherwise since. */
	if (!r && !status.up)
		r = diskrep_resource_devices(res, why);
	return r ? r : diskrep_drbd_up(res->name, why);
}

int diskrep_resource_down(const struct diskrep_resource *res, struct why *why)
{
	char name[DISKREP_LOWER_NAME_MAX];
	int r = diskrep_drbd_down(res->name, why);

	for (size_t i = 0; i < diskrep_resource_volumes(res) && r == 0; i++) {
		diskrep_resource_lower(res->name, i, name);
		r = diskrep_lower_remove(name, why);
		if (r)
			break;
		diskrep_resource_meta(res->name, i, name);
		r = diskrep_lower_remove(name, why);
	}
	return r;
}

/* ---- the steps of prepare -------------------------------------------------------------------- */

static int look_at_host(struct setup *s, struct why *why)
{
	const struct diskrep_resource *res = s->res;
	struct diskrep_drbd_status status;
	struct diskrep_device marker;
	struct utsname host;
	int r;

	uname(&host);
	if (strcmp(host.nodename, res->host) != 0)
		return why_set(why, -EINVAL,
			"resource %s is to be between %s and %s, and uname -n says that this host "
			"is "
			"%s",
			res->name, res->host, res->peer, host.nodename);
	r = diskrep_device_look(res->marker, &marker, why);
	if (r)
		return r;
	if (marker.sectors < DISKREP_MARKER_LEAST_SECTORS ||
		marker.sectors > DISKREP_MARKER_MOST_SECTORS)
		return why_set(why, -EINVAL,
			"the marker volume %s has %" PRIu64
			" sectors: it must be tiny, 4 KiB to 64 MiB, and is overwritten",
			res->marker, marker.sectors);
	r = diskrep_drbd_status(res->name, &status, why);
	s->up = r == 0 && status.up;
	return r;
}

static int write_whole(const char *path, const char *text, struct why *why)
{
	CLEANUP_CLOSE int fd = -1, dir = -1;
	char temporary[DISKREP_PATH_MAX], parent[DISKREP_PATH_MAX];
	size_t n = strlen(text);

	snprintf(temporary, sizeof(temporary), "%s.new", path); /* DRBD reads *.res only */
	snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(path, '/') - path), path);
	dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (dir < 0 || fd < 0 || write(fd, text, n) != (ssize_t)n || fsync(fd) < 0 ||
		rename(temporary, path) < 0 || fsync(dir) < 0)
		return why_set(
			why, errno ? -errno : -EIO, "cannot write %s: %s", path, strerror(errno));
	return 0;
}

static int write_file(struct setup *s, struct why *why)
{
	CLEANUP_FREE char *text = NULL;
	char path[DISKREP_PATH_MAX - 8], old[FILE_MOST];
	int there, r = diskrep_resource_text(s->res, &text);

	if (r)
		return why_set(why, r, "no memory to write the file of resource %s", s->res->name);
	diskrep_resource_path(s->res, path, sizeof(path));
	r = diskrep_read_text(path, old, sizeof(old));
	if (r && r != -ENOENT)
		return why_set(why, r, "cannot read %s: %s", path, strerror(-r));
	there = r == 0;
	if (there) {
		if (!strcmp(old, text)) {
			say(s, "keep %s, it is as it must be", path);
			return 0;
		}
		if (!s->how->force && strncmp(old, text, strcspn(text, "\n")) != 0)
			return why_set(why, -EEXIST,
				"%s exists and was not written by Romulus: move it away", path);
	}
	say(s, "%s %s%s", there ? "overwrite" : "write", path,
		s->up ? ", in force after drbdadm adjust" : "");
	return s->how->yes ? write_whole(path, text, why) : 0;
}

static int divide(struct setup *s, struct why *why)
{
	const struct diskrep_resource *res = s->res;
	struct diskrep_device d;
	uint64_t largest = 0;
	int r = read_label(res, &s->label, why);

	if (r == 0) {
		say(s, "keep the division of the metadata device %s", res->meta);
		return 0;
	}
	if (r != -ENODATA && ((r != -EBADMSG && r != -EEXIST) || !s->how->force || s->up))
		return r;
	for (size_t i = 0; i < diskrep_resource_volumes(res); i++) {
		r = diskrep_device_look(diskrep_resource_disk(res, i), &d, why);
		if (r)
			return r;
		if (d.sectors > largest)
			largest = d.sectors;
	}
	r = diskrep_device_look(res->meta, &d, why);
	if (r == 0)
		r = diskrep_meta_divide(res->name, diskrep_resource_volumes(res), largest,
			d.sectors, &s->label, why);
	if (r)
		return r;
	say(s, "divide the metadata device %s among %zu volumes (%" PRIu64 " KiB each)", res->meta,
		diskrep_resource_volumes(res), s->label.share[0].sectors / 2);
	return s->how->yes ? diskrep_meta_write(res->meta, &s->label, why) : 0;
}

static int create_devices(struct setup *s, struct why *why)
{
	char name[DISKREP_LOWER_NAME_MAX];

	if (s->up) {
		say(s, "keep the devices, resource %s is up", s->res->name);
		return 0;
	}
	for (size_t i = 0; i < diskrep_resource_volumes(s->res); i++) {
		diskrep_resource_lower(s->res->name, i, name);
		say(s, "create /dev/mapper/%s over %s, and /dev/mapper/%s-meta", name,
			diskrep_resource_disk(s->res, i), name);
	}
	return s->how->yes ? make_devices(s->res, &s->label, why) : 0;
}

static int create_metadata_of(struct setup *s, size_t volume, struct why *why)
{
	char object[DISKREP_RESOURCE_NAME_MAX + 16], said[256];
	const char *argv[] = {DRBDADM, "create-md", object, s->how->force ? "--force" : NULL, NULL};
	struct diskrep_command c;
	int r;

	snprintf(object, sizeof(object), "%s/%zu", s->res->name, volume);
	r = diskrep_command_run(argv, CREATE_MD_MS, &c, why);
	if (r)
		return r;
	diskrep_command_complaint(&c, said, sizeof(said));
	if (c.status == 0)
		say(s, "created DRBD's metadata for volume %zu", volume);
	else if (strstr(c.errors, HAS_METADATA))
		say(s, "keep DRBD's metadata of volume %zu, there is some", volume);
	else
		r = why_set(why, -EIO,
			"cannot create DRBD's metadata for volume %zu of resource %s: %s", volume,
			s->res->name, said);
	diskrep_command_clear(&c);
	return r;
}

static int create_metadata(struct setup *s, struct why *why)
{
	int r = 0;

	if (s->up)
		return 0;
	if (!s->how->yes) {
		say(s, s->how->force ? "create DRBD's metadata, over what there is"
				     : "create DRBD's metadata where there is none");
		return 0;
	}
	r = diskrep_load_module("drbd", why); /* its version says what metadata it wants */
	for (size_t i = 0; i < diskrep_resource_volumes(s->res) && r == 0; i++)
		r = create_metadata_of(s, i, why);
	return r;
}

static int start(struct setup *s, struct why *why)
{
	say(s, s->up ? "keep DRBD resource %s, it is up" : "start DRBD resource %s", s->res->name);
	return s->how->yes ? diskrep_drbd_up(s->res->name, why) : 0;
}

static bool handshake_done(const struct diskrep_drbd_status *status)
{
	return status->connection >= DISKREP_DRBD_CONNECTED;
}

/* Force only where there has never been good data: later it would overwrite the better host's. */
static int become_source(const char *name, struct why *why)
{
	struct diskrep_drbd_status status;
	bool fresh = true;
	int r = diskrep_drbd_status(name, &status, why);

	for (size_t i = 0; r == 0 && i < status.volumes; i++)
		if (status.volume[i].disk != DISKREP_DRBD_INCONSISTENT)
			fresh = false;
	return r ? r : diskrep_drbd_primary(name, fresh, why);
}

static int make_primary(struct setup *s, struct why *why)
{
	const char *name = s->res->name;
	struct diskrep_drbd_status status;
	int r;

	if (!s->how->initial_primary)
		return 0;
	if (!s->how->clean) {
		say(s, "make this host the source of the first resync, and primary");
		return s->how->yes ? become_source(name, why) : 0;
	}
	say(s, "wait for %s, declare the disks of both hosts identical, and make this host primary",
		s->res->peer);
	if (!s->how->yes)
		return 0;
	r = diskrep_drbd_wait(name, handshake_done, (int)s->how->wait_s * 1000, &status, why);
	if (r == 0)
		r = diskrep_drbd_skip_initial_sync(name, why);
	return r ? r : diskrep_drbd_primary(name, false, why);
}

int diskrep_resource_prepare(
	const struct diskrep_resource *res, const struct diskrep_prepare *how, struct why *why)
{
	static int (*const steps[])(struct setup * s, struct why * why) = {look_at_host, write_file,
		divide, create_devices, create_metadata, start, make_primary};
	struct setup s = {.res = res, .how = how};
	int r = diskrep_resource_validate(res, why);

	for (size_t i = 0; i < ARRAY_SIZE(steps) && r == 0; i++)
		r = steps[i](&s, why);
	return r;
}
