/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The label of diskrep/meta.h; an input is a block without the zeros at its end. */
#include <errno.h>
#include <stdbool.h>

#include "common/crc32c.h"
#include "diskrep/meta.h"
#include "tests/fuzz/fuzz.h"

#define BLOCK DISKREP_META_LABEL_BYTES
#define AT_CRC 8
#define AT_VOLUMES 12

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
	const uint32_t volumes = fuzz_get32(block + AT_VOLUMES);

	return memcmp(block, "ROMmeta1", 8) == 0 && volumes >= 1 &&
	       volumes <= DISKREP_MAX_VOLUMES && fuzz_get32(block + AT_CRC) == checksum(block);
}

static bool same(const struct diskrep_meta_label *a, const struct diskrep_meta_label *b)
{
	bool equal = a->volumes == b->volumes && strcmp(a->resource, b->resource) == 0;

	for (size_t i = 0; equal && i < a->volumes; i++)
		equal = a->share[i].start == b->share[i].start &&
			a->share[i].sectors == b->share[i].sectors;
	return equal;
}

/* Exactly the right blocks are labels, and each can be written again. */
static bool judge(const uint8_t *block)
{
	struct diskrep_meta_label got, again;
	uint8_t written[BLOCK];
	int r;

	memset(&got, 0x77, sizeof(got));
	r = diskrep_meta_decode(block, &got);
	FUZZ_EXPECT((r == 0) == right(block));
	if (r) {
		FUZZ_EXPECT((r == -ENODATA || r == -EBADMSG) && got.volumes == 0x77777777);
		return false;
	}
	FUZZ_EXPECT(memchr(got.resource, '\0', sizeof(got.resource)));
	diskrep_meta_encode(&got, written);
	FUZZ_EXPECT(diskrep_meta_decode(written, &again) == 0 && same(&got, &again));
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t block[BLOCK] = {0};

	if (size)
		memcpy(block, data, size < BLOCK ? size : BLOCK);
	fuzz_accepted += judge(block);
	fuzz_put32(block + AT_CRC, checksum(block)); /* now what lies behind the checksum */
	judge(block);
	return 0;
}

void fuzz_seeds(fuzz_put *put)
{
	struct diskrep_meta_label label = {.volumes = 0};
	uint8_t block[BLOCK];
	struct why why;

	FUZZ_EXPECT(diskrep_meta_divide("db", 2, 1 << 20, 1 << 24, &label, &why) == 0);
	diskrep_meta_encode(&label, block);
	put("good-two", block, 160);
	FUZZ_EXPECT(diskrep_meta_divide("db", 16, 1 << 20, 1 << 24, &label, &why) == 0);
	memset(label.resource, 'a', DISKREP_DRBD_NAME_MAX);
	diskrep_meta_encode(&label, block);
	put("good-most", block, 400);
	block[AT_VOLUMES] = 17;
	put("too-many", block, 400);
	put("blank", "", 0);
}
