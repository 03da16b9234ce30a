/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames through a session, and what a peer that errs, lies, stalls or leaves gets to hear. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/why.h"
#include "proto/internal.h"
#include "tests/unit/pair.h"

#define RAW_MAX 512

static size_t ack_frame(uint8_t *out, uint64_t sequence, uint64_t epoch)
{
	Romulus__Ack ack = ROMULUS__ACK__INIT;
	CLEANUP_FREE uint8_t *frame = NULL;
	size_t length;

	ack.epoch = epoch;
	assert_int_equal(proto_pack(PROTO_ACK, sequence, &ack.base, &frame, &length), 0);
	memcpy(out, frame, length);
	return length;
}

static void feed(int fd, const void *bytes, size_t length)
{
	assert_int_equal(send(fd, bytes, length, MSG_NOSIGNAL), length);
}

/* The raw end reads one frame as a second session would; expects a Bye with @code and @text. */
static void expect_bye(int raw, uint32_t code, const char *text)
{
	uint8_t bytes[1024];
	ssize_t n = recv(raw, bytes, sizeof(bytes), MSG_DONTWAIT);
	struct proto_header h;
	ProtobufCMessage *m;

	assert_true(n > (ssize_t)PROTO_HEADER_BYTES);
	assert_int_equal(proto_header_decode(bytes, 0, &h, NULL), 0);
	assert_int_equal(h.type, PROTO_BYE);
	assert_int_equal(proto_payload_check(&h, bytes + PROTO_HEADER_BYTES, NULL), 0);
	m = proto_unpack(PROTO_BYE, bytes + PROTO_HEADER_BYTES, h.length);
	assert_non_null(m);
	assert_int_equal(((Romulus__Bye *)m)->code, code);
	assert_non_null(strstr(((Romulus__Bye *)m)->reason, text));
	protobuf_c_message_free_unpacked(m, NULL);
}

/* Feed bytes that break the specification: an error that stays, and a Bye with the reason. */
static void expect_malformed(const void *bytes, size_t length, const char *text)
{
	struct pair p = open_pair(false);
	struct proto_frame frame;
	struct why first, again;
	Romulus__Ack ack = ROMULUS__ACK__INIT;

	feed(p.raw, bytes, length);
	assert_int_equal(proto_session_receive(p.a, SOON, &frame, &first), -EBADMSG);
	assert_non_null(strstr(first.text, text));
	assert_int_equal(proto_session_receive(p.a, SOON, &frame, &again), -EBADMSG);
	assert_string_equal(first.text, again.text);
	assert_int_equal(proto_session_send(p.a, PROTO_ACK, &ack.base, SOON, &again), -EBADMSG);
	assert_int_equal(proto_session_send_pages(p.a, "x", 1, SOON, NULL), -EBADMSG);
	proto_session_bye(p.a, PROTO_BYE_DONE, "not sent");
	expect_bye(p.raw, PROTO_BYE_MALFORMED, text);
	assert_int_equal(recv(p.raw, &frame, 1, MSG_DONTWAIT), -1);
	close_pair(&p);
}

static void frames_arrive_in_order(void **state)
{
	CLEANUP_FREE uint8_t *pages = malloc(50000);
	struct pair p = open_pair(true);
	struct proto_frame frame;

	memset(pages, 0xa5, 50000);
	for (uint64_t epoch = 1; epoch < 20; epoch++) {
		Romulus__EpochBegin begin = ROMULUS__EPOCH_BEGIN__INIT;
		size_t length = epoch * 2500;

		begin.epoch = epoch;
		assert_int_equal(
			proto_session_send(p.a, PROTO_EPOCH_BEGIN, &begin.base, SOON, NULL), 0);
		assert_int_equal(proto_session_send_pages(p.a, pages, length, SOON, NULL), 0);
		assert_int_equal(proto_session_send_pages(p.a, NULL, 0, SOON, NULL), 0);
		assert_int_equal(proto_session_receive(p.b, SOON, &frame, NULL), 1);
		assert_int_equal(frame.type, PROTO_EPOCH_BEGIN);
		assert_int_equal(((Romulus__EpochBegin *)frame.message)->epoch, epoch);
		assert_int_equal(proto_session_receive(p.b, SOON, &frame, NULL), 1);
		assert_int_equal(frame.type, PROTO_PAGES);
		assert_null(frame.message);
		assert_int_equal(frame.length, length);
		assert_memory_equal(frame.data, pages, length);
		assert_int_equal(proto_session_receive(p.b, SOON, &frame, NULL), 1);
		assert_int_equal(frame.length, 0);
	}
	assert_int_equal(proto_session_receive(p.b, 0, &frame, NULL), 0);
	close_pair(&p);
}

static void pages_of_a_file_arrive_too(void **state)
{
	CLEANUP_FREE uint8_t *pages = calloc(4, 4096);
	struct pair p = open_pair(true);
	struct proto_frame frame;
	int fd = memfd_create("pages", MFD_CLOEXEC);

	for (size_t i = 0; i < 3 * 4096; i++)
		pages[i] = (uint8_t)(i * 7);
	assert_int_equal(write(fd, pages, 3 * 4096), 3 * 4096);
	assert_int_equal(
		proto_session_send_file_pages(p.a, fd, 4096, pages + 4096, 5000, SOON, NULL), 0);
	assert_int_equal(proto_session_send_file_pages(p.a, fd, 0, pages, 0, SOON, NULL), 0);
	assert_int_equal(proto_session_receive(p.b, SOON, &frame, NULL), 1);
	assert_int_equal(frame.type, PROTO_PAGES);
	assert_int_equal(frame.length, 5000);
	assert_memory_equal(frame.data, pages + 4096, 5000);
	assert_int_equal(proto_session_receive(p.b, SOON, &frame, NULL), 1);
	assert_int_equal(frame.length, 0);
	/* Shorter than promised: the frame cannot be finished, nothing may follow it. */
	assert_int_equal(proto_session_send_file_pages(
				 p.a, fd, 2 * 4096, pages + 2 * 4096, 5000, SOON, NULL),
		-EIO);
	assert_int_equal(proto_session_send_pages(p.a, "x", 1, SOON, NULL), -EIO);
	close(fd);
	close_pair(&p);
}

static void pending_tells_what_poll_cannot(void **state)
{
	struct pair p = open_pair(false);
	uint8_t bytes[RAW_MAX];
	struct proto_frame frame;
	size_t length = 0;

	for (uint64_t i = 0; i < 3; i++)
		length += ack_frame(bytes + length, i, i);
	memset(bytes + length, '!', PROTO_HEADER_BYTES);
	feed(p.raw, bytes, length + PROTO_HEADER_BYTES);
	assert_false(proto_session_pending(p.a));
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(proto_session_receive(p.a, 0, &frame, NULL), 1);
		assert_int_equal(((Romulus__Ack *)frame.message)->epoch, i);
		assert_true(proto_session_pending(p.a)); /* at last: a bad header */
	}
	assert_int_equal(proto_session_receive(p.a, 0, &frame, NULL), -EBADMSG);
	assert_false(proto_session_pending(p.a));
	close_pair(&p);
}

static void single_bytes_make_a_frame(void **state)
{
	struct pair p = open_pair(false);
	uint8_t bytes[RAW_MAX];
	size_t length = ack_frame(bytes, 0, 300);
	struct proto_frame frame;

	for (size_t i = 0; i < length; i++) {
		assert_int_equal(proto_session_receive(p.a, 0, &frame, NULL), 0);
		feed(p.raw, bytes + i, 1);
	}
	assert_int_equal(proto_session_receive(p.a, 0, &frame, NULL), 1);
	assert_int_equal(((Romulus__Ack *)frame.message)->epoch, 300);
	close_pair(&p);
}

static void malformed_input_is_refused(void **state)
{
	uint8_t good[RAW_MAX], bad[RAW_MAX];
	size_t length = ack_frame(good, 0, 1);

	expect_malformed("GET / HTTP/1.1\r\nHost: romulus\r\n\r\n", 33, "not a Romulus frame");
	memcpy(bad, good, length);
	bad[PROTO_HEADER_BYTES + 1] ^= 1;
	expect_malformed(bad, length, "damaged");
	memcpy(bad, good, length);
	bad[12] ^= 1;
	expect_malformed(bad, length, "damaged");
	memcpy(bad, good, length);
	bad[4] = 200;
	expect_malformed(bad, length, "unknown type 200");
	memcpy(bad, good, length);
	bad[6] = 1;
	expect_malformed(bad, length, "reserved flags");
	expect_malformed(bad, ack_frame(bad, 1, 1), "sequence 1 where 0 was due");
	proto_header_encode(bad, PROTO_HELLO, 0, "\xff\xff", 2);
	memcpy(bad + PROTO_HEADER_BYTES, "\xff\xff", 2);
	expect_malformed(bad, PROTO_HEADER_BYTES + 2, "no such message");
}

static void oversize_is_refused_by_its_header(void **state)
{
	uint8_t bytes[RAW_MAX];
	struct pair p = open_pair(false);
	struct proto_frame frame;
	struct why why;

	ack_frame(bytes, 0, 1);
	memcpy(bytes + 8, "\xff\xff\xff\x7f", 4);
	feed(p.raw, bytes, PROTO_HEADER_BYTES); /* no byte of payload: it must not wait for any */
	assert_int_equal(proto_session_receive(p.a, SOON, &frame, &why), -EBADMSG);
	assert_non_null(strstr(why.text, "over the limit"));
	assert_true(p.a->capacity < 65536);
	expect_bye(p.raw, PROTO_BYE_MALFORMED, "over the limit");
	close_pair(&p);
}

static void peer_close_is_told(void **state)
{
	uint8_t bytes[RAW_MAX];
	size_t length = ack_frame(bytes, 0, 1);
	struct proto_frame frame;
	struct pair p;
	struct why why;

	for (size_t cut = 0; cut < length; cut++) {
		p = open_pair(false);
		feed(p.raw, bytes, cut);
		close(TAKE_FD(p.raw));
		assert_int_equal(proto_session_receive(p.a, SOON, &frame, &why), -ECONNRESET);
		assert_non_null(strstr(why.text, "closed the connection"));
		assert_int_equal(strstr(why.text, "middle") != NULL, cut > 0);
		close_pair(&p);
	}
}

static void bye_is_heard_and_made_printable(void **state)
{
	struct pair p = open_pair(true);
	Romulus__Bye bye = ROMULUS__BYE__INIT;
	CLEANUP_FREE char *reason = malloc(5000);
	struct proto_frame frame;
	struct why why;

	proto_session_bye(p.b, PROTO_BYE_FAILED, "out of memory");
	assert_int_equal(proto_session_receive(p.b, 0, &frame, NULL), -ESHUTDOWN);
	assert_int_equal(proto_session_receive(p.a, SOON, &frame, &why), -ECONNRESET);
	assert_string_equal(why.text, "the other end ended the session (failed): out of memory");
	assert_true(proto_session_gave_up(p.a) && !proto_session_gave_up(p.b));
	close_pair(&p);

	p = open_pair(true);
	memset(reason, 'r', 4999);
	memcpy(reason, "\033[2J\n\xc3\xa9%s%n", 11);
	reason[4999] = '\0';
	bye.code = 4711;
	bye.reason = reason;
	assert_int_equal(proto_session_send(p.b, PROTO_BYE, &bye.base, SOON, NULL), 0);
	assert_int_equal(proto_session_receive(p.a, SOON, &frame, &why), -ECONNRESET);
	assert_non_null(strstr(why.text, "(unknown code): ?[2J???%s%nrrr"));
	assert_non_null(strstr(why.text, "rrr..."));
	for (const char *c = why.text; *c; c++)
		assert_true(*c >= 0x20 && *c < 0x7f);
	close_pair(&p);
}

static void sender_learns_why_the_peer_left(void **state)
{
	struct pair p = open_pair(true);
	Romulus__Ack ack = ROMULUS__ACK__INIT;
	struct why why;

	assert_int_equal(proto_session_send(p.b, PROTO_ACK, &ack.base, SOON, NULL), 0);
	proto_session_bye(p.b, PROTO_BYE_FAILED, "standby lost");
	p.b = proto_session_free(p.b);
	assert_int_equal(proto_session_send_pages(p.a, "x", 1, SOON, &why), -ECONNRESET);
	assert_non_null(strstr(why.text, "standby lost"));
	assert_true(proto_session_gave_up(p.a));
	close_pair(&p);

	p = open_pair(true);
	p.b = proto_session_free(p.b);
	assert_int_equal(proto_session_send_pages(p.a, "x", 1, SOON, &why), -ECONNRESET);
	assert_non_null(strstr(why.text, "cannot send"));
	assert_false(proto_session_gave_up(p.a));
	close_pair(&p);
}

static void deadlines_hold(void **state)
{
	CLEANUP_FREE uint8_t *pages = calloc(1, PROTO_MAX_PAGES);
	struct pair p = open_pair(true);
	struct proto_frame frame;
	uint64_t start = clock_now_ns();
	int err;

	assert_int_equal(proto_session_receive(p.a, start + 30 * NSEC_PER_MSEC, &frame, NULL), 0);
	assert_true(clock_now_ns() - start >= 30 * NSEC_PER_MSEC);
	do {
		err = proto_session_send_pages(
			p.a, pages, PROTO_MAX_PAGES, clock_now_ns() + 20 * NSEC_PER_MSEC, NULL);
	} while (err == 0);
	assert_int_equal(err, -ETIMEDOUT);
	assert_int_equal(proto_session_send_pages(p.a, pages, 1, SOON, NULL), -ETIMEDOUT);
	assert_true(clock_now_ns() - start < 2 * NSEC_PER_SEC);
	close_pair(&p);

	p = open_pair(true);
	assert_int_equal(
		proto_session_send_pages(p.a, pages, PROTO_MAX_PAGES + 1, SOON, NULL), -EMSGSIZE);
	assert_int_equal(proto_session_receive(p.b, SOON, &frame, NULL), -ECONNRESET);
	close_pair(&p);
}

/* xorshift64: the same 20,000 frames in every run. */
static uint64_t chance(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static size_t mutate(uint8_t *bytes, size_t length, uint64_t *seed)
{
	unsigned int times = (unsigned int)(chance(seed) % 4);

	for (unsigned int i = 0; i < times; i++)
		bytes[chance(seed) % length] = (uint8_t)chance(seed);
	/* Half of them get an honest checksum, so that the parser behind it is reached too. */
	if (chance(seed) % 2) {
		static const uint8_t kinds[] = {PROTO_HELLO, PROTO_BYE, PROTO_REPORT, PROTO_ORDER,
			PROTO_HEARTBEAT, PROTO_PAGES, PROTO_PREPARE, PROTO_ACK};

		proto_header_encode(bytes, kinds[chance(seed) % sizeof(kinds)], 0,
			bytes + PROTO_HEADER_BYTES, length - PROTO_HEADER_BYTES);
	}
	return chance(seed) % 8 ? length : chance(seed) % length;
}

static void mutated_frames_never_crash(void **state)
{
	Romulus__Report report = ROMULUS__REPORT__INIT;
	char *vifs[] = {(char *)(uintptr_t) "vif1.0", (char *)(uintptr_t) "vif1.1"};
	uint8_t secret[PROTO_TOKEN_BYTES] = {1, 2, 3};
	uint64_t seed = UINT64_C(0x524f4d554c5553);
	CLEANUP_FREE uint8_t *frame = NULL;
	unsigned int accepted = 0, refused = 0;
	size_t length;

	report.text = (char *)(uintptr_t) "a sentence";
	report.token.data = secret;
	report.token.len = sizeof(secret);
	report.vifs = vifs;
	report.n_vifs = ARRAY_SIZE(vifs);
	report.epoch = UINT64_MAX;
	assert_int_equal(proto_pack(PROTO_REPORT, 0, &report.base, &frame, &length), 0);
	assert_true(length <= RAW_MAX);

	for (int round = 0; round < 20000; round++) {
		struct pair p = open_pair(false);
		uint8_t bytes[RAW_MAX];
		struct proto_frame got;
		int err;

		memcpy(bytes, frame, length);
		feed(p.raw, bytes, mutate(bytes, length, &seed));
		shutdown(p.raw, SHUT_WR);
		do {
			err = proto_session_receive(p.a, SOON, &got, NULL);
			accepted += err == 1;
		} while (err == 1);
		assert_true(err == -EBADMSG || err == -ECONNRESET);
		refused += err == -EBADMSG;
		close_pair(&p);
	}
	/* Both paths must have been walked, or the loop tests nothing. */
	assert_true(accepted > 1000 && refused > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_arrive_in_order),
		cmocka_unit_test(pages_of_a_file_arrive_too),
		cmocka_unit_test(pending_tells_what_poll_cannot),
		cmocka_unit_test(single_bytes_make_a_frame),
		cmocka_unit_test(malformed_input_is_refused),
		cmocka_unit_test(oversize_is_refused_by_its_header),
		cmocka_unit_test(peer_close_is_told),
		cmocka_unit_test(bye_is_heard_and_made_printable),
		cmocka_unit_test(sender_learns_why_the_peer_left),
		cmocka_unit_test(deadlines_hold),
		cmocka_unit_test(mutated_frames_never_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
