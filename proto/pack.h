/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages packed by zstd, as sessions send and receive them (PROTO_PACKED_PAGES). Each frame by
 * itself, so that no state can be out of step.
 */
#ifndef PROTO_PACK_H
#define PROTO_PACK_H

#include <stddef.h>
#include <stdint.h>

struct proto_packer;
struct why;

struct proto_packer *proto_packer_free(struct proto_packer *p); /* returns NULL */

/*
 * Pack @length bytes (<= PROTO_MAX_PAGES) of @data; *p is made when it is NULL. *ret is good until
 * the next call. Returns how many bytes it has, or 0 when they are not worth it, or there is no
 * memory: send them as they are.
 */
size_t proto_pack_pages(
	struct proto_packer **p, const void *data, size_t length, const uint8_t **ret);

/*
 * The opposite, for bytes of a peer. Returns 0 with *ret and *ret_length (<= PROTO_MAX_PAGES) good
 * until the next call, -EBADMSG with a sentence, or -ENOMEM.
 */
int proto_unpack_pages(struct proto_packer **p, const uint8_t *data, size_t length,
	const uint8_t **ret, size_t *ret_length, struct why *why);

#endif
