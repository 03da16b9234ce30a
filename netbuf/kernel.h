/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the kernel backend share; nobody else includes this. */
#ifndef NETBUF_KERNEL_H
#define NETBUF_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "netbuf/internal.h"

struct rtnl_qdisc;

/* messages.c: requests for netbuf_link_one or a batch, which consume them. NULL: no memory. */

/* rtnl_qdisc_plug_buffer and the like. */
typedef int (*netbuf_plug_action)(struct rtnl_qdisc *qdisc);

struct nl_msg *netbuf_ifb_add_message(const char *name);
/* RTM_NEWLINK, RTM_GETLINK or RTM_DELLINK; @flags are set, no others are changed. */
struct nl_msg *netbuf_link_message(int type, unsigned index, unsigned flags);

/* @limit: bytes that the plug may hold. */
struct nl_msg *netbuf_plug_add_message(unsigned ifb_index, uint32_t limit);
struct nl_msg *netbuf_plug_get_message(unsigned ifb_index);
struct nl_msg *netbuf_plug_message(unsigned ifb_index, netbuf_plug_action action);

/* Add or delete the clsact qdisc of the vif, which has the redirect. */
struct nl_msg *netbuf_clsact_message(unsigned vif_index, bool add);
struct nl_msg *netbuf_redirect_message(unsigned vif_index, unsigned ifb_index);

/* removal.c */

struct netbuf_plug_stats {
	uint64_t bytes; /* held now */
	uint64_t packets;
	uint64_t drops; /* so far, beyond the limit */
};

/* 0, or a negative errno; -EPROTO when the kernel's answer has no statistics. */
int netbuf_read_plug(
	struct netbuf_link *link, unsigned ifb_index, struct netbuf_plug_stats *ret_stats);

/*
 * Remove what is left of one vif's buffer. @redirected: the clsact qdisc is ours. @release: let
 * what is held go, else it is dropped. Returns 1 if there was something, 0 if not, or a negative
 * errno.
 */
int netbuf_clear_vif(struct netbuf_link *link, const char *vif, const char *ifb, bool redirected,
	int release, struct why *why);

#endif
