/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "netbuf/bubble.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/bridge.h>
#include <netlink/route/link/veth.h>
#include <netlink/socket.h>

#include "common/cleanup.h"
#include "common/crc32c.h"
#include "common/why.h"

#define START_MAX 16
#define INSIDE "drill" /* the interface in the namespace of who looks */

static void cleanup_sockp(struct nl_sock **sock)
{
	if (*sock)
		nl_socket_free(*sock);
}

static void cleanup_linkp(struct rtnl_link **link)
{
	if (*link)
		rtnl_link_put(*link);
}

static void cleanup_addrp(struct nl_addr **addr)
{
	if (*addr)
		nl_addr_put(*addr);
}

#define CLEANUP_SOCK __attribute__((cleanup(cleanup_sockp)))
#define CLEANUP_RTNL_LINK __attribute__((cleanup(cleanup_linkp)))
#define CLEANUP_ADDR __attribute__((cleanup(cleanup_addrp)))

static struct nl_sock *open_sock(void)
{
	struct nl_sock *sock = nl_socket_alloc();

	if (sock && nl_connect(sock, NETLINK_ROUTE) == 0)
		return sock;
	if (sock)
		nl_socket_free(sock);
	return NULL;
}

static void begin_name(const char *uuid, char ret[START_MAX])
{
	snprintf(ret, START_MAX, "rd%08" PRIx32 ".", crc32c(0, uuid, strlen(uuid)));
}

void netbuf_bubble_name(const char *uuid, unsigned int i, char ret[IFNAMSIZ])
{
	char start[START_MAX];

	begin_name(uuid, start);
	snprintf(ret, IFNAMSIZ, "%.12s%u", start, i % NETBUF_BUBBLE_MAX);
}

static void looker_name(const char *uuid, char ret[IFNAMSIZ])
{
	char start[START_MAX];

	begin_name(uuid, start);
	snprintf(ret, IFNAMSIZ, "%.12sh", start);
}

/* @r of libnl's. */
static int failed(struct why *why, int r, const char *what, const char *name)
{
	return why_set(
		why, r == -NLE_NOMEM ? -ENOMEM : -EIO, "%s %s: %s", what, name, nl_geterror(r));
}

static int write_setting(
	const char *family, const char *name, const char *key, const char *value, struct why *why)
{
	char path[128];
	CLEANUP_CLOSE int fd = -1;

	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, name, key);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) /* a kernel without that family */
		return 0;
	if (fd < 0 || write(fd, value, strlen(value)) != (ssize_t)strlen(value))
		return why_set(why, -errno, "%s cannot be kept silent: %s: %s", name, path,
			strerror(errno));
	return 0;
}

/*
 * The host itself has nothing to say there. It has no address on it, but would answer for those
 * that it has elsewhere, and forward what it is given if it is a router (Linux:
 * Documentation/networking/ip-sysctl.rst).
 */
static int silence(const char *name, struct why *why)
{
	static const struct {
		const char *family, *key, *value;
	} settings[] = {
		{"ipv6", "disable_ipv6", "1"},
		{"ipv4", "arp_ignore", "8"},
		{"ipv4", "rp_filter", "1"},
		{"ipv4", "forwarding", "0"},
	};
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(settings); i++)
		r = write_setting(
			settings[i].family, name, settings[i].key, settings[i].value, why);
	return r;
}

static int set_up(struct nl_sock *sock, const char *name, struct why *why)
{
	CLEANUP_RTNL_LINK struct rtnl_link *there = NULL, *change = rtnl_link_alloc();
	int r = change ? rtnl_link_get_kernel(sock, 0, name, &there) : -NLE_NOMEM;

	if (!r) {
		rtnl_link_set_flags(change, IFF_UP);
		r = rtnl_link_change(sock, there, change, 0);
	}
	return r ? failed(why, r, "cannot set up", name) : 0;
}

static int make_bridge(struct nl_sock *sock, const char *name, struct why *why)
{
	CLEANUP_RTNL_LINK struct rtnl_link *bridge = rtnl_link_bridge_alloc();
	int r = -NLE_NOMEM;

	if (bridge) {
		rtnl_link_set_name(bridge, name);
		r = rtnl_link_add(sock, bridge, NLM_F_CREATE | NLM_F_EXCL);
	}
	if (r)
		return failed(why, r, "cannot make the bridge", name);
	r = silence(name, why);
	return r ? r : set_up(sock, name, why);
}

int netbuf_bubble_open(const char *uuid, unsigned int n, struct why *why)
{
	CLEANUP_SOCK struct nl_sock *sock = open_sock();
	char name[IFNAMSIZ];
	int r;

	if (!sock)
		return why_set(why, -EIO, "cannot talk to the kernel's network");
	r = netbuf_bubble_close(uuid, why);
	for (unsigned int i = 0; !r && i < n; i++) {
		netbuf_bubble_name(uuid, i, name);
		r = make_bridge(sock, name, why);
	}
	return r;
}

/* A bridge may take the lowest address and MTU of its ports: these change neither. */
static int be_modest(struct rtnl_link *port, struct rtnl_link *inside, struct rtnl_link *bridge)
{
	static const uint8_t highest[] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff};
	CLEANUP_ADDR struct nl_addr *address = nl_addr_build(AF_LLC, highest, sizeof(highest));

	if (!address)
		return -NLE_NOMEM;
	rtnl_link_set_addr(port, address);
	rtnl_link_set_mtu(port, rtnl_link_get_mtu(bridge));
	rtnl_link_set_mtu(inside, rtnl_link_get_mtu(bridge));
	rtnl_link_set_master(port, rtnl_link_get_ifindex(bridge));
	return 0;
}

int netbuf_bubble_join(const char *uuid, const char *bridge, pid_t pid, struct why *why)
{
	CLEANUP_SOCK struct nl_sock *sock = open_sock();
	CLEANUP_RTNL_LINK struct rtnl_link *pair = rtnl_link_veth_alloc(), *inside = NULL;
	CLEANUP_RTNL_LINK struct rtnl_link *master = NULL;
	char name[IFNAMSIZ];
	int r;

	looker_name(uuid, name);
	if (!sock || !pair)
		return why_set(why, -EIO, "cannot talk to the kernel's network");
	r = rtnl_link_get_kernel(sock, 0, bridge, &master);
	if (r)
		return failed(why, r, "cannot find the bridge", bridge);
	inside = rtnl_link_veth_get_peer(pair);
	r = inside ? be_modest(pair, inside, master) : -NLE_NOMEM;
	if (!r) {
		rtnl_link_set_name(pair, name);
		rtnl_link_set_name(inside, INSIDE);
		rtnl_link_set_ns_pid(inside, pid);
		r = rtnl_link_add(sock, pair, NLM_F_CREATE | NLM_F_EXCL);
	}
	if (r)
		return failed(why, r, "cannot make the interface", name);
	r = silence(name, why);
	return r ? r : set_up(sock, name, why);
}

int netbuf_bubble_address(const char *address, bool shared, struct why *why)
{
	CLEANUP_SOCK struct nl_sock *sock = open_sock();
	CLEANUP_ADDR struct nl_addr *local = NULL;
	struct rtnl_addr *add;
	int r;

	if (!sock)
		return why_set(why, -EIO, "cannot talk to the kernel's network");
	r = set_up(sock, "lo", why);
	if (!r)
		r = set_up(sock, INSIDE, why);
	if (r)
		return r;
	add = rtnl_addr_alloc();
	r = add ? nl_addr_parse(address, AF_UNSPEC, &local) : -NLE_NOMEM;
	if (!r)
		r = rtnl_addr_set_local(add, local);
	if (!r) {
		rtnl_addr_set_ifindex(add, (int)if_nametoindex(INSIDE));
		if (!shared && nl_addr_get_family(local) == AF_INET6) /* nobody else has it here */
			rtnl_addr_set_flags(add, IFA_F_NODAD);
		r = rtnl_addr_add(sock, add, 0);
	}
	if (add)
		rtnl_addr_put(add);
	return r ? failed(why, r, "cannot give the health check the address", address) : 0;
}

int netbuf_bubble_close(const char *uuid, struct why *why)
{
	CLEANUP_SOCK struct nl_sock *sock = open_sock();
	struct if_nameindex *list = if_nameindex();
	char start[START_MAX];
	int r = 0;

	begin_name(uuid, start);
	if (!sock || !list)
		r = why_set(why, -EIO, "cannot talk to the kernel's network");
	for (struct if_nameindex *i = list; !r && i->if_index; i++) {
		CLEANUP_RTNL_LINK struct rtnl_link *link = NULL;

		if (strncmp(i->if_name, start, strlen(start)) != 0)
			continue;
		link = rtnl_link_alloc();
		if (!link)
			r = -NLE_NOMEM;
		else
			rtnl_link_set_ifindex(link, (int)i->if_index);
		if (link)
			r = rtnl_link_delete(sock, link);
		if (r == -NLE_NODEV || r == -NLE_OBJ_NOTFOUND) /* with what it belonged to */
			r = 0;
		if (r)
			failed(why, r, "cannot remove", i->if_name);
	}
	if (list)
		if_freenameindex(list);
	return r ? -EIO : 0;
}
