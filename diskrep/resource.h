/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's replicated disks as one DRBD resource: its data volumes 0..k-1 and the marker volume
 * k, each on a lower device over the real disk, with external metadata. This file knows how such a
 * resource is set up, checked, started and stopped; drbd.h steers one that exists.
 */
#ifndef DISKREP_RESOURCE_H
#define DISKREP_RESOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/why.h"
#include "diskrep/drbd.h"

#define DISKREP_CONFIG_DIR "/etc/drbd.d"
#define DISKREP_RESOURCE_NAME_MAX 48 /* a lower device's name has room for 127 */
#define DISKREP_LOWER_NAME_MAX 80
#define DISKREP_MARKER_LEAST_SECTORS 8u         /* one marker of 4 KiB */
#define DISKREP_MARKER_MOST_SECTORS (64u << 11) /* more is a mistake: 64 MiB */

/* The strings belong to whoever fills this in. */
struct diskrep_resource {
	const char *name;                   /* letters, digits, '.', '_' and '-' */
	const char *const *volumes;         /* the real disks on this host, without the marker */
	size_t volumes_n;                   /* 1..DISKREP_MAX_VOLUMES - 1 */
	const char *marker, *meta;          /* devices on this host */
	unsigned int port;                  /* TCP, the same on both hosts */
	unsigned int minor;                 /* of volume 0; the others follow, the marker is last */
	const char *host, *peer;            /* as `uname -n` says on each */
	const char *address, *peer_address; /* numeric, IPv4 or IPv6: the replication link */
	const char *config_dir;             /* NULL: DISKREP_CONFIG_DIR, which DRBD reads */
};

/* All that can be said without looking at the host. 0 or -EINVAL with a sentence. */
int diskrep_resource_validate(const struct diskrep_resource *res, struct why *why);

/* The resource's number of volumes, the marker among them. */
size_t diskrep_resource_volumes(const struct diskrep_resource *res);

/* The real disk of volume @volume; the marker's for the last. */
const char *diskrep_resource_disk(const struct diskrep_resource *res, size_t volume);

/* "romulus-RES-V": name of the lower device of a volume, as lower.h takes it. */
void diskrep_resource_lower(const char *resource, size_t volume, char name[DISKREP_LOWER_NAME_MAX]);

/* "romulus-RES-V-meta": name of the device with a volume's metadata. */
void diskrep_resource_meta(const char *resource, size_t volume, char name[DISKREP_LOWER_NAME_MAX]);

/* Path of the resource's file: @size bytes at @path. */
void diskrep_resource_path(const struct diskrep_resource *res, char *path, size_t size);

/*
 * The text of the resource's file, the same on both hosts: *ret is the caller's to free. 0 or
 * -ENOMEM.
 */
int diskrep_resource_text(const struct diskrep_resource *res, char **ret);

/* One line of the file: "KEY VALUE;" in SECTION ("disk": of every volume). */
struct diskrep_option {
	const char *section, *key, *value;
	const char *because; /* what is not true any more with another value; NULL: may be tuned */
};

/* The options in order; NULL after the last. */
const struct diskrep_option *diskrep_resource_option(size_t i);

/* Whether the order of the writes hangs on it, and with it every checkpoint. */
bool diskrep_resource_option_orders(const struct diskrep_option *o);

/* Called with each line for the operator: one phrase, no line end. */
typedef void diskrep_resource_say(void *data, const char *text);

struct diskrep_prepare {
	bool yes;   /* do it; else only say what would be done */
	bool force; /* overwrite a foreign file, a label, DRBD's metadata: all is to be synced again
		     */
	bool initial_primary; /* this host's disks are the good ones; it becomes primary */
	bool clean;           /* with that: the disks are identical already, no first resync */
	unsigned int wait_s;  /* with clean: how long the peer may take to connect */
	diskrep_resource_say *say;
	void *data;
};

/*
 * Set the resource up on this host, step by step; a step that is done already is said to be so. 0
 * or a negative errno with a sentence; what was done until then stays and the next call goes on.
 */
int diskrep_resource_prepare(
	const struct diskrep_resource *res, const struct diskrep_prepare *how, struct why *why);

/*
 * Compare what is with what must be. Each deviation is said. Returns their number, or a negative
 * errno with a sentence when that could not be found out. @note: what is no deviation but worth
 * knowing, may be NULL.
 */
int diskrep_resource_check(const struct diskrep_resource *res, diskrep_resource_say *deviation,
	diskrep_resource_say *note, void *data, struct why *why);

/*
 * 0 when DRBD is told, in the kernel and now, to keep the order of writes on all @volumes of
 * @resource here: else -EINVAL and where it is not. The markers might come too early.
 */
int diskrep_resource_orders(const char *resource, size_t volumes, struct why *why);

/*
 * Create the devices, onto the real disks, and start DRBD: at boot. Nothing is touched when the
 * resource is up already, as its lower devices may then be on the undo store.
 */
int diskrep_resource_up(const struct diskrep_resource *res, struct why *why);

/* Stop DRBD and remove the devices. -EIO while the resource is in use. */
int diskrep_resource_down(const struct diskrep_resource *res, struct why *why);

/*
 * Create the lower devices and those of the metadata, onto the real disks; where DRBD is down and
 * one maps elsewhere it is made anew.
 */
int diskrep_resource_devices(const struct diskrep_resource *res, struct why *why);

#endif
