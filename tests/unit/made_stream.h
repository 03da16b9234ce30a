/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A made-up stream of a domain, as docs/specs/libxl-migration-stream.pandoc and
 * libxc-migration-stream.pandoc in Xen's source lay it out. Nothing of it could be restored.
 */
#ifndef TESTS_UNIT_MADE_STREAM_H
#define TESTS_UNIT_MADE_STREAM_H

#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MADE_MAX (4u << 20)

struct made {
	uint8_t *bytes; /* MADE_MAX of them */
	size_t n;
};

static inline void made_put(struct made *m, const void *data, size_t n)
{
	if (n > MADE_MAX - m->n)
		abort();
	memcpy(m->bytes + m->n, data, n);
	m->n += n;
}

static inline void made_big32(struct made *m, uint32_t v)
{
	v = htobe32(v);
	made_put(m, &v, sizeof(v));
}

static inline void made_little32(struct made *m, uint32_t v)
{
	v = htole32(v);
	made_put(m, &v, sizeof(v));
}

/* A record of @n bytes of some content, padded to 8 with zeros. */
static inline void made_record(struct made *m, uint32_t type, uint32_t n)
{
	static const uint8_t zeros[8];

	made_little32(m, type);
	made_little32(m, n);
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t byte = (uint8_t)(i % 251 ? i * 31 >> 7 : i);

		made_put(m, &byte, 1);
	}
	made_put(m, zeros, -n % 8);
}

/* How libxc's stream begins, which is in libxl's. @type: 1: x86 PV, 2: HVM; pages of 4 KiB,
 * Xen 4.17. */
static inline void made_memory_begin(struct made *m, uint32_t type)
{
	made_big32(m, UINT32_MAX);
	made_big32(m, UINT32_MAX);
	made_put(m, "XENF", 4);
	made_big32(m, 3);
	made_big32(m, 0);
	made_big32(m, 0);
	made_little32(m, type);
	made_little32(m, 12);
	made_little32(m, 4);
	made_little32(m, 17);
}

/* @pages: bytes of the record with the most in it. */
static inline struct made made_stream(uint32_t pages)
{
	struct made m = {.bytes = malloc(MADE_MAX)};

	if (!m.bytes)
		abort();
	made_put(&m, "LibxlFmt", 8);
	made_big32(&m, 2);
	made_big32(&m, 0);
	made_record(&m, 1, 0); /* libxc context */
	made_memory_begin(&m, 2);
	made_record(&m, 0x10, 0); /* static data end */
	made_record(&m, 1, pages);
	made_record(&m, 9, 77); /* HVM context */
	made_record(&m, 0, 0);
	made_record(&m, 2, 12); /* emulator xenstore data */
	made_record(&m, 0, 0);
	return m;
}

#endif
