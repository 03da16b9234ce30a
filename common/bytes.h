/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers in foreign bytes, wherever they lie: of frames, files and Xen's streams. */
#ifndef COMMON_BYTES_H
#define COMMON_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define BYTES_OF(bits, order, to, from)                                                            \
	static inline uint##bits##_t bytes_get_##order##bits(const uint8_t *at)                    \
	{                                                                                          \
		uint##bits##_t value;                                                              \
                                                                                                   \
		memcpy(&value, at, sizeof(value));                                                 \
		return from(value);                                                                \
	}                                                                                          \
                                                                                                   \
	static inline void bytes_put_##order##bits(uint8_t *at, uint##bits##_t value)              \
	{                                                                                          \
		value = to(value);                                                                 \
		memcpy(at, &value, sizeof(value));                                                 \
	}

BYTES_OF(16, le, htole16, le16toh)
BYTES_OF(32, le, htole32, le32toh)
BYTES_OF(64, le, htole64, le64toh)
BYTES_OF(32, be, htobe32, be32toh)
BYTES_OF(64, be, htobe64, be64toh)

#undef BYTES_OF

#endif
