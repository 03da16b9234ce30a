/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/savefile.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/bytes.h"
#include "common/crc32c.h"
#include "common/why.h"

#define AT_CRC 12

void savefile_header_encode(uint8_t ret[SAVEFILE_HEADER_BYTES])
{
	memset(ret, 0, SAVEFILE_HEADER_BYTES);
	memcpy(ret, SAVEFILE_MAGIC, 8);
	bytes_put_le32(ret + 8, SAVEFILE_VERSION);
}

int savefile_header_decode(const uint8_t header[SAVEFILE_HEADER_BYTES], struct why *why)
{
	if (memcmp(header, SAVEFILE_MAGIC, 8) != 0)
		return why_set(why, -ENODATA,
			"neither `romulus save` nor `xl save` has written this, or its beginning "
			"is damaged");
	if (bytes_get_le32(header + 8) != SAVEFILE_VERSION || bytes_get_le32(header + 12) != 0)
		return why_set(why, -EPROTONOSUPPORT,
			"the file is of version %" PRIu32
			" of the format, this program knows version %u: it needs a newer Romulus, "
			"or its beginning is damaged",
			bytes_get_le32(header + 8), SAVEFILE_VERSION);
	return 0;
}

static uint32_t checksum(const struct savefile_frame *f, const void *payload)
{
	uint8_t header[SAVEFILE_FRAME_BYTES];

	bytes_put_le32(header, f->type);
	bytes_put_le32(header + 4, f->length);
	bytes_put_le32(header + 8, f->raw);
	bytes_put_le32(header + AT_CRC, 0);
	bytes_put_le64(header + 16, f->sequence);
	return crc32c(crc32c(0, header, sizeof(header)), payload, f->length);
}

void savefile_frame_encode(
	uint8_t ret[SAVEFILE_FRAME_BYTES], const struct savefile_frame *f, const void *payload)
{
	bytes_put_le32(ret, f->type);
	bytes_put_le32(ret + 4, f->length);
	bytes_put_le32(ret + 8, f->raw);
	bytes_put_le32(ret + AT_CRC, checksum(f, payload));
	bytes_put_le64(ret + 16, f->sequence);
}

static bool length_fits(const struct savefile_frame *f)
{
	switch (f->type) {
	case SAVEFILE_ABOUT:
		return f->length <= SAVEFILE_ABOUT_MAX && !f->raw;
	case SAVEFILE_STREAM:
		return f->length && f->length <= SAVEFILE_PACKED_MAX && f->raw &&
		       f->raw <= SAVEFILE_CHUNK;
	case SAVEFILE_NOTE:
		return f->length && f->length <= SAVEFILE_NOTE_MAX && !f->raw;
	case SAVEFILE_END:
		return f->length == SAVEFILE_END_BYTES && !f->raw;
	}
	return false;
}

int savefile_frame_decode(const uint8_t header[SAVEFILE_FRAME_BYTES], uint64_t sequence,
	struct savefile_frame *ret, struct why *why)
{
	const struct savefile_frame f = {
		.type = (enum savefile_type)bytes_get_le32(header),
		.length = bytes_get_le32(header + 4),
		.raw = bytes_get_le32(header + 8),
		.crc = bytes_get_le32(header + AT_CRC),
		.sequence = bytes_get_le64(header + 16),
	};

	if (!length_fits(&f) || f.sequence != sequence ||
		(f.type == SAVEFILE_ABOUT) != (sequence == 0))
		return why_set(why, -EBADMSG,
			"the file is damaged: the header of its frame %" PRIu64 " makes no sense",
			sequence);
	*ret = f;
	return 0;
}

bool savefile_frame_intact(const struct savefile_frame *f, const void *payload)
{
	return checksum(f, payload) == f->crc;
}

/* ---- xl ------------------------------------------------------------------------------------- */

#define XL_MAGIC "Xen saved domain, xl format\n \0 \r" /* with the NUL of this literal: 33 */
#define XL_MAGIC_BYTES 32u
#define XL_BYTEORDER UINT32_C(0x01020304)
#define XL_JSON UINT32_C(1)      /* mandatory: the configuration is JSON */
#define XL_STREAM_V2 UINT32_C(2) /* mandatory: libxl's stream of version 2 */

void savefile_xl_encode(uint8_t ret[SAVEFILE_XL_BYTES + 4], uint32_t config_bytes)
{
	memcpy(ret, XL_MAGIC, XL_MAGIC_BYTES);
	bytes_put_le32(ret + 32, XL_BYTEORDER);
	bytes_put_le32(ret + 36, XL_JSON | XL_STREAM_V2);
	bytes_put_le32(ret + 40, 0);
	bytes_put_le32(ret + 44, 4 + config_bytes);
	bytes_put_le32(ret + 48, config_bytes);
}

int savefile_xl_decode(const uint8_t head[SAVEFILE_XL_BYTES], uint32_t *ret, struct why *why)
{
	const uint32_t length = bytes_get_le32(head + 44);

	if (memcmp(head, XL_MAGIC, XL_MAGIC_BYTES) != 0)
		return -ENODATA;
	if (bytes_get_le32(head + 32) != XL_BYTEORDER)
		return why_set(why, -EBADMSG,
			"the file of `xl save` is of a machine of the other byte order, or "
			"damaged");
	if (bytes_get_le32(head + 36) != (XL_JSON | XL_STREAM_V2) || bytes_get_le32(head + 40) != 0)
		return why_set(why, -EPROTONOSUPPORT,
			"the file is of an `xl save` that this program does not know (flags "
			"0x%" PRIx32 ", 0x%" PRIx32 "), or damaged",
			bytes_get_le32(head + 36), bytes_get_le32(head + 40));
	if (length <= 4 || length > 4 + SAVEFILE_ABOUT_MAX)
		return why_set(
			why, -EBADMSG, "the file of `xl save` has no configuration, or is damaged");
	*ret = length;
	return 0;
}
