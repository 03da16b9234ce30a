/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes from a peer, through proto/wire.c and a session. The first byte of an input says how they
 * come, the rest are the bytes:
 *   bits 0-1   as they are; checksums put right; these and the sequence; the same
 *   bit 2      a handshake that expects TOKEN comes first
 *   bits 3-7   the size of the pieces in which they arrive, 0: all at once
 */
#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zstd.h>

#include "common/cleanup.h"
#include "common/crc32c.h"
#include "common/why.h"
#include "proto/internal.h"
#include "tests/fuzz/fuzz.h"

#define HEADER 24
#define TOKEN "0123456789abcdef"
#define STREAM_MAX 65536u
#define UNPACKED_MAX (1024u * 1024u)
#define HEARTBEAT_MAX 1344
#define CHECK_MAX 32768

unsigned long fuzz_accepted;

enum verdict { FRAME, MALFORMED, TORN, END };

/* From docs/protocol.md: payload bytes. */
static uint32_t cap_of(unsigned int type)
{
	if (type == PROTO_PAGES || type == PROTO_PACKED_PAGES)
		return UNPACKED_MAX;
	return type == PROTO_HEARTBEAT ? HEARTBEAT_MAX
	       : type == PROTO_CHECK   ? CHECK_MAX
				       : 256 * 1024;
}

static uint32_t checksum(const uint8_t *f, size_t payload)
{
	uint8_t header[HEADER];

	memcpy(header, f, HEADER);
	fuzz_put32(header + 12, 0);
	return crc32c(crc32c(0, header, HEADER), f + HEADER, payload);
}

/* Put right what the options say, as far as there are whole frames. */
static void mend(uint8_t *f, size_t n, bool sequence)
{
	for (uint32_t i = 0; n >= HEADER; i++) {
		const uint32_t length = fuzz_get32(f + 8);

		if (sequence) {
			fuzz_put32(f + 16, i);
			fuzz_put32(f + 20, 0);
		}
		if (length > n - HEADER)
			return;
		fuzz_put32(f + 12, checksum(f, length));
		f += HEADER + length;
		n -= HEADER + length;
	}
}

/* Of packed pages, the last that were right. */
static struct {
	uint8_t bytes[UNPACKED_MAX];
	size_t n;
} unpacked;

static bool unpacks(const uint8_t *payload, size_t length)
{
	unpacked.n = ZSTD_decompress(unpacked.bytes, sizeof(unpacked.bytes), payload, length);
	return !ZSTD_isError(unpacked.n);
}

/*
 * The second reading of one frame at @f, @n bytes being there before the peer closed; @packs: pages
 * may be packed.
 */
static enum verdict judge(const uint8_t *f, size_t n, uint64_t sequence, bool packs,
	uint32_t *ret_type, uint32_t *ret_length)
{
	const uint32_t length = n < HEADER ? 0 : fuzz_get32(f + 8);
	const unsigned int type = n < HEADER ? 0 : f[4] | (unsigned int)f[5] << 8;
	ProtobufCMessage *m;

	if (n < HEADER)
		return n ? TORN : END;
	*ret_type = type;
	*ret_length = length;
	if (fuzz_get32(f) != UINT32_C(0x524f4d55) || type < PROTO_HELLO ||
		type >= PROTO_TYPE_COUNT || f[6] || f[7] || length > cap_of(type) ||
		fuzz_get64(f + 16) != sequence || (type == PROTO_PACKED_PAGES && !packs))
		return MALFORMED;
	if (length > n - HEADER)
		return TORN;
	if (fuzz_get32(f + 12) != checksum(f, length))
		return MALFORMED;
	if (type == PROTO_PAGES)
		return FRAME;
	if (type == PROTO_PACKED_PAGES)
		return unpacks(f + HEADER, length) ? FRAME : MALFORMED;
	m = proto_unpack(type, f + HEADER, length);
	if (!m)
		return MALFORMED;
	protobuf_c_message_free_unpacked(m, NULL);
	return FRAME;
}

/* Packing is stable: what was understood once is understood the same way again. */
static void expect_stable(enum proto_type type, const ProtobufCMessage *message)
{
	CLEANUP_FREE uint8_t *first = NULL;
	CLEANUP_FREE uint8_t *second = NULL;
	size_t first_n, second_n;
	struct proto_header h;
	ProtobufCMessage *again;

	FUZZ_EXPECT(proto_pack(type, 5, message, &first, &first_n) == 0);
	FUZZ_EXPECT(proto_header_decode(first, 5, &h, NULL) == 0 && h.type == type);
	FUZZ_EXPECT(h.length == first_n - HEADER);
	FUZZ_EXPECT(proto_payload_check(&h, first + HEADER, NULL) == 0);
	again = proto_unpack(type, first + HEADER, h.length);
	FUZZ_EXPECT(again);
	FUZZ_EXPECT(proto_pack(type, 5, again, &second, &second_n) == 0);
	FUZZ_EXPECT(first_n == second_n && memcmp(first, second, first_n) == 0);
	protobuf_c_message_free_unpacked(again, NULL);
}

/* The bytes on their way: @at of @n are sent, in pieces. */
struct stream {
	struct proto_session *session;
	int raw;
	const uint8_t *bytes;
	size_t n, at, piece;
};

static void send_piece(struct stream *s)
{
	const size_t left = s->n - s->at, piece = s->piece && s->piece < left ? s->piece : left;

	FUZZ_EXPECT(send(s->raw, s->bytes + s->at, piece, MSG_NOSIGNAL) == (ssize_t)piece);
	s->at += piece;
	if (s->at == s->n)
		shutdown(s->raw, SHUT_WR);
}

/* Never blocks: after the last piece the end of the stream is there. */
static int receive(struct stream *s, struct proto_frame *ret, struct why *why)
{
	int r;

	while ((r = proto_session_receive(s->session, 0, ret, why)) == 0) {
		FUZZ_EXPECT(s->at < s->n);
		send_piece(s);
	}
	return r;
}

static void expect_malformed_bye(int raw, uint64_t sequence)
{
	uint8_t bytes[4096];
	ssize_t n = recv(raw, bytes, sizeof(bytes), MSG_DONTWAIT);
	struct proto_header h;
	ProtobufCMessage *m;

	FUZZ_EXPECT(n > HEADER && proto_header_decode(bytes, sequence, &h, NULL) == 0);
	FUZZ_EXPECT(h.type == PROTO_BYE && h.length == (size_t)n - HEADER);
	FUZZ_EXPECT(proto_payload_check(&h, bytes + HEADER, NULL) == 0);
	m = proto_unpack(PROTO_BYE, bytes + HEADER, h.length);
	FUZZ_EXPECT(m && ((Romulus__Bye *)m)->code == PROTO_BYE_MALFORMED);
	protobuf_c_message_free_unpacked(m, NULL);
}

static void expect_frame(
	const struct proto_frame *frame, const uint8_t *f, uint32_t type, uint32_t length)
{
	const bool packed = type == PROTO_PACKED_PAGES;
	const uint8_t *pages = packed ? unpacked.bytes : f + HEADER;
	const size_t n = packed ? unpacked.n : length;

	FUZZ_EXPECT(frame->type == (packed ? PROTO_PAGES : type));
	if (frame->type != PROTO_PAGES) {
		FUZZ_EXPECT(frame->message);
		expect_stable(frame->type, frame->message);
		return;
	}
	FUZZ_EXPECT(!frame->message && frame->length == n);
	FUZZ_EXPECT(!n || memcmp(frame->data, pages, n) == 0);
}

/* Shorter than a header: an alert, or a handshake that was broken off. */
static bool torn_tls(const uint8_t *f, size_t n)
{
	return n >= 2 && n < HEADER && (f[0] == 21 || f[0] == 22) && f[1] == 3;
}

/* Every whole frame comes, in order; then the right error, which stays. @at: where, @i: which. */
static bool expect_frames(struct stream *s, size_t at, uint64_t i, bool greeted, bool packs)
{
	struct proto_frame frame = {0};
	struct why why, again;
	uint32_t type = 0, length = 0;
	enum verdict v;
	int r, want;

	for (;; i++, at += HEADER + length) {
		v = judge(s->bytes + at, s->n - at, i, packs, &type, &length);
		if (v == FRAME && greeted && type == PROTO_HELLO)
			v = MALFORMED;
		if (greeted && v == TORN && s->n - at >= HEADER && type == PROTO_HELLO)
			v = MALFORMED; /* by its header already */
		r = receive(s, &frame, &why);
		if (v != FRAME || type == PROTO_BYE)
			break;
		FUZZ_EXPECT(r == 1);
		expect_frame(&frame, s->bytes + at, type, length);
	}
	want = v == MALFORMED || torn_tls(s->bytes + at, s->n - at) ? -EBADMSG : -ECONNRESET;
	FUZZ_EXPECT(r == want && why.text[0]);
	FUZZ_EXPECT(receive(s, &frame, &again) == want && strcmp(why.text, again.text) == 0);
	FUZZ_EXPECT(!proto_session_pending(s->session));
	if (v == MALFORMED)
		expect_malformed_bye(s->raw, greeted ? 1 : 0);
	return v == END || v == FRAME;
}

/* Must a host that expects TOKEN for a "stream" be content with this payload? */
static bool welcome(const uint8_t *payload, uint32_t length)
{
	Romulus__Hello *h = romulus__hello__unpack(NULL, length, payload);
	bool ok = h->version >= h->version_min && h->version >= 1 && h->version_min <= 1 &&
		  strcmp(h->session, "stream") == 0 && h->token.len == 16 &&
		  memcmp(h->token.data, TOKEN, 16) == 0;

	romulus__hello__free_unpacked(h, NULL);
	return ok;
}

static bool shake_hands(struct stream *s)
{
	Romulus__Hello *hello = NULL;
	uint32_t type = 0, length = 0;
	uint8_t answer[1024];
	struct why why;
	bool good, packs;
	int r;

	s->piece = 0; /* here it all comes at once: a handshake does not wait for pieces */
	if (s->at < s->n)
		send_piece(s);
	good = judge(s->bytes, s->n, 0, false, &type, &length) == FRAME && type == PROTO_HELLO &&
	       welcome(s->bytes + HEADER, length);
	r = proto_handshake(
		s->session, "host", "stream", NULL, (const uint8_t *)TOKEN, 0, &hello, &why);
	FUZZ_EXPECT((r == 0) == good);
	if (r) {
		FUZZ_EXPECT(!hello && why.text[0]);
		return false;
	}
	FUZZ_EXPECT(strcmp(hello->session, "stream") == 0);
	packs = hello->capabilities & 1;
	romulus__hello__free_unpacked(hello, NULL);
	FUZZ_EXPECT(recv(s->raw, answer, sizeof(answer), MSG_DONTWAIT) > HEADER);
	return expect_frames(s, HEADER + length, 1, true, packs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t options = size ? data[0] : 0;
	CLEANUP_FREE uint8_t *bytes = NULL;
	struct stream s = {.piece = (options >> 3) * 7u};
	int fd[2];

	if (!size || size > STREAM_MAX)
		return 0;
	bytes = fuzz_copy(data + 1, size - 1);
	if (options & 3)
		mend(bytes, size - 1, (options & 3) > 1);
	s.bytes = bytes;
	s.n = size - 1;
	FUZZ_EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == 0);
	s.session = proto_session_new(fd[0]);
	FUZZ_EXPECT(s.session);
	s.raw = fd[1];
	send_piece(&s);
	fuzz_accepted += options & 4 ? shake_hands(&s) : expect_frames(&s, 0, 0, false, false);
	proto_session_free(s.session);
	close(s.raw);
	return 0;
}

/* Seeds */

static uint8_t seed[4096];
static size_t seed_n;
static uint64_t next;

static void begin(uint8_t options)
{
	seed[0] = options;
	seed_n = 1;
	next = 0;
}

static void add(enum proto_type type, const ProtobufCMessage *message)
{
	CLEANUP_FREE uint8_t *frame = NULL;
	size_t n;

	FUZZ_EXPECT(proto_pack(type, next++, message, &frame, &n) == 0);
	FUZZ_EXPECT(n <= sizeof(seed) - seed_n);
	memcpy(seed + seed_n, frame, n);
	seed_n += n;
}

static void add_pages(void)
{
	static const uint8_t pages[100] = {1, 2, 3};

	proto_header_encode(seed + seed_n, PROTO_PAGES, next++, pages, sizeof(pages));
	memcpy(seed + seed_n + HEADER, pages, sizeof(pages));
	seed_n += HEADER + sizeof(pages);
}

static void add_packed_pages(void)
{
	static const uint8_t pages[1000] = {1, 2, 3};
	struct proto_packer *packer = NULL;
	const uint8_t *packed = NULL;
	const size_t n = proto_pack_pages(&packer, pages, sizeof(pages), &packed);

	FUZZ_EXPECT(n && n <= sizeof(seed) - HEADER - seed_n);
	memcpy(seed + seed_n + HEADER, packed, n);
	proto_header_encode(seed + seed_n, PROTO_PACKED_PAGES, next++, packed, n);
	seed_n += HEADER + n;
	proto_packer_free(packer);
}

static char uuid[] = "deadbeef-0102-0304-0506-0708090a0b0c", word[] = "some text";

static void stream_seed(fuzz_put *put)
{
	Romulus__Hello hello = ROMULUS__HELLO__INIT;
	Romulus__DomainConfig config = ROMULUS__DOMAIN_CONFIG__INIT;
	Romulus__EpochBegin from = ROMULUS__EPOCH_BEGIN__INIT;
	Romulus__EpochEnd to = ROMULUS__EPOCH_END__INIT;
	Romulus__Ack ack = ROMULUS__ACK__INIT;
	static uint8_t token[] = TOKEN;
	static char session[] = "stream", json[] = "{\"c_info\": {}}";

	hello.version = hello.version_min = 1;
	hello.host = hello.software = word;
	hello.session = session;
	hello.token = (ProtobufCBinaryData){16, token};
	config.domain = word;
	config.uuid = uuid;
	config.json = json;
	config.generation = config.disk_nonce = UINT64_MAX;
	from.epoch = to.epoch = ack.epoch = 1;
	to.bytes = 100;
	begin(4);
	add(PROTO_HELLO, &hello.base);
	add(PROTO_DOMAIN_CONFIG, &config.base);
	add(PROTO_EPOCH_BEGIN, &from.base);
	add_pages();
	add(PROTO_EPOCH_END, &to.base);
	add(PROTO_ACK, &ack.base);
	put("good-stream", seed, seed_n);
	put("tls-alert", "\x00\x15\x03\x03\x00\x02\x02\x28", 8);
	seed[0] = 5 << 3; /* in small pieces and without a handshake */
	put("good-pieces", seed, seed_n);
	seed[0] = 4 | 2; /* where each change gets past the checksum */
	put("good-mended-stream", seed, seed_n);
	begin(4 | 2);
	add(PROTO_HELLO, &hello.base);
	add(PROTO_HELLO, &hello.base);
	put("second-hello", seed, seed_n);
	begin(4 | 2);
	add(PROTO_HELLO, &hello.base);
	add_packed_pages();
	put("packed-unasked", seed, seed_n);
	hello.capabilities = PROTO_CAN_PACK;
	begin(4 | 2);
	add(PROTO_HELLO, &hello.base);
	add_packed_pages();
	add_pages();
	put("good-packed", seed, seed_n);
	hello.capabilities = 0;
	token[15]++;
	begin(4 | 2);
	add(PROTO_HELLO, &hello.base);
	put("wrong-token", seed, seed_n);
}

static void peer_seed(fuzz_put *put)
{
	Romulus__Prepare prepare = ROMULUS__PREPARE__INIT;
	Romulus__Prepared prepared = ROMULUS__PREPARED__INIT;
	Romulus__Refused refused = ROMULUS__REFUSED__INIT;
	Romulus__Unprotect unprotect = ROMULUS__UNPROTECT__INIT;
	Romulus__Unprotected unprotected = ROMULUS__UNPROTECTED__INIT;
	Romulus__Check check = ROMULUS__CHECK__INIT;
	Romulus__Checked checked = ROMULUS__CHECKED__INIT;
	Romulus__Bye bye = ROMULUS__BYE__INIT;

	check.domain = check.type = checked.hypervisor = word;
	check.uuid = uuid;
	prepare.domain = prepare.type = prepare.hypervisor = word;
	prepare.uuid = prepared.uuid = refused.uuid = unprotect.uuid = unprotected.uuid = uuid;
	prepare.memory_kb = 1 << 20;
	prepared.port = 7801;
	refused.reason = bye.reason = word;
	refused.later = true;
	begin(0);
	add(PROTO_PREPARE, &prepare.base);
	add(PROTO_PREPARED, &prepared.base);
	add(PROTO_REFUSED, &refused.base);
	add(PROTO_UNPROTECT, &unprotect.base);
	add(PROTO_UNPROTECTED, &unprotected.base);
	add(PROTO_CHECK, &check.base);
	add(PROTO_CHECKED, &checked.base);
	add(PROTO_BYE, &bye.base);
	put("good-peer", seed, seed_n);
	begin(0);
	add(PROTO_CHECK, &check.base);
	fuzz_put32(seed + 1 + 8, CHECK_MAX + 1);
	put("check-over-its-cap", seed, seed_n);
}

static void daemon_seed(fuzz_put *put)
{
	Romulus__DomainState state = ROMULUS__DOMAIN_STATE__INIT, *states[] = {&state, &state};
	Romulus__Heartbeat beat = ROMULUS__HEARTBEAT__INIT;
	Romulus__Report report = ROMULUS__REPORT__INIT;
	Romulus__Order order = ROMULUS__ORDER__INIT;
	char *words[] = {word, word};

	state.uuid = uuid;
	state.generation = 3;
	beat.host = beat.path = word;
	beat.domains = states;
	beat.n_domains = 2;
	report.kind = PROTO_REPORT_RUNNING;
	report.vifs = report.macs = words;
	report.n_vifs = report.n_macs = 2;
	order.kind = PROTO_ORDER_CONNECT;
	order.address = order.peer = word;
	begin(0);
	add(PROTO_HEARTBEAT, &beat.base);
	add(PROTO_REPORT, &report.base);
	add(PROTO_ORDER, &order.base);
	put("good-daemon", seed, seed_n);
	seed[0] = 2;
	fuzz_put32(seed + 1 + 8, HEARTBEAT_MAX + 1);
	put("heartbeat-over-its-cap", seed, seed_n);
}

void fuzz_seeds(fuzz_put *put)
{
	stream_seed(put);
	peer_seed(put);
	daemon_seed(put);
}
