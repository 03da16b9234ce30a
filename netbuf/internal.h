/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of netbuf/ share; nobody outside includes this but the tests. */
#ifndef NETBUF_INTERNAL_H
#define NETBUF_INTERNAL_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netbuf/netbuf.h"

struct nl_msg;
struct nl_sock;
struct nlmsghdr;

/* netbuf.c */

enum netbuf_phase {
	NETBUF_ABSENT, /* nothing of ours in the kernel */
	NETBUF_OPEN,   /* held, no closed epoch */
	NETBUF_CLOSED, /* held, one closed and unreleased epoch */
	NETBUF_BROKEN, /* a command failed halfway: only remove is left */
};

struct netbuf_vif {
	char *name;
	char ifb[IFNAMSIZ];
};

struct netbuf {
	const struct netbuf_ops *ops;
	char *uuid;
	char *state_dir;
	uint32_t limit;
	size_t count;
	struct netbuf_vif vifs[NETBUF_MAX_VIFS];
	enum netbuf_phase phase;

	/* Set by a backend's install if it needs them. */
	void *backend;
	void (*backend_free)(void *backend);
	int (*backend_backlog)(
		struct netbuf *nb, uint64_t *ret_bytes, uint64_t *ret_packets, uint64_t *ret_drops);
};

/* What the kernel takes for a name of an interface (dev_valid_name in net/core/dev.c). */
bool netbuf_valid_ifname(const char *name);

/* The IFB of @vif: "rb3.0" for vif3.0. 0, -EINVAL, or -ENAMETOOLONG. */
int netbuf_ifb_name(const char *vif, char ret_ifb[IFNAMSIZ]);

/* state.c */

struct netbuf_state {
	size_t count;
	struct {
		char vif[IFNAMSIZ];
		char ifb[IFNAMSIZ];
	} vifs[NETBUF_MAX_VIFS];
};

/* May @uuid be a file name? */
bool netbuf_valid_uuid(const char *uuid);

/* Write DIR/UUID as a whole, making DIR. -EEXIST when there is one: sweep first. */
int netbuf_state_write(
	const char *dir, const char *uuid, const struct netbuf_state *state, struct why *why);

/* -ENOENT when there is none, -EBADMSG when it is malformed. */
int netbuf_state_read(
	const char *dir, const char *uuid, struct netbuf_state *ret_state, struct why *why);

/* 0 also when there is none. */
int netbuf_state_unlink(const char *dir, const char *uuid, struct why *why);

/* removal.c */

/*
 * Remove the objects that @state names, as netbuf_sweep does. Returns the number of vifs of which
 * something was left or a negative errno.
 */
int netbuf_kernel_sweep(const struct netbuf_state *state, int release, struct why *why);

/* netlink.c */

/* Requests that go out in one sendmsg; the kernel answers each. */
struct netbuf_batch {
	uint8_t *bytes;
	size_t length;
	size_t count;
};

struct netbuf_link; /* a route netlink socket */

typedef void (*netbuf_reply)(const struct nlmsghdr *reply, void *arg);

int netbuf_link_open(struct netbuf_link **ret_link);
struct netbuf_link *netbuf_link_close(struct netbuf_link *link);

/* Append a copy of @msg, which is consumed also on failure. @msg may be NULL: -ENOMEM. */
int netbuf_batch_append(struct netbuf_batch *batch, struct nl_msg *msg);
void netbuf_batch_dispose(struct netbuf_batch *batch);

/*
 * Send all requests of @batch and wait for every answer. All are attempted; returns 0 or the
 * kernel's first -errno with the index of that request in @ret_failed (may be NULL). Data that
 * comes before an answer goes to @reply (may be NULL). Allocates nothing.
 */
int netbuf_link_batch(struct netbuf_link *link, struct netbuf_batch *batch, size_t *ret_failed,
	netbuf_reply reply, void *arg);

/* The same for one request, which is consumed. */
int netbuf_link_one(struct netbuf_link *link, struct nl_msg *msg, netbuf_reply reply, void *arg);

/* What the kernel said about the last failure (extended ack), or strerror(@err). */
const char *netbuf_link_said(const struct netbuf_link *link, int err);

#endif
