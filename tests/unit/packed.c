/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages that are packed on their way, and what a peer may try with them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>
#include <zstd.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "tests/unit/pair.h"

#define BYTES (64u * 1024u) /* two of them fit a socket */

static uint8_t pages[BYTES];
static struct proto_frame frame;
static struct why why;

static int greet(struct proto_session *s)
{
	Romulus__Hello *hello = NULL;
	int r = proto_handshake(s, "alpha", "stream", NULL, NULL, SOON, &hello, &why);

	romulus__hello__free_unpacked(hello, NULL);
	return r;
}

/* A primary in a process of its own does @then after its Hello; returns the backup's session. */
static struct proto_session *backup_of(void (*then)(struct proto_session *s))
{
	struct pair p = open_pair(true);
	const pid_t child = fork();
	int status;

	if (child == 0) {
		proto_session_free(p.a);
		if (greet(p.b))
			_exit(1);
		then(p.b);
		proto_session_free(p.b);
		_exit(0);
	}
	proto_session_free(p.b);
	assert_int_equal(greet(p.a), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	return p.a;
}

static void expect_pages(struct proto_session *s)
{
	assert_int_equal(proto_session_receive(s, SOON, &frame, &why), 1);
	assert_int_equal(frame.type, PROTO_PAGES);
	assert_null(frame.message);
	assert_int_equal(frame.length, BYTES);
	assert_memory_equal(frame.data, pages, BYTES);
}

static void expect_refusal(struct proto_session *s, const char *sentence)
{
	assert_int_equal(proto_session_receive(s, SOON, &frame, &why), -EBADMSG);
	assert_non_null(strstr(why.text, sentence));
	proto_session_free(s);
}

static void fill(uint8_t first, bool random)
{
	uint32_t x = 1;

	for (size_t i = 0; i < BYTES; i++) {
		x = x * 1664525 + 1013904223;
		pages[i] = (uint8_t)(random ? x >> 24 : i < BYTES / 2 ? first : 0);
	}
}

static void send_both(struct proto_session *s)
{
	proto_session_send_packed_pages(s, pages, BYTES, SOON, &why);
	proto_session_send_packed_pages(s, pages, BYTES, SOON, &why);
}

static void what_is_packed_arrives_as_it_was(void **state)
{
	struct proto_session *s;

	fill(7, false);
	s = backup_of(send_both);
	expect_pages(s);
	expect_pages(s);
	proto_session_free(s);
}

static void send_what_packs(struct proto_session *s)
{
	proto_session_send_packed_pages(s, pages, BYTES, SOON, &why);
}

/* Bytes on the wire behind the Hello. */
static size_t wire_bytes(void)
{
	struct proto_session *s = backup_of(send_what_packs);
	static uint8_t buffer[2 * BYTES];
	ssize_t n = recv(proto_session_fd(s), buffer, sizeof(buffer), MSG_DONTWAIT);

	proto_session_free(s);
	return n > 0 ? (size_t)n : 0;
}

static void only_what_is_worth_it_is_packed(void **state)
{
	size_t n;

	fill(7, false);
	n = wire_bytes();
	assert_true(n < BYTES / 100);
	fill(0, true);
	memset(pages, 0, BYTES / 10); /* a tenth less is not worth it */
	n = wire_bytes();
	assert_true(n > BYTES - 4096); /* but for a little that was read ahead with the Hello */
}

static void send_raw(struct proto_session *s, const void *payload, size_t length)
{
	uint8_t header[PROTO_HEADER_BYTES];

	proto_header_encode(header, PROTO_PACKED_PAGES, 1, payload, length);
	if (write(proto_session_fd(s), header, sizeof(header)) < 0 ||
		write(proto_session_fd(s), payload, length) < 0)
		_exit(1);
}

/* A few hundred bytes that would be more than a frame may be. */
static void send_a_bomb(struct proto_session *s)
{
	const size_t length = 64 * PROTO_MAX_PAGES;
	CLEANUP_FREE uint8_t *zeros = calloc(1, length);
	CLEANUP_FREE uint8_t *packed = malloc(PROTO_MAX_PAGES);

	send_raw(s, packed, ZSTD_compress(packed, PROTO_MAX_PAGES, zeros, length, 1));
}

static void more_than_a_frame_is_refused(void **state)
{
	expect_refusal(backup_of(send_a_bomb), "packed pages that cannot be unpacked");
}

static void send_nonsense(struct proto_session *s)
{
	send_raw(s, pages, 1000);
}

static void send_half(struct proto_session *s)
{
	CLEANUP_FREE uint8_t *packed = malloc(BYTES);

	send_raw(s, packed, ZSTD_compress(packed, BYTES, pages, BYTES, 1) / 2);
}

static void what_zstd_does_not_know_is_refused(void **state)
{
	fill(0, true);
	expect_refusal(backup_of(send_nonsense), "packed pages that cannot be unpacked");
	fill(9, false);
	expect_refusal(backup_of(send_half), "packed pages that cannot be unpacked");
}

/* A host of an earlier release states no capability: neither side may use it. */
static void nothing_is_packed_that_was_not_agreed_on(void **state)
{
	struct pair p = open_pair(true);
	uint8_t header[PROTO_HEADER_BYTES];

	fill(7, false);
	assert_int_equal(proto_session_send_packed_pages(p.a, pages, BYTES / 8, SOON, &why), 0);
	assert_int_equal(proto_session_receive(p.b, SOON, &frame, &why), 1);
	close_pair(&p);
	p = open_pair(true);
	proto_header_encode(header, PROTO_PACKED_PAGES, 0, NULL, 0);
	assert_int_equal(write(proto_session_fd(p.a), header, sizeof(header)), sizeof(header));
	expect_refusal(TAKE_PTR(p.b), "not agreed on");
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_packed_arrives_as_it_was),
		cmocka_unit_test(only_what_is_worth_it_is_packed),
		cmocka_unit_test(more_than_a_frame_is_refused),
		cmocka_unit_test(what_zstd_does_not_know_is_refused),
		cmocka_unit_test(nothing_is_packed_that_was_not_agreed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
