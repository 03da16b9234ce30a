/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Output commit on the network: holds every frame that a domain sends until the epoch that
 * produced it is acknowledged.
 *
 * Guest egress is ingress on the vif in dom0, where nothing can queue; so each vif is redirected
 * (ingress qdisc, matchall, protocol all, mirred) to an IFB of its own whose root qdisc is
 * sch_plug. One closed and unreleased epoch at a time: a second BUFFER before RELEASE_ONE would let
 * uncommitted packets go (net/sched/sch_plug.c); asserted here.
 *
 * May use common/ only. Not thread safe: one owner per struct netbuf.
 */
#ifndef NETBUF_NETBUF_H
#define NETBUF_NETBUF_H

#include <stddef.h>
#include <stdint.h>

struct why;
struct netbuf;

#define NETBUF_MAX_VIFS 16
#define NETBUF_DEFAULT_LIMIT (64u * 1024u * 1024u) /* bytes held per vif before tail drop */

/* Contract of a backend; `kernel` is the product, `null` is for tests (holds nothing). */
struct netbuf_ops {
	const char *name;
	/* Install redirect and plug on every vif; from here output is held. All or nothing. */
	int (*install)(struct netbuf *nb, struct why *why);
	/* Close the open epoch (BUFFER on every vif). Inside the pause: prebuilt messages only. */
	int (*close_epoch)(struct netbuf *nb, struct why *why);
	/* Let the closed epoch go (RELEASE_ONE on every vif). */
	int (*release_epoch)(struct netbuf *nb, struct why *why);
	/* Let everything go, in order, then remove redirect, plug and IFB. Idempotent. */
	int (*remove)(struct netbuf *nb, struct why *why);
};

/*
 * @uuid: domain; names the state file. @vifs: names of the back ends in dom0 ("vif3.0"), copied.
 * @limit: bytes per vif. @state_dir: where ownership is recorded ("/run/romulus/netbuf"), copied;
 * must not survive a boot, since the objects do not. Returns NULL on no memory or too many vifs.
 */
struct netbuf *netbuf_new(const struct netbuf_ops *ops, const char *uuid, const char *const *vifs,
	size_t count, uint32_t limit, const char *state_dir);
struct netbuf *netbuf_free(struct netbuf *nb); /* does not touch the kernel; returns NULL */

extern const struct netbuf_ops netbuf_kernel_ops;
extern const struct netbuf_ops netbuf_null_ops;

int netbuf_install(struct netbuf *nb, struct why *why);
int netbuf_close_epoch(struct netbuf *nb, struct why *why);
int netbuf_release_epoch(struct netbuf *nb, struct why *why);
int netbuf_remove(struct netbuf *nb, struct why *why);

/* Number of bytes and packets waiting, summed over the vifs (qdisc statistics). 0 or -errno. */
int netbuf_backlog(
	struct netbuf *nb, uint64_t *ret_bytes, uint64_t *ret_packets, uint64_t *ret_drops);

/*
 * Find what an earlier process of ours left behind for @uuid (NULL: for any domain) in @state_dir
 * and remove it, letting held frames go (@release) or dropping them. For restarted daemons and
 * workers. Returns the number of vifs cleared or a negative errno.
 */
int netbuf_sweep(const char *state_dir, const char *uuid, int release, struct why *why);

#endif
