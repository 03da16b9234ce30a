/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One epoch of a domain without page tables of its own in Xen's eyes (HVM and PVH): the records
 * that libxenguest's x86_hvm_end_of_checkpoint and send_dirty_pages write, in the same order
 * (docs/specs/libxc-migration-stream in Xen's tree). A PVH guest's few special pages lie just below
 * 4 GiB, so its log-dirty bitmap has a million bits, whatever its size: it is read word by word.
 */
#include "replicator/hv_capture.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "replicator/dirty.h"
#include "replicator/hv_xen.h"
#include "replicator/replica.h"
#include "replicator/xenstream.h"

/* These two after Xen's other headers, whose names of fields they define away. */
#include <xen/hvm/params.h>
#include <xenforeignmemory.h>

#define RECORD_TSC_INFO 0x08u
#define RECORD_HVM_CONTEXT 0x09u
#define RECORD_HVM_PARAMS 0x0au

#define PAGE_BYTES 4096u
#define WORD_BITS 64u
#define READS_MAX 16                         /* of the bitmap, then it is cleared */
#define BATCH_PAGES 1024u                    /* of one PAGE_DATA record, as libxenguest has it */
#define PAGE_TYPE_NONE (UINT64_C(0xf) << 60) /* XEN_DOMCTL_PFINFO_XTAB: no data follows */

struct record {
	uint32_t type, length; /* of what follows; its padding to 8 bytes not counted */
};

struct hv_capture {
	struct hv *hv;
	xenforeignmemory_handle *memory;
	uint64_t gfns; /* highest of the domain, plus one: bits in the bitmap */
	xc_hypercall_buffer_t bitmap_buffer;
	uint64_t *bitmap;
	uint64_t *before;   /* as it was read last, all zeros when it was cleared */
	unsigned int reads; /* of the bitmap since it was cleared */
	size_t pages_fresh; /* dirty at the first of them: what an epoch writes */

	/* Of the epoch at hand; grown as needed. */
	size_t pages, room;
	xen_pfn_t *pfns;
	int *errors;
	uint8_t *map;
	size_t mapped; /* pages */
	size_t context_room;
	uint8_t *context;
};

static size_t bitmap_pages(uint64_t gfns)
{
	return (gfns / 8 + PAGE_BYTES) / PAGE_BYTES;
}

int hv_capture_open(struct hv *hv, struct hv_capture **ret, struct why *why)
{
	struct hv_capture *c = calloc(1, sizeof(*c));
	xen_pfn_t gfns;

	if (!c)
		return why_set(why, -ENOMEM, "no memory to capture '%s'", hv->name);
	c->hv = hv;
	c->bitmap_buffer = (xc_hypercall_buffer_t){HYPERCALL_BUFFER_INIT_NO_BOUNCE};
	c->memory = xenforeignmemory_open(hv->log, 0);
	if (!c->memory || xc_domain_nr_gpfns(hv->xc, hv->domid, &gfns)) {
		hv_capture_close(c);
		return why_set(why, -EIO, "Xen does not tell the size of '%s': %s", hv->name,
			strerror(errno));
	}
	c->gfns = gfns;
	c->bitmap = xc__hypercall_buffer_alloc_pages(
		hv->xc, &c->bitmap_buffer, (int)bitmap_pages(c->gfns));
	if (!c->bitmap) {
		hv_capture_close(c);
		return why_set(
			why, -ENOMEM, "no memory for the log-dirty bitmap of '%s'", hv->name);
	}
	memset(c->bitmap, 0, bitmap_pages(c->gfns) * PAGE_BYTES);
	c->before = calloc(bitmap_pages(c->gfns), PAGE_BYTES);
	if (!c->before) {
		hv_capture_close(c);
		return why_set(
			why, -ENOMEM, "no memory for the log-dirty bitmap of '%s'", hv->name);
	}
	*ret = c;
	return 0;
}

void hv_capture_unmap(struct hv_capture *c)
{
	if (c->map)
		xenforeignmemory_unmap(c->memory, c->map, c->mapped);
	c->map = NULL;
}

struct hv_capture *hv_capture_close(struct hv_capture *c)
{
	if (!c)
		return NULL;
	hv_capture_unmap(c);
	if (c->bitmap)
		xc__hypercall_buffer_free_pages(
			c->hv->xc, &c->bitmap_buffer, (int)bitmap_pages(c->gfns));
	if (c->memory)
		xenforeignmemory_close(c->memory);
	free(c->before);
	free(c->pfns);
	free(c->errors);
	free(c->context);
	free(c);
	return NULL;
}

static int write_failed(const struct hv_capture *c, struct why *why)
{
	/* EPERM: the buffer is sealed at its limit. */
	return why_set(why, -errno, "an epoch of '%s' could not be written: %s%s", c->hv->name,
		strerror(errno), errno == EPERM ? "; it is larger than `staging` allows" : "");
}

static int write_all(struct hv_capture *c, int fd, struct iovec *iov, int count, struct why *why)
{
	ssize_t n;

	while (count) {
		n = writev(fd, iov, count);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return write_failed(c, why);
		while (count && (size_t)n >= iov->iov_len) {
			n -= (ssize_t)iov->iov_len;
			iov++;
			count--;
		}
		if (count) {
			iov->iov_base = (uint8_t *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

/* @length: of @data, whose owner has it padded to 8 bytes with zeros. */
static int write_record(
	struct hv_capture *c, int fd, uint32_t type, void *data, size_t length, struct why *why)
{
	struct record record = {type, (uint32_t)length};
	struct iovec iov[] = {
		{&record, sizeof(record)},
		{data, (length + 7) / 8 * 8},
	};

	return write_all(c, fd, iov, length ? 2 : 1, why);
}

static int grow(struct hv_capture *c, size_t pages, struct why *why)
{
	size_t room = c->room ? c->room : BATCH_PAGES;
	void *p;

	while (room < pages)
		room *= 2;
	if (room == c->room)
		return 0;
	p = realloc(c->pfns, room * sizeof(*c->pfns));
	if (p)
		c->pfns = p;
	if (p)
		p = realloc(c->errors, room * sizeof(*c->errors));
	if (!p)
		return why_set(
			why, -ENOMEM, "no memory for the list of dirty pages of '%s'", c->hv->name);
	c->errors = p;
	c->room = room;
	return 0;
}

/*
 * To clear the bitmap is to write-protect all memory anew, and the guest pays for it with a fault
 * for every page that it touches next. While it is only read, a page once written counts as dirty
 * from epoch to epoch: what is sent is more than what changed, never less.
 */
static bool clear_is_due(const struct hv_capture *c)
{
	return c->reads > 0 &&
	       (c->reads >= READS_MAX || c->pages > c->pages_fresh + c->pages_fresh / 2);
}

static int read_bitmap(struct hv_capture *c, unsigned int operation, struct why *why)
{
	xc_shadow_op_stats_t stats;

	if (xc_logdirty_control(c->hv->xc, c->hv->domid, operation, &c->bitmap_buffer, c->gfns,
		    XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL, &stats) == (long long)c->gfns)
		return 0;
	return why_set(why, -EIO, "Xen does not tell which pages of '%s' are dirty: %s",
		c->hv->name, strerror(errno));
}

/*
 * Read the log-dirty bitmap into c->bitmap, and clear it if that is due. Not before it is known
 * that nobody else has: Xen has one bitmap for all, a second save of the domain begins by clearing
 * it and relies on what it finds there later, and ends by switching log-dirty mode off. Then there
 * is nothing in it; a guest that has run, and suspended, has dirtied something.
 */
static int read_dirty(struct hv_capture *c, size_t words, bool clear, struct why *why)
{
	int r = read_bitmap(c, XEN_DOMCTL_SHADOW_OP_PEEK, why);

	if (!r && (dirty_none(c->bitmap, words) || !dirty_covers(c->bitmap, c->before, words)))
		return why_set(why, -EALREADY,
			"'%s' is being saved or migrated by another hand, which gets its way: "
			"protection can begin again when that is over",
			c->hv->name);
	if (!r && clear)
		r = read_bitmap(c, XEN_DOMCTL_SHADOW_OP_CLEAN, why);
	if (r)
		return r;
	if (clear)
		memset(c->before, 0, words * sizeof(*c->before));
	else
		memcpy(c->before, c->bitmap, words * sizeof(*c->before));
	return 0;
}

/* Read the log-dirty bitmap into c->pfns. */
static int take_dirty(struct hv_capture *c, struct why *why)
{
	const size_t words = (c->gfns + WORD_BITS - 1) / WORD_BITS;
	const bool clear = clear_is_due(c);
	xen_pfn_t gfns;
	uint64_t word;
	size_t i;
	int r;

	if (xc_domain_nr_gpfns(c->hv->xc, c->hv->domid, &gfns) || gfns > c->gfns)
		return why_set(why, -ESTALE,
			"the memory of '%s' has grown, and what is new was not tracked: the guest "
			"runs on, protection has to begin again",
			c->hv->name);
	r = read_dirty(c, words, clear, why);
	if (r)
		return r;
	c->pages = 0;
	for (i = 0; i < words; i++) {
		if (!c->bitmap[i])
			continue;
		r = grow(c, c->pages + WORD_BITS, why);
		if (r)
			return r;
		for (word = c->bitmap[i]; word; word &= word - 1)
			c->pfns[c->pages++] = i * WORD_BITS + (unsigned int)__builtin_ctzll(word);
	}
	c->reads = clear ? 0 : c->reads + 1;
	if (c->reads == 1)
		c->pages_fresh = c->pages;
	return 0;
}

static int map_dirty(struct hv_capture *c, struct why *why)
{
	if (!c->pages)
		return 0;
	c->map = xenforeignmemory_map(
		c->memory, c->hv->domid, PROT_READ, c->pages, c->pfns, c->errors);
	if (!c->map)
		return why_set(why, -errno, "cannot map %zu dirty pages of '%s': %s", c->pages,
			c->hv->name, strerror(errno));
	c->mapped = c->pages;
	return 0;
}

/*
 * Pages @first to @first + @count of the list. One that cannot be mapped holds no memory: ballooned
 * out, or never populated.
 */
static int write_batch(struct hv_capture *c, int fd, size_t first, size_t count, struct why *why)
{
	struct {
		uint32_t count, reserved;
		uint64_t pfns[BATCH_PAGES];
	} head = {.count = (uint32_t)count};
	struct record record = {.type = XENSTREAM_RECORD_PAGE_DATA};
	struct iovec iov[2 + BATCH_PAGES] = {
		{&record, sizeof(record)},
		{&head, 8 + count * 8},
	};
	int runs = 1; /* index of the last of iov; neighbours go as one */
	size_t i, data = 0;

	for (i = 0; i < count; i++) {
		uint8_t *page = c->map + (first + i) * PAGE_BYTES;

		head.pfns[i] = c->pfns[first + i];
		if (c->errors[first + i]) {
			head.pfns[i] |= PAGE_TYPE_NONE;
			continue;
		}
		data += PAGE_BYTES;
		if (runs > 1 && (uint8_t *)iov[runs].iov_base + iov[runs].iov_len == page)
			iov[runs].iov_len += PAGE_BYTES;
		else
			iov[++runs] = (struct iovec){page, PAGE_BYTES};
	}
	record.length = (uint32_t)(iov[1].iov_len + data);
	return write_all(c, fd, iov, runs + 1, why);
}

static int write_pages(struct hv_capture *c, int fd, struct why *why)
{
	size_t first, n;
	int r = 0;

	for (first = 0; !r && first < c->pages; first += n) {
		n = c->pages - first < BATCH_PAGES ? c->pages - first : BATCH_PAGES;
		r = write_batch(c, fd, first, n, why);
	}
	return r;
}

static int write_tsc_info(struct hv_capture *c, int fd, struct why *why)
{
	struct {
		uint32_t mode, khz;
		uint64_t nsec;
		uint32_t incarnation, reserved;
	} tsc = {0};

	if (xc_domain_get_tsc_info(
		    c->hv->xc, c->hv->domid, &tsc.mode, &tsc.nsec, &tsc.khz, &tsc.incarnation))
		return why_set(why, -errno, "Xen does not tell the clock of '%s': %s", c->hv->name,
			strerror(errno));
	return write_record(c, fd, RECORD_TSC_INFO, &tsc, sizeof(tsc), why);
}

static int write_context(struct hv_capture *c, int fd, struct why *why)
{
	int length = xc_domain_hvm_getcontext(c->hv->xc, c->hv->domid, NULL, 0);
	size_t room = length > 0 ? ((size_t)length + 7) / 8 * 8 : 0;
	uint8_t *p;

	if (room > c->context_room) {
		p = realloc(c->context, room);
		if (!p)
			return why_set(
				why, -ENOMEM, "no memory for the vCPUs of '%s'", c->hv->name);
		c->context = p;
		c->context_room = room;
	}
	if (length > 0)
		length = xc_domain_hvm_getcontext(
			c->hv->xc, c->hv->domid, c->context, (uint32_t)length);
	if (length <= 0)
		return why_set(why, -EIO, "Xen does not tell the state of the vCPUs of '%s': %s",
			c->hv->name, strerror(errno));
	memset(c->context + length, 0, c->context_room - (size_t)length);
	return write_record(c, fd, RECORD_HVM_CONTEXT, c->context, (size_t)length, why);
}

static int write_params(struct hv_capture *c, int fd, struct why *why)
{
	static const uint32_t params[] = {
		HVM_PARAM_STORE_PFN,
		HVM_PARAM_IOREQ_PFN,
		HVM_PARAM_BUFIOREQ_PFN,
		HVM_PARAM_PAGING_RING_PFN,
		HVM_PARAM_MONITOR_RING_PFN,
		HVM_PARAM_SHARING_RING_PFN,
		HVM_PARAM_VM86_TSS_SIZED,
		HVM_PARAM_CONSOLE_PFN,
		HVM_PARAM_ACPI_IOPORTS_LOCATION,
		HVM_PARAM_VIRIDIAN,
		HVM_PARAM_IDENT_PT,
		HVM_PARAM_VM_GENERATION_ID_ADDR,
		HVM_PARAM_IOREQ_SERVER_PFN,
		HVM_PARAM_NR_IOREQ_SERVER_PAGES,
		HVM_PARAM_X87_FIP_WIDTH,
		HVM_PARAM_MCA_CAP,
	};
	struct {
		uint32_t count, reserved;
		struct {
			uint64_t index, value;
		} entries[ARRAY_SIZE(params)];
	} out = {0};
	uint64_t value;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(params); i++) {
		if (xc_hvm_param_get(c->hv->xc, c->hv->domid, params[i], &value))
			return why_set(why, -errno, "Xen does not tell parameter %u of '%s': %s",
				params[i], c->hv->name, strerror(errno));
		if (!value)
			continue;
		out.entries[out.count].index = params[i];
		out.entries[out.count++].value = value;
	}
	if (!out.count)
		return 0;
	return write_record(
		c, fd, RECORD_HVM_PARAMS, &out, 8 + out.count * sizeof(out.entries[0]), why);
}

int hv_capture_write(struct hv_capture *c, int fd, struct why *why)
{
	int r = take_dirty(c, why);

	if (!r)
		r = map_dirty(c, why);
	if (!r)
		r = write_pages(c, fd, why);
	if (!r)
		r = write_tsc_info(c, fd, why);
	if (!r)
		r = write_context(c, fd, why);
	if (!r)
		r = write_params(c, fd, why);
	return r ? r : write_record(c, fd, XENSTREAM_RECORD_CHECKPOINT, NULL, 0, why);
}

/* ---- of a domain that stands still ---------------------------------------------------------- */

static int copy_pages(struct hv_capture *c, const struct replica *replica, int fd, struct why *why)
{
	uint64_t page = replica_page(replica, 0);
	int r = grow(c, BATCH_PAGES, why);

	while (!r && page != UINT64_MAX) {
		for (c->pages = 0; c->pages < BATCH_PAGES && page != UINT64_MAX; c->pages++) {
			c->pfns[c->pages] = page;
			page = replica_page(replica, page + 1);
		}
		r = map_dirty(c, why);
		for (size_t i = 0; !r && i < c->pages; i++)
			if (c->errors[i])
				r = why_set(why, -EIO,
					"page %" PRIx64 " of '%s' cannot be read: %s",
					(uint64_t)c->pfns[i], c->hv->name, strerror(-c->errors[i]));
		if (!r)
			r = write_batch(c, fd, 0, c->pages, why);
		hv_capture_unmap(c);
	}
	return r;
}

int hv_xen_copy_out(
	struct hv *hv, const char *name, const struct replica *replica, int fd, struct why *why)
{
	struct hv_capture *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return why_set(why, -ENOMEM, "no memory to copy '%s'", name);
	c->hv = hv;
	snprintf(hv->name, sizeof(hv->name), "%s", name);
	c->memory = xenforeignmemory_open(hv->log, 0);
	if (libxl_name_to_domid(hv->xl, name, &hv->domid))
		r = why_set(why, -ENOENT, "there is no domain '%s' on this host", name);
	else if (!c->memory)
		r = why_set(why, -errno, "the memory of '%s' cannot be mapped: %s", name,
			strerror(errno));
	else
		r = copy_pages(c, replica, fd, why);
	hv_capture_close(c);
	return r;
}
