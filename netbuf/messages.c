/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The netlink requests of the kernel backend. Each is built in full here and sent elsewhere. */
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <netlink/msg.h>
#include <netlink/route/act/mirred.h>
#include <netlink/route/action.h>
#include <netlink/route/classifier.h>
#include <netlink/route/cls/matchall.h>
#include <netlink/route/link.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/qdisc/plug.h>
#include <netlink/route/tc.h>

#include "netbuf/kernel.h"

#define PLUG_HANDLE TC_HANDLE(1, 0)
#define REDIRECT_PRIORITY 1
/*
 * The IFB's own queue behind the plug, in frames. A release hands over a whole epoch, and an IFB
 * whose queue is full makes the plug wait, so nothing is lost (drivers/net/ifb.c, ifb_xmit); its
 * default of 32 makes that often. Kernels of 2025 refuse 65536.
 */
#define IFB_QUEUE_LENGTH 1000

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

struct nl_msg *netbuf_plug_add_message(unsigned ifb_index, uint32_t limit)
{
	CLEANUP_QDISC struct rtnl_qdisc *qdisc = plug_qdisc(ifb_index);
	struct nl_msg *msg = NULL;

	if (!qdisc ||
		rtnl_qdisc_plug_set_limit(qdisc, (int)(limit > INT32_MAX ? INT32_MAX : limit)))
		return NULL;
	return rtnl_qdisc_build_add_request(qdisc, NLM_F_CREATE | NLM_F_EXCL, &msg) < 0 ? NULL
											: msg;
}

struct nl_msg *netbuf_plug_message(unsigned ifb_index, netbuf_plug_action action)
{
	CLEANUP_QDISC struct rtnl_qdisc *qdisc = plug_qdisc(ifb_index);
	struct nl_msg *msg = NULL;

	if (!qdisc || action(qdisc) < 0)
		return NULL;
	return rtnl_qdisc_build_add_request(qdisc, 0, &msg) < 0 ? NULL : msg;
}

struct nl_msg *netbuf_plug_get_message(unsigned ifb_index)
{
	struct tcmsg tc = {
		.tcm_family = AF_UNSPEC,
		.tcm_ifindex = (int)ifb_index,
		.tcm_parent = TC_H_ROOT,
		.tcm_handle = PLUG_HANDLE,
	};
	/* Before 6.6 a qdisc that is asked for is sent to the group only, unless echoed. */
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETQDISC, NLM_F_ECHO);

	if (msg && nlmsg_append(msg, &tc, sizeof(tc), NLMSG_ALIGNTO) < 0) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

struct nl_msg *netbuf_clsact_message(unsigned vif_index, bool add)
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

struct nl_msg *netbuf_redirect_message(unsigned vif_index, unsigned ifb_index)
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

struct nl_msg *netbuf_ifb_add_message(const char *name)
{
	CLEANUP_RTNL_LINK struct rtnl_link *ifb = rtnl_link_alloc();
	struct nl_msg *msg = NULL;

	if (!ifb || rtnl_link_set_type(ifb, "ifb") < 0)
		return NULL;
	rtnl_link_set_name(ifb, name);
	rtnl_link_set_txqlen(ifb, IFB_QUEUE_LENGTH);
	return rtnl_link_build_add_request(ifb, NLM_F_CREATE | NLM_F_EXCL, &msg) < 0 ? NULL : msg;
}

struct nl_msg *netbuf_link_message(int type, unsigned index, unsigned flags)
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
