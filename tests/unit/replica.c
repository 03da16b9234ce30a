/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is remembered of the checkpoints that a standby was fed, however they are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/bytes.h"
#include "replicator/replica.h"
#include "replicator/xenstream.h"
#include "tests/unit/made_stream.h"

#define NONE (UINT64_C(0xf) << 60)

static struct made begin(uint32_t type)
{
	struct made m = {.bytes = malloc(MADE_MAX)};

	assert_non_null(m.bytes);
	made_memory_begin(&m, type);
	return m;
}

static void pages(struct made *m, const uint64_t *entries, uint32_t n)
{
	static const uint8_t page[4096] = {7};
	uint32_t data = 0;

	for (uint32_t i = 0; i < n; i++)
		data += entries[i] >= NONE ? 0 : sizeof(page);
	made_little32(m, XENSTREAM_RECORD_PAGE_DATA);
	made_little32(m, 8 + n * 8 + data);
	made_little32(m, n);
	made_little32(m, 0);
	made_put(m, entries, n * sizeof(*entries));
	for (; data; data -= sizeof(page))
		made_put(m, page, sizeof(page));
}

static void feed_in_pieces(struct replica *r, const struct made *m, size_t piece)
{
	for (size_t at = 0; at < m->n; at += piece)
		replica_feed(r, m->bytes + at, m->n - at < piece ? m->n - at : piece);
}

static unsigned int count(const struct replica *r)
{
	unsigned int n = 0;

	for (uint64_t page = replica_page(r, 0); page != UINT64_MAX;
		page = replica_page(r, page + 1))
		n++;
	return n;
}

static void assert_page(const struct replica *r, uint64_t page, bool there)
{
	assert_int_equal(replica_page(r, page) == page, there);
}

static void the_last_checkpoint_is_known(void **state)
{
	static const uint64_t copy[] = {1, 2, 3, 0xfeffe}, first[] = {4}, second[] = {2 | NONE, 3};
	static const size_t cuts[] = {1, 3, 8, 4096, MADE_MAX};
	struct made m = begin(2);
	size_t head, tail, end;

	made_record(&m, 0x11, 52); /* CPUID policy */
	made_record(&m, 0x10, 0);  /* static data end */
	head = m.n;
	pages(&m, copy, 4);
	pages(&m, first, 1);
	made_record(&m, 9, 333);
	made_record(&m, XENSTREAM_RECORD_CHECKPOINT, 0);
	pages(&m, second, 2);
	tail = m.n;
	made_record(&m, 8, 24);
	made_record(&m, 9, 77);
	end = m.n;
	made_record(&m, XENSTREAM_RECORD_CHECKPOINT, 0);
	made_record(&m, 9, 55); /* of one that does not end any more */
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		struct replica r = {0};

		feed_in_pieces(&r, &m, cuts[i]);
		assert_null(r.broken);
		assert_int_equal(r.head.length, head);
		assert_memory_equal(r.head.data, m.bytes, head);
		assert_int_equal(r.tail.length, end - tail);
		assert_memory_equal(r.tail.data, m.bytes + tail, end - tail);
		assert_int_equal(count(&r), 4);
		for (uint64_t page = 1; page <= 4; page++)
			assert_page(&r, page, page != 2);
		assert_page(&r, 0xfeffe, true);
		assert_int_equal(replica_page(&r, 5), 0xfeffe);
		assert_int_equal(replica_page(&r, 0xfefff), UINT64_MAX);
		replica_clear(&r);
	}
	free(m.bytes);
}

/* It says why, and what follows is of no interest. */
static void what_no_domain_can_be_made_of_is_said(void **state)
{
	static const uint64_t far[] = {UINT64_C(1) << 28}, near[] = {1};
	struct made pv = begin(1), large = begin(2), senseless = begin(2);
	struct replica r = {0};

	pages(&pv, near, 1);
	feed_in_pieces(&r, &pv, MADE_MAX);
	assert_non_null(strstr(r.broken, "PV"));
	replica_clear(&r);

	pages(&large, far, 1);
	feed_in_pieces(&r, &large, MADE_MAX);
	assert_non_null(strstr(r.broken, "more memory"));
	assert_int_equal(r.words, 0);
	replica_clear(&r);

	pages(&senseless, near, 1);
	bytes_put_le32(
		senseless.bytes + 40 + 8, 0x10000); /* entries, more than there is room for */
	feed_in_pieces(&r, &senseless, MADE_MAX);
	assert_non_null(strstr(r.broken, "no sense"));
	replica_clear(&r);
	free(pv.bytes);
	free(large.bytes);
	free(senseless.bytes);
}

/* A record without end is not kept for ever. */
static void what_is_kept_is_bounded(void **state)
{
	struct made m = begin(2);
	struct replica r = {0};

	made_little32(&m, 9);
	made_little32(&m, UINT32_MAX - 7);
	replica_feed(&r, m.bytes, m.n);
	memset(m.bytes, 1, MADE_MAX);
	for (int i = 0; i < 17 && !r.broken; i++)
		replica_feed(&r, m.bytes, MADE_MAX);
	assert_non_null(strstr(r.broken, "more than is kept"));
	assert_true(r.head.room <= 64u << 20);
	replica_clear(&r);
	free(m.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_checkpoint_is_known),
		cmocka_unit_test(what_no_domain_can_be_made_of_is_said),
		cmocka_unit_test(what_is_kept_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
