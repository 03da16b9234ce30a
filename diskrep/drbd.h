/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One DRBD resource, observed and steered by DRBD's own tools: there is no library for it. Every
 * call runs a program and may take seconds; none belongs into the path of an epoch. The resource
 * must be described in DRBD's configuration (diskrep/resource.h writes that).
 */
#ifndef DISKREP_DRBD_H
#define DISKREP_DRBD_H

#include <stdbool.h>
#include <stddef.h>

#include "common/why.h"
#include "diskrep/drbd_events.h"

#define DISKREP_MAX_VOLUMES 16u /* of a resource, the marker among them */
#define DISKREP_DRBD_SUMMARY_MAX 96
#define DISKREP_DRBD_MAJOR 147 /* Linux: Documentation/admin-guide/devices.txt */

enum diskrep_drbd_connection {
	DISKREP_DRBD_STANDALONE, /* and will not connect by itself */
	DISKREP_DRBD_CONNECTING, /* tries to; or connected, and still in the handshake */
	DISKREP_DRBD_CONNECTED,  /* every volume replicates (or has no peer disk to do so) */
	DISKREP_DRBD_SYNCING,    /* connected, and a volume is being made equal */
};

struct diskrep_drbd_volume {
	int minor;
	enum diskrep_drbd_disk disk, peer_disk;
	enum diskrep_drbd_replication replication;
	int sync_percent; /* of the volume that is in sync, 0..100; -1: no resync runs */
	int64_t size_kib, out_of_sync_kib; /* -1: not known */
};

struct diskrep_drbd_status {
	bool up; /* configured in the kernel; if not, nothing below means anything */
	enum diskrep_drbd_connection connection;
	enum diskrep_drbd_role role, peer_role;
	size_t volumes;
	struct diskrep_drbd_volume volume[DISKREP_MAX_VOLUMES]; /* [volume number] */
};

/*
 * The state of @resource as `drbdsetup events2 --now --statistics` prints it: @text, @length bytes,
 * need not be a string. Pure. 0 and *ret, or -EBADMSG with a sentence: a line makes no sense, or a
 * volume number is missing or too high.
 */
int diskrep_drbd_status_parse(const char *text, size_t length, const char *resource,
	struct diskrep_drbd_status *ret, struct why *why);

/* The state of @resource now. A resource that the kernel does not know is no error: !ret->up. */
int diskrep_drbd_status(const char *resource, struct diskrep_drbd_status *ret, struct why *why);

/* Which volume of it @path is, or -1. Not the marker, which is none of the guest's. */
int diskrep_drbd_volume(const struct diskrep_drbd_status *status, const char *path);

/*
 * What `drbdsetup show --show-defaults` says of @resource (diskrep/drbd_show.h), for the caller to
 * free.
 */
int diskrep_drbd_show(const char *resource, char **ret, struct why *why);

/* One phrase for `status`: "connected, up to date", "resync to the peer 37 %". Returns @text. */
const char *diskrep_drbd_summary(
	const struct diskrep_drbd_status *status, char text[DISKREP_DRBD_SUMMARY_MAX]);

/*
 * All volumes have good data here and on a connected peer, and every write goes to both: what
 * protection needs.
 */
bool diskrep_drbd_in_step(const struct diskrep_drbd_status *status);

/* 0 when diskrep_drbd_in_step(), else -EAGAIN: what protection waits for, and what to look at. */
int diskrep_drbd_obstacle(
	const struct diskrep_drbd_status *status, const char *resource, struct why *why);

/*
 * With protocol C the module hands the pages that it sends to TCP instead of a copy, which refers
 * to them until the peer acknowledges them or the kernel gives the connection up: for minutes after
 * DRBD has, where the peer is silent. A guest's are granted pages: a dead one would keep its memory
 * and its disks open for so long. `up` tells the module to copy (disable_sendpage).
 */
bool diskrep_drbd_lends_pages(void);

/*
 * The verbs. All are idempotent: 0 as well when it is already so. Else a negative errno and a
 * sentence with what DRBD said: -EIO refused, -ETIMEDOUT, -ENOENT no tools.
 */

/* Load the module, create the resource's devices, attach the disks, begin to connect. */
int diskrep_drbd_up(const char *resource, struct why *why);

/* Disconnect, detach and forget; fails while a device is open or primary. */
int diskrep_drbd_down(const char *resource, struct why *why);

/*
 * Begin to connect; does not wait for the peer. @discard_my_data: should both sides have changed
 * alone, this side's changes are thrown away and it becomes the target of a resync: only ever for
 * the host that lost a takeover.
 */
int diskrep_drbd_connect(const char *resource, bool discard_my_data, struct why *why);

/* Go StandAlone. On a secondary this waits until the writes that it has received are done. */
int diskrep_drbd_disconnect(const char *resource, struct why *why);

/* @force: also with data that is not known to be good; makes this side the source of a resync. */
int diskrep_drbd_primary(const char *resource, bool force, struct why *why);

/* Fails while a device is open. */
int diskrep_drbd_secondary(const char *resource, struct why *why);

/* Attach the disk of each volume that has lost or not got it. */
int diskrep_drbd_attach(const char *resource, struct why *why);

/*
 * Declare the disks of all volumes identical on both hosts, which skips the first resync. Only on
 * metadata that was just created, connected, both sides secondary; DRBD refuses it otherwise.
 */
int diskrep_drbd_skip_initial_sync(const char *resource, struct why *why);

/*
 * Poll until @done says true of the state, at most @timeout_ms. 0 and *ret (the last state seen,
 * not NULL), -ETIMEDOUT with a sentence that ends in that state, or why the state is not known.
 */
int diskrep_drbd_wait(const char *resource, bool (*done)(const struct diskrep_drbd_status *),
	int timeout_ms, struct diskrep_drbd_status *ret, struct why *why);

/*
 * Version of the kernel's DRBD, "8.4.11": @size bytes at @text. -ENOENT with a sentence when the
 * module is not loaded.
 */
int diskrep_drbd_version(char *text, size_t size, struct why *why);

#endif
