/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The product's backend: per vif an IFB whose root qdisc is sch_plug, and on the vif a clsact qdisc
 * with one matchall filter for all protocols (IPv4, IPv6, ARP, VLAN, anything) that redirects what
 * the guest sends to the IFB. The IFB puts released frames back where they were taken, so the
 * bridge sees them as if they had just arrived (drivers/net/ifb.c, net/sched/act_mirred.c).
 *
 * Invariants. The plug exists, plugged and with its limit, before a redirect leads to it: no frame
 * escapes. Objects are named in the state file before they are made. How they go: removal.c.
 *
 * plug_change() takes no qdisc lock while plug_enqueue() counts the epoch's frames, so BUFFER must
 * come when the vif is quiet: late in the guest's pause.
 */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/route/qdisc/plug.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/why.h"
#include "netbuf/kernel.h"

struct kernel {
	struct netbuf_link *link;
	struct netbuf_batch close;
	struct netbuf_batch release;
	unsigned ifb_index[NETBUF_MAX_VIFS];
};

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

	err = netbuf_link_one(k->link, netbuf_ifb_add_message(vif->ifb), NULL, NULL);
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
	err = netbuf_link_one(
		k->link, netbuf_plug_add_message(k->ifb_index[i], nb->limit), NULL, NULL);
	if (err)
		return why_set(why, err == -ENOENT ? -EOPNOTSUPP : err,
			"cannot put a plug on %s to hold the output of %s: %s%s", vif->ifb,
			vif->name, netbuf_link_said(k->link, err),
			err == -ENOENT ? " (is the kernel module sch_plug there?)" : "");
	err = netbuf_link_one(
		k->link, netbuf_link_message(RTM_NEWLINK, k->ifb_index[i], IFF_UP), NULL, NULL);
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
	err = netbuf_link_one(k->link, netbuf_clsact_message(vif_index, true), NULL, NULL);
	if (err == -EEXIST)
		return why_set(why, err,
			"%s has an ingress qdisc already; remove it (tc qdisc show dev %s) to "
			"protect "
			"the domain",
			vif->name, vif->name);
	if (!err) {
		*ret_redirected = true;
		err = netbuf_link_one(
			k->link, netbuf_redirect_message(vif_index, k->ifb_index[i]), NULL, NULL);
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
	netbuf_plug_action close = fault_point(FAULT_PLUG_BYPASS)
					   ? rtnl_qdisc_plug_release_indefinite
					   : rtnl_qdisc_plug_buffer;
	struct kernel *k = nb->backend;
	int err = 0;

	for (size_t i = 0; i < nb->count && !err; i++) {
		err = netbuf_batch_append(&k->close, netbuf_plug_message(k->ifb_index[i], close));
		if (!err)
			err = netbuf_batch_append(&k->release,
				netbuf_plug_message(k->ifb_index[i], rtnl_qdisc_plug_release_one));
	}
	if (!err && close != rtnl_qdisc_plug_buffer)
		err = netbuf_link_batch(k->link, &k->close, NULL, NULL, NULL);
	return err;
}

static int kernel_backlog(
	struct netbuf *nb, uint64_t *ret_bytes, uint64_t *ret_packets, uint64_t *ret_drops)
{
	struct netbuf_plug_stats sum = {0};
	struct kernel *k = nb->backend;

	for (size_t i = 0; i < nb->count; i++) {
		struct netbuf_plug_stats one;
		int err = netbuf_read_plug(k->link, k->ifb_index[i], &one);

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
		if (made[i] && netbuf_clear_vif(k->link, nb->vifs[i].name, nb->vifs[i].ifb,
				       redirected[i], 1, NULL) < 0)
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
		int err = netbuf_clear_vif(k->link, nb->vifs[i].name, nb->vifs[i].ifb, true, 1,
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
