/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines of `drbdsetup events2` as structs. Pure: no I/O, no allocation. What DRBD 8.4's drbdsetup
 * prints and what DRBD 9's does differ in keys that are not read here; unknown keys, events and
 * states are passed over, so that a newer tool does not break an older Romulus.
 * Source: drbd-utils 9.22 user/v84/drbdsetup.c, print_notifications() and event_key().
 */
#ifndef DISKREP_DRBD_EVENTS_H
#define DISKREP_DRBD_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#define DISKREP_DRBD_NAME_MAX 64

enum diskrep_drbd_action {
	DISKREP_DRBD_OTHER, /* not one of these: helpers, "- skipped", what is not known yet */
	DISKREP_DRBD_EXISTS,
	DISKREP_DRBD_CREATE,
	DISKREP_DRBD_CHANGE,
	DISKREP_DRBD_DESTROY,
};

enum diskrep_drbd_object {
	DISKREP_DRBD_NO_OBJECT, /* "exists -": the initial state is complete */
	DISKREP_DRBD_RESOURCE,
	DISKREP_DRBD_CONNECTION,
	DISKREP_DRBD_DEVICE,
	DISKREP_DRBD_PEER_DEVICE,
};

enum diskrep_drbd_role {
	DISKREP_DRBD_ROLE_UNKNOWN,
	DISKREP_DRBD_PRIMARY,
	DISKREP_DRBD_SECONDARY,
};

/* In DRBD's order: the worse the lower, except that UNKNOWN says nothing. */
enum diskrep_drbd_disk {
	DISKREP_DRBD_DISK_UNKNOWN,
	DISKREP_DRBD_DISKLESS,
	DISKREP_DRBD_ATTACHING,
	DISKREP_DRBD_FAILED,
	DISKREP_DRBD_NEGOTIATING,
	DISKREP_DRBD_INCONSISTENT,
	DISKREP_DRBD_OUTDATED,
	DISKREP_DRBD_CONSISTENT,
	DISKREP_DRBD_UP_TO_DATE,
};

enum diskrep_drbd_link {
	DISKREP_DRBD_LINK_UNKNOWN,
	DISKREP_DRBD_LINK_STANDALONE, /* and disconnecting: will not connect by itself */
	DISKREP_DRBD_LINK_CONNECTING, /* tries, or has just lost the peer and will try again */
	DISKREP_DRBD_LINK_CONNECTED,
};

enum diskrep_drbd_replication {
	DISKREP_DRBD_REPLICATION_UNKNOWN,
	DISKREP_DRBD_REPLICATION_OFF,
	DISKREP_DRBD_ESTABLISHED,
	DISKREP_DRBD_SYNC_SOURCE, /* and the states on the way there, and paused */
	DISKREP_DRBD_SYNC_TARGET,
	DISKREP_DRBD_VERIFY,
	DISKREP_DRBD_AHEAD_BEHIND, /* congestion: the peer is not kept up to date */
};

/* A member that the line does not mention is 0 (UNKNOWN) or -1. */
struct diskrep_drbd_event {
	enum diskrep_drbd_action action;
	enum diskrep_drbd_object object;
	char resource[DISKREP_DRBD_NAME_MAX + 1];
	int32_t volume, minor;
	enum diskrep_drbd_role role; /* of a connection: the peer's */
	enum diskrep_drbd_link connection;
	enum diskrep_drbd_disk disk; /* of a peer device: the peer's */
	enum diskrep_drbd_replication replication;
	int64_t size_kib;        /* of a device */
	int64_t out_of_sync_kib; /* of a peer device */
};

/*
 * One line, @length bytes at @line, with or without its line end; nothing beyond is read and it
 * need not be a string. 0 and *ret, or -EBADMSG when a number or a name in it cannot be right.
 */
int diskrep_drbd_event_parse(const char *line, size_t length, struct diskrep_drbd_event *ret);

#endif
