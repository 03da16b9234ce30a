/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/lower.h"

#include <errno.h>
#include <inttypes.h>
#include <libdevmapper.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "common/cleanup.h"
#include "common/fault.h"
#include "diskrep/command.h"
#include "diskrep/device.h"

/* udev must not open what is about to be switched or removed, nor look for file systems on it. */
#define UDEV_FLAGS                                                                                 \
	(DM_UDEV_DISABLE_SUBSYSTEM_RULES_FLAG | DM_UDEV_DISABLE_DISK_RULES_FLAG |                  \
		DM_UDEV_DISABLE_OTHER_RULES_FLAG)
#define LEVEL_ERROR 3 /* of libdevmapper's log, as in syslog */

struct table {
	bool exists, suspended, inactive, linear;
	dev_t device;
	uint64_t start, sectors;
};

static __thread char complaint[200];

/* A library does not print: what it would have said goes into the sentence. */
static void on_log(int level, const char *file, int line, int class, const char *format, ...)
{
	va_list ap;

	if ((level & 7) > LEVEL_ERROR || complaint[0])
		return;
	va_start(ap, format);
	vsnprintf(complaint, sizeof(complaint), format, ap);
	va_end(ap);
}

static void task_destroy(struct dm_task **task)
{
	if (*task)
		dm_task_destroy(*task);
	dm_lib_release(); /* its descriptor of the control device is not close-on-exec */
}

#define CLEANUP_TASK __attribute__((cleanup(task_destroy)))

static struct dm_task *task_new(int type, const char *name)
{
	struct dm_task *task;

	dm_log_with_errno_init(on_log);
	dm_udev_set_sync_support(0);
	complaint[0] = '\0';
	task = dm_task_create(type);
	if (task && !dm_task_set_name(task, name)) {
		dm_task_destroy(task);
		return NULL;
	}
	return task;
}

/* Negative errno of a task that could not be made or run. */
static int task_run(struct dm_task *task)
{
	int err;

	if (!task)
		return -ENOMEM;
	if (dm_task_run(task))
		return 0;
	err = dm_task_get_errno(task);
	return err > 0 ? -err : -EIO;
}

static int failed(struct why *why, int err, const char *what, const char *name)
{
	return why_set(why, err, "cannot %s the lower device %s: %s", what, name,
		complaint[0] ? complaint : strerror(-err));
}

/* An operation without a table: info, suspend, resume, clear, remove. */
static int simple(int type, const char *name)
{
	CLEANUP_TASK struct dm_task *task = task_new(type, name);
	uint32_t cookie = 0;
	int r;

	if (!task)
		return -ENOMEM;
	if (type == DM_DEVICE_SUSPEND)
		dm_task_skip_lockfs(task); /* what is mounted is above DRBD */
	if (type == DM_DEVICE_REMOVE)
		dm_task_retry_remove(task); /* somebody may just be looking at it */
	if ((type == DM_DEVICE_RESUME || type == DM_DEVICE_REMOVE) &&
		!dm_task_set_cookie(task, &cookie, UDEV_FLAGS))
		return -EIO;
	r = task_run(task);
	dm_task_update_nodes();
	return r;
}

static int table_read(const char *name, struct table *ret, struct why *why)
{
	CLEANUP_TASK struct dm_task *task = NULL;
	uint64_t start = 0, length = 0;
	unsigned int major_number, minor_number;
	struct dm_info info;
	char *type = NULL, *parameters = NULL;
	int r = diskrep_load_module("dm_mod", why);

	if (r)
		return r;
	*ret = (struct table){0};
	task = task_new(DM_DEVICE_TABLE, name);
	r = task_run(task);
	if (r == -ENXIO)
		return 0;
	if (r || !dm_task_get_info(task, &info))
		return failed(why, r ? r : -EIO, "read the table of", name);
	ret->exists = info.exists;
	ret->suspended = info.suspended;
	ret->inactive = info.inactive_table;
	if (!info.exists || info.target_count != 1)
		return 0;
	dm_get_next_target(task, NULL, &start, &length, &type, &parameters);
	ret->linear = type && !strcmp(type, "linear") && parameters &&
		      sscanf(parameters, "%u:%u %" SCNu64, &major_number, &minor_number,
			      &ret->start) == 3;
	if (ret->linear) {
		ret->device = makedev(major_number, minor_number);
		ret->sectors = length;
	}
	return 0;
}

/* CREATE (with the live table at once) or RELOAD (into the inactive slot). */
static int table_load(int type, const char *name, const struct table *t)
{
	CLEANUP_TASK struct dm_task *task = task_new(type, name);
	char parameters[64], uuid[128];
	uint32_t cookie = 0;
	int r;

	snprintf(parameters, sizeof(parameters), "%u:%u %" PRIu64, major(t->device),
		minor(t->device), t->start);
	snprintf(uuid, sizeof(uuid), "ROMULUS-%s", name);
	if (!task || !dm_task_add_target(task, 0, t->sectors, "linear", parameters))
		return -ENOMEM;
	if (type == DM_DEVICE_CREATE &&
		(!dm_task_set_uuid(task, uuid) ||
			!dm_task_set_add_node(task, DM_ADD_NODE_ON_CREATE) ||
			!dm_task_set_cookie(task, &cookie, UDEV_FLAGS)))
		return -EIO;
	r = task_run(task);
	dm_task_update_nodes();
	return r;
}

static bool same(const struct table *a, const struct table *b)
{
	return a->linear && a->device == b->device && a->start == b->start &&
	       a->sectors == b->sectors;
}

/* End what a process left behind that died between loading and resuming. */
static int mend(const char *name, const struct table *now, struct why *why)
{
	int r = now->inactive ? simple(DM_DEVICE_CLEAR, name) : 0;

	if (r == 0 && now->suspended)
		r = simple(DM_DEVICE_RESUME, name);
	return r ? failed(why, r, "mend", name) : 0;
}

static int create(const char *name, const char *device, const struct table *want, struct why *why)
{
	char path[DISKREP_PATH_MAX];
	struct diskrep_device made;
	struct table now;
	int r = table_read(name, &now, why);

	if (r)
		return r;
	if (now.exists && now.sectors == 0 && !now.linear) { /* without a table */
		r = diskrep_lower_remove(name, why);
		if (r)
			return r;
		now.exists = false;
	}
	if (now.exists && !same(&now, want)) {
		diskrep_device_path(now.device, path, sizeof(path));
		return why_set(why, -EEXIST,
			"the lower device %s exists and maps to %s from sector %" PRIu64
			", not to %s from sector %" PRIu64,
			name, path, now.start, device, want->start);
	}
	if (now.exists) {
		r = mend(name, &now, why);
	} else {
		r = table_load(DM_DEVICE_CREATE, name, want);
		if (r)
			failed(why, r, "create", name);
	}
	if (r)
		return r;
	snprintf(path, sizeof(path), "/dev/mapper/%s", name);
	return diskrep_device_look(path, &made, why);
}

int diskrep_lower_create_part(
	const char *name, const char *device, uint64_t start, uint64_t sectors, struct why *why)
{
	struct diskrep_device d;
	struct table want;
	int r = diskrep_device_look(device, &d, why);

	if (r)
		return r;
	if (start > d.sectors || sectors > d.sectors - start || !sectors)
		return why_set(why, -EINVAL,
			"%s has %" PRIu64 " sectors, not the %" PRIu64 " from %" PRIu64
			" that the lower device %s needs",
			device, d.sectors, sectors, start, name);
	want = (struct table){
		.linear = true, .device = d.number, .start = start, .sectors = sectors};
	return create(name, device, &want, why);
}

int diskrep_lower_create(const char *name, const char *device, struct why *why)
{
	struct diskrep_device d;
	int r = diskrep_device_look(device, &d, why);

	return r ? r : diskrep_lower_create_part(name, device, 0, d.sectors, why);
}

/* Back to the old table, running, after @err; says so when that fails too. */
static int back(const char *name, int err, const char *what, struct why *why)
{
	char first[sizeof(complaint)];
	int r;

	snprintf(first, sizeof(first), "%s", complaint[0] ? complaint : strerror(-err));
	simple(DM_DEVICE_CLEAR, name); /* resuming would put the new table in place */
	r = simple(DM_DEVICE_RESUME, name);
	if (r)
		return why_set(why, err,
			"cannot %s the lower device %s: %s; it cannot be resumed either (%s), so "
			"that its disk stands still: dmsetup clear %s && dmsetup resume %s",
			what, name, first, strerror(-r), name, name);
	return why_set(
		why, err, "cannot %s the lower device %s, it is as it was: %s", what, name, first);
}

int diskrep_lower_switch(const char *name, const char *device, struct why *why)
{
	struct diskrep_device d;
	struct table now, want;
	int r = diskrep_device_look(device, &d, why);

	if (r == 0)
		r = table_read(name, &now, why);
	if (r)
		return r;
	if (!now.exists || !now.linear)
		return why_set(
			why, -ENOENT, "there is no lower device %s to switch to %s", name, device);
	want = (struct table){.linear = true, .device = d.number, .sectors = d.sectors};
	if (now.sectors != want.sectors)
		return why_set(why, -EINVAL,
			"%s has %" PRIu64 " sectors and the lower device %s has %" PRIu64
			": it cannot be switched",
			device, want.sectors, name, now.sectors);
	r = mend(name, &now, why);
	if (r || same(&now, &want))
		return r;
	r = table_load(DM_DEVICE_RELOAD, name, &want);
	if (r)
		return back(name, r, "load a table for", why);
	r = simple(DM_DEVICE_SUSPEND, name);
	if (r)
		return back(name, r, "suspend", why);
	r = fault_point(FAULT_LOWER_SWITCH) ? -EIO : simple(DM_DEVICE_RESUME, name);
	return r ? back(name, r, "switch", why) : 0;
}

int diskrep_lower_target(const char *name, char *ret_path, size_t size, struct why *why)
{
	struct table now;
	int r = table_read(name, &now, why);

	if (r)
		return r;
	if (!now.exists || !now.linear)
		return why_set(why, -ENOENT, "there is no lower device %s", name);
	diskrep_device_path(now.device, ret_path, size);
	return 0;
}

int diskrep_lower_check(const char *name, const char *device, struct why *why)
{
	char path[DISKREP_PATH_MAX];
	struct diskrep_device d;
	struct table now;
	int r = diskrep_device_look(device, &d, why);

	if (r == 0)
		r = table_read(name, &now, why);
	if (r)
		return r;
	if (!now.exists || !now.linear)
		return why_set(why, -ENOENT, "there is no lower device %s over %s", name, device);
	diskrep_device_path(now.device, path, sizeof(path));
	if (now.device != d.number || now.start)
		return why_set(why, -EXDEV, "the lower device %s maps to %s, not to %s", name, path,
			device);
	if (now.sectors != d.sectors)
		return why_set(why, -EXDEV,
			"the lower device %s has %" PRIu64 " sectors and its disk %s has %" PRIu64,
			name, now.sectors, device, d.sectors);
	return 0;
}

int diskrep_lower_remove(const char *name, struct why *why)
{
	struct table now;
	int r = table_read(name, &now, why);

	if (r || !now.exists)
		return r;
	r = simple(DM_DEVICE_REMOVE, name);
	if (r == -EBUSY)
		return why_set(why, r, "the lower device %s is in use, it stays", name);
	return r ? failed(why, r, "remove", name) : 0;
}
