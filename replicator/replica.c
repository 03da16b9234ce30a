/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/replica.h"

#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "replicator/xenstream.h"

#define TYPE_HVM 2u /* the domain header's: HVM and PVH */

#define PAGE_TYPE_SHIFT 60
#define PAGE_TYPE_BROKEN 0xdu /* this and the next but one hold no memory */
#define PAGE_TYPE_ALLOCATED 0xeu
#define PAGE_MASK ((UINT64_C(1) << 52) - 1)
#define PAGE_MAX (UINT64_C(1) << 28) /* 1 TiB: what a bitmap is made for */

#define RECORDS_MAX (64u << 20) /* of those that are kept; a vCPU has some 10 KiB */
#define WORD_BITS 64u

enum stage { HEADER, DOMAIN, RECORD, PAGES, PAGE, STAGES };

static const size_t unit_sizes[STAGES] = {
	[HEADER] = 24,
	[DOMAIN] = 16,
	[RECORD] = 8,
	[PAGES] = 8, /* how many */
	[PAGE] = 8,
};

static void expect(struct replica *r, enum stage stage)
{
	r->stage = stage;
	r->unit_n = 0;
}

static void give_up(struct replica *r, const char *why)
{
	r->broken = why;
	r->keep = NULL;
}

static bool append(struct replica *r, struct replica_records *to, const void *data, size_t n)
{
	size_t room = to->room ? to->room : 4096;
	uint8_t *p;

	while (room < to->length + n)
		room *= 2;
	if (room > RECORDS_MAX) {
		give_up(r, "its checkpoints hold more than is kept for a second domain");
		return false;
	}
	if (room != to->room) {
		p = realloc(to->data, room);
		if (!p) {
			give_up(r, "there was no memory to remember what it is made of");
			return false;
		}
		to->data = p;
		to->room = room;
	}
	memcpy(to->data + to->length, data, n);
	to->length += n;
	return true;
}

static void take_header(struct replica *r)
{
	expect(r, DOMAIN);
	append(r, &r->head, r->unit, unit_sizes[HEADER]);
}

static void take_domain(struct replica *r)
{
	if (bytes_get_le32(r->unit) != TYPE_HVM)
		give_up(r, "it is a PV guest, whose pages cannot be read back as they were sent");
	else
		append(r, &r->head, r->unit, unit_sizes[DOMAIN]);
	expect(r, RECORD);
}

static void take_record(struct replica *r)
{
	const uint32_t type = bytes_get_le32(r->unit), length = bytes_get_le32(r->unit + 4);

	r->skip = ((uint64_t)length + 7) & ~UINT64_C(7);
	r->keep = NULL;
	expect(r, RECORD);
	if (type == XENSTREAM_RECORD_PAGE_DATA && length >= unit_sizes[PAGES]) {
		expect(r, PAGES);
	} else if (type == XENSTREAM_RECORD_CHECKPOINT) {
		const struct replica_records last = r->tail;

		r->tail = r->next;
		r->next = last;
		r->next.length = 0;
	} else if (type != XENSTREAM_RECORD_END) {
		r->keep = r->paged ? &r->next : &r->head;
		if (!append(r, r->keep, r->unit, unit_sizes[RECORD]))
			r->keep = NULL;
	}
}

static void take_pages(struct replica *r)
{
	r->paged = true;
	r->entries = bytes_get_le32(r->unit);
	r->skip -= unit_sizes[PAGES];
	if (r->entries > r->skip / unit_sizes[PAGE])
		give_up(r, "its stream makes no sense");
	else
		expect(r, r->entries ? PAGE : RECORD);
}

static bool make_room(struct replica *r, uint64_t page)
{
	size_t words = r->words ? r->words : 1024;
	uint64_t *p;

	while (words <= page / WORD_BITS)
		words *= 2;
	if (words == r->words)
		return true;
	p = realloc(r->pages, words * sizeof(*p));
	if (!p)
		return false;
	memset(p + r->words, 0, (words - r->words) * sizeof(*p));
	r->pages = p;
	r->words = words;
	return true;
}

static void take_page(struct replica *r)
{
	const uint64_t entry = bytes_get_le64(r->unit), page = entry & PAGE_MASK;
	const unsigned int type = (unsigned int)(entry >> PAGE_TYPE_SHIFT);
	const uint64_t bit = UINT64_C(1) << page % WORD_BITS;

	r->skip -= unit_sizes[PAGE];
	expect(r, --r->entries ? PAGE : RECORD);
	if (page >= PAGE_MAX)
		give_up(r, "it has more memory than a second domain can be made of");
	else if (!make_room(r, page))
		give_up(r, "there was no memory to remember what it is made of");
	else if (type >= PAGE_TYPE_BROKEN && type != PAGE_TYPE_ALLOCATED)
		r->pages[page / WORD_BITS] &= ~bit;
	else
		r->pages[page / WORD_BITS] |= bit;
}

static void (*const takes[STAGES])(struct replica *r) = {
	[HEADER] = take_header,
	[DOMAIN] = take_domain,
	[RECORD] = take_record,
	[PAGES] = take_pages,
	[PAGE] = take_page,
};

void replica_feed(struct replica *r, const void *data, size_t n)
{
	const uint8_t *p = data;

	while (n > 0 && !r->broken) {
		const bool body = r->stage == RECORD && r->skip;
		size_t take = body ? (r->skip < n ? (size_t)r->skip : n)
				   : unit_sizes[r->stage] - r->unit_n;

		take = take < n ? take : n;
		if (body) {
			r->skip -= take;
			if (r->keep)
				append(r, r->keep, p, take);
		} else {
			memcpy(r->unit + r->unit_n, p, take);
			r->unit_n += take;
			if (r->unit_n == unit_sizes[r->stage])
				takes[r->stage](r);
		}
		p += take;
		n -= take;
	}
}

uint64_t replica_page(const struct replica *r, uint64_t from)
{
	for (size_t i = from / WORD_BITS; i < r->words; i++) {
		uint64_t word = r->pages[i];

		if (i == from / WORD_BITS)
			word &= ~UINT64_C(0) << from % WORD_BITS;
		if (word)
			return i * WORD_BITS + (unsigned int)__builtin_ctzll(word);
	}
	return UINT64_MAX;
}

void replica_clear(struct replica *r)
{
	free(r->head.data);
	free(r->tail.data);
	free(r->next.data);
	free(r->pages);
	memset(r, 0, sizeof(*r));
}
