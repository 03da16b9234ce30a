/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/announce.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/why.h"

#define ARP_FRAME_LENGTH 60 /* shortest Ethernet frame, without the check sum */
#define ARPOP_REQUEST 1
#define RARPOP_REQUEST 3
#define NA_LENGTH 32 /* ICMPv6 header, target, link-layer address option */
#define IPV6_HEADER_LENGTH 40
#define ICMPV6_NA 136
#define NA_OVERRIDE 0x20

const unsigned failover_announce_schedule_ms[ANNOUNCE_ROUNDS] = {0, 50, 150, 350, 750};

/* Frames */

static uint8_t *put(uint8_t *at, const void *bytes, size_t length)
{
	memcpy(at, bytes, length);
	return at + length;
}

static uint8_t *put_16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
	return at + 2;
}

static uint8_t *put_ethernet(
	uint8_t *at, const uint8_t to[ETH_ALEN], const uint8_t from[ETH_ALEN], unsigned type)
{
	at = put(at, to, ETH_ALEN);
	at = put(at, from, ETH_ALEN);
	return put_16(at, type);
}

/* ARP and RARP share the format: RFC 826, RFC 903. */
static size_t build_arp(uint8_t *frame, unsigned type, unsigned operation, const uint8_t *mac,
	const uint8_t *target_mac, const struct in_addr *address)
{
	static const uint8_t broadcast[ETH_ALEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uint8_t *at;

	memset(frame, 0, ARP_FRAME_LENGTH);
	at = put_ethernet(frame, broadcast, mac, type);
	at = put_16(at, 1); /* Ethernet */
	at = put_16(at, ETH_P_IP);
	*at++ = ETH_ALEN;
	*at++ = sizeof(address->s_addr);
	at = put_16(at, operation);
	at = put(at, mac, ETH_ALEN);
	at = put(at, &address->s_addr, sizeof(address->s_addr));
	at = put(at, target_mac, ETH_ALEN);
	put(at, &address->s_addr, sizeof(address->s_addr));
	return ARP_FRAME_LENGTH;
}

size_t failover_announce_rarp(
	uint8_t frame[ANNOUNCE_FRAME_MAX], const uint8_t mac[ANNOUNCE_MAC_LENGTH])
{
	const struct in_addr unknown = {0};

	return build_arp(frame, ETH_P_RARP, RARPOP_REQUEST, mac, mac, &unknown);
}

size_t failover_announce_arp(uint8_t frame[ANNOUNCE_FRAME_MAX],
	const uint8_t mac[ANNOUNCE_MAC_LENGTH], const struct in_addr *address)
{
	static const uint8_t unknown[ETH_ALEN];

	return build_arp(frame, ETH_P_ARP, ARPOP_REQUEST, mac, unknown, address);
}

/* RFC 4443, section 2.3: over the pseudo header and the message. */
static unsigned icmpv6_checksum(const uint8_t addresses[32], const uint8_t *message, size_t length)
{
	uint32_t sum = (uint32_t)length + IPPROTO_ICMPV6;

	for (size_t i = 0; i < 32; i += 2)
		sum += (uint32_t)addresses[i] << 8 | addresses[i + 1];
	for (size_t i = 0; i < length; i += 2)
		sum += (uint32_t)message[i] << 8 | message[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

size_t failover_announce_na(uint8_t frame[ANNOUNCE_FRAME_MAX],
	const uint8_t mac[ANNOUNCE_MAC_LENGTH], const struct in6_addr *address)
{
	static const uint8_t all_nodes_mac[ETH_ALEN] = {0x33, 0x33, 0, 0, 0, 1};
	static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
	uint8_t *ip, *message, *at;

	memset(frame, 0, ANNOUNCE_FRAME_MAX);
	ip = put_ethernet(frame, all_nodes_mac, mac, ETH_P_IPV6);
	ip[0] = 0x60;
	put_16(ip + 4, NA_LENGTH);
	ip[6] = IPPROTO_ICMPV6;
	ip[7] = 255; /* receivers drop anything less: proof that no router forwarded it */
	put(ip + 8, address, sizeof(*address));
	put(ip + 24, all_nodes, sizeof(all_nodes));

	message = ip + IPV6_HEADER_LENGTH;
	message[0] = ICMPV6_NA;
	message[4] = NA_OVERRIDE;
	at = put(message + 8, address, sizeof(*address));
	*at++ = 2; /* target link-layer address */
	*at++ = 1; /* in units of 8 bytes */
	put(at, mac, ETH_ALEN);
	put_16(message + 2, icmpv6_checksum(ip + 8, message, NA_LENGTH));
	return ANNOUNCE_FRAME_MAX;
}

/* Forwarding entry */

static int set_forwarding(const char *vif, const uint8_t *mac, struct why *why)
{
	struct ndmsg entry = {
		.ndm_family = PF_BRIDGE,
		.ndm_flags = NTF_MASTER,
		.ndm_state = NUD_REACHABLE, /* as if learned: ages, and follows the guest again */
	};
	struct nl_msg *msg = NULL;
	struct nl_sock *sock;
	int err = -NLE_NOMEM;

	entry.ndm_ifindex = (int)if_nametoindex(vif);
	if (!entry.ndm_ifindex)
		return why_set(why, -ENODEV, "there is no network interface %s to announce", vif);
	sock = nl_socket_alloc();
	if (sock)
		err = nl_connect(sock, NETLINK_ROUTE);
	if (err < 0)
		goto out;
	msg = nlmsg_alloc_simple(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
	err = -NLE_NOMEM;
	if (!msg || nlmsg_append(msg, &entry, sizeof(entry), NLMSG_ALIGNTO) < 0 ||
		nla_put(msg, NDA_LLADDR, ETH_ALEN, mac) < 0)
		goto out;
	err = nl_send_sync(sock, msg); /* consumes it */
	msg = NULL;
out:
	nlmsg_free(msg);
	nl_socket_free(sock);
	if (err < 0)
		return why_set(why, -EIO,
			"cannot point the bridge's forwarding entry at %s: %s; local traffic finds "
			"the "
			"domain after its first frame",
			vif, nl_geterror(err));
	return 0;
}

/* Uplinks */

/* libxl's names, and whatever Xen's bus made under another name (vifname=). */
static bool is_guest_port(const char *port)
{
	char path[128], target[PATH_MAX], *bus;
	ssize_t n;

	if (!strncmp(port, "vif", 3) || !strncmp(port, "tap", 3))
		return true;
	snprintf(path, sizeof(path), "/sys/class/net/%.15s/device/subsystem", port);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	bus = strrchr(target, '/');
	return bus && !strcmp(bus + 1, "xen-backend");
}

static int send_frame(int fd, const char *port, const uint8_t *frame, size_t length)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_ifindex = (int)if_nametoindex(port),
		.sll_halen = ETH_ALEN,
	};

	if (!to.sll_ifindex)
		return -ENODEV;
	memcpy(to.sll_addr, frame, ETH_ALEN);
	if (sendto(fd, frame, length, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		return -errno;
	return 0;
}

static void cleanup_closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static int send_from_uplinks(
	const char *bridge, const uint8_t *frame, size_t length, struct why *why)
{
	__attribute__((cleanup(cleanup_closedirp))) DIR *ports = NULL;
	CLEANUP_CLOSE int fd = -1;
	const struct dirent *port;
	char path[64];
	int first_err = 0;

	snprintf(path, sizeof(path), "/sys/class/net/%.15s/brif", bridge);
	ports = opendir(path);
	if (!ports)
		return why_set(why, -ENODEV,
			"%s is no Linux bridge, so nothing announces the domain's move to the "
			"switches",
			bridge);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		first_err = -errno;
		return why_set(why, first_err, "cannot open a packet socket to announce: %s",
			strerror(-first_err));
	}
	while ((port = readdir(ports))) {
		int err;

		if (port->d_name[0] == '.' || is_guest_port(port->d_name))
			continue;
		err = send_frame(fd, port->d_name, frame, length);
		if (err && !first_err)
			first_err = why_set(why, err, "cannot announce the domain on %s: %s",
				port->d_name, strerror(-err));
	}
	return first_err;
}

static int parse_mac(const char *text, uint8_t ret_mac[ETH_ALEN])
{
	unsigned byte[ETH_ALEN];
	int end = 0;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3],
		    &byte[4], &byte[5], &end) != ETH_ALEN ||
		text[end] || end != 17 || byte[0] & 1)
		return -EINVAL;
	for (size_t i = 0; i < ETH_ALEN; i++)
		ret_mac[i] = (uint8_t)byte[i];
	return 0;
}

static bool is_name(const char *name)
{
	return *name && *name != '.' && strlen(name) < IFNAMSIZ && !strchr(name, '/');
}

int failover_announce(const char *vif, const char *bridge, const char *mac,
	const char *const *addresses, size_t n, struct why *why)
{
	uint8_t frame[ANNOUNCE_FRAME_MAX], bytes[ETH_ALEN];
	int first_err, err;

	if (parse_mac(mac, bytes))
		return why_set(why, -EINVAL,
			"cannot announce %s: \"%.40s\" is no unicast MAC address", vif, mac);
	if (!is_name(vif) || !is_name(bridge))
		return why_set(why, -EINVAL,
			"cannot announce \"%.40s\" on \"%.40s\": no names of network interfaces",
			vif, bridge);
	first_err = set_forwarding(vif, bytes, why);
	err = send_from_uplinks(
		bridge, frame, failover_announce_rarp(frame, bytes), first_err ? NULL : why);
	if (!first_err)
		first_err = err;
	for (size_t i = 0; i < n; i++) {
		struct in6_addr ipv6;
		struct in_addr ipv4;
		size_t length = 0;

		if (inet_pton(AF_INET, addresses[i], &ipv4) == 1)
			length = failover_announce_arp(frame, bytes, &ipv4);
		else if (inet_pton(AF_INET6, addresses[i], &ipv6) == 1)
			length = failover_announce_na(frame, bytes, &ipv6);
		if (length)
			err = send_from_uplinks(bridge, frame, length, first_err ? NULL : why);
		else
			err = why_set(first_err ? NULL : why, -EINVAL,
				"cannot announce \"%.60s\" of %s: that is no IP address",
				addresses[i], vif);
		if (!first_err)
			first_err = err;
	}
	return first_err;
}
