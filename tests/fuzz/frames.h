/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For targets whose input is a run of frames: their checksums and sequence are put right, so that
 * each change reaches what reads the messages (what comes before that is the target wire's), and
 * read a second time.
 */
#ifndef TESTS_FUZZ_FRAMES_H
#define TESTS_FUZZ_FRAMES_H

#include <stdbool.h>

#include "common/cleanup.h"
#include "common/crc32c.h"
#include "proto/proto.h"
#include "tests/fuzz/fuzz.h"

#define FUZZ_HEADER 24u

struct fuzz_frame {
	unsigned int type;
	const uint8_t *payload;
	size_t length, size; /* of the payload, of the frame */
};

static inline uint32_t fuzz_checksum(const uint8_t *f, size_t payload)
{
	uint8_t header[FUZZ_HEADER];

	memcpy(header, f, FUZZ_HEADER);
	fuzz_put32(header + 12, 0);
	return crc32c(crc32c(0, header, FUZZ_HEADER), f + FUZZ_HEADER, payload);
}

/* As far as there are whole frames. */
static inline void fuzz_mend(uint8_t *f, size_t n)
{
	for (uint32_t i = 0; n >= FUZZ_HEADER; i++) {
		const uint32_t length = fuzz_get32(f + 8);

		fuzz_put32(f, UINT32_C(0x524f4d55));
		f[6] = f[7] = 0;
		fuzz_put32(f + 16, i);
		fuzz_put32(f + 20, 0);
		if (length > n - FUZZ_HEADER)
			return;
		fuzz_put32(f + 12, fuzz_checksum(f, length));
		f += FUZZ_HEADER + length;
		n -= FUZZ_HEADER + length;
	}
}

/* Of mended bytes: the frame at @f if it is whole and of a known type within its cap. */
static inline bool fuzz_frame_at(
	const uint8_t *f, size_t n, uint64_t sequence, struct fuzz_frame *ret)
{
	if (n < FUZZ_HEADER)
		return false;
	*ret = (struct fuzz_frame){.type = f[4] | (unsigned int)f[5] << 8,
		.payload = f + FUZZ_HEADER,
		.length = fuzz_get32(f + 8)};
	ret->size = FUZZ_HEADER + ret->length;
	return ret->type >= PROTO_HELLO && ret->type < PROTO_TYPE_COUNT && ret->size <= n &&
	       ret->length <= (ret->type == PROTO_PAGES              ? PROTO_MAX_PAGES
				      : ret->type == PROTO_HEARTBEAT ? 1344
				      : ret->type == PROTO_CHECK     ? PROTO_MAX_CHECK
								     : PROTO_MAX_CONTROL) &&
	       fuzz_get64(f + 16) == sequence;
}

static inline bool fuzz_unpacks(const struct fuzz_frame *f)
{
	ProtobufCMessage *m = proto_unpack(f->type, f->payload, f->length);

	if (m)
		protobuf_c_message_free_unpacked(m, NULL);
	return m != NULL;
}

/* A Hello that this version, such a session and a peer of that name make. */
static inline bool fuzz_greets(const struct fuzz_frame *f, const char *kind, const char *host)
{
	Romulus__Hello *h = romulus__hello__unpack(NULL, f->length, f->payload);
	bool good = h && h->version >= 1 && h->version_min <= 1 && !strcmp(h->session, kind) &&
		    !strcmp(h->host, host);

	if (h)
		romulus__hello__free_unpacked(h, NULL);
	return good;
}

/* A seed in the making. */

static uint8_t fuzz_seed[4096];
static size_t fuzz_seed_n;
static uint64_t fuzz_seed_next;

static inline void fuzz_seed_begin_plain(void)
{
	fuzz_seed_n = 0;
	fuzz_seed_next = 0;
}

static inline void fuzz_seed_begin(uint8_t options)
{
	fuzz_seed_begin_plain();
	fuzz_seed[fuzz_seed_n++] = options;
}

static inline void fuzz_seed_add(enum proto_type type, const ProtobufCMessage *message)
{
	CLEANUP_FREE uint8_t *frame = NULL;
	size_t n;

	FUZZ_EXPECT(proto_pack(type, fuzz_seed_next++, message, &frame, &n) == 0);
	FUZZ_EXPECT(n <= sizeof(fuzz_seed) - fuzz_seed_n);
	memcpy(fuzz_seed + fuzz_seed_n, frame, n);
	fuzz_seed_n += n;
}

static inline void fuzz_seed_put(fuzz_put *put, const char *name)
{
	put(name, fuzz_seed, fuzz_seed_n);
}

#endif
