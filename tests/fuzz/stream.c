/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stream of a primary, as replicator/backup_receive.c takes it: configuration, epochs, pages.
 * The first byte of an input: bit 0, the domain has disks; bit 1, their boundaries come before the
 * memory of their epochs, not after it; the rest are frames, made to fit (fuzz_mend).
 */
#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/internal.h"
#include "replicator/backup.h"
#include "tests/fuzz/frames.h"

#define UUID "12345678-9abc-def0-1234-56789abcdef0"
#define GENERATION 7
#define LIMIT 4096 /* of an epoch's bytes */

unsigned long fuzz_accepted;

/* What came out: what was fed, checkpoint by checkpoint, and what was said. */
static struct {
	uint8_t fed[1 << 17];
	size_t n, sealed; /* bytes fed, and up to the end of the last checkpoint */
	uint64_t checkpoints, committed;
	unsigned int started, lost, claims;
	bool early;
} out;

int standby_start(struct standby *sb, const struct hv_ops *ops, const char *domain,
	const char *config_json, struct why *why)
{
	FUZZ_EXPECT(config_json && strcmp(domain, "db") == 0);
	out.started++;
	return 0;
}

int claim_try(struct claim *c, const struct hv_ops *ops, struct hv *hv, const char *domain,
	const char *standby, uint64_t memory_kb, struct why *why)
{
	FUZZ_EXPECT(strcmp(domain, "db") == 0);
	out.claims++;
	return 0;
}

struct feed *feed_start(int fd, size_t limit)
{
	return (struct feed *)&out;
}

bool feed_has_room(struct feed *f)
{
	return true;
}

void backup_begin_drill(struct backup *b, uint64_t epoch)
{
}

void feed_push(struct feed *f, struct chunk *c, bool checkpoint)
{
	if (c) {
		FUZZ_EXPECT(c->length <= sizeof(out.fed) - out.n);
		memcpy(out.fed + out.n, c->data, c->length);
		out.n += c->length;
	}
	free(c);
	out.checkpoints += checkpoint;
	out.sealed = checkpoint ? out.n : out.sealed;
}

int worker_report(struct worker *w, Romulus__Report *report)
{
	return 0;
}

int worker_say(struct worker *w, enum proto_report kind, const char *text, uint32_t exit_code)
{
	FUZZ_EXPECT(kind == PROTO_REPORT_LOST && text[0]);
	out.lost++;
	return 0;
}

int diskrep_backup_expect(struct diskrep_backup *d, const char *uuid, uint64_t nonce,
	uint64_t generation, struct why *why)
{
	FUZZ_EXPECT(strcmp(uuid, UUID) == 0 && nonce && generation == GENERATION);
	return 0;
}

int diskrep_backup_boundary(struct diskrep_backup *d, uint64_t *ret_epoch, struct why *why)
{
	const struct backup *b = (const struct backup *)d;

	if (b->epoch.state != BACKUP_HOLDING &&
		!(out.early && b->epoch.state == BACKUP_RECEIVING && b->epoch.epoch &&
			b->epoch.boundary < b->epoch.epoch))
		return 0;
	*ret_epoch = b->epoch.epoch;
	return 1;
}

int diskrep_backup_figures(
	struct diskrep_backup *d, struct diskrep_backup_figures *ret, struct why *why)
{
	*ret = (struct diskrep_backup_figures){0};
	return 0;
}

int diskrep_backup_commit(struct diskrep_backup *d, uint64_t epoch, struct why *why)
{
	FUZZ_EXPECT(epoch == out.committed + 1);
	out.committed = epoch;
	return 0;
}

/* The second reading: how many epochs are whole, and their bytes. */
struct reading {
	uint8_t bytes[1 << 17];
	size_t n, whole; /* bytes, and of those in whole epochs */
	uint64_t epoch;  /* that may begin next, or is open */
	bool disks, configured, open;
	size_t from;
};

static bool configures(const struct fuzz_frame *f, bool disks)
{
	Romulus__DomainConfig *c = romulus__domain_config__unpack(NULL, f->length, f->payload);
	bool good = c && !strcmp(c->domain, "db") && !strcmp(c->uuid, UUID) &&
		    c->generation == GENERATION && !c->disk_nonce == !disks;

	if (c)
		romulus__domain_config__free_unpacked(c, NULL);
	return good;
}

static bool ends(const struct reading *r, const struct fuzz_frame *f)
{
	Romulus__EpochEnd *e = romulus__epoch_end__unpack(NULL, f->length, f->payload);
	bool good = e && e->epoch == r->epoch && e->bytes == r->n - r->from;

	if (e)
		romulus__epoch_end__free_unpacked(e, NULL);
	return good;
}

static bool begins(const struct reading *r, const struct fuzz_frame *f)
{
	Romulus__EpochBegin *e = romulus__epoch_begin__unpack(NULL, f->length, f->payload);
	bool good = e && e->epoch == r->epoch;

	if (e)
		romulus__epoch_begin__free_unpacked(e, NULL);
	return good;
}

/* False: the stream is over here. */
static bool reads(struct reading *r, const struct fuzz_frame *f)
{
	if (!r->configured)
		return r->configured = f->type == PROTO_DOMAIN_CONFIG && configures(f, r->disks);
	if (!r->open) {
		r->from = r->n;
		return r->open = f->type == PROTO_EPOCH_BEGIN && begins(r, f);
	}
	if (f->type == PROTO_PAGES) {
		if (r->n - r->from + f->length > LIMIT)
			return false;
		memcpy(r->bytes + r->n, f->payload, f->length);
		r->n += f->length;
		return true;
	}
	if (f->type != PROTO_EPOCH_END || !ends(r, f))
		return false;
	r->open = false;
	r->whole = r->n;
	r->epoch++;
	return true;
}

static void read_again(struct reading *r, const uint8_t *f, size_t n)
{
	struct fuzz_frame frame;

	for (uint64_t i = 0; fuzz_frame_at(f, n, i, &frame) && reads(r, &frame); i++) {
		f += frame.size;
		n -= frame.size;
	}
}

/* Acks of 1, 2 ... @last, and no others. */
static void expect_acks(int raw, uint64_t last)
{
	static uint8_t bytes[1 << 16];
	ssize_t got = recv(raw, bytes, sizeof(bytes), MSG_DONTWAIT);
	const size_t n = got > 0 ? (size_t)got : 0;
	struct fuzz_frame frame;
	uint64_t acked = 0;

	for (size_t at = 0; fuzz_frame_at(bytes + at, n - at, acked, &frame); at += frame.size) {
		Romulus__Ack *ack;

		if (frame.type == PROTO_BYE)
			break;
		FUZZ_EXPECT(frame.type == PROTO_ACK);
		ack = romulus__ack__unpack(NULL, frame.length, frame.payload);
		FUZZ_EXPECT(ack && ack->epoch == ++acked);
		romulus__ack__free_unpacked(ack, NULL);
	}
	FUZZ_EXPECT(acked == last);
}

/* Frame by frame, as from a primary that waits for its acks. */
static void play(struct backup *b, int raw, const uint8_t *f, size_t n)
{
	struct fuzz_frame frame;

	while (b->stream) {
		size_t piece = fuzz_frame_at(f, n, b->stream->next_in, &frame) ? frame.size : n;

		FUZZ_EXPECT(send(raw, f, piece, MSG_NOSIGNAL) == (ssize_t)piece);
		f += piece;
		n -= piece;
		if (!piece)
			shutdown(raw, SHUT_WR);
		backup_read_stream(b);
		if (b->disks)
			FUZZ_EXPECT(backup_read_boundaries(b) == 0);
	}
}

/* Invariant 4: what is acked is whole, and is what a takeover would start from. */
static void expect_whole_epochs(const struct backup *b, const struct reading *r)
{
	const uint64_t last = r->epoch ? r->epoch - 1 : 0;

	FUZZ_EXPECT(out.started == r->configured);
	FUZZ_EXPECT(b->epoch.acked == last && out.checkpoints == last);
	FUZZ_EXPECT(!last || out.claims); /* however small the copy was */
	FUZZ_EXPECT(out.committed == (b->disks ? last : 0));
	if (last)
		FUZZ_EXPECT(out.sealed == r->whole && memcmp(out.fed, r->bytes, r->whole) == 0);
	FUZZ_EXPECT(out.n <= r->n && memcmp(out.fed, r->bytes, out.n) == 0);
	FUZZ_EXPECT(out.lost <= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct reading r;
	CLEANUP_FREE uint8_t *bytes = NULL;
	struct backup b = {.worker = {.domain = "db", .uuid = UUID, .generation = GENERATION}};
	int fd[2];

	if (!size || size > 65536)
		return 0;
	memset(&out, 0, sizeof(out));
	memset(&r, 0, sizeof(r));
	bytes = fuzz_copy(data + 1, size - 1);
	fuzz_mend(bytes, size - 1);
	r.disks = b.epoch.disks = data[0] & 1;
	out.early = data[0] & 2;
	b.disks = r.disks ? (struct diskrep_backup *)&b : NULL;
	receive_init(&b.rx, LIMIT);
	FUZZ_EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == 0);
	b.stream = proto_session_new(fd[0]);
	FUZZ_EXPECT(b.stream);
	play(&b, fd[1], bytes, size - 1);
	read_again(&r, bytes, size - 1);
	expect_whole_epochs(&b, &r);
	expect_acks(fd[1], b.epoch.acked);
	fuzz_accepted += b.epoch.acked > 0;
	receive_clear(&b.rx);
	free(b.config_json);
	close(fd[1]);
	return 0;
}

/* Seeds */

static void add_pages(size_t n)
{
	uint8_t *at = fuzz_seed + fuzz_seed_n;

	FUZZ_EXPECT(FUZZ_HEADER + n <= sizeof(fuzz_seed) - fuzz_seed_n);
	memset(at + FUZZ_HEADER, (int)(1 + fuzz_seed_next), n);
	proto_header_encode(at, PROTO_PAGES, fuzz_seed_next++, at + FUZZ_HEADER, n);
	fuzz_seed_n += FUZZ_HEADER + n;
}

static void add_epoch(uint64_t epoch, size_t bytes, size_t said)
{
	Romulus__EpochBegin from = ROMULUS__EPOCH_BEGIN__INIT;
	Romulus__EpochEnd to = ROMULUS__EPOCH_END__INIT;

	from.epoch = to.epoch = epoch;
	to.bytes = said;
	fuzz_seed_add(PROTO_EPOCH_BEGIN, &from.base);
	add_pages(bytes / 2);
	add_pages(bytes - bytes / 2);
	fuzz_seed_add(PROTO_EPOCH_END, &to.base);
}

static void begin_seed(uint8_t options)
{
	static char name[] = "db", uuid[] = UUID, json[] = "{\"c_info\": {}}";
	Romulus__DomainConfig config = ROMULUS__DOMAIN_CONFIG__INIT;

	config.domain = name;
	config.uuid = uuid;
	config.json = json;
	config.generation = GENERATION;
	config.disk_nonce = options & 1 ? 99 : 0;
	fuzz_seed_begin(options);
	fuzz_seed_add(PROTO_DOMAIN_CONFIG, &config.base);
}

void fuzz_seeds(fuzz_put *put)
{
	begin_seed(0);
	add_epoch(0, 300, 300);
	add_epoch(1, 100, 100);
	add_epoch(2, 0, 0);
	fuzz_seed_put(put, "good-epochs");
	begin_seed(1 | 2);
	add_epoch(0, 30, 30);
	add_epoch(1, 10, 10);
	fuzz_seed_put(put, "good-early-boundaries");
	begin_seed(1);
	add_epoch(0, 30, 30);
	add_epoch(1, 10, 10);
	add_epoch(2, 7, 7);
	fuzz_seed_put(put, "good-disks");
	add_pages(5);
	fuzz_seed_put(put, "good-pages-outside");
	begin_seed(0);
	add_epoch(0, 30, 30);
	add_epoch(1, 10, 11);
	fuzz_seed_put(put, "wrong-total");
	begin_seed(0);
	add_epoch(0, 30, 30);
	add_epoch(2, 10, 10);
	fuzz_seed_put(put, "epoch-left-out");
}
