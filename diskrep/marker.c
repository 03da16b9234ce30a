/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/marker.h"

#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/crc32c.h"

#define VERSION 1

static const char magic[8] = "ROMMARK";

struct block {
	char magic[8];
	uint32_t version, crc;
	uint8_t uuid[16];
	uint64_t nonce, generation, epoch;
	uint8_t zero[DISKREP_MARKER_BYTES - 56];
};

_Static_assert(sizeof(struct block) == DISKREP_MARKER_BYTES, "the marker is one block");

void diskrep_marker_encode(void *ret_block, const struct diskrep_marker *marker)
{
	struct block b = {
		.version = htole32(VERSION),
		.nonce = htole64(marker->nonce),
		.generation = htole64(marker->generation),
		.epoch = htole64(marker->epoch),
	};

	memcpy(b.magic, magic, sizeof(b.magic));
	memcpy(b.uuid, marker->uuid, sizeof(b.uuid));
	b.crc = htole32(crc32c(0, &b, sizeof(b)));
	memcpy(ret_block, &b, sizeof(b));
}

int diskrep_marker_decode(const void *block, struct diskrep_marker *ret)
{
	struct diskrep_marker m;
	struct block b, again;

	memcpy(&b, block, sizeof(b));
	if (memcmp(b.magic, magic, sizeof(magic)) != 0)
		return -EBADMSG;
	memcpy(m.uuid, b.uuid, sizeof(m.uuid));
	m.nonce = le64toh(b.nonce);
	m.generation = le64toh(b.generation);
	m.epoch = le64toh(b.epoch);
	/* There is exactly one right block for these values: checksum, version and zeros in one. */
	diskrep_marker_encode(&again, &m);
	if (memcmp(&b, &again, sizeof(b)) != 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int diskrep_uuid_parse(const char *text, uint8_t ret[16])
{
	uint8_t uuid[16];
	const char *p = text;

	for (size_t i = 0; i < sizeof(uuid); i++) {
		int high, low;

		if ((i == 4 || i == 6 || i == 8 || i == 10) && *p++ != '-')
			return -EINVAL;
		high = hex_digit(p[0]);
		low = high < 0 ? -1 : hex_digit(p[1]);
		if (low < 0)
			return -EINVAL;
		uuid[i] = (uint8_t)(high << 4 | low);
		p += 2;
	}
	if (*p)
		return -EINVAL;
	memcpy(ret, uuid, sizeof(uuid));
	return 0;
}

void diskrep_uuid_print(const uint8_t uuid[16], char ret[DISKREP_UUID_TEXT])
{
	char *p = ret;

	for (size_t i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		p += sprintf(p, "%02x", uuid[i]);
	}
}
