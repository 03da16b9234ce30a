/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network of a drill: for each bridge of the domain one of its own, with no way out. What
 * belongs to it is told by its names, so that it can be removed by whoever comes later:
 * "rd0123abcd.0" and so on, the digits being a checksum of the domain's uuid.
 */
#ifndef NETBUF_BUBBLE_H
#define NETBUF_BUBBLE_H

#include <net/if.h>
#include <stdbool.h>
#include <sys/types.h>

struct why;

#define NETBUF_BUBBLE_MAX 10u /* bridges */

/* The bridge that stands for number @i (less than NETBUF_BUBBLE_MAX) of those of @uuid's domain. */
void netbuf_bubble_name(const char *uuid, unsigned int i, char ret[IFNAMSIZ]);

/* Make @n bridges. What was left of an earlier one goes first. 0, or a negative errno. */
int netbuf_bubble_open(const char *uuid, unsigned int n, struct why *why);

/*
 * Give the network namespace of process @pid an interface "drill" on @bridge, which need not be of
 * a bubble: that keeps its own address and MTU. The interface ends with the namespace, a moment
 * later, or with netbuf_bubble_close().
 */
int netbuf_bubble_join(const char *uuid, const char *bridge, pid_t pid, struct why *why);

/*
 * In that namespace: the interface is up, and has @address, "192.0.2.9/24" or the like. @shared:
 * the bridge is no bubble's, and somebody else might have it too.
 */
int netbuf_bubble_address(const char *address, bool shared, struct why *why);

/* Remove all of it; 0 also when there is nothing. */
int netbuf_bubble_close(const char *uuid, struct why *why);

#endif
