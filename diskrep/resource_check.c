/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a resource is such that the backup's disk can be that of a checkpoint. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "common/cleanup.h"
#include "diskrep/device.h"
#include "diskrep/drbd_show.h"
#include "diskrep/lower.h"
#include "diskrep/meta.h"
#include "diskrep/resource.h"

struct check {
	const struct diskrep_resource *res;
	diskrep_resource_say *deviation, *note;
	void *data;
	int deviations;
	struct diskrep_drbd_status status;
	char *show; /* `drbdsetup show --show-defaults` */
};

static void deviates(struct check *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void deviates(struct check *c, const char *format, ...)
{
	char text[WHY_MAX];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	c->deviation(c->data, text);
	c->deviations++;
}

static void check_file(struct check *c)
{
	CLEANUP_FREE char *text = NULL;
	char path[DISKREP_PATH_MAX], have[16384];
	int r;

	diskrep_resource_path(c->res, path, sizeof(path));
	r = diskrep_read_text(path, have, sizeof(have));
	if (r)
		deviates(c, "%s cannot be read: %s", path, strerror(-r));
	else if (diskrep_resource_text(c->res, &text) == 0 && strcmp(have, text) != 0)
		deviates(c, "%s is not what the configuration of resource %s gives", path,
			c->res->name);
}

static void check_module(struct check *c)
{
	char version[32], text[96];
	struct why why;

	if (diskrep_drbd_version(version, sizeof(version), &why)) {
		deviates(c, "%s", why.text);
		return;
	}
	snprintf(text, sizeof(text), "DRBD %s%s", version,
		strncmp(version, "8.4.", 4) ? ": Romulus has been tried with 8.4 only" : "");
	if (c->note)
		c->note(c->data, text);
	if (diskrep_drbd_lends_pages())
		deviates(c, "the module drbd has disable_sendpage=N, so that a dead guest's disks "
			    "may stay open while the peer is silent; romulus disk up sets it");
}

static void check_meta_device(struct check *c)
{
	struct diskrep_meta_label label;
	struct why why;

	if (diskrep_meta_read(c->res->meta, &label, &why))
		deviates(c, "%s", why.text);
	else if (strcmp(label.resource, c->res->name) != 0 ||
		 label.volumes != diskrep_resource_volumes(c->res))
		deviates(c,
			"the metadata device %s is divided for resource %s with %u volumes, not "
			"for %s with %zu",
			c->res->meta, label.resource, label.volumes, c->res->name,
			diskrep_resource_volumes(c->res));
}

static void check_marker(struct check *c)
{
	struct diskrep_device d;
	struct why why;

	if (diskrep_device_look(c->res->marker, &d, &why))
		deviates(c, "%s", why.text);
	else if (d.sectors < DISKREP_MARKER_LEAST_SECTORS ||
		 d.sectors > DISKREP_MARKER_MOST_SECTORS)
		deviates(c, "the marker volume %s has %" PRIu64 " sectors, not 4 KiB to 64 MiB",
			c->res->marker, d.sectors);
}

static void check_lower(struct check *c, size_t volume)
{
	char name[DISKREP_LOWER_NAME_MAX];
	struct why why;

	diskrep_resource_lower(c->res->name, volume, name);
	if (diskrep_lower_check(name, diskrep_resource_disk(c->res, volume), &why))
		deviates(c, "%s", why.text);
}

/* Those of the connection, or of a volume. */
static void check_options(struct check *c, const char *section, int volume)
{
	const struct diskrep_option *o;
	char value[DISKREP_DRBD_VALUE_MAX], whose[32] = "";

	if (volume >= 0)
		snprintf(whose, sizeof(whose), "volume %d: ", volume);
	for (size_t i = 0; (o = diskrep_resource_option(i)); i++) {
		if (!o->because || strcmp(o->section, section) != 0)
			continue;
		diskrep_drbd_show_value(c->show, volume, section, o->key, value);
		if (strcmp(value, o->value) != 0)
			deviates(c, "%s%s is %s, not %s: %s", whose, o->key,
				value[0] ? value : "not said", o->value, o->because);
	}
}

static int check_order(const char *show, const char *resource, int volume, struct why *why)
{
	const struct diskrep_option *o;
	char value[DISKREP_DRBD_VALUE_MAX];

	for (size_t i = 0; (o = diskrep_resource_option(i)); i++) {
		if (!diskrep_resource_option_orders(o))
			continue;
		diskrep_drbd_show_value(show, volume, o->section, o->key, value);
		if (strcmp(value, o->value) != 0)
			return why_set(why, -EINVAL,
				"DRBD need not keep the order of writes on volume %d of resource "
				"%s here (%s is %s), so that nothing says where a checkpoint ends; "
				"`romulus disk check` names what must be changed",
				volume, resource, o->key, value[0] ? value : "not said");
	}
	return 0;
}

int diskrep_resource_orders(const char *resource, size_t volumes, struct why *why)
{
	CLEANUP_FREE char *show = NULL;
	int r = diskrep_drbd_show(resource, &show, why);

	for (size_t v = 0; !r && v < volumes; v++)
		r = check_order(show, resource, (int)v, why);
	return r;
}

/* The device @key of a volume in the kernel, against the one that it must be on. */
static void check_path(struct check *c, size_t volume, const char *key, const char *name)
{
	char value[DISKREP_DRBD_VALUE_MAX], path[DISKREP_LOWER_NAME_MAX + 16];

	snprintf(path, sizeof(path), "/dev/mapper/%s", name);
	diskrep_drbd_show_value(c->show, (int)volume, "volume", key, value);
	if (!strcmp(value, "internal"))
		deviates(c,
			"volume %zu: its metadata is internal, and would be rolled back with the "
			"data",
			volume);
	else if (strcmp(value, path) != 0)
		deviates(c, "volume %zu: its %s is %s, not %s", volume, key,
			value[0] ? value : "not attached", path);
}

static void check_volume(struct check *c, size_t volume)
{
	char name[DISKREP_LOWER_NAME_MAX];
	int minor_wanted = (int)(c->res->minor + volume);

	if (c->status.volume[volume].minor != minor_wanted)
		deviates(c, "volume %zu is /dev/drbd%d, not /dev/drbd%d", volume,
			c->status.volume[volume].minor, minor_wanted);
	diskrep_resource_lower(c->res->name, volume, name);
	check_path(c, volume, "disk", name);
	diskrep_resource_meta(c->res->name, volume, name);
	check_path(c, volume, "meta-disk", name);
	check_options(c, "disk", (int)volume);
}

/* On kernels where a flush of this device is no barrier the marker would come out of order. */
static void check_write_cache(struct check *c)
{
	int minor_number = c->status.volume[c->status.volumes - 1].minor;
	char value[32];

	if (diskrep_device_attribute(makedev(DISKREP_DRBD_MAJOR, (unsigned int)minor_number),
		    "queue/write_cache", value, sizeof(value)))
		deviates(c, "the write cache of /dev/drbd%d is not known", minor_number);
	else if (strcmp(value, "write back") != 0)
		deviates(c, "the marker's /dev/drbd%d says \"%s\", so that flushes are no barriers",
			minor_number, value);
}

static void check_running(struct check *c)
{
	if (!c->status.up) {
		deviates(c, "DRBD resource %s is not up: romulus disk up starts it", c->res->name);
		return;
	}
	check_options(c, "net", -1);
	if (c->status.volumes != diskrep_resource_volumes(c->res)) {
		deviates(c, "resource %s has %zu volumes, not %zu: the disks and, last, the marker",
			c->res->name, c->status.volumes, diskrep_resource_volumes(c->res));
		return;
	}
	for (size_t i = 0; i < c->status.volumes; i++)
		check_volume(c, i);
	check_write_cache(c);
}

static int look(struct check *c, struct why *why)
{
	int r = diskrep_drbd_status(c->res->name, &c->status, why);

	return r || !c->status.up ? r : diskrep_drbd_show(c->res->name, &c->show, why);
}

int diskrep_resource_check(const struct diskrep_resource *res, diskrep_resource_say *deviation,
	diskrep_resource_say *note, void *data, struct why *why)
{
	struct check c = {.res = res, .deviation = deviation, .note = note, .data = data};
	int r = diskrep_resource_validate(res, why);

	if (r == 0)
		r = look(&c, why);
	if (r)
		return r;
	check_module(&c);
	check_file(&c);
	check_meta_device(&c);
	check_marker(&c);
	for (size_t i = 0; i < diskrep_resource_volumes(res); i++)
		check_lower(&c, i);
	check_running(&c);
	free(c.show);
	return c.deviations;
}
