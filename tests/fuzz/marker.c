/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The marker of diskrep/marker.h; an input is a block without the zeros at its end. */
#include <errno.h>
#include <stdbool.h>

#include "common/crc32c.h"
#include "diskrep/marker.h"
#include "tests/fuzz/fuzz.h"

#define BLOCK DISKREP_MARKER_BYTES
#define AT_VERSION 8
#define AT_CRC 12
#define AT_UUID 16
#define AT_NONCE 32
#define AT_GENERATION 40
#define AT_EPOCH 48
#define AT_ZEROS 56

unsigned long fuzz_accepted;

static uint32_t checksum(const uint8_t *block)
{
	uint8_t copy[BLOCK];

	memcpy(copy, block, BLOCK);
	memset(copy + AT_CRC, 0, 4);
	return crc32c(0, copy, BLOCK);
}

static bool right(const uint8_t *block)
{
	static const uint8_t zeros[BLOCK - AT_ZEROS];

	return memcmp(block, "ROMMARK", 8) == 0 &&
	       memcmp(block + AT_ZEROS, zeros, sizeof(zeros)) == 0 &&
	       fuzz_get32(block + AT_VERSION) == 1 && fuzz_get32(block + AT_CRC) == checksum(block);
}

static struct diskrep_marker read_fields(const uint8_t *block)
{
	struct diskrep_marker m = {
		.nonce = fuzz_get64(block + AT_NONCE),
		.generation = fuzz_get64(block + AT_GENERATION),
		.epoch = fuzz_get64(block + AT_EPOCH),
	};

	memcpy(m.uuid, block + AT_UUID, sizeof(m.uuid));
	return m;
}

static bool same(const struct diskrep_marker *a, const struct diskrep_marker *b)
{
	return memcmp(a->uuid, b->uuid, sizeof(a->uuid)) == 0 && a->nonce == b->nonce &&
	       a->generation == b->generation && a->epoch == b->epoch;
}

/* Exactly the right blocks are markers, and each says what it says. */
static bool judge(const uint8_t *block)
{
	const struct diskrep_marker untouched = {.nonce = 1}, want = read_fields(block);
	struct diskrep_marker got = untouched;
	uint8_t again[BLOCK];
	int r = diskrep_marker_decode(block, &got);

	FUZZ_EXPECT((r == 0) == right(block));
	if (r) {
		FUZZ_EXPECT(r == -EBADMSG && same(&got, &untouched));
		return false;
	}
	FUZZ_EXPECT(same(&got, &want));
	diskrep_marker_encode(again, &got);
	FUZZ_EXPECT(memcmp(again, block, BLOCK) == 0);
	return true;
}

static void there_and_back(const struct diskrep_marker *m)
{
	struct diskrep_marker got;
	uint8_t block[BLOCK], uuid[16];
	char text[DISKREP_UUID_TEXT];

	memset(block, 0xff, sizeof(block));
	diskrep_marker_encode(block, m);
	FUZZ_EXPECT(right(block));
	FUZZ_EXPECT(diskrep_marker_decode(block, &got) == 0 && same(&got, m));
	diskrep_uuid_print(m->uuid, text);
	FUZZ_EXPECT(diskrep_uuid_parse(text, uuid) == 0 && memcmp(uuid, m->uuid, 16) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t block[BLOCK] = {0};
	struct diskrep_marker m;

	memcpy(block, data, size < BLOCK ? size : BLOCK);
	fuzz_accepted += judge(block);
	fuzz_put32(block + AT_CRC, checksum(block)); /* now what lies behind the checksum */
	judge(block);
	m = read_fields(block);
	there_and_back(&m);
	return 0;
}

void fuzz_seeds(fuzz_put *put)
{
	const struct diskrep_marker m = {
		.uuid = {0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
		.nonce = UINT64_C(0x1122334455667788),
		.generation = 7,
		.epoch = 1000,
	};
	uint8_t block[BLOCK];

	diskrep_marker_encode(block, &m);
	put("good-marker", block, AT_ZEROS);
	block[AT_VERSION] = 2;
	put("other-version", block, AT_ZEROS);
	block[AT_VERSION] = 1;
	block[AT_ZEROS + 8] = 1;
	put("not-zero", block, AT_ZEROS + 9);
}
