/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's NBD client, on a unix socket of this host; by nbd-client(8) over netlink. */
#ifndef DISKREP_NBD_H
#define DISKREP_NBD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/why.h"

/*
 * Attach export @export_name of the server at the unix socket @socket to a free /dev/nbdX, whose
 * path is then at @ret_device (@size bytes). The kernel holds the connection: nothing of it dies
 * with the caller, and it has no time-out. Logical sectors of @block bytes, which must be those of
 * the disk behind it: a guest that finds other ones after a takeover has a broken disk. Requests as
 * large as DRBD makes them. 0 or a negative errno with a sentence: -EBUSY no device is free.
 */
int diskrep_nbd_attach(const char *socket, const char *export_name, uint32_t block,
	char *ret_device, size_t size, struct why *why);

/*
 * End the connection of @device (/dev/nbdX) and wait until it is free. 0 also when it was; -EBUSY
 * while it is open elsewhere: pulling it away would fail the writes that are under way.
 */
int diskrep_nbd_detach(const char *device, struct why *why);

/*
 * End the connection of @device (/dev/nbdX) whose server is dead, whoever has it open: what is
 * under way fails. Without a time-out nothing else would ever end it.
 */
int diskrep_nbd_cut(const char *device, struct why *why);

/* A number that tells the connection of /dev/nbdX from any other that it may have; -1: it has none.
 */
long diskrep_nbd_connection(const char *device);

/* Whether /dev/nbdX has a connection, of whomever. */
bool diskrep_nbd_in_use(const char *device);

#endif
