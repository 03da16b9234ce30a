/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The product's backend: per vif an IFB whose root qdisc is sch_plug, and on the vif a clsact qdisc
 * with one matchall filter for all protocols (IPv4, IPv6, ARP, VLAN, anything) that redirects what
 * the guest sends to the IFB. The IFB puts released frames back where they were taken, so the
 * bridge sees them as if they had just arrived (drivers/net/ifb.c, net/sched/act_mirred.c).
 *
 * Invariants. The plug exists, plugged and with its limit, before a redirect leads to it: no frame
 * escapes. The redirect goes only when the queue is empty, and the IFB only after the redirect: no
 * frame is lost or overtaken by more than those in flight on another CPU. Objects are named in the
 * state file before they are made.
 *
 * plug_change() takes no qdisc lock while plug_enqueue() counts the epoch's frames, so BUFFER must
 * come when the vif is quiet: late in the guest's pause.
 */
#include <errno.h>
#include <linux/gen_stats.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/route/act/mirred.h>
#include <netlink/route/action.h>
#include <netlink/route/classifier.h>
#include <netlink/route/cls/matchall.h>
#include <netlink/route/link.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/qdisc/plug.h>
#include <netlink/route/tc.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/why.h"
#include "netbuf/internal.h"

#define PLUG_HANDLE TC_HANDLE(1, 0)
#define REDIRECT_PRIORITY 1
/* The IFB's own queue behind the plug, in frames: a release hands over a whole epoch at once. */
#define IFB_QUEUE_LENGTH 65536
#define DRAIN_TIMEOUT_NS (2 * NSEC_PER_SEC)
#define DRAIN_SETTLE_NS (100 * NSEC_PER_MSEC)
#define DRAIN_POLL_NS NSEC_PER_MSEC

struct kernel {
	struct netbuf_link *link;
	struct netbuf_batch close;
	struct netbuf_batch release;
	unsigned ifb_index[NETBUF_MAX_VIFS];
};

struct plug_stats {
	uint64_t bytes;
	uint64_t packets;
	uint64_t drops;
};

struct ifb_stats {
	uint64_t entered; /* frames out of the plug, into the IFB's own queue */
	uint64_t left;    /* of these put back on the vif, or dropped as not redirected */
};

typedef int (*plug_action)(struct rtnl_qdisc *qdisc);

/* Messages */

static void cleanup_qdiscp(struct rtnl_qdisc **qdisc)
{
	rtnl_qdisc_put(*qdisc);
}

static void cleanup_linkp(struct rtnl_link **link)
{
	if (*link)
		rtnl_link_put(*link);
}

static void cleanup_clsp(struct rtnl_cls **cls)
{
	rtnl_cls_put(*cls);
}

#define CLEANUP_QDISC __attribute__((cleanup(cleanup_qdiscp)))
#define CLEANUP_RTNL_LINK __attribute__((cleanup(cleanup_linkp)))
#define CLEANUP_CLS __attribute__((cleanup(cleanup_clsp)))

static struct rtnl_qdisc *plug_qdisc(unsigned ifb_index)
{
	struct rtnl_qdisc *qdisc = rtnl_qdisc_alloc();

	if (!qdisc)
		return NULL;
	rtnl_tc_set_ifindex(TC_CAST(qdisc), (int)ifb_index);
	rtnl_tc_set_parent(TC_CAST(qdisc), TC_H_ROOT);
	/* With the handle the kernel refuses to change a root qdisc that is not ours. */
	rtnl_tc_set_handle(TC_CAST(qdisc), PLUG_HANDLE);
	if (rtnl_tc_set_kind(TC_CAST(qdisc), "plug") < 0) {
		rtnl_qdisc_put(qdisc);
		return NULL;
	}
	return qdisc;
}

static struct nl_msg *plug_add_message(unsigned ifb_index, uint32_t limit)
{
	CLEANUP_QDISC struct rtnl_qdisc *qdisc = plug_qdisc(ifb_index);
	struct nl_msg *msg = NULL;

	if (!qdisc ||
		rtnl_qdisc_plug_set_limit(qdisc, (int)(limit > INT32_MAX ? INT32_MAX : limit)))
		return NULL;
	return rtnl_qdisc_build_add_request(qdisc, NLM_F_CREATE | NLM_F_EXCL, &msg) < 0 ? NULL
											: msg;
}

static struct nl_msg *plug_message(unsigned ifb_index, plug_action action)
{
	CLEANUP_QDISC struct rtnl_qdisc *qdisc = plug_qdisc(ifb_index);
	struct nl_msg *msg = NULL;

	if (!qdisc || action(qdisc) < 0)
		return NULL;
	return rtnl_qdisc_build_add_request(qdisc, 0, &msg) < 0 ? NULL : msg;
}

static struct nl_msg *clsact_message(unsigned vif_index, bool add)
{
	CLEANUP_QDISC struct rtnl_qdisc *qdisc = rtnl_qdisc_alloc();
	struct nl_msg *msg = NULL;
	int err;

	if (!qdisc)
		return NULL;
	rtnl_tc_set_ifindex(TC_CAST(qdisc), (int)vif_index);
	rtnl_tc_set_parent(TC_CAST(qdisc), TC_H_CLSACT);
	rtnl_tc_set_handle(TC_CAST(qdisc), TC_H_MAKE(TC_H_CLSACT, 0));
	if (rtnl_tc_set_kind(TC_CAST(qdisc), "clsact") < 0)
		return NULL;
	err = add ? rtnl_qdisc_build_add_request(qdisc, NLM_F_CREATE | NLM_F_EXCL, &msg)
		  : rtnl_qdisc_build_delete_request(qdisc, &msg);
	return err < 0 ? NULL : msg;
}

static struct nl_msg *redirect_message(unsigned vif_index, unsigned ifb_index)
{
	CLEANUP_CLS struct rtnl_cls *cls = rtnl_cls_alloc();
	struct rtnl_act *act = rtnl_act_alloc();
	struct nl_msg *msg = NULL;

	if (!cls || !act)
		goto out;
	rtnl_tc_set_ifindex(TC_CAST(cls), (int)vif_index);
	rtnl_tc_set_parent(TC_CAST(cls), TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS));
	rtnl_cls_set_prio(cls, REDIRECT_PRIORITY);
	rtnl_cls_set_protocol(cls, ETH_P_ALL);
	if (rtnl_tc_set_kind(TC_CAST(cls), "matchall") < 0 ||
		rtnl_tc_set_kind(TC_CAST(act), "mirred") < 0 ||
		rtnl_mirred_set_action(act, TCA_EGRESS_REDIR) < 0 ||
		rtnl_mirred_set_policy(act, TC_ACT_STOLEN) < 0 ||
		rtnl_mirred_set_ifindex(act, ifb_index) < 0 ||
		rtnl_mall_append_action(cls, act) < 0)
		goto out;
	if (rtnl_cls_build_add_request(cls, NLM_F_CREATE | NLM_F_EXCL, &msg) < 0)
		msg = NULL;
out:
	if (act)
		rtnl_act_put(act); /* the filter holds its own reference */
	return msg;
}

static struct nl_msg *ifb_add_message(const char *name)
{
	CLEANUP_RTNL_LINK struct rtnl_link *ifb = rtnl_link_alloc();
	struct nl_msg *msg = NULL;

	if (!ifb || rtnl_link_set_type(ifb, "ifb") < 0)
		return NULL;
	rtnl_link_set_name(ifb, name);
	rtnl_link_set_txqlen(ifb, IFB_QUEUE_LENGTH);
	return rtnl_link_build_add_request(ifb, NLM_F_CREATE | NLM_F_EXCL, &msg) < 0 ? NULL : msg;
}

static struct nl_msg *link_message(int type, unsigned index, unsigned flags)
{
	struct ifinfomsg info = {
		.ifi_family = AF_UNSPEC,
		.ifi_index = (int)index,
		.ifi_flags = flags,
		.ifi_change = flags,
	};
	struct nl_msg *msg = nlmsg_alloc_simple(type, 0);

	if (msg && nlmsg_append(msg, &info, sizeof(info), NLMSG_ALIGNTO) < 0) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

/* Statistics */

static void take_plug_stats(const struct nlmsghdr *reply, void *arg)
{
	struct nlattr *attrs[TCA_MAX + 1], *stats[TCA_STATS_MAX + 1];
	struct nlmsghdr *header = (struct nlmsghdr *)(uintptr_t)reply;
	struct gnet_stats_queue queue;
	struct plug_stats *result = arg;

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

static int read_plug(struct netbuf_link *link, unsigned ifb_index, struct plug_stats *ret_stats)
{
	struct tcmsg tc = {
		.tcm_family = AF_UNSPEC,
		.tcm_ifindex = (int)ifb_index,
		.tcm_parent = TC_H_ROOT,
		.tcm_handle = PLUG_HANDLE,
	};
	/* Before 6.6 a qdisc that is asked for is sent to the group only, unless echoed. */
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETQDISC, NLM_F_ECHO);
	struct plug_stats stats = {.bytes = UINT64_MAX};
	int err;

	if (!msg || nlmsg_append(msg, &tc, sizeof(tc), NLMSG_ALIGNTO) < 0) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	err = netbuf_link_one(link, msg, take_plug_stats, &stats);
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
		link, link_message(RTM_GETLINK, ifb_index, 0), take_ifb_stats, &stats);
	if (!err && stats.entered == UINT64_MAX)
		err = -EPROTO;
	if (!err)
		*ret_stats = stats;
	return err;
}

/* Removal */

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
		struct plug_stats plug;
		struct ifb_stats ifb;
		uint64_t waited;
		int err;

		err = netbuf_link_one(link,
			plug_message(ifb_index, rtnl_qdisc_plug_release_indefinite), NULL, NULL);
		if (!err)
			err = read_plug(link, ifb_index, &plug);
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
	err = netbuf_link_one(link, link_message(RTM_DELLINK, ifb_index, 0), NULL, NULL);
	return err == -ENODEV ? 0 : err;
}

static int remove_redirect(struct netbuf_link *link, unsigned vif_index)
{
	int err;

	if (!vif_index)
		return 0;
	err = netbuf_link_one(link, clsact_message(vif_index, false), NULL, NULL);
	return gone(err) ? 0 : err;
}

/*
 * Remove what is left of one vif's buffer; @redirected: the clsact qdisc is ours. Returns 1 if
 * there was something, 0 if not, or a negative errno.
 */
static int clear_vif(struct netbuf_link *link, const char *vif, const char *ifb, bool redirected,
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
		int err = clear_vif(link, state->vifs[i].vif, state->vifs[i].ifb, true, release,
			first_err ? NULL : why);

		if (err >= 0)
			cleared += err;
		else if (!first_err)
			first_err = err;
	}
	netbuf_link_close(link);
	return first_err ? first_err : cleared;
}

/* Installation */

static void kernel_free(void *backend)
{
	struct kernel *k = backend;

	if (!k)
		return;
	netbuf_link_close(k->link);
	netbuf_batch_dispose(&k->close);
	netbuf_batch_dispose(&k->release);
	free(k);
}

/*
 * dom0's own IPv6 stack would send router solicitations into the plug. Only tidiness: they are
 * dropped behind it (drivers/net/ifb.c takes redirected frames only), so failures do not matter.
 */
static void silence_ifb(const char *ifb)
{
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", ifb);
	f = fopen(path, "we");
	if (!f)
		return;
	fputs("1\n", f);
	fclose(f);
}

/* An IFB, down; then the plug, so that it is there when the IFB comes up. */
static int make_plug(struct netbuf *nb, size_t i, bool *ret_made, struct why *why)
{
	const struct netbuf_vif *vif = &nb->vifs[i];
	struct kernel *k = nb->backend;
	int err;

	err = netbuf_link_one(k->link, ifb_add_message(vif->ifb), NULL, NULL);
	if (err == -EEXIST)
		return why_set(why, err,
			"network interface %s exists already; an earlier process left it: sweep "
			"first",
			vif->ifb);
	if (err)
		return why_set(why, err,
			"cannot make the interface %s to hold the output of %s: %s%s", vif->ifb,
			vif->name, netbuf_link_said(k->link, err),
			err == -EOPNOTSUPP ? " (is the kernel module ifb there?)" : "");
	*ret_made = true;
	k->ifb_index[i] = if_nametoindex(vif->ifb);
	if (!k->ifb_index[i])
		return why_set(
			why, -ENODEV, "the interface %s vanished while it was set up", vif->ifb);
	silence_ifb(vif->ifb);
	err = netbuf_link_one(k->link, plug_add_message(k->ifb_index[i], nb->limit), NULL, NULL);
	if (err)
		return why_set(why, err == -ENOENT ? -EOPNOTSUPP : err,
			"cannot put a plug on %s to hold the output of %s: %s%s", vif->ifb,
			vif->name, netbuf_link_said(k->link, err),
			err == -ENOENT ? " (is the kernel module sch_plug there?)" : "");
	err = netbuf_link_one(
		k->link, link_message(RTM_NEWLINK, k->ifb_index[i], IFF_UP), NULL, NULL);
	if (err)
		return why_set(why, err, "cannot bring up %s: %s", vif->ifb,
			netbuf_link_said(k->link, err));
	return 0;
}

static int make_redirect(struct netbuf *nb, size_t i, bool *ret_redirected, struct why *why)
{
	const struct netbuf_vif *vif = &nb->vifs[i];
	unsigned vif_index = if_nametoindex(vif->name);
	struct kernel *k = nb->backend;
	int err;

	if (!vif_index)
		return why_set(why, -ENODEV,
			"there is no network interface %s to hold the output of; is the domain "
			"running?",
			vif->name);
	err = netbuf_link_one(k->link, clsact_message(vif_index, true), NULL, NULL);
	if (err == -EEXIST)
		return why_set(why, err,
			"%s has an ingress qdisc already; remove it (tc qdisc show dev %s) to "
			"protect "
			"the domain",
			vif->name, vif->name);
	if (!err) {
		*ret_redirected = true;
		err = netbuf_link_one(
			k->link, redirect_message(vif_index, k->ifb_index[i]), NULL, NULL);
	}
	if (err)
		return why_set(why, err == -ENOENT ? -EOPNOTSUPP : err,
			"cannot redirect the output of %s to %s: %s%s", vif->name, vif->ifb,
			netbuf_link_said(k->link, err),
			err == -ENOENT ? " (are cls_matchall and act_mirred there?)" : "");
	return 0;
}

/* The messages of the epochs, built before there are epochs. */
static int prepare(struct netbuf *nb)
{
	/* With the fault every BUFFER is a pass-through, or the first close would plug again. */
	plug_action close = fault_point(FAULT_PLUG_BYPASS) ? rtnl_qdisc_plug_release_indefinite
							   : rtnl_qdisc_plug_buffer;
	struct kernel *k = nb->backend;
	int err = 0;

	for (size_t i = 0; i < nb->count && !err; i++) {
		err = netbuf_batch_append(&k->close, plug_message(k->ifb_index[i], close));
		if (!err)
			err = netbuf_batch_append(&k->release,
				plug_message(k->ifb_index[i], rtnl_qdisc_plug_release_one));
	}
	if (!err && close != rtnl_qdisc_plug_buffer)
		err = netbuf_link_batch(k->link, &k->close, NULL, NULL, NULL);
	return err;
}

static int kernel_backlog(
	struct netbuf *nb, uint64_t *ret_bytes, uint64_t *ret_packets, uint64_t *ret_drops)
{
	struct plug_stats sum = {0};
	struct kernel *k = nb->backend;

	for (size_t i = 0; i < nb->count; i++) {
		struct plug_stats one;
		int err = read_plug(k->link, k->ifb_index[i], &one);

		if (err)
			return err;
		sum.bytes += one.bytes;
		sum.packets += one.packets;
		sum.drops += one.drops;
	}
	*ret_bytes = sum.bytes;
	*ret_packets = sum.packets;
	*ret_drops = sum.drops;
	return 0;
}

static int record(struct netbuf *nb, struct why *why)
{
	struct netbuf_state state = {.count = nb->count};

	for (size_t i = 0; i < nb->count; i++) {
		memcpy(state.vifs[i].vif, nb->vifs[i].name, strlen(nb->vifs[i].name));
		memcpy(state.vifs[i].ifb, nb->vifs[i].ifb, sizeof(state.vifs[i].ifb));
	}
	return netbuf_state_write(nb->state_dir, nb->uuid, &state, why);
}

static void forget_backend(struct netbuf *nb)
{
	kernel_free(nb->backend);
	nb->backend = NULL;
	nb->backend_free = NULL;
	nb->backend_backlog = NULL;
}

static int kernel_install(struct netbuf *nb, struct why *why)
{
	bool made[NETBUF_MAX_VIFS] = {false}, redirected[NETBUF_MAX_VIFS] = {false};
	struct kernel *k = calloc(1, sizeof(*k));
	bool undone = true;
	int err;

	if (!k)
		return why_set(
			why, -ENOMEM, "no memory for the output buffer of domain %s", nb->uuid);
	nb->backend = k;
	nb->backend_free = kernel_free;
	nb->backend_backlog = kernel_backlog;
	err = netbuf_link_open(&k->link);
	if (err) {
		why_set(why, err, "cannot talk to the kernel's network: %s", strerror(-err));
		goto out;
	}
	err = record(nb, why);
	if (err)
		goto out;
	for (size_t i = 0; i < nb->count && !err; i++)
		err = make_plug(nb, i, &made[i], why);
	if (!err) {
		err = prepare(nb);
		if (err)
			why_set(why, err, "cannot prepare the output buffer of domain %s: %s",
				nb->uuid, netbuf_link_said(k->link, err));
	}
	for (size_t i = 0; i < nb->count && !err; i++)
		err = make_redirect(nb, i, &redirected[i], why);
	if (!err)
		return 0;
	/* What could not be undone stays in the record, for a sweep. */
	for (size_t i = 0; i < nb->count; i++)
		if (made[i] && clear_vif(k->link, nb->vifs[i].name, nb->vifs[i].ifb, redirected[i],
				       1, NULL) < 0)
			undone = false;
	if (undone)
		netbuf_state_unlink(nb->state_dir, nb->uuid, NULL);
out:
	forget_backend(nb);
	return err;
}

/* Epochs */

static int send_batch(
	struct netbuf *nb, struct netbuf_batch *batch, const char *what, struct why *why)
{
	struct kernel *k = nb->backend;
	size_t failed = 0;
	int err;

	err = netbuf_link_batch(k->link, batch, &failed, NULL, NULL);
	if (err)
		return why_set(why, err, "cannot %s on %s, which holds the output of %s: %s", what,
			nb->vifs[failed].ifb, nb->vifs[failed].name,
			netbuf_link_said(k->link, err));
	return 0;
}

static int kernel_close_epoch(struct netbuf *nb, struct why *why)
{
	return send_batch(nb, &((struct kernel *)nb->backend)->close, "close the epoch", why);
}

static int kernel_release_epoch(struct netbuf *nb, struct why *why)
{
	return send_batch(nb, &((struct kernel *)nb->backend)->release, "release the epoch", why);
}

static int kernel_remove(struct netbuf *nb, struct why *why)
{
	struct kernel *k = nb->backend;
	int first_err = 0;

	for (size_t i = 0; i < nb->count; i++) {
		int err = clear_vif(k->link, nb->vifs[i].name, nb->vifs[i].ifb, true, 1,
			first_err ? NULL : why);

		if (err < 0 && !first_err)
			first_err = err;
	}
	if (!first_err)
		first_err = netbuf_state_unlink(nb->state_dir, nb->uuid, why);
	if (!first_err)
		forget_backend(nb);
	return first_err;
}

const struct netbuf_ops netbuf_kernel_ops = {
	.name = "kernel",
	.install = kernel_install,
	.close_epoch = kernel_close_epoch,
	.release_epoch = kernel_release_epoch,
	.remove = kernel_remove,
};
