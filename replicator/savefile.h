/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files of `romulus save`, and those of `xl save`. docs/save-format.md describes both; a change
 * to one changes the other in the same commit. Here is no domain and no decision: bytes to a
 * descriptor and back. What is read is foreign: nothing of it is believed before its checksum, and
 * none of it can ask for more memory than the caps below.
 */
#ifndef REPLICATOR_SAVEFILE_H
#define REPLICATOR_SAVEFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>
#include <gnutls/crypto.h>

struct why;

#define SAVEFILE_MAGIC "ROMsave\n"
#define SAVEFILE_VERSION 1u
#define SAVEFILE_HEADER_BYTES 16u
#define SAVEFILE_FRAME_BYTES 24u
#define SAVEFILE_CHUNK (1u << 20) /* of the stream, in a frame */
#define SAVEFILE_PACKED_MAX                                                                        \
	(SAVEFILE_CHUNK + (SAVEFILE_CHUNK >> 8) + 64u) /* a chunk, compressed                      \
							*/
#define SAVEFILE_ABOUT_MAX (1u << 20)
#define SAVEFILE_NOTE_MAX 4096u
#define SAVEFILE_SUM_BYTES 32u /* SHA-256 */
#define SAVEFILE_END_BYTES (8u + 8u + SAVEFILE_SUM_BYTES)

enum savefile_type {
	SAVEFILE_ABOUT = 1,  /* SavedDomain, once, first */
	SAVEFILE_STREAM = 2, /* one zstd frame of at most SAVEFILE_CHUNK bytes */
	SAVEFILE_NOTE =
		3,        /* text about the snapshot of the disks; at most once, after the stream */
	SAVEFILE_END = 4, /* once, last; the file ends with it */
};

enum savefile_format { SAVEFILE_ROMULUS, SAVEFILE_XL };

struct savefile_frame {
	enum savefile_type type;
	uint32_t length; /* bytes of payload */
	uint32_t raw;    /* of a chunk, decompressed; else 0 */
	uint32_t crc;
	uint64_t sequence;
};

/* What a file says of its domain. */
struct savefile_about {
	enum savefile_format format;
	char *config_json; /* owned, like the other strings; NULL where the format does not have it
			    */
	char *host, *note;
	uint64_t memory_kb, saved_ns;
	bool checkpoint;
	uint64_t stream_bytes; /* decompressed; known when all has been read */
};

void savefile_about_clear(struct savefile_about *a);

/* ---- savefile_format.c: bytes and numbers --------------------------------------------------- */

void savefile_header_encode(uint8_t ret[SAVEFILE_HEADER_BYTES]);
/* 0; -ENODATA: no such file at all; -EPROTONOSUPPORT: of another version. */
int savefile_header_decode(const uint8_t header[SAVEFILE_HEADER_BYTES], struct why *why);

/* @f->crc is computed over header and @payload. */
void savefile_frame_encode(
	uint8_t ret[SAVEFILE_FRAME_BYTES], const struct savefile_frame *f, const void *payload);
/* The header alone, before room is made for the payload. -EBADMSG. */
int savefile_frame_decode(const uint8_t header[SAVEFILE_FRAME_BYTES], uint64_t sequence,
	struct savefile_frame *ret, struct why *why);
/* Whether @f->crc is that of header and payload. */
bool savefile_frame_intact(const struct savefile_frame *f, const void *payload);

#define SAVEFILE_XL_BYTES 48u

/* The head of xl's format, up to the length of its configuration (tools/xl/xl.h in Xen). */
void savefile_xl_encode(uint8_t ret[SAVEFILE_XL_BYTES + 4], uint32_t config_bytes);
/* -ENODATA: not xl's; else -EBADMSG or -EPROTONOSUPPORT. *ret: bytes that follow before the stream.
 */
int savefile_xl_decode(const uint8_t head[SAVEFILE_XL_BYTES], uint32_t *ret, struct why *why);

/* ---- savefile_write.c ----------------------------------------------------------------------- */

struct savefile_writer {
	int fd;
	enum savefile_format format;
	uint8_t *raw, *packed; /* a chunk being filled, and room for it compressed */
	size_t raw_n;
	void *zstd; /* ZSTD_CCtx */
	gnutls_hash_hd_t sum;
	uint64_t sequence, stream_bytes, chunks, written;
};

/*
 * Begin a file at @fd (borrowed) with what @about says: format, config_json, host, memory_kb,
 * saved_ns, checkpoint. Closed by savefile_writer_close whatever it returns.
 */
int savefile_writer_open(struct savefile_writer *w, int fd, const struct savefile_about *about,
	const char *hypervisor, struct why *why);
/* More of the stream. */
int savefile_writer_put(struct savefile_writer *w, const void *data, size_t n, struct why *why);
/* What is left of it, @note (NULL or "": none) and the end. xl's format has neither. */
int savefile_writer_end(struct savefile_writer *w, const char *note, struct why *why);
void savefile_writer_close(struct savefile_writer *w);

/* ---- savefile_read.c ------------------------------------------------------------------------ */

/* Takes the decompressed stream piece by piece; a negative errno ends the reading. */
typedef int (*savefile_take_fn)(void *opaque, const void *data, size_t n, struct why *why);

/*
 * Read the whole file at @fd, from its beginning. Every byte is checked: 0 means that it is what
 * was written (of xl's format, which has no checksums: that its structure is whole). @take may be
 * NULL. *ret is filled as it becomes known, and is the caller's to clear whatever this returns;
 * NULL: not wanted. -EBADMSG: damaged; -ENODATA: no file of either format; -EPROTONOSUPPORT: of a
 * later version.
 */
int savefile_read(
	int fd, savefile_take_fn take, void *opaque, struct savefile_about *ret, struct why *why);

/* Exactly @n bytes, or -ENODATA where the file ends first. */
int savefile_read_exactly(int fd, void *data, size_t n, struct why *why);
int savefile_write_all(int fd, const void *data, size_t n, struct why *why);

#endif
