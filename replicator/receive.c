/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/receive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/why.h"

#define FIRST_CAPACITY (1024u * 1024u)

void receive_init(struct receive *rx, size_t limit)
{
	memset(rx, 0, sizeof(*rx));
	rx->limit = limit;
}

void receive_clear(struct receive *rx)
{
	free(rx->open);
	memset(rx, 0, sizeof(*rx));
}

void receive_begin(struct receive *rx)
{
	if (rx->open)
		rx->open->length = 0;
	rx->bytes = 0;
}

int receive_add(struct receive *rx, const void *data, size_t length, struct why *why)
{
	size_t have = rx->open ? rx->open->length : 0;
	size_t capacity = rx->open ? rx->open->capacity : 0;
	struct chunk *grown;

	if (!length)
		return 0;
	if (have + length > rx->limit)
		return why_set(why, -ENOSPC,
			"the primary sent an epoch larger than the %zu MB agreed on",
			rx->limit >> 20);
	while (capacity < have + length)
		capacity = capacity ? capacity * 2 : FIRST_CAPACITY;
	if (!rx->open || capacity != rx->open->capacity) {
		grown = realloc(rx->open, sizeof(*grown) + capacity);
		if (!grown)
			return why_set(
				why, -ENOMEM, "no memory for an epoch of %zu MB", capacity >> 20);
		grown->kind = CHUNK_BYTES; /* what lay there may have been anything */
		grown->capacity = capacity;
		grown->length = have;
		rx->open = grown;
	}
	memcpy(rx->open->data + have, data, length);
	rx->open->length += length;
	rx->bytes += length;
	return 0;
}

struct chunk *receive_take(struct receive *rx)
{
	struct chunk *c = rx->open;

	rx->open = NULL;
	if (c && !c->length) {
		free(c);
		c = NULL;
	}
	return c;
}

int receive_verify(struct receive *rx, uint64_t bytes, struct why *why)
{
	if (bytes != rx->bytes)
		return why_set(why, -EBADMSG,
			"the primary says the epoch has %llu bytes, %llu arrived",
			(unsigned long long)bytes, (unsigned long long)rx->bytes);
	return 0;
}
