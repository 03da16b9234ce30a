/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tell the network where a domain is now: this host's bridge by a forwarding entry, the switches
 * behind the uplinks by frames with the domain's MAC as source, its neighbours by ARP and NA. A
 * Linux guest with addresses announces itself when its front end reconnects; this is for the others
 * and for speed.
 *
 * May use common/ and libnl only. Thread safe.
 */
#ifndef FAILOVER_ANNOUNCE_H
#define FAILOVER_ANNOUNCE_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

struct why;

/* When to announce, in milliseconds after the takeover: switches and ports may wake up late. */
#define ANNOUNCE_ROUNDS 5
extern const unsigned failover_announce_schedule_ms[ANNOUNCE_ROUNDS];

/*
 * One round. @vif: the domain's back end ("vif3.0"); @bridge: the bridge that it is a port of;
 * @mac: "00:16:3e:01:02:03", unicast; @addresses: @n IPv4 or IPv6 addresses in text without prefix
 * length, may be empty. Frames go out of all ports of the bridge that are not back ends of guests.
 * Everything is attempted; returns 0 or the first -errno, with a sentence in @why. A failed round
 * does not concern correctness, only how soon others find the domain.
 */
int failover_announce(const char *vif, const char *bridge, const char *mac,
	const char *const *addresses, size_t n, struct why *why);

/* The frames. Pure; each writes at most ANNOUNCE_FRAME_MAX bytes and returns how many. */

#define ANNOUNCE_MAC_LENGTH 6
#define ANNOUNCE_FRAME_MAX 86

/* Reverse ARP request for @mac by itself (RFC 903): needs no address, teaches switches. */
size_t failover_announce_rarp(
	uint8_t frame[ANNOUNCE_FRAME_MAX], const uint8_t mac[ANNOUNCE_MAC_LENGTH]);

/* ARP announcement (RFC 5227, section 2.3): a request whose sender and target are @address. */
size_t failover_announce_arp(uint8_t frame[ANNOUNCE_FRAME_MAX],
	const uint8_t mac[ANNOUNCE_MAC_LENGTH], const struct in_addr *address);

/* Unsolicited neighbour advertisement with the override flag (RFC 4861, section 7.2.6). */
size_t failover_announce_na(uint8_t frame[ANNOUNCE_FRAME_MAX],
	const uint8_t mac[ANNOUNCE_MAC_LENGTH], const struct in6_addr *address);

#endif
