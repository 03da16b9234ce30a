/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/segment.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/why.h"

#define ETHERTYPE 0x88b5u
#define MAGIC "ROMUprob"
#define MAGIC_BYTES 8u
#define AT_ONCE 256u   /* frames; who floods us does not keep us */
#define NAME_BYTES 16u /* IFNAMSIZ */

/* On the wire: destination, source, EtherType, then these; zeros up to the least length. */
enum {
	AT_FROM = 6,
	AT_TYPE = 12,
	AT_MAGIC = 14,
	AT_NONCE = AT_MAGIC + MAGIC_BYTES,
	AT_NAME = AT_NONCE + SEGMENT_NONCE_BYTES,
	AT_END = AT_NAME + NAME_BYTES,
};

_Static_assert(AT_END <= SEGMENT_FRAME_BYTES, "a probe fits the least frame");

bool segment_is_name(const char *bridge)
{
	return *bridge && *bridge != '.' && strlen(bridge) < IFNAMSIZ && !strchr(bridge, '/');
}

bool segment_is_bridge(const char *bridge)
{
	struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq ask = {.ifr_data = (char *)&driver};
	CLEANUP_CLOSE int fd = -1;

	if (!segment_is_name(bridge))
		return false;
	memcpy(ask.ifr_name, bridge, strlen(bridge));
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && ioctl(fd, SIOCETHTOOL, &ask) == 0 && !strcmp(driver.driver, "bridge");
}

bool segment_filters(const char *bridge)
{
	CLEANUP_FCLOSE FILE *f = NULL;
	char path[64];

	if (!segment_is_name(bridge))
		return false;
	snprintf(path, sizeof(path), "/sys/class/net/%s/bridge/vlan_filtering", bridge);
	f = fopen(path, "re");
	return f && fgetc(f) == '1';
}

void segment_frame(uint8_t ret[SEGMENT_FRAME_BYTES], const uint8_t from[SEGMENT_MAC_BYTES],
	const char *bridge, const uint8_t nonce[SEGMENT_NONCE_BYTES])
{
	memset(ret, 0, SEGMENT_FRAME_BYTES);
	memset(ret, 0xff, AT_FROM);
	memcpy(ret + AT_FROM, from, SEGMENT_MAC_BYTES);
	ret[AT_TYPE] = ETHERTYPE >> 8;
	ret[AT_TYPE + 1] = ETHERTYPE & 0xff;
	memcpy(ret + AT_MAGIC, MAGIC, MAGIC_BYTES);
	memcpy(ret + AT_NONCE, nonce, SEGMENT_NONCE_BYTES);
	memcpy(ret + AT_NAME, bridge, strnlen(bridge, NAME_BYTES - 1));
}

bool segment_matches(const uint8_t *frame, size_t n, const char *bridge,
	const uint8_t nonce[SEGMENT_NONCE_BYTES])
{
	static const uint8_t anybody[SEGMENT_MAC_BYTES];
	uint8_t expected[SEGMENT_FRAME_BYTES];

	segment_frame(expected, anybody, bridge, nonce);
	return n >= AT_END && !memcmp(frame + AT_TYPE, expected + AT_TYPE, AT_END - AT_TYPE);
}

int segment_open(const char *bridge, struct why *why)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE)};
	CLEANUP_CLOSE int fd = -1;

	at.sll_ifindex = (int)if_nametoindex(bridge);
	if (!at.sll_ifindex)
		return why_set(why, -ENODEV, "there is no network interface %.15s", bridge);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
		return why_set(why, -errno, "cannot listen for probe frames on %.15s: %s", bridge,
			strerror(errno));
	return TAKE_FD(fd);
}

int segment_send(int fd, const char *bridge, const uint8_t nonce[SEGMENT_NONCE_BYTES])
{
	uint8_t frame[SEGMENT_FRAME_BYTES];
	struct ifreq own = {.ifr_ifindex = 0};

	memcpy(own.ifr_name, bridge, strnlen(bridge, sizeof(own.ifr_name) - 1));
	if (ioctl(fd, SIOCGIFHWADDR, &own) < 0)
		return -errno;
	segment_frame(frame, (const uint8_t *)own.ifr_hwaddr.sa_data, bridge, nonce);
	return send(fd, frame, sizeof(frame), 0) < 0 ? -errno : 0;
}

bool segment_heard(int fd, const char *bridge, const uint8_t nonce[SEGMENT_NONCE_BYTES])
{
	uint8_t frame[ETH_FRAME_LEN];
	bool heard = false;

	for (unsigned int i = 0; i < AT_ONCE; i++) {
		const ssize_t n = recv(fd, frame, sizeof(frame), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		heard |= segment_matches(frame, (size_t)n, bridge, nonce);
	}
	return heard;
}
