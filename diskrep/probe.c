/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/probe.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "common/crc32c.h"

#define VERSION 2

static const char magic[8] = "ROMPROB";

struct block {
	char magic[8];
	uint32_t version, crc;
	uint8_t uuid[16];
	uint64_t nonce, generation;
	uint32_t round, kind, index, completed, all;
	uint8_t zero[DISKREP_PROBE_BYTES - 68];
} __attribute__((packed));

_Static_assert(sizeof(struct block) == DISKREP_PROBE_BYTES, "a probe is one block");

void diskrep_probe_encode(void *ret_block, const struct diskrep_probe *probe)
{
	struct block b = {
		.version = htole32(VERSION),
		.nonce = htole64(probe->session.nonce),
		.generation = htole64(probe->session.generation),
		.round = htole32(probe->round),
		.kind = htole32(probe->kind),
		.index = htole32(probe->index),
		.completed = htole32(probe->completed),
		.all = htole32(probe->all),
	};

	memcpy(b.magic, magic, sizeof(b.magic));
	memcpy(b.uuid, probe->session.uuid, sizeof(b.uuid));
	b.crc = htole32(crc32c(0, &b, sizeof(b)));
	memcpy(ret_block, &b, sizeof(b));
}

int diskrep_probe_decode(const void *block, struct diskrep_probe *ret)
{
	struct diskrep_probe p = {0};
	struct block b, again;

	if (memcmp(block, magic, sizeof(magic)) != 0)
		return -EBADMSG;
	memcpy(&b, block, sizeof(b));
	memcpy(p.session.uuid, b.uuid, sizeof(p.session.uuid));
	p.session.nonce = le64toh(b.nonce);
	p.session.generation = le64toh(b.generation);
	p.round = le32toh(b.round);
	p.kind = le32toh(b.kind);
	p.index = le32toh(b.index);
	p.completed = le32toh(b.completed);
	p.all = le32toh(b.all);
	/* As with markers: there is exactly one right block for these values. */
	diskrep_probe_encode(&again, &p);
	if (memcmp(&b, &again, sizeof(b)) != 0 || !p.round || p.kind >= DISKREP_PROBE_KINDS ||
		p.index >= DISKREP_PROBE_INDEXES)
		return -EBADMSG;
	*ret = p;
	return 0;
}
