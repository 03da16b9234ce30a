/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether the bridges of one name on two hosts are on the same layer-2 segment: one host sends
 * probe frames from its bridge, broadcasts of a local experimental EtherType (IEEE 802, 0x88b5),
 * the other one listens on its own. Their source is the bridge's own address: no switch learns
 * anything new.
 */
#ifndef REPLICATOR_SEGMENT_H
#define REPLICATOR_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct why;

#define SEGMENT_NONCE_BYTES 16u
#define SEGMENT_FRAME_BYTES 60u /* the least of Ethernet */
#define SEGMENT_MAC_BYTES 6u

/* A name that a network interface may have. */
bool segment_is_name(const char *bridge);
/* Is it a Linux bridge of this host? */
bool segment_is_bridge(const char *bridge);

/* Does that bridge filter VLANs? Then what it sends itself is in its own, not in its ports'. */
bool segment_filters(const char *bridge);

/* A descriptor for the probe frames of @bridge, both ways, or a negative errno with a sentence. */
int segment_open(const char *bridge, struct why *why);
/* Send one. 0 or a negative errno: -ENETDOWN. */
int segment_send(int fd, const char *bridge, const uint8_t nonce[SEGMENT_NONCE_BYTES]);
/* Read what has arrived: true when a probe of @bridge with @nonce was among it. */
bool segment_heard(int fd, const char *bridge, const uint8_t nonce[SEGMENT_NONCE_BYTES]);

/* Pure. */
void segment_frame(uint8_t ret[SEGMENT_FRAME_BYTES], const uint8_t from[SEGMENT_MAC_BYTES],
	const char *bridge, const uint8_t nonce[SEGMENT_NONCE_BYTES]);
bool segment_matches(const uint8_t *frame, size_t n, const char *bridge,
	const uint8_t nonce[SEGMENT_NONCE_BYTES]);

#endif
