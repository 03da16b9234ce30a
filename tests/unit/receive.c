/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Epochs in RAM on both sides: bounds, totals, and what the feed writes to the restore. */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/why.h"
#include "replicator/feed.h"
#include "replicator/receive.h"
#include "replicator/staging.h"

static void an_epoch_is_verified(void **state)
{
	static uint8_t data[3 << 20];
	struct receive rx;
	struct why why;
	struct chunk *c;
	size_t i;

	for (i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	receive_init(&rx, 4 << 20);
	receive_begin(&rx);
	for (i = 0; i < 3; i++)
		assert_int_equal(receive_add(&rx, data + (i << 20), 1 << 20, &why), 0);
	assert_int_equal(receive_verify(&rx, sizeof(data), &why), 0);
	assert_int_equal(receive_verify(&rx, sizeof(data) - 1, &why), -EBADMSG);
	assert_int_equal(receive_verify(&rx, sizeof(data) + 1, &why), -EBADMSG);
	c = receive_take(&rx);
	assert_memory_equal(c->data, data, sizeof(data));
	free(c);
	receive_clear(&rx);
}

/*
 * What lay in its memory before says nothing of a chunk: guests' memory lies there, and much of
 * that is ones. (A kind of UINT32_MAX is none; the value that it had once been was a mark's.)
 */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "malloc_fill_byte=255:max_malloc_fill_size=4096";
}

static void what_lay_there_before_is_no_mark(void **state)
{
	struct receive rx;
	struct why why;
	uint8_t got[16 + 8 + 4];
	size_t n = 0;
	struct feed *f;
	ssize_t r;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	f = feed_start(sv[0], 100);
	receive_init(&rx, 4 << 20);
	assert_int_equal(receive_add(&rx, "copy", 4, &why), 0);
	feed_push(f, receive_take(&rx), false);
	assert_true(feed_complete(f));
	while (n < sizeof(got) && (r = read(sv[1], got + n, sizeof(got) - n)) > 0)
		n += (size_t)r;
	assert_int_equal(n, sizeof(got));
	assert_memory_equal(got + 24, "copy", 4);
	feed_free(f);
	receive_clear(&rx);
	close(sv[1]);
}

static void an_epoch_is_bounded(void **state)
{
	static const uint8_t data[1 << 20];
	struct receive rx;
	struct why why;

	receive_init(&rx, 1 << 20);
	receive_begin(&rx);
	assert_int_equal(receive_add(&rx, data, sizeof(data), &why), 0);
	assert_int_equal(receive_add(&rx, data, 1, &why), -ENOSPC);
	receive_begin(&rx);
	assert_int_equal(receive_add(&rx, data, 1, &why), 0);
	receive_clear(&rx);
}

static struct chunk *make_chunk(const char *text)
{
	struct chunk *c = calloc(1, sizeof(*c) + strlen(text));

	c->length = c->capacity = strlen(text);
	memcpy(c->data, text, strlen(text));
	return c;
}

static void the_feed_wraps_and_ends_checkpoints(void **state)
{
	static const uint32_t context[2] = {1, 0}, checkpoint_end[2] = {4, 0};
	uint8_t got[256];
	uint64_t ident;
	size_t n = 0;
	ssize_t r;
	struct feed *f;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	f = feed_start(sv[0], 100);
	assert_non_null(f);
	feed_push(f, make_chunk("copy"), false);
	feed_push(f, make_chunk("first"), true);
	feed_push(f, make_chunk("second"), true);
	assert_true(feed_complete(f));
	while ((r = read(sv[1], got + n, sizeof(got) - n)) > 0)
		n += (size_t)r;
	assert_int_equal(n, 16 + 8 + 4 + 5 + 8 + 6 + 8);
	memcpy(&ident, got, 8);
	assert_int_equal(be64toh(ident), UINT64_C(0x4c6962786c466d74));
	assert_memory_equal(got + 16, context, 8);
	assert_memory_equal(got + 24, "copyfirst", 9);
	assert_memory_equal(got + 33, checkpoint_end, 8);
	assert_memory_equal(got + 41, "second", 6);
	assert_memory_equal(got + 47, checkpoint_end, 8);
	feed_free(f);
	close(sv[1]);
}

/* ---- a visit --------------------------------------------------------------------------------- */

static void note_visit(void *opaque, const struct replica *replica)
{
	__atomic_store_n((bool *)opaque, true, __ATOMIC_SEQ_CST);
}

static bool was_visited(bool *visited)
{
	return __atomic_load_n(visited, __ATOMIC_SEQ_CST);
}

static void read_exactly(int fd, size_t n)
{
	uint8_t byte;

	while (n-- > 0)
		assert_int_equal(read(fd, &byte, 1), 1);
}

/* Not before the restore has read the checkpoint that stands for the one before being applied. */
static void a_visit_waits_for_the_restore(void **state)
{
	const size_t begin = 16 + 8, checkpoint = 5 + 8, barrier = 8 + 8;
	bool visited = false;
	struct pollfd event;
	struct feed *f;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	f = feed_start(sv[0], 100);
	feed_push(f, make_chunk("first"), true);
	assert_true(feed_visit(f, note_visit, &visited));
	assert_false(feed_visit(f, note_visit, &visited));
	feed_push(f, make_chunk("later"), true);
	read_exactly(sv[1], begin + checkpoint + barrier - 1);
	poll(NULL, 0, 50); /* time enough for one that does not wait */
	assert_false(was_visited(&visited));
	assert_true(feed_visiting(f));
	read_exactly(sv[1], 1);
	event = (struct pollfd){.fd = feed_event_fd(f), .events = POLLIN};
	while (feed_visiting(f)) {
		assert_int_equal(poll(&event, 1, 60000), 1);
		assert_false(feed_failed(f));
	}
	assert_true(was_visited(&visited));
	read_exactly(sv[1], checkpoint); /* what came later comes all the same */
	assert_true(feed_complete(f));
	feed_free(f);
	close(sv[1]);
}

static void a_takeover_does_not_wait_for_a_visit(void **state)
{
	bool visited = false;
	struct feed *f;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	f = feed_start(sv[0], 100);
	feed_push(f, make_chunk("first"), true);
	assert_true(feed_visit(f, note_visit, &visited));
	feed_push(f, make_chunk("later"), true);
	assert_true(feed_complete(f)); /* nobody reads */
	assert_false(was_visited(&visited));
	assert_false(feed_visiting(f));
	feed_free(f);
	read_exactly(sv[1], 16 + 8 + 5 + 8 + 16 + 5 + 8);
	close(sv[1]);
}

static void a_feed_nobody_reads_fails(void **state)
{
	struct feed *f;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	close(sv[1]);
	f = feed_start(sv[0], 100);
	feed_push(f, make_chunk("lost"), true);
	assert_false(feed_complete(f));
	feed_free(f);
}

static void the_queue_is_bounded(void **state)
{
	struct feed *f;
	int sv[2];
	char *big = malloc(2 << 20);

	memset(big, 'x', (2 << 20) - 1);
	big[(2 << 20) - 1] = '\0';
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	f = feed_start(sv[0], 1 << 20);
	assert_true(feed_has_room(f));
	feed_push(f, make_chunk(big), true);
	assert_false(feed_has_room(f));
	feed_free(f);
	close(sv[1]);
	free(big);
}

static void staging_refuses_more_than_its_limit(void **state)
{
	static const uint8_t page[4096];
	struct staging st;
	struct why why;
	int i;

	assert_int_equal(staging_open(&st, 16 * sizeof(page), &why), 0);
	for (i = 0; i < 16; i++)
		assert_int_equal(write(st.fd, page, sizeof(page)), sizeof(page));
	assert_int_equal(write(st.fd, page, sizeof(page)), -1);
	staging_taken(&st);
	assert_int_equal(st.length, 16 * sizeof(page));
	staging_committed(&st);
	assert_int_equal(write(st.fd, page, sizeof(page)), sizeof(page));
	staging_close(&st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_epoch_is_verified),
		cmocka_unit_test(what_lay_there_before_is_no_mark),
		cmocka_unit_test(an_epoch_is_bounded),
		cmocka_unit_test(the_feed_wraps_and_ends_checkpoints),
		cmocka_unit_test(a_visit_waits_for_the_restore),
		cmocka_unit_test(a_takeover_does_not_wait_for_a_visit),
		cmocka_unit_test(a_feed_nobody_reads_fails),
		cmocka_unit_test(the_queue_is_bounded),
		cmocka_unit_test(staging_refuses_more_than_its_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
