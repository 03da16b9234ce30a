/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CRC32C (Castagnoli), the checksum of RFC 3720 appendix B.4: detects damage, not malice. */
#ifndef COMMON_CRC32C_H
#define COMMON_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * Checksum of @length bytes at @data, continuing from @crc: 0 at first, then what the call for the
 * preceding bytes returned. Thread safe.
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t length);

#endif
