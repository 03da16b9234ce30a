// SPDX-License-Identifier: GPL-2.0-or-later
#include "record.h"

#include <stddef.h>

enum { FILL_WORDS = 59, SECTOR_WORDS = 64 };

_Static_assert(sizeof(struct record) == SECTOR_WORDS * sizeof(uint64_t), "a record is a sector");

static const uint64_t magic = 0x31706d6174736d52ULL, step = 0x9e3779b97f4a7c15ULL;

/* The finalizer of MurmurHash3, with the constants of its "variant 13". */
uint64_t record_mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

uint64_t record_digest(const struct record *record)
{
	const uint64_t *words = (const uint64_t *)record;
	uint64_t sum = 0;
	int i;

	for (i = 0; i < SECTOR_WORDS; i++)
		sum = (sum ^ words[i] ^ sum >> 29) * step;
	return sum ^ sum >> 32;
}

static uint64_t check_of(const struct record *record)
{
	struct record bare = *record;

	bare.check = 0;
	return record_digest(&bare);
}

void record_fill(struct record *record, uint64_t number, uint64_t place, uint64_t nonce)
{
	uint64_t x = record_mix(number ^ place ^ nonce);
	int i;

	*record = (struct record){.magic = magic, .number = number, .place = place, .nonce = nonce};
	for (i = 0; i < FILL_WORDS; i++)
		record->fill[i] = x += step;
	record->check = check_of(record);
}

bool record_valid(const struct record *record, uint64_t place)
{
	return record->magic == magic && record->place == place &&
	       record->check == check_of(record);
}
