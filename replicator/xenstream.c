/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/xenstream.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/bytes.h"
#include "common/why.h"

#define LIBXC_MARKER UINT64_MAX
#define LIBXC_IDENT UINT32_C(0x58454e46) /* "XENF" */

#define RECORD_MAX (128u << 20) /* libxc's own limit (xg_sr_stream_format.h) */

/* Version 2; options: little endian, perhaps converted from an older stream. */
static bool header(struct xenstream *s)
{
	s->state = XENSTREAM_RECORD;
	return bytes_get_be64(s->head) == XENSTREAM_IDENT &&
	       bytes_get_be32(s->head + 8) == XENSTREAM_VERSION &&
	       (bytes_get_be32(s->head + 12) & ~2u) == 0;
}

static bool body(struct xenstream *s, uint32_t length)
{
	s->skip = ((uint64_t)length + 7) & ~UINT64_C(7);
	return length <= RECORD_MAX;
}

static bool record(struct xenstream *s)
{
	const uint32_t type = bytes_get_le32(s->head), length = bytes_get_le32(s->head + 4);

	if (type == XENSTREAM_TYPE_LIBXC_CONTEXT) {
		if (s->memory || length)
			return false;
		s->memory = true;
		s->state = XENSTREAM_MEMORY_HEADER;
		return true;
	}
	if (type == XENSTREAM_TYPE_END) {
		s->state = XENSTREAM_DONE;
		return s->memory && !length;
	}
	return body(s, length);
}

static bool memory_header(struct xenstream *s)
{
	const uint32_t version = bytes_get_be32(s->head + 12);

	s->state = XENSTREAM_MEMORY_DOMAIN;
	return bytes_get_be64(s->head) == LIBXC_MARKER &&
	       bytes_get_be32(s->head + 8) == LIBXC_IDENT && (version == 2 || version == 3) &&
	       bytes_get_be64(s->head + 16) == 0;
}

/* x86 PV or HVM, pages of 4 KiB. */
static bool memory_domain(struct xenstream *s)
{
	const uint32_t type = bytes_get_le32(s->head);

	s->state = XENSTREAM_MEMORY_RECORD;
	return (type == 1 || type == 2) && bytes_get_le32(s->head + 4) == 12;
}

static bool memory_record(struct xenstream *s)
{
	if (bytes_get_le32(s->head) != XENSTREAM_RECORD_END)
		return body(s, bytes_get_le32(s->head + 4));
	s->state = XENSTREAM_RECORD;
	return bytes_get_le32(s->head + 4) == 0;
}

static const struct {
	size_t bytes;
	bool (*read)(struct xenstream *s);
} states[] = {
	[XENSTREAM_HEADER] = {16, header},
	[XENSTREAM_RECORD] = {8, record},
	[XENSTREAM_MEMORY_HEADER] = {24, memory_header},
	[XENSTREAM_MEMORY_DOMAIN] = {16, memory_domain},
	[XENSTREAM_MEMORY_RECORD] = {8, memory_record},
};

struct xenstream_begin xenstream_begin(void)
{
	return (struct xenstream_begin){htobe64(XENSTREAM_IDENT), htobe32(XENSTREAM_VERSION), 0,
		XENSTREAM_TYPE_LIBXC_CONTEXT, 0};
}

int xenstream_put(struct xenstream *s, const void *data, size_t n, struct why *why)
{
	const uint8_t *p = data;

	while (n > 0) {
		size_t take;

		if (s->skip) {
			take = s->skip < n ? (size_t)s->skip : n;
			s->skip -= take;
		} else if (s->state == XENSTREAM_DONE) {
			return why_set(why, -EBADMSG,
				"the domain's stream goes on behind its end, at byte %" PRIu64,
				s->offset);
		} else {
			take = states[s->state].bytes - s->head_n;
			take = take < n ? take : n;
			memcpy(s->head + s->head_n, p, take);
			s->head_n += take;
		}
		p += take;
		n -= take;
		s->offset += take;
		if (s->head_n < states[s->state == XENSTREAM_DONE ? 0 : s->state].bytes)
			continue;
		s->head_n = 0;
		if (!states[s->state].read(s))
			return why_set(why, -EBADMSG,
				"the domain's stream makes no sense before byte %" PRIu64,
				s->offset);
	}
	return 0;
}

int xenstream_end(const struct xenstream *s, struct why *why)
{
	if (s->state == XENSTREAM_DONE && !s->skip)
		return 0;
	return why_set(why, -EBADMSG, "the domain's stream ends too soon, after %" PRIu64 " bytes",
		s->offset);
}
