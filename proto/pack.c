/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/pack.h"

#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#include "common/why.h"
#include "proto/proto.h"

/* Fast ones: memory is full of zeros and of repetition, and a copy must not wait for its packing.
 */
#define LEVEL (-3)

struct proto_packer {
	ZSTD_CCtx *out;
	ZSTD_DCtx *in;
	uint8_t bytes[PROTO_MAX_PAGES];
};

struct proto_packer *proto_packer_free(struct proto_packer *p)
{
	if (!p)
		return NULL;
	ZSTD_freeCCtx(p->out);
	ZSTD_freeDCtx(p->in);
	free(p);
	return NULL;
}

static struct proto_packer *ready(struct proto_packer **p)
{
	if (!*p)
		*p = calloc(1, sizeof(**p));
	return *p;
}

size_t proto_pack_pages(
	struct proto_packer **p, const void *data, size_t length, const uint8_t **ret)
{
	const size_t worth = length - length / 8;
	size_t n;

	if (!ready(p))
		return 0;
	if (!(*p)->out)
		(*p)->out = ZSTD_createCCtx();
	if (!(*p)->out)
		return 0;
	/* What does not fit is not worth it: that is an error of zstd, and is found early. */
	n = ZSTD_compressCCtx((*p)->out, (*p)->bytes, worth, data, length, LEVEL);
	*ret = (*p)->bytes;
	return ZSTD_isError(n) ? 0 : n;
}

int proto_unpack_pages(struct proto_packer **p, const uint8_t *data, size_t length,
	const uint8_t **ret, size_t *ret_length, struct why *why)
{
	size_t n;

	if (!ready(p))
		return -ENOMEM;
	if (!(*p)->in)
		(*p)->in = ZSTD_createDCtx();
	if (!(*p)->in)
		return -ENOMEM;
	n = ZSTD_decompressDCtx((*p)->in, (*p)->bytes, sizeof((*p)->bytes), data, length);
	if (ZSTD_isError(n))
		return why_set(why, -EBADMSG, "packed pages that cannot be unpacked: %s",
			ZSTD_getErrorName(n));
	*ret = (*p)->bytes;
	*ret_length = n;
	return 0;
}
