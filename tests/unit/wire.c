/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One frame: every type there and back, and every way in which a header or payload can be wrong. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/crc32c.h"
#include "common/why.h"
#include "proto/proto.h"

static void crc32c_matches_published_values(void **state)
{
	uint8_t zeros[32] = {0}, ones[32], up[32];

	memset(ones, 0xff, sizeof(ones));
	for (uint8_t i = 0; i < sizeof(up); i++)
		up[i] = i;
	/* RFC 3720 appendix B.4, as numbers */
	assert_int_equal(crc32c(0, zeros, sizeof(zeros)), 0x8a9136aa);
	assert_int_equal(crc32c(0, ones, sizeof(ones)), 0x62a8ab43);
	assert_int_equal(crc32c(0, up, sizeof(up)), 0x46dd794e);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0, NULL, 0), 0);
	for (size_t cut = 0; cut <= sizeof(up); cut++)
		assert_int_equal(
			crc32c(crc32c(0, up, cut), up + cut, sizeof(up) - cut), 0x46dd794e);
}

static const ProtobufCMessageDescriptor *const descriptors[PROTO_TYPE_COUNT] = {
	[PROTO_HELLO] = &romulus__hello__descriptor,
	[PROTO_BYE] = &romulus__bye__descriptor,
	[PROTO_PREPARE] = &romulus__prepare__descriptor,
	[PROTO_PREPARED] = &romulus__prepared__descriptor,
	[PROTO_REFUSED] = &romulus__refused__descriptor,
	[PROTO_UNPROTECT] = &romulus__unprotect__descriptor,
	[PROTO_UNPROTECTED] = &romulus__unprotected__descriptor,
	[PROTO_DOMAIN_CONFIG] = &romulus__domain_config__descriptor,
	[PROTO_EPOCH_BEGIN] = &romulus__epoch_begin__descriptor,
	[PROTO_EPOCH_END] = &romulus__epoch_end__descriptor,
	[PROTO_ACK] = &romulus__ack__descriptor,
	[PROTO_HEARTBEAT] = &romulus__heartbeat__descriptor,
	[PROTO_REPORT] = &romulus__report__descriptor,
	[PROTO_ORDER] = &romulus__order__descriptor,
	[PROTO_CHECK] = &romulus__check__descriptor,
	[PROTO_CHECKED] = &romulus__checked__descriptor,
};

/* Give every scalar, string and bytes field of any message a value of its own. */
static void fill_message(ProtobufCMessage *m)
{
	static char text[] = "some text";
	static uint8_t bytes[] = {1, 0, 255};

	for (unsigned int i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		uint8_t *at = (uint8_t *)m + f->offset;

		if (f->label == PROTOBUF_C_LABEL_REPEATED || f->type == PROTOBUF_C_TYPE_MESSAGE)
			continue;
		switch (f->type) {
		case PROTOBUF_C_TYPE_UINT32:
			*(uint32_t *)(void *)at = UINT32_MAX - f->id;
			break;
		case PROTOBUF_C_TYPE_UINT64:
		case PROTOBUF_C_TYPE_FIXED64:
			*(uint64_t *)(void *)at = UINT64_MAX - f->id;
			break;
		case PROTOBUF_C_TYPE_BOOL:
			*(protobuf_c_boolean *)(void *)at = 1;
			break;
		case PROTOBUF_C_TYPE_STRING:
			*(char **)(void *)at = text;
			break;
		case PROTOBUF_C_TYPE_BYTES:
			*(ProtobufCBinaryData *)(void *)at =
				(ProtobufCBinaryData){sizeof(bytes), bytes};
			break;
		default:
			fail_msg("field %s has a type this test does not know", f->name);
		}
	}
}

static void every_type_comes_back(void **state)
{
	for (unsigned int type = 1; type < PROTO_TYPE_COUNT; type++) {
		CLEANUP_FREE ProtobufCMessage *sent = NULL;
		CLEANUP_FREE uint8_t *frame = NULL;
		CLEANUP_FREE uint8_t *again = NULL;
		ProtobufCMessage *got;
		struct proto_header h;
		size_t length, length_again;

		assert_string_not_equal(proto_type_name(type), "unknown");
		if (type == PROTO_PAGES || type == PROTO_PACKED_PAGES)
			continue;
		sent = calloc(1, descriptors[type]->sizeof_message);
		protobuf_c_message_init(descriptors[type], sent);
		fill_message(sent);
		assert_int_equal(proto_pack(type, 77, sent, &frame, &length), 0);
		assert_int_equal(proto_header_decode(frame, 77, &h, NULL), 0);
		assert_int_equal(h.type, type);
		assert_int_equal(h.length, length - PROTO_HEADER_BYTES);
		assert_int_equal(proto_payload_check(&h, frame + PROTO_HEADER_BYTES, NULL), 0);
		got = proto_unpack(type, frame + PROTO_HEADER_BYTES, h.length);
		assert_non_null(got);
		assert_ptr_equal(got->descriptor, descriptors[type]);
		assert_int_equal(proto_pack(type, 77, got, &again, &length_again), 0);
		assert_int_equal(length, length_again);
		assert_memory_equal(frame, again, length);
		protobuf_c_message_free_unpacked(got, NULL);
	}
}

static void pages_come_back(void **state)
{
	CLEANUP_FREE uint8_t *pages = malloc(PROTO_MAX_PAGES);
	uint8_t raw[PROTO_HEADER_BYTES];
	struct proto_header h;

	memset(pages, 0x5a, PROTO_MAX_PAGES);
	proto_header_encode(raw, PROTO_PAGES, 3, pages, PROTO_MAX_PAGES);
	assert_int_equal(proto_header_decode(raw, 3, &h, NULL), 0);
	assert_int_equal(h.length, PROTO_MAX_PAGES);
	assert_int_equal(proto_payload_check(&h, pages, NULL), 0);
	pages[PROTO_MAX_PAGES - 1] ^= 1;
	assert_int_equal(proto_payload_check(&h, pages, NULL), -EBADMSG);
	assert_null(proto_unpack(PROTO_PAGES, pages, 4));
}

static void layout_is_the_specified_one(void **state)
{
	static const uint8_t expected[] = {0x55, 0x4d, 0x4f, 0x52, 10, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0,
		0, 8, 7, 6, 5, 4, 3, 2, 1};
	uint8_t raw[PROTO_HEADER_BYTES];

	proto_header_encode(raw, PROTO_PAGES, UINT64_C(0x0102030405060708), "ab", 2);
	memset(raw + 12, 0, 4);
	assert_memory_equal(raw, expected, sizeof(raw));
}

static int decode(const uint8_t *raw, struct why *why)
{
	struct proto_header h;
	int err = proto_header_decode(raw, 9, &h, why);

	return err < 0 ? err : proto_payload_check(&h, raw + PROTO_HEADER_BYTES, why);
}

static void every_header_bit_counts(void **state)
{
	uint8_t raw[PROTO_HEADER_BYTES + 8] = {0};
	struct why why;

	memset(raw + PROTO_HEADER_BYTES, 'x', 8);
	proto_header_encode(raw, PROTO_PAGES, 9, raw + PROTO_HEADER_BYTES, 8);
	assert_int_equal(decode(raw, NULL), 0);
	for (unsigned int bit = 0; bit < 8 * sizeof(raw); bit++) {
		CLEANUP_FREE uint8_t *copy = calloc(1, PROTO_HEADER_BYTES + PROTO_MAX_PAGES);

		memcpy(copy, raw, sizeof(raw));
		copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		why.text[0] = '\0';
		assert_int_equal(decode(copy, &why), -EBADMSG);
		assert_string_not_equal(why.text, "");
	}
}

static void expect_flaw(size_t at, const void *bytes, size_t length, const char *sentence)
{
	uint8_t raw[PROTO_HEADER_BYTES];
	struct proto_header h;
	struct why why;

	proto_header_encode(raw, PROTO_ACK, 9, NULL, 0);
	memcpy(raw + at, bytes, length);
	assert_int_equal(proto_header_decode(raw, 9, &h, &why), -EBADMSG);
	assert_non_null(strstr(why.text, sentence));
}

static void the_sentence_names_the_flaw(void **state)
{
	expect_flaw(0, "SSH-", 4, "not a Romulus frame");
	expect_flaw(4, "\0\0", 2, "unknown type 0");
	expect_flaw(4, "\x13\0", 2, "unknown type 19");
	expect_flaw(4, "\xff\xff", 2, "unknown type 65535");
	expect_flaw(6, "\1", 1, "reserved flags");
	expect_flaw(8, "\1\0\4\0", 4, "over the limit of 262144");
	expect_flaw(8, "\xff\xff\xff\xff", 4, "over the limit");
	expect_flaw(16, "\12", 1, "sequence 10 where 9 was due");
}

static void caps_hold_when_packing(void **state)
{
	Romulus__DomainConfig config = ROMULUS__DOMAIN_CONFIG__INIT;
	Romulus__Heartbeat beat = ROMULUS__HEARTBEAT__INIT;
	Romulus__Check check = ROMULUS__CHECK__INIT;
	CLEANUP_FREE char *json = malloc(PROTO_MAX_CONTROL + 1);
	uint8_t *frame = NULL;
	size_t length;

	memset(json, 'j', PROTO_MAX_CONTROL);
	json[PROTO_MAX_CONTROL] = '\0';
	config.json = json;
	assert_int_equal(
		proto_pack(PROTO_DOMAIN_CONFIG, 0, &config.base, &frame, &length), -EMSGSIZE);
	json[PROTO_MAX_CONTROL - 16] = '\0';
	assert_int_equal(proto_pack(PROTO_DOMAIN_CONFIG, 0, &config.base, &frame, &length), 0);
	free(frame);
	json[PROTO_MAX_CHECK] = '\0';
	check.unfit = json;
	assert_int_equal(proto_pack(PROTO_CHECK, 0, &check.base, &frame, &length), -EMSGSIZE);
	json[PROTO_MAX_DATAGRAM - PROTO_HEADER_BYTES - PROTO_TAG_BYTES] = '\0';
	beat.host = json;
	assert_int_equal(proto_pack(PROTO_HEARTBEAT, 0, &beat.base, &frame, &length), -EMSGSIZE);
}

/* Of a guest that is moved, and a full datagram of the largest entries (failover/peers.c). */
static void heartbeats_say_all_of_a_domain(void **state)
{
	static char uuid[] = "12345678-9abc-def0-1234-56789abcdef0",
		    name[] = "a-host-with-a-long-name";
	Romulus__DomainState entries[16], *list[16];
	Romulus__Heartbeat beat = ROMULUS__HEARTBEAT__INIT, *back;
	CLEANUP_FREE uint8_t *frame = NULL;
	size_t length;

	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		const bool released = i % 2;

		list[i] = &entries[i];
		romulus__domain_state__init(&entries[i]);
		entries[i].uuid = uuid;
		entries[i].generation = INT64_MAX;
		entries[i].epoch = UINT64_MAX;
		entries[i].role = PROTO_ROLE_PRIMARY;
		entries[i].state = released ? PROTO_STATE_RELEASED : PROTO_STATE_TAKEN_OVER;
		entries[i].wish = released ? PROTO_WISH_END : PROTO_WISH_NONE;
		entries[i].guest = released ? PROTO_GUEST_UNKNOWN : PROTO_GUEST_RUNS;
	}
	beat.host = beat.path = name;
	beat.boot = beat.sequence = beat.peer_boot = beat.key = UINT64_MAX;
	beat.domains = list;
	beat.n_domains = ARRAY_SIZE(entries);
	assert_int_equal(proto_pack(PROTO_HEARTBEAT, 0, &beat.base, &frame, &length), 0);
	assert_true(length + PROTO_TAG_BYTES <= PROTO_MAX_DATAGRAM);
	back = (Romulus__Heartbeat *)proto_unpack(
		PROTO_HEARTBEAT, frame + PROTO_HEADER_BYTES, length - PROTO_HEADER_BYTES);
	assert_non_null(back);
	assert_int_equal(back->n_domains, ARRAY_SIZE(entries));
	for (size_t i = 0; i < back->n_domains; i++) {
		assert_int_equal(back->domains[i]->state, entries[i].state);
		assert_int_equal(back->domains[i]->wish, entries[i].wish);
		assert_int_equal(back->domains[i]->guest, entries[i].guest);
	}
	romulus__heartbeat__free_unpacked(back, NULL);
}

static void wrong_payloads_are_no_message(void **state)
{
	assert_null(proto_unpack(PROTO_HELLO, "\xff\xff\xff", 3));
	assert_null(proto_unpack(PROTO_HELLO,
		"\x22\x7f"
		"abc",
		5)); /* string beyond the end */
	assert_null(proto_unpack(0, "", 0));
	assert_null(proto_unpack(PROTO_TYPE_COUNT, "", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc32c_matches_published_values),
		cmocka_unit_test(every_type_comes_back),
		cmocka_unit_test(pages_come_back),
		cmocka_unit_test(layout_is_the_specified_one),
		cmocka_unit_test(every_header_bit_counts),
		cmocka_unit_test(the_sentence_names_the_flaw),
		cmocka_unit_test(caps_hold_when_packing),
		cmocka_unit_test(heartbeats_say_all_of_a_domain),
		cmocka_unit_test(wrong_payloads_are_no_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
