/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Invariants: at most one entry per (block, generation); in a hash chain the entries of a block
 * stand newest first; generations oldest..newest each have a list of their entries, and every entry
 * in use is in exactly one chain and one list.
 */
#include "diskrep/undo.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/why.h"

#define NIL UINT32_MAX
#define GENERATIONS 4096u /* boundaries that may be open at once */
#define LIMIT_MAX (UINT64_C(1) << 40)
#define VOLUME_SHIFT 56 /* of a key; 2^56 blocks a volume are more than there are */

struct entry {
	uint64_t key; /* volume and block */
	uint64_t boundary;
	uint32_t chain;   /* next in the hash chain, or in the list of free entries */
	uint32_t sibling; /* next of its generation */
};

struct diskrep_undo {
	enum diskrep_undo_state state;
	bool locked;
	uint64_t sizes[DISKREP_UNDO_VOLUMES_MAX];
	size_t volumes_n;
	uint64_t oldest, newest;
	uint32_t first[GENERATIONS]; /* entry of generation E at E % GENERATIONS, or NIL */

	uint32_t entries_n, used;
	uint32_t newest_n,
		largest;     /* entries of generation newest; the most of any since the reset */
	uint32_t fresh;      /* entries from here on were never used since the reset */
	uint32_t free;       /* chain of entries that were */
	unsigned hash_shift; /* 64 - log2 of the number of buckets */

	/* One mapping, content first because O_DIRECT readers like it aligned. */
	uint8_t *content; /* of entry i at i * DISKREP_UNDO_BLOCK */
	struct entry *entries;
	uint32_t *buckets, *order;
	size_t mapped;
};

static size_t buckets_n(const struct diskrep_undo *u)
{
	return (size_t)1 << (64 - u->hash_shift);
}

static uint64_t key_of(uint32_t volume, uint64_t block)
{
	return (uint64_t)volume << VOLUME_SHIFT | block;
}

/* Fibonacci hashing (Knuth, volume 3, 6.4): the top bits of a product with 2^64 / phi. */
static uint32_t *bucket_of(const struct diskrep_undo *u, uint64_t key)
{
	return &u->buckets[(key * UINT64_C(0x9e3779b97f4a7c15)) >> u->hash_shift];
}

static int map_pool(struct diskrep_undo *u, uint64_t limit, struct why *why)
{
	const size_t slots = limit / DISKREP_UNDO_BLOCK;
	size_t n;
	void *pool;

	u->entries_n = (uint32_t)slots;
	for (u->hash_shift = 63; buckets_n(u) < slots; u->hash_shift--)
		;
	n = slots * (DISKREP_UNDO_BLOCK + sizeof(struct entry) + sizeof(uint32_t)) +
	    buckets_n(u) * sizeof(uint32_t);
	pool = mmap(
		NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (pool == MAP_FAILED)
		return why_set(why, -ENOMEM,
			"no memory for an undo store of %llu bytes; lower undo-limit",
			(unsigned long long)limit);
	u->mapped = n;
	u->content = pool;
	u->entries = (struct entry *)(u->content + slots * DISKREP_UNDO_BLOCK);
	u->buckets = (uint32_t *)(u->entries + slots);
	u->order = u->buckets + buckets_n(u);
	u->locked = mlock(pool, n) == 0;
	return 0;
}

int diskrep_undo_open(const uint64_t *sizes, size_t volumes_n, uint64_t limit,
	struct diskrep_undo **ret, struct why *why)
{
	struct diskrep_undo *u;
	int r;

	if (volumes_n < 1 || volumes_n > DISKREP_UNDO_VOLUMES_MAX)
		return why_set(why, -EINVAL, "an undo store has 1 to %d volumes, not %zu",
			DISKREP_UNDO_VOLUMES_MAX, volumes_n);
	if (limit < DISKREP_UNDO_BLOCK || limit > LIMIT_MAX)
		return why_set(why, -EINVAL, "an undo-limit of %llu bytes is not possible",
			(unsigned long long)limit);
	u = calloc(1, sizeof(*u));
	if (!u)
		return why_set(why, -ENOMEM, "no memory for an undo store");
	memcpy(u->sizes, sizes, volumes_n * sizeof(*sizes));
	u->volumes_n = volumes_n;
	r = map_pool(u, limit, why);
	if (r) {
		free(u);
		return r;
	}
	diskrep_undo_reset(u);
	*ret = u;
	return 0;
}

struct diskrep_undo *diskrep_undo_close(struct diskrep_undo *u)
{
	if (!u)
		return NULL;
	munmap(u->content, u->mapped);
	free(u);
	return NULL;
}

static void drop_all(struct diskrep_undo *u, enum diskrep_undo_state state)
{
	memset(u->buckets, 0xff, buckets_n(u) * sizeof(*u->buckets));
	u->fresh = u->used = u->newest_n = 0;
	u->free = NIL;
	u->oldest = u->newest = 0;
	u->state = state;
}

void diskrep_undo_reset(struct diskrep_undo *u)
{
	drop_all(u, DISKREP_UNDO_IDLE);
	u->largest = 0;
}

int diskrep_undo_boundary(struct diskrep_undo *u, uint64_t epoch)
{
	if (u->state == DISKREP_UNDO_OVERFLOW)
		return -ENOSPC;
	if (epoch != u->newest + 1)
		return -EPROTO;
	if (u->state == DISKREP_UNDO_SAVING && epoch - u->oldest >= GENERATIONS) {
		drop_all(u, DISKREP_UNDO_OVERFLOW);
		return -ENOSPC;
	}
	if (u->state == DISKREP_UNDO_IDLE)
		u->oldest = epoch;
	u->newest = epoch;
	u->newest_n = 0;
	u->first[epoch % GENERATIONS] = NIL;
	u->state = DISKREP_UNDO_SAVING;
	return 0;
}

/* First entry of @key from @i on along its chain. */
static uint32_t find(const struct diskrep_undo *u, uint64_t key, uint32_t i)
{
	while (i != NIL && u->entries[i].key != key)
		i = u->entries[i].chain;
	return i;
}

bool diskrep_undo_wants(const struct diskrep_undo *u, uint32_t volume, uint64_t block)
{
	const uint64_t key = key_of(volume, block);
	uint32_t i;

	if (u->state != DISKREP_UNDO_SAVING)
		return false;
	i = find(u, key, *bucket_of(u, key));
	return i == NIL || u->entries[i].boundary != u->newest;
}

uint32_t diskrep_undo_length(const struct diskrep_undo *u, uint32_t volume, uint64_t block)
{
	uint64_t left;

	assert(volume < u->volumes_n);
	assert(block * DISKREP_UNDO_BLOCK < u->sizes[volume]);
	left = u->sizes[volume] - block * DISKREP_UNDO_BLOCK;
	return left < DISKREP_UNDO_BLOCK ? (uint32_t)left : DISKREP_UNDO_BLOCK;
}

static uint32_t take_entry(struct diskrep_undo *u)
{
	uint32_t i = u->free;

	if (i != NIL)
		u->free = u->entries[i].chain;
	else if (u->fresh < u->entries_n)
		i = u->fresh++;
	else
		return NIL;
	u->used++;
	return i;
}

int diskrep_undo_save(struct diskrep_undo *u, uint32_t volume, uint64_t block, const void *content)
{
	const uint64_t key = key_of(volume, block);
	uint32_t *bucket = bucket_of(u, key), *first = &u->first[u->newest % GENERATIONS], i;

	if (!diskrep_undo_wants(u, volume, block))
		return 0;
	i = take_entry(u);
	if (i == NIL) {
		drop_all(u, DISKREP_UNDO_OVERFLOW);
		return -ENOSPC;
	}
	u->entries[i] = (struct entry){
		.key = key, .boundary = u->newest, .chain = *bucket, .sibling = *first};
	*bucket = *first = i;
	if (++u->newest_n > u->largest)
		u->largest = u->newest_n;
	memcpy(u->content + (size_t)i * DISKREP_UNDO_BLOCK, content,
		diskrep_undo_length(u, volume, block));
	return 0;
}

static void release_entry(struct diskrep_undo *u, uint32_t i)
{
	uint32_t *link = bucket_of(u, u->entries[i].key);

	while (*link != i)
		link = &u->entries[*link].chain;
	*link = u->entries[i].chain;
	u->entries[i].chain = u->free;
	u->free = i;
	u->used--;
}

static int check_boundary(const struct diskrep_undo *u, uint64_t epoch)
{
	if (u->state == DISKREP_UNDO_OVERFLOW)
		return -ENOSPC;
	return u->state == DISKREP_UNDO_SAVING && epoch >= 1 && epoch <= u->newest ? 0 : -EINVAL;
}

static struct diskrep_undo_item item_of(const struct diskrep_undo *u, uint32_t entry)
{
	const uint64_t key = u->entries[entry].key;
	const uint64_t block = key & ((UINT64_C(1) << VOLUME_SHIFT) - 1);
	const uint32_t volume = (uint32_t)(key >> VOLUME_SHIFT);

	return (struct diskrep_undo_item){
		.volume = volume,
		.length = diskrep_undo_length(u, volume, block),
		.offset = block * DISKREP_UNDO_BLOCK,
		.content = u->content + (size_t)entry * DISKREP_UNDO_BLOCK,
	};
}

const uint8_t *diskrep_undo_content(
	const struct diskrep_undo *u, uint32_t volume, uint64_t block, uint64_t epoch)
{
	const uint64_t key = key_of(volume, block);
	uint32_t i = find(u, key, *bucket_of(u, key)), oldest = NIL;

	for (; i != NIL && u->entries[i].boundary >= epoch; i = find(u, key, u->entries[i].chain))
		oldest = i;
	return oldest == NIL ? NULL : u->content + (size_t)oldest * DISKREP_UNDO_BLOCK;
}

/* The generation that a commit of @epoch drops next, or @epoch. */
static uint64_t dropped_generation(const struct diskrep_undo *u, uint64_t epoch)
{
	uint64_t e = u->oldest;

	while (e < epoch && u->first[e % GENERATIONS] == NIL)
		e++;
	return e;
}

bool diskrep_undo_dropped(const struct diskrep_undo *u, uint64_t epoch, uint64_t *ret_boundary,
	struct diskrep_undo_item *ret)
{
	if (check_boundary(u, epoch) || epoch < u->oldest)
		return false;
	*ret_boundary = dropped_generation(u, epoch);
	if (*ret_boundary == epoch)
		return false;
	*ret = item_of(u, u->first[*ret_boundary % GENERATIONS]);
	return true;
}

void diskrep_undo_drop(struct diskrep_undo *u)
{
	const uint64_t e = u->state == DISKREP_UNDO_SAVING ? dropped_generation(u, u->newest) : 0;
	const uint32_t i = e && e < u->newest ? u->first[e % GENERATIONS] : NIL;

	if (i == NIL)
		return;
	u->first[e % GENERATIONS] = u->entries[i].sibling;
	release_entry(u, i);
}

int diskrep_undo_commit(struct diskrep_undo *u, uint64_t epoch)
{
	int r = check_boundary(u, epoch);

	if (r)
		return r;
	for (; u->oldest < epoch; u->oldest++)
		for (uint32_t i = u->first[u->oldest % GENERATIONS], next; i != NIL; i = next) {
			next = u->entries[i].sibling;
			release_entry(u, i);
		}
	return 0;
}

static int by_place(const void *a, const void *b, void *undo)
{
	const struct diskrep_undo *u = undo;
	const uint64_t ka = u->entries[*(const uint32_t *)a].key;
	const uint64_t kb = u->entries[*(const uint32_t *)b].key;

	return ka < kb ? -1 : ka > kb;
}

/* Is there an older content of the same block in generation @epoch or later? */
static bool has_older(const struct diskrep_undo *u, uint32_t i, uint64_t epoch)
{
	const uint32_t older = find(u, u->entries[i].key, u->entries[i].chain);

	return older != NIL && u->entries[older].boundary >= epoch;
}

int diskrep_undo_rollback(struct diskrep_undo *u, uint64_t epoch, size_t *ret_n)
{
	size_t n = 0;
	int r = check_boundary(u, epoch);

	if (!r && epoch < u->oldest)
		r = -EINVAL;
	if (r)
		return r;
	for (uint64_t e = epoch; e <= u->newest; e++)
		for (uint32_t i = u->first[e % GENERATIONS]; i != NIL; i = u->entries[i].sibling)
			if (!has_older(u, i, epoch))
				u->order[n++] = i;
	qsort_r(u->order, n, sizeof(*u->order), by_place, u);
	*ret_n = n;
	return 0;
}

struct diskrep_undo_item diskrep_undo_item(const struct diskrep_undo *u, size_t i)
{
	return item_of(u, u->order[i]);
}

void diskrep_undo_info(const struct diskrep_undo *u, struct diskrep_undo_info *ret)
{
	*ret = (struct diskrep_undo_info){
		.state = u->state,
		.oldest = u->oldest,
		.newest = u->newest,
		.used = (uint64_t)u->used * DISKREP_UNDO_BLOCK,
		.limit = (uint64_t)u->entries_n * DISKREP_UNDO_BLOCK,
		.largest = (uint64_t)u->largest * DISKREP_UNDO_BLOCK,
		.locked = u->locked,
	};
}
