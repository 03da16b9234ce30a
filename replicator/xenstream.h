/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The structure of what libxl writes of a domain, version 2: is it one whole stream, from its
 * header to its last record? (docs/specs/libxl-migration-stream.pandoc and
 * libxc-migration-stream.pandoc in Xen's source.) What is in the records is libxl's to judge; that
 * a stream was cut short is seen here, before anything is done with it.
 */
#ifndef REPLICATOR_XENSTREAM_H
#define REPLICATOR_XENSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct why;

#define XENSTREAM_IDENT UINT64_C(0x4c6962786c466d74) /* "LibxlFmt" */
#define XENSTREAM_VERSION 2u

/* Records of libxl's stream that Romulus itself reads or writes. */
enum xenstream_type {
	XENSTREAM_TYPE_END = 0,
	XENSTREAM_TYPE_LIBXC_CONTEXT = 1,
	XENSTREAM_TYPE_CHECKPOINT_END = 4,
};

/* Of libxc's, which is in libxl's. */
#define XENSTREAM_RECORD_END 0x00u
#define XENSTREAM_RECORD_PAGE_DATA 0x01u
#define XENSTREAM_RECORD_CHECKPOINT 0x0eu

enum xenstream_state {
	XENSTREAM_HEADER,
	XENSTREAM_RECORD,
	XENSTREAM_MEMORY_HEADER, /* of libxc's stream, which is in libxl's */
	XENSTREAM_MEMORY_DOMAIN,
	XENSTREAM_MEMORY_RECORD,
	XENSTREAM_DONE,
};

/* All zeros to begin with. */
struct xenstream {
	enum xenstream_state state;
	uint8_t head[24];
	size_t head_n;
	uint64_t skip;   /* bytes of the record's body still to come */
	bool memory;     /* it was there */
	uint64_t offset; /* bytes taken */
};

/* How libxl's stream begins: its header, and the record that libxc's follows. */
struct xenstream_begin {
	uint64_t ident;
	uint32_t version, options, type, length;
};
struct xenstream_begin xenstream_begin(void);

/* The next bytes. -EBADMSG: this is no such stream. */
int xenstream_put(struct xenstream *s, const void *data, size_t n, struct why *why);

/* 0 when it is whole, else -EBADMSG. */
int xenstream_end(const struct xenstream *s, struct why *why);

#endif
