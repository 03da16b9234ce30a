/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way out: the plug is drained, then the redirect goes, then the IFB. Invariant: the redirect
 * goes only when the queue is empty, and the IFB only after the redirect: no frame is lost or
 * overtaken by more than those in flight on another CPU. A removal that drops is the exception: it
 * begins with the IFB.
 */
#include <errno.h>
#include <linux/gen_stats.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/route/qdisc/plug.h>
#include <string.h>

#include "common/clock.h"
#include "common/why.h"
#include "netbuf/kernel.h"

#define DRAIN_TIMEOUT_NS (2 * NSEC_PER_SEC)
#define DRAIN_SETTLE_NS (100 * NSEC_PER_MSEC)
#define DRAIN_POLL_NS NSEC_PER_MSEC

struct ifb_stats {
	uint64_t entered; /* frames out of the plug, into the IFB's own queue */
	uint64_t left;    /* of these put back on the vif, or dropped as not redirected */
};

static void take_plug_stats(const struct nlmsghdr *reply, void *arg)
{
	struct nlattr *attrs[TCA_MAX + 1], *stats[TCA_STATS_MAX + 1];
	struct nlmsghdr *header = (struct nlmsghdr *)(uintptr_t)reply;
	struct gnet_stats_queue queue;
	struct netbuf_plug_stats *result = arg;

	if (nlmsg_parse(header, sizeof(struct tcmsg), attrs, TCA_MAX, NULL) < 0 ||
		!attrs[TCA_STATS2] ||
		nla_parse_nested(stats, TCA_STATS_MAX, attrs[TCA_STATS2], NULL) < 0 ||
		!stats[TCA_STATS_QUEUE] || nla_len(stats[TCA_STATS_QUEUE]) < (int)sizeof(queue))
		return;
	memcpy(&queue, nla_data(stats[TCA_STATS_QUEUE]), sizeof(queue));
	result->bytes = queue.backlog;
	result->packets = queue.qlen;
	result->drops = queue.drops;
}

int netbuf_read_plug(
	struct netbuf_link *link, unsigned ifb_index, struct netbuf_plug_stats *ret_stats)
{
	struct netbuf_plug_stats stats = {.bytes = UINT64_MAX};
	int err;

	err = netbuf_link_one(link, netbuf_plug_get_message(ifb_index), take_plug_stats, &stats);
	if (!err && stats.bytes == UINT64_MAX)
		err = -EPROTO;
	if (!err)
		*ret_stats = stats;
	return err;
}

static void take_ifb_stats(const struct nlmsghdr *reply, void *arg)
{
	struct nlmsghdr *header = (struct nlmsghdr *)(uintptr_t)reply;
	struct nlattr *attr = nlmsg_find_attr(header, sizeof(struct ifinfomsg), IFLA_STATS64);
	struct ifb_stats *result = arg;
	struct rtnl_link_stats64 stats = {0};
	size_t length;

	if (!attr)
		return;
	length = (size_t)nla_len(attr);
	memcpy(&stats, nla_data(attr), length < sizeof(stats) ? length : sizeof(stats));
	result->entered = stats.rx_packets;
	result->left = stats.tx_packets + stats.rx_dropped;
}

static int read_ifb(struct netbuf_link *link, unsigned ifb_index, struct ifb_stats *ret_stats)
{
	struct ifb_stats stats = {.entered = UINT64_MAX};
	int err;

	err = netbuf_link_one(
		link, netbuf_link_message(RTM_GETLINK, ifb_index, 0), take_ifb_stats, &stats);
	if (!err && stats.entered == UINT64_MAX)
		err = -EPROTO;
	if (!err)
		*ret_stats = stats;
	return err;
}

/* The object is not there, or not as we made it: removing it again is no failure. */
static bool gone(int err)
{
	return err == -ENOENT || err == -ENODEV || err == -EINVAL;
}

/*
 * Make the plug a pass-through and wait until what it held is back on the vif. Under steady traffic
 * the queue may never look empty; then it is enough that everything held at the release has left.
 * RELEASE_INDEFINITE is repeated since a frame that is dequeued at the same moment can make the
 * qdisc throttle itself again (net/sched/sch_plug.c, no lock in plug_change).
 */
static int drain(struct netbuf_link *link, unsigned ifb_index)
{
	const struct timespec poll = {.tv_nsec = DRAIN_POLL_NS};
	uint64_t begin = clock_now_ns(), held = 0;
	unsigned empty = 0;

	for (bool first = true;; first = false) {
		struct netbuf_plug_stats plug;
		struct ifb_stats ifb;
		uint64_t waited;
		int err;

		err = netbuf_link_one(link,
			netbuf_plug_message(ifb_index, rtnl_qdisc_plug_release_indefinite), NULL,
			NULL);
		if (!err)
			err = netbuf_read_plug(link, ifb_index, &plug);
		if (!err)
			err = read_ifb(link, ifb_index, &ifb);
		if (err)
			return err;
		if (first)
			held = ifb.entered + plug.packets;
		/* Twice, since a frame may be on its way into the plug on another CPU. */
		empty = !plug.packets && ifb.left >= ifb.entered ? empty + 1 : 0;
		if (empty == 2)
			return 0;
		waited = clock_now_ns() - begin;
		if (waited > DRAIN_SETTLE_NS && ifb.left >= held)
			return 0;
		if (waited > DRAIN_TIMEOUT_NS)
			return -ETIMEDOUT;
		nanosleep(&poll, NULL);
	}
}

static int remove_ifb(struct netbuf_link *link, unsigned ifb_index)
{
	int err;

	if (!ifb_index)
		return 0;
	err = netbuf_link_one(link, netbuf_link_message(RTM_DELLINK, ifb_index, 0), NULL, NULL);
	return err == -ENODEV ? 0 : err;
}

static int remove_redirect(struct netbuf_link *link, unsigned vif_index)
{
	int err;

	if (!vif_index)
		return 0;
	err = netbuf_link_one(link, netbuf_clsact_message(vif_index, false), NULL, NULL);
	return gone(err) ? 0 : err;
}

int netbuf_clear_vif(struct netbuf_link *link, const char *vif, const char *ifb, bool redirected,
	int release, struct why *why)
{
	unsigned ifb_index = if_nametoindex(ifb);
	unsigned vif_index = redirected ? if_nametoindex(vif) : 0;
	int err = 0;

	/* Dropping: with its target gone the redirect drops too, so nothing held gets out. */
	if (!release)
		err = remove_ifb(link, ifb_index);
	if (release && ifb_index)
		err = drain(link, ifb_index);
	if (err && !gone(err))
		return why_set(why, err,
			"cannot empty the output buffer %s of %s: %s; the guest's output may stay "
			"held",
			ifb, vif, netbuf_link_said(link, err));
	err = remove_redirect(link, vif_index);
	if (err)
		return why_set(why, err,
			"cannot remove the redirect from %s to %s: %s; the guest's output takes a "
			"detour",
			vif, ifb, netbuf_link_said(link, err));
	if (!release || !ifb_index)
		return ifb_index || vif_index;
	/* Again, for what entered between the last look and the end of the redirect. */
	err = drain(link, ifb_index);
	if (!err || gone(err))
		err = remove_ifb(link, ifb_index);
	if (err)
		return why_set(why, err, "cannot remove the output buffer %s of %s: %s", ifb, vif,
			netbuf_link_said(link, err));
	return 1;
}

int netbuf_kernel_sweep(const struct netbuf_state *state, int release, struct why *why)
{
	struct netbuf_link *link;
	int cleared = 0, first_err;

	first_err = netbuf_link_open(&link);
	if (first_err)
		return why_set(why, first_err, "cannot talk to the kernel's network: %s",
			strerror(-first_err));
	for (size_t i = 0; i < state->count; i++) {
		int err = netbuf_clear_vif(link, state->vifs[i].vif, state->vifs[i].ifb, true,
			release, first_err ? NULL : why);

		if (err >= 0)
			cleared += err;
		else if (!first_err)
			first_err = err;
	}
	netbuf_link_close(link);
	return first_err ? first_err : cleared;
}
