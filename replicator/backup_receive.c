/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * romulus-backup, receiving: frames from the primary, boundaries from the disks. The epoch machine
 * (backup_epoch.c) says when both halves of an epoch are there; then it is acked, and fed on.
 */
#include "replicator/backup.h"

#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "common/fault.h"

#define SEND_TIMEOUT_NS (10 * NSEC_PER_SEC)
#define REPORT_INTERVAL_NS (250 * NSEC_PER_MSEC)
/* Pieces in which the initial copy is handed on: it needs no room for a whole one. */
#define COPY_PIECE (4u << 20)
/* Frames taken before looking at orders again. */
#define READ_BURST 64

static int start_standby(struct backup *b, const Romulus__DomainConfig *config)
{
	int r;

	if (strcmp(config->uuid, b->worker.uuid) || config->generation != b->worker.generation ||
		strcmp(config->domain, b->worker.domain))
		return why_set(&b->why, -EBADMSG,
			"the stream is for domain %.64s generation %llu, not for %s generation "
			"%llu",
			config->domain, (unsigned long long)config->generation, b->worker.domain,
			(unsigned long long)b->worker.generation);
	if (!config->disk_nonce != !b->disks)
		return why_set(&b->why, -EINVAL,
			"the disks of '%s' are replicated according to one host's configuration "
			"only; say the same in romulus.conf of both",
			b->worker.domain);
	r = b->disks ? diskrep_backup_expect(b->disks, config->uuid, config->disk_nonce,
			       config->generation, &b->why)
		     : 0;
	if (r)
		return r;
	b->config_json = strdup(config->json);
	if (!b->config_json)
		return why_set(&b->why, -ENOMEM, "no memory for the standby's configuration");
	r = standby_start(&b->standby, b->ops, b->worker.domain, b->config_json, &b->why);
	if (r)
		return r;
	b->feed = feed_start(b->standby.stream_fd, b->worker.staging_bytes);
	return b->feed ? 0 : why_set(&b->why, -ENOMEM, "no memory to feed the standby");
}

static void report_epoch(struct backup *b)
{
	Romulus__Report report = ROMULUS__REPORT__INIT;
	struct diskrep_backup_figures figures;
	bool first = b->epoch.acked == 1;

	if (!first && clock_now_ns() - b->reported_ns < REPORT_INTERVAL_NS)
		return;
	b->reported_ns = clock_now_ns();
	report.kind = first ? PROTO_REPORT_PROTECTED : PROTO_REPORT_EPOCH;
	report.epoch = b->epoch.acked;
	report.bytes = b->bytes;
	report.staging_limit = b->worker.staging_bytes;
	if (b->disks && !diskrep_backup_figures(b->disks, &figures, NULL)) {
		report.undo_bytes = figures.undo_bytes;
		report.undo_largest = figures.undo_largest;
		report.undo_limit = figures.undo_limit;
	}
	worker_report(&b->worker, &report);
}

/*
 * All probes of the self-test lie before boundary 1, which is here. A store that does not answer is
 * gone, which its news say next.
 */
static void count_order(struct backup *b, Romulus__Ack *ack)
{
	struct diskrep_backup_figures figures;

	if (diskrep_backup_figures(b->disks, &figures, &b->why))
		return;
	ack->probes = figures.order.probes;
	ack->violations = figures.order.violations;
}

static int claim(struct backup *b)
{
	const struct worker *w = &b->worker;

	return claim_try(
		&b->claim, b->ops, b->hv, w->domain, b->standby.name, w->memory_kb, &b->why);
}

/*
 * Everything of the epoch is in RAM and verified. From the ack on this checkpoint is what a
 * takeover starts from, so it is handed to the feed whether or not the ack gets through.
 */
static int commit(struct backup *b, uint64_t epoch)
{
	Romulus__Ack ack = ROMULUS__ACK__INIT;
	int r = 0;

	if (epoch > 0) {
		fault_point(FAULT_ACK_DELAY);
		ack.epoch = epoch;
		if (epoch == 1 && b->disks)
			count_order(b, &ack);
		r = proto_session_send(
			b->stream, PROTO_ACK, &ack.base, clock_now_ns() + SEND_TIMEOUT_NS, &b->why);
	}
	feed_push(b->feed, receive_take(&b->rx), epoch > 0);
	if (epoch == 0) /* of a small guest there was no piece before */
		return claim(b);
	backup_begin_drill(b, epoch);
	report_epoch(b); /* first: now the undo store holds most */
	if (b->disks && diskrep_backup_commit(b->disks, epoch, &b->why))
		r = -EIO;
	return r;
}

static int store(struct backup *b, const struct proto_frame *frame)
{
	int r = receive_add(&b->rx, frame->data, frame->length, &b->why);

	b->bytes += frame->length;
	if (r || b->epoch.epoch > 0 || !b->rx.open || b->rx.open->length < COPY_PIECE)
		return r;
	/* The initial copy is no checkpoint: it is handed on as it comes. */
	feed_push(b->feed, receive_take(&b->rx), false);
	return claim(b);
}

static int on_frame(struct backup *b, const struct proto_frame *frame)
{
	const Romulus__EpochEnd *end;
	uint64_t epoch = 0;
	int actions, r = 0;
	enum backup_event event;

	switch (frame->type) {
	case PROTO_DOMAIN_CONFIG:
		event = BACKUP_EV_CONFIG;
		break;
	case PROTO_EPOCH_BEGIN:
		event = BACKUP_EV_BEGIN;
		epoch = ((const Romulus__EpochBegin *)frame->message)->epoch;
		break;
	case PROTO_PAGES:
		event = BACKUP_EV_PAGES;
		break;
	case PROTO_EPOCH_END:
		event = BACKUP_EV_END;
		end = (const Romulus__EpochEnd *)frame->message;
		epoch = end->epoch;
		r = receive_verify(&b->rx, end->bytes, &b->why);
		break;
	default:
		return why_set(&b->why, -EBADMSG, "a %s frame has no place in a stream",
			proto_type_name(frame->type));
	}
	if (r)
		return r;
	actions = backup_epoch_step(&b->epoch, event, epoch);
	if (actions < 0)
		return why_set(&b->why, -EBADMSG, "a %s frame (epoch %llu) while %s",
			proto_type_name(frame->type), (unsigned long long)epoch,
			backup_state_name(b->epoch.state));
	if (event == BACKUP_EV_BEGIN)
		receive_begin(&b->rx);
	if (actions & BACKUP_START)
		r = start_standby(b, (const Romulus__DomainConfig *)frame->message);
	if (actions & BACKUP_STORE)
		r = store(b, frame);
	if (actions & BACKUP_COMMIT)
		r = commit(b, epoch);
	return r;
}

static void lose_stream(struct backup *b, int err)
{
	int actions = backup_epoch_step(&b->epoch, BACKUP_EV_STREAM_LOST, 0);

	if (err == -EBADMSG)
		proto_session_bye(b->stream, PROTO_BYE_MALFORMED, b->why.text);
	else if (err == -ENOSPC || err == -ENOMEM)
		proto_session_bye(b->stream, PROTO_BYE_FAILED, b->why.text);
	b->stream = proto_session_free(b->stream);
	if (actions > 0 && actions & BACKUP_DROP)
		receive_begin(&b->rx);
	if (actions > 0 && actions & BACKUP_REPORT_LOST)
		worker_say(&b->worker, PROTO_REPORT_LOST, b->why.text, 0);
}

void backup_read_stream(struct backup *b)
{
	struct proto_frame frame;
	unsigned int n = 0;
	int r, failed;

	do {
		r = proto_session_receive(b->stream, 0, &frame, &b->why);
		if (r > 0) {
			failed = on_frame(b, &frame);
			r = failed ? failed : 1;
		}
	} while (r > 0 && ++n < READ_BURST && (!b->feed || feed_has_room(b->feed)));
	if (r < 0)
		lose_stream(b, r);
}

/* Boundaries of the disks: the other half of what an ack waits for. */
int backup_read_boundaries(struct backup *b)
{
	uint64_t epoch;
	int r, actions;

	while ((r = diskrep_backup_boundary(b->disks, &epoch, &b->why)) > 0) {
		actions = backup_epoch_step(&b->epoch, BACKUP_EV_BOUNDARY, epoch);
		if (actions < 0)
			r = why_set(&b->why, -EPROTO, "boundary %llu of the disks came while %s",
				(unsigned long long)epoch, backup_state_name(b->epoch.state));
		else if (actions & BACKUP_COMMIT)
			r = commit(b, epoch);
		if (r < 0 && actions > 0 && b->stream) {
			lose_stream(b, r);
			return 0;
		}
		if (r < 0)
			break;
	}
	return r;
}
