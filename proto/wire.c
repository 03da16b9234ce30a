/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One frame: header, checksum, and the protobuf message inside. Pure functions over memory, so that
 * datagrams, sessions and tests share them. Nothing here trusts a byte of its input: the header is
 * judged before the payload exists, the checksum before the payload is parsed.
 */
#include "proto/proto.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/crc32c.h"
#include "common/why.h"

/* Offsets in the header on the wire; docs/protocol.md has the same table. */
enum {
	AT_MAGIC = 0,
	AT_TYPE = 4,
	AT_FLAGS = 6,
	AT_LENGTH = 8,
	AT_CRC = 12,
	AT_SEQUENCE = 16,
};

static const struct frame_type {
	const char *name;
	const ProtobufCMessageDescriptor *message; /* NULL: raw payload */
	uint32_t cap;                              /* payload bytes */
} types[PROTO_TYPE_COUNT] = {
	[PROTO_HELLO] = {"Hello", &romulus__hello__descriptor, PROTO_MAX_CONTROL},
	[PROTO_BYE] = {"Bye", &romulus__bye__descriptor, PROTO_MAX_CONTROL},
	[PROTO_PREPARE] = {"Prepare", &romulus__prepare__descriptor, PROTO_MAX_CONTROL},
	[PROTO_PREPARED] = {"Prepared", &romulus__prepared__descriptor, PROTO_MAX_CONTROL},
	[PROTO_REFUSED] = {"Refused", &romulus__refused__descriptor, PROTO_MAX_CONTROL},
	[PROTO_UNPROTECT] = {"Unprotect", &romulus__unprotect__descriptor, PROTO_MAX_CONTROL},
	[PROTO_UNPROTECTED] = {"Unprotected", &romulus__unprotected__descriptor, PROTO_MAX_CONTROL},
	[PROTO_DOMAIN_CONFIG] = {"DomainConfig", &romulus__domain_config__descriptor,
		PROTO_MAX_CONTROL},
	[PROTO_EPOCH_BEGIN] = {"EpochBegin", &romulus__epoch_begin__descriptor, PROTO_MAX_CONTROL},
	[PROTO_PAGES] = {"Pages", NULL, PROTO_MAX_PAGES},
	[PROTO_EPOCH_END] = {"EpochEnd", &romulus__epoch_end__descriptor, PROTO_MAX_CONTROL},
	[PROTO_ACK] = {"Ack", &romulus__ack__descriptor, PROTO_MAX_CONTROL},
	[PROTO_HEARTBEAT] = {"Heartbeat", &romulus__heartbeat__descriptor,
		PROTO_MAX_DATAGRAM - PROTO_HEADER_BYTES - PROTO_TAG_BYTES},
	[PROTO_REPORT] = {"Report", &romulus__report__descriptor, PROTO_MAX_CONTROL},
	[PROTO_ORDER] = {"Order", &romulus__order__descriptor, PROTO_MAX_CONTROL},
	[PROTO_PACKED_PAGES] = {"PackedPages", NULL, PROTO_MAX_PAGES},
	[PROTO_CHECK] = {"Check", &romulus__check__descriptor, PROTO_MAX_CHECK},
	[PROTO_CHECKED] = {"Checked", &romulus__checked__descriptor, PROTO_MAX_CONTROL},
};

static const struct frame_type *find_type(unsigned int type)
{
	if (type >= PROTO_TYPE_COUNT || !types[type].name)
		return NULL;
	return &types[type];
}

const char *proto_type_name(unsigned int type)
{
	const struct frame_type *t = find_type(type);

	return t ? t->name : "unknown";
}

/* Write @h with the checksum field zero: the form that the checksum covers. */
static void put_header(uint8_t *out, const struct proto_header *h)
{
	bytes_put_le32(out + AT_MAGIC, h->magic);
	bytes_put_le16(out + AT_TYPE, h->type);
	bytes_put_le16(out + AT_FLAGS, h->flags);
	bytes_put_le32(out + AT_LENGTH, h->length);
	bytes_put_le32(out + AT_CRC, 0);
	bytes_put_le64(out + AT_SEQUENCE, h->sequence);
}

static uint32_t frame_crc(const uint8_t *header, const void *payload, size_t length)
{
	return crc32c(crc32c(0, header, PROTO_HEADER_BYTES), payload, length);
}

void proto_header_encode(
	uint8_t *out, enum proto_type type, uint64_t sequence, const void *payload, size_t length)
{
	struct proto_header h = {
		.magic = PROTO_MAGIC,
		.type = (uint16_t)type,
		.length = (uint32_t)length,
		.sequence = sequence,
	};

	assert(find_type(type) && length <= find_type(type)->cap);
	put_header(out, &h);
	bytes_put_le32(out + AT_CRC, frame_crc(out, payload, length));
}

bool proto_is_tls(const uint8_t *in, size_t length)
{
	/* A handshake or an alert, version 3.x (RFC 8446, section 5.1). */
	return length >= 2 && (in[0] == 22 || in[0] == 21) && in[1] == 3;
}

int proto_header_decode(
	const uint8_t *in, uint64_t expected, struct proto_header *ret, struct why *why)
{
	struct proto_header h = {
		.magic = bytes_get_le32(in + AT_MAGIC),
		.type = bytes_get_le16(in + AT_TYPE),
		.flags = bytes_get_le16(in + AT_FLAGS),
		.length = bytes_get_le32(in + AT_LENGTH),
		.crc = bytes_get_le32(in + AT_CRC),
		.sequence = bytes_get_le64(in + AT_SEQUENCE),
	};
	const struct frame_type *t;

	if (proto_is_tls(in, PROTO_HEADER_BYTES))
		return why_set(why, -EBADMSG,
			"not a Romulus frame but TLS: is transport the same on both hosts?");
	if (h.magic != PROTO_MAGIC)
		return why_set(
			why, -EBADMSG, "not a Romulus frame: it begins with 0x%08" PRIx32, h.magic);
	t = find_type(h.type);
	if (!t)
		return why_set(why, -EBADMSG, "frame of unknown type %u", h.type);
	if (h.flags != 0)
		return why_set(
			why, -EBADMSG, "%s frame with reserved flags 0x%04x set", t->name, h.flags);
	if (h.length > t->cap)
		return why_set(why, -EBADMSG,
			"%s frame of %" PRIu32 " bytes is over the limit of %" PRIu32, t->name,
			h.length, t->cap);
	if (h.sequence != expected)
		return why_set(why, -EBADMSG,
			"%s frame has sequence %" PRIu64 " where %" PRIu64 " was due", t->name,
			h.sequence, expected);
	*ret = h;
	return 0;
}

int proto_payload_check(const struct proto_header *header, const void *payload, struct why *why)
{
	uint8_t raw[PROTO_HEADER_BYTES];
	uint32_t crc;

	put_header(raw, header);
	crc = frame_crc(raw, payload, header->length);
	if (crc != header->crc)
		return why_set(why, -EBADMSG,
			"%s frame of %" PRIu32 " bytes is damaged: checksum 0x%08" PRIx32
			", header says 0x%08" PRIx32,
			proto_type_name(header->type), header->length, crc, header->crc);
	return 0;
}

int proto_pack(enum proto_type type, uint64_t sequence, const ProtobufCMessage *message,
	uint8_t **ret_frame, size_t *ret_length)
{
	const struct frame_type *t = find_type(type);
	uint8_t *frame;
	size_t length;

	assert(t && message->descriptor == t->message);
	length = protobuf_c_message_get_packed_size(message);
	if (length > t->cap)
		return -EMSGSIZE;
	frame = malloc(PROTO_HEADER_BYTES + length);
	if (!frame)
		return -ENOMEM;
	protobuf_c_message_pack(message, frame + PROTO_HEADER_BYTES);
	proto_header_encode(frame, type, sequence, frame + PROTO_HEADER_BYTES, length);
	*ret_frame = frame;
	*ret_length = PROTO_HEADER_BYTES + length;
	return 0;
}

ProtobufCMessage *proto_unpack(enum proto_type type, const void *payload, size_t length)
{
	const struct frame_type *t = find_type(type);

	if (!t || !t->message || length > t->cap)
		return NULL;
	return protobuf_c_message_unpack(t->message, NULL, length, payload);
}
