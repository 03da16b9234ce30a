/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a resource is called, and the text of its file. Pure. */
#include "diskrep/resource.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "diskrep/device.h"

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

struct end {
	const char *host, *address;
};

static bool is_name(const char *name, size_t most)
{
	size_t n = name ? strlen(name) : 0;

	return n && n <= most && name[0] != '-' && name[0] != '.' &&
	       strspn(name, NAME_CHARACTERS) == n;
}

static int family(const char *address)
{
	struct in6_addr any;

	if (address && inet_pton(AF_INET, address, &any) == 1)
		return AF_INET;
	return address && inet_pton(AF_INET6, address, &any) == 1 ? AF_INET6 : AF_UNSPEC;
}

static int check_device(
	const struct diskrep_resource *res, const char *path, const char *what, struct why *why)
{
	if (!path || strncmp(path, "/dev/", 5) != 0 || strlen(path) >= DISKREP_PATH_MAX)
		return why_set(why, -EINVAL, "resource %s: %s is %s, not the path of a device",
			res->name, what, path && *path ? path : "missing");
	return 0;
}

static int check_devices(const struct diskrep_resource *res, struct why *why)
{
	size_t n = diskrep_resource_volumes(res);
	int r = check_device(res, res->meta, "the metadata device", why);

	for (size_t i = 0; i < n && r == 0; i++) {
		const char *disk = diskrep_resource_disk(res, i);

		r = check_device(
			res, disk, i < res->volumes_n ? "a volume" : "the marker volume", why);
		if (r)
			break;
		for (size_t j = 0; j < i && r == 0; j++)
			if (!strcmp(disk, diskrep_resource_disk(res, j)))
				r = why_set(why, -EINVAL, "resource %s names %s twice", res->name,
					disk);
		if (r == 0 && !strcmp(disk, res->meta))
			r = why_set(why, -EINVAL,
				"resource %s: %s cannot hold data and metadata both", res->name,
				disk);
	}
	return r;
}

int diskrep_resource_validate(const struct diskrep_resource *res, struct why *why)
{
	if (!is_name(res->name, DISKREP_RESOURCE_NAME_MAX))
		return why_set(why, -EINVAL,
			"\"%s\" cannot be the name of a resource: letters, digits, . _ and -, at "
			"most %d",
			res->name ? res->name : "", DISKREP_RESOURCE_NAME_MAX);
	if (!res->volumes_n || res->volumes_n > DISKREP_MAX_VOLUMES - 1)
		return why_set(why, -EINVAL, "resource %s has %zu volumes: 1 to %u are possible",
			res->name, res->volumes_n, DISKREP_MAX_VOLUMES - 1);
	if (!res->port || res->port > 65535)
		return why_set(why, -EINVAL, "resource %s: port %u is none", res->name, res->port);
	if (res->minor > (1u << 20) - DISKREP_MAX_VOLUMES)
		return why_set(
			why, -EINVAL, "resource %s: minor %u is too high", res->name, res->minor);
	if (!is_name(res->host, DISKREP_DRBD_NAME_MAX) ||
		!is_name(res->peer, DISKREP_DRBD_NAME_MAX) || !strcmp(res->host, res->peer))
		return why_set(why, -EINVAL,
			"resource %s needs the names of two hosts, not \"%s\" and \"%s\"",
			res->name, res->host ? res->host : "", res->peer ? res->peer : "");
	if (family(res->address) == AF_UNSPEC ||
		family(res->address) != family(res->peer_address) ||
		!strcmp(res->address, res->peer_address))
		return why_set(why, -EINVAL,
			"resource %s needs two numeric addresses of one kind, not \"%s\" and "
			"\"%s\"",
			res->name, res->address ? res->address : "",
			res->peer_address ? res->peer_address : "");
	return check_devices(res, why);
}

size_t diskrep_resource_volumes(const struct diskrep_resource *res)
{
	return res->volumes_n + 1;
}

const char *diskrep_resource_disk(const struct diskrep_resource *res, size_t volume)
{
	return volume < res->volumes_n ? res->volumes[volume] : res->marker;
}

void diskrep_resource_lower(const char *resource, size_t volume, char name[DISKREP_LOWER_NAME_MAX])
{
	snprintf(name, DISKREP_LOWER_NAME_MAX, "romulus-%s-%zu", resource, volume);
}

void diskrep_resource_meta(const char *resource, size_t volume, char name[DISKREP_LOWER_NAME_MAX])
{
	snprintf(name, DISKREP_LOWER_NAME_MAX, "romulus-%s-%zu-meta", resource, volume);
}

void diskrep_resource_path(const struct diskrep_resource *res, char *path, size_t size)
{
	snprintf(path, size, "%s/romulus-%s.res",
		res->config_dir ? res->config_dir : DISKREP_CONFIG_DIR, res->name);
}

static const char out_of_order[] = "without it the marker comes out of order";

/*
 * Only with draining and flushes does DRBD keep the order in which the marker must arrive. Nothing
 * is decided without the daemon: a split brain stays one until a host is told to give up its data.
 */
static const struct diskrep_option options[] = {
	{"options", "on-no-data-accessible", "io-error", NULL},
	{"net", "protocol", "C",
		"with A, DRBD 8.4 confuses the order of two volumes and breaks off"},
	{"net", "allow-two-primaries", "no", "a domain runs on one host"},
	{"net", "after-sb-0pri", "disconnect", "no data may be thrown away unasked"},
	{"net", "after-sb-1pri", "disconnect", "no data may be thrown away unasked"},
	{"net", "after-sb-2pri", "disconnect", "no data may be thrown away unasked"},
	{"net", "always-asbp", "no", "no data may be thrown away unasked"},
	{"net", "rr-conflict", "disconnect", "no data may be thrown away unasked"},
	{"net", "timeout", "60", NULL},
	{"net", "ping-int", "1", "the guest's writes stand until a dead host is noticed"},
	{"net", "ping-timeout", "20", NULL},
	{"net", "connect-int", "3", NULL},
	{"net", "ko-count", "7", NULL},
	{"net", "verify-alg", "crc32c", NULL},
	{"disk", "on-io-error", "detach", "the guest must go on when the store or a disk fails"},
	{"disk", "disk-barrier", "no", "the kernel has no barriers any more"},
	{"disk", "disk-flushes", "yes", out_of_order},
	{"disk", "disk-drain", "yes", out_of_order},
	{"disk", "md-flushes", "yes", "a power cut would lose what is out of sync"},
	{"disk", "al-extents", "1237", NULL},
	/* A resync that yields to the guest leaves it unprotected. */
	{"disk", "resync-rate", "10M", NULL},
	{"disk", "c-min-rate", "10M", NULL},
	{"disk", "c-fill-target", "1M", NULL},
};

const struct diskrep_option *diskrep_resource_option(size_t i)
{
	return i < ARRAY_SIZE(options) ? &options[i] : NULL;
}

bool diskrep_resource_option_orders(const struct diskrep_option *o)
{
	return o->because == out_of_order;
}

static void write_options(FILE *out)
{
	const char *section = "";

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (strcmp(section, options[i].section) != 0)
			fprintf(out, "%s\t%s {\n", *section ? "\t}\n" : "", options[i].section);
		section = options[i].section;
		fprintf(out, "\t\t%s %s;\n", options[i].key, options[i].value);
	}
	fprintf(out, "\t}\n");
}

static void write_volumes(const struct diskrep_resource *res, FILE *out)
{
	char lower[DISKREP_LOWER_NAME_MAX], meta[DISKREP_LOWER_NAME_MAX];

	for (size_t i = 0; i < diskrep_resource_volumes(res); i++) {
		unsigned int minor = res->minor + (unsigned int)i;

		diskrep_resource_lower(res->name, i, lower);
		diskrep_resource_meta(res->name, i, meta);
		fprintf(out,
			"\tvolume %zu {%s\n"
			"\t\tdevice /dev/drbd%u minor %u;\n"
			"\t\tdisk /dev/mapper/%s;\n"
			"\t\tflexible-meta-disk /dev/mapper/%s;\n"
			"\t}\n",
			i, i == res->volumes_n ? " # the marker" : "", minor, minor, lower, meta);
	}
}

static void write_end(const struct diskrep_resource *res, const struct end *end, FILE *out)
{
	bool six = family(end->address) == AF_INET6;

	fprintf(out, "\ton %s {\n\t\taddress %s%s%s%s:%u;\n\t}\n", end->host, six ? "ipv6 " : "",
		six ? "[" : "", end->address, six ? "]" : "", res->port);
}

int diskrep_resource_text(const struct diskrep_resource *res, char **ret)
{
	struct end ends[] = {{res->host, res->address}, {res->peer, res->peer_address}};
	bool swap = strcmp(res->host, res->peer) > 0;
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return -ENOMEM;
	fprintf(out,
		"# Written by `romulus disk prepare`, the same on both hosts. `romulus disk check` "
		"looks\n# whether it is in force.\nresource %s {\n",
		res->name);
	write_options(out);
	write_volumes(res, out);
	write_end(res, &ends[swap], out);
	write_end(res, &ends[!swap], out);
	fprintf(out, "}\n");
	if (fclose(out) != 0) {
		free(text);
		return -ENOMEM;
	}
	*ret = text;
	return 0;
}
