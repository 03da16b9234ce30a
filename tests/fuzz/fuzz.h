/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fuzz target: one parser of foreign bytes, fed by libFuzzer (make fuzz) or by replay.c with the
 * files of tests/fuzz/corpus/NAME (make unit). Beside not crashing it must agree with a second
 * reading of the format, written down in the target from the format's description.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One input; always 0. What must hold and does not ends the process. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Inputs so far that the parser accepted as they are. A seed named good-* must be one. */
extern unsigned long fuzz_accepted;

/* Hand out the seeds, made by the encoders where the format has one. */
typedef void fuzz_put(const char *name, const void *data, size_t size);
void fuzz_seeds(fuzz_put *put);

#define FUZZ_EXPECT(condition)                                                                     \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,          \
				#condition);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static inline uint32_t fuzz_get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

static inline uint64_t fuzz_get64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return le64toh(value);
}

static inline void fuzz_put32(uint8_t *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
}

/* In memory of exactly its size, so that a read beyond it is seen; the caller's to free. */
static inline void *fuzz_copy(const void *data, size_t size)
{
	void *copy = calloc(1, size ? size : 1);

	FUZZ_EXPECT(copy);
	if (size)
		memcpy(copy, data, size);
	return copy;
}

#endif
