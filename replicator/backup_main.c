/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * romulus-backup: holds the standby of one domain. Receives whole epochs into RAM, verifies and
 * acknowledges them, feeds them to the standby, and resumes it when romulusd has been granted the
 * takeover, never by itself. The epoch machine (backup_epoch.c) says what to do, this file does it.
 */
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/exit_codes.h"
#include "common/fault.h"
#include "common/log.h"
#include "replicator/backup_epoch.h"
#include "replicator/feed.h"
#include "replicator/hv.h"
#include "replicator/receive.h"
#include "replicator/standby.h"
#include "replicator/worker.h"

#define GREETING_TIMEOUT_NS (30 * NSEC_PER_SEC)
#define SEND_TIMEOUT_NS (10 * NSEC_PER_SEC)
#define REPORT_INTERVAL_NS (250 * NSEC_PER_MSEC)
/* Pieces in which the initial copy is handed on: it needs no room for a whole one. */
#define COPY_PIECE (4u << 20)
/* Frames taken before looking at orders again. */
#define READ_BURST 64

struct backup {
	struct worker worker;
	const struct hv_ops *ops;
	struct hv *hv;
	struct proto_session *stream;
	struct standby standby;
	struct feed *feed;
	struct receive rx;
	struct backup_epoch epoch;
	uint64_t reported_ns, bytes;
	struct why why;
};

static int fail(struct backup *b, int err)
{
	worker_say(&b->worker, PROTO_REPORT_FAILED, b->why.text, worker_exit_code(err));
	return EXIT_CODE_FAILED;
}

/* ---- what actions mean ----------------------------------------------------------------------- */

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
	r = standby_start(&b->standby, b->ops, b->worker.domain, config->json, &b->why);
	if (r)
		return r;
	b->feed = feed_start(b->standby.stream_fd, b->worker.staging_bytes);
	return b->feed ? 0 : why_set(&b->why, -ENOMEM, "no memory to feed the standby");
}

static void report_epoch(struct backup *b)
{
	Romulus__Report report = ROMULUS__REPORT__INIT;
	bool first = b->epoch.acked == 1;

	if (!first && clock_now_ns() - b->reported_ns < REPORT_INTERVAL_NS)
		return;
	b->reported_ns = clock_now_ns();
	report.kind = first ? PROTO_REPORT_PROTECTED : PROTO_REPORT_EPOCH;
	report.epoch = b->epoch.acked;
	report.bytes = b->bytes;
	report.staging_limit = b->worker.staging_bytes;
	worker_report(&b->worker, &report);
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
		r = proto_session_send(
			b->stream, PROTO_ACK, &ack.base, clock_now_ns() + SEND_TIMEOUT_NS, &b->why);
	}
	feed_push(b->feed, receive_take(&b->rx), epoch > 0);
	if (epoch > 0)
		report_epoch(b);
	return r;
}

static int store(struct backup *b, const struct proto_frame *frame)
{
	int r = receive_add(&b->rx, frame->data, frame->length, &b->why);

	b->bytes += frame->length;
	/* The initial copy is no checkpoint: it is handed on as it comes. */
	if (!r && b->epoch.epoch == 0 && b->rx.open && b->rx.open->length >= COPY_PIECE)
		feed_push(b->feed, receive_take(&b->rx), false);
	return r;
}

/* ---- the stream ------------------------------------------------------------------------------ */

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

	if (err == -EBADMSG || err == -ENOSPC || err == -ENOMEM)
		proto_session_bye(b->stream, PROTO_BYE_MALFORMED, b->why.text);
	b->stream = proto_session_free(b->stream);
	if (actions > 0 && actions & BACKUP_DROP)
		receive_begin(&b->rx);
	if (actions > 0 && actions & BACKUP_REPORT_LOST)
		worker_say(&b->worker, PROTO_REPORT_LOST, b->why.text, 0);
}

static void read_stream(struct backup *b)
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

/* ---- orders ---------------------------------------------------------------------------------- */

static void report_running(struct backup *b, const struct hv_domain *dom)
{
	Romulus__Report report = ROMULUS__REPORT__INIT;
	char *vifs[HV_MAX_NICS], *macs[HV_MAX_NICS], *bridges[HV_MAX_NICS];
	size_t i;

	for (i = 0; i < dom->nic_count; i++) {
		vifs[i] = (char *)dom->nics[i].vif;
		macs[i] = (char *)dom->nics[i].mac;
		bridges[i] = (char *)dom->nics[i].bridge;
	}
	report.kind = PROTO_REPORT_RUNNING;
	report.domid = dom->domid;
	report.domain = (char *)dom->name;
	report.epoch = b->epoch.acked;
	report.n_vifs = report.n_macs = report.n_bridges = dom->nic_count;
	report.vifs = vifs;
	report.macs = macs;
	report.bridges = bridges;
	worker_report(&b->worker, &report);
}

static int take_over(struct backup *b)
{
	struct standby_news news;
	int r;

	b->stream = proto_session_free(b->stream);
	if (!feed_complete(b->feed)) {
		why_set(&b->why, -EIO, "the standby of '%s' did not take its last checkpoint",
			b->worker.domain);
		return fail(b, -EIO);
	}
	worker_say(&b->worker, PROTO_REPORT_STAGE, "checkpoint complete in the standby", 0);
	while ((r = standby_news(&b->standby, &news)) > 0 && news.stage == STANDBY_RESTORED)
		worker_say(&b->worker, PROTO_REPORT_STAGE, "devices attached", 0);
	if (r > 0 && news.stage == STANDBY_RUNNING) {
		report_running(b, &news.dom);
		return EXIT_CODE_OK;
	}
	why_set(&b->why, -EIO, "'%s' could not be resumed: %s", b->worker.domain,
		r > 0 ? news.why.text : "its restore process died");
	return fail(b, -EIO);
}

static int end_standby(struct backup *b)
{
	if (b->standby.pid && standby_destroy(&b->standby, b->ops, b->hv, &b->why))
		log_error("%s", b->why.text);
	b->feed = feed_free(b->feed);
	if (b->stream)
		proto_session_bye(b->stream, PROTO_BYE_DONE, "the standby was given up");
	b->stream = proto_session_free(b->stream);
	return EXIT_CODE_OK;
}

/* The restore died under us: whatever was acked cannot be resumed. Say so at once, on both sides.
 */
static int lose_standby(struct backup *b)
{
	struct standby_news news;

	if (standby_news(&b->standby, &news) > 0 && news.stage == STANDBY_FAILED)
		why_set(&b->why, -EIO, "the standby of '%s' is lost: %s", b->worker.domain,
			news.why.text);
	else
		why_set(&b->why, -EIO, "the standby of '%s' is lost: its restore process died",
			b->worker.domain);
	if (b->stream)
		proto_session_bye(b->stream, PROTO_BYE_FAILED, b->why.text);
	worker_say(&b->worker, PROTO_REPORT_STANDBY_LOST, b->why.text, EXIT_CODE_FAILED);
	backup_epoch_step(&b->epoch, BACKUP_EV_STANDBY_LOST, 0);
	end_standby(b);
	return EXIT_CODE_FAILED;
}

static int serve(struct backup *b)
{
	for (;;) {
		bool reading = b->stream && (!b->feed || feed_has_room(b->feed));
		struct pollfd fds[] = {
			{.fd = proto_session_fd(b->worker.daemon), .events = POLLIN},
			{.fd = reading ? proto_session_fd(b->stream) : -1, .events = POLLIN},
			{.fd = b->feed ? feed_event_fd(b->feed) : -1, .events = POLLIN},
			{.fd = b->feed ? b->standby.news_fd : -1, .events = POLLIN},
		};
		bool buffered = reading && proto_session_pending(b->stream);
		int order;

		poll(fds, 4, buffered ? 0 : -1);
		order = worker_order(&b->worker, 0, NULL);
		if (order < 0) { /* daemon gone: nobody can grant anything any more */
			end_standby(b);
			return EXIT_CODE_FAILED;
		}
		if (order == PROTO_ORDER_TAKEOVER) {
			if (backup_epoch_step(&b->epoch, BACKUP_EV_TAKEOVER, 0) > 0)
				return take_over(b);
			why_set(&b->why, -EPROTO, "no checkpoint of '%s' is complete yet",
				b->worker.domain);
			return fail(b, -EPROTO);
		}
		if (order == PROTO_ORDER_DISCARD) {
			backup_epoch_step(&b->epoch, BACKUP_EV_DISCARD, 0);
			end_standby(b);
			worker_say(&b->worker, PROTO_REPORT_DONE, "", 0);
			return EXIT_CODE_OK;
		}
		if (b->feed && (feed_failed(b->feed) || fds[3].revents))
			return lose_standby(b);
		if (reading && (buffered || fds[1].revents))
			read_stream(b);
		if (b->epoch.state == BACKUP_ENDED || (!b->stream && !b->epoch.acked)) {
			end_standby(b);
			return fail(b, -ECONNRESET);
		}
	}
}

/* ---- setting up ------------------------------------------------------------------------------ */

static int accept_stream(struct backup *b)
{
	Romulus__Report report = ROMULUS__REPORT__INIT;
	uint64_t deadline = clock_now_ns() + GREETING_TIMEOUT_NS;
	uint8_t token[PROTO_TOKEN_BYTES];
	uint16_t port = 0;
	int listener, r;

	if (getrandom(token, sizeof(token), 0) != sizeof(token))
		return why_set(&b->why, -EIO, "no random bytes for a token");
	listener = proto_listen(b->worker.listen, &port, &b->why);
	if (listener < 0)
		return listener;
	report.kind = PROTO_REPORT_LISTENING;
	report.port = port;
	report.token.data = token;
	report.token.len = sizeof(token);
	r = worker_report(&b->worker, &report);

	while (!r && !b->stream) {
		struct pollfd fds[] = {
			{.fd = listener, .events = POLLIN},
			{.fd = proto_session_fd(b->worker.daemon), .events = POLLIN},
		};
		Romulus__Hello *hello = NULL;
		int fd, order;

		if (poll(fds, 2, 1000) < 0 && errno != EINTR)
			r = -errno;
		order = worker_order(&b->worker, 0, NULL);
		if (order)
			r = why_set(&b->why, -ECANCELED, "given up before the primary connected");
		else if (clock_now_ns() > deadline)
			r = why_set(&b->why, -ETIMEDOUT, "the primary did not connect within %d s",
				(int)(GREETING_TIMEOUT_NS / NSEC_PER_SEC));
		if (r || !(fds[0].revents & POLLIN))
			continue;
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		b->stream = proto_session_new(fd);
		/* A stranger without the token is told to go; the primary may still come. */
		if (b->stream && proto_handshake(b->stream, b->worker.host, "stream", NULL, token,
					 clock_now_ns() + 5 * NSEC_PER_SEC, &hello, &b->why)) {
			log_warning("%s: stream refused: %s", b->worker.domain, b->why.text);
			b->stream = proto_session_free(b->stream);
		}
		if (hello)
			romulus__hello__free_unpacked(hello, NULL);
	}
	close(listener);
	return r;
}

static int discard(struct backup *b)
{
	if (b->ops->destroy(b->hv, b->worker.discard, &b->why)) {
		log_error("%s", b->why.text);
		return EXIT_CODE_FAILED;
	}
	return EXIT_CODE_OK;
}

int main(int argc, char **argv)
{
	static struct backup b = {.ops = &hv_xen_ops};
	struct worker *w = &b.worker;
	int r;

	log_open("romulus-backup");
	if (worker_parse(w, argc, argv, &b.why) || fault_init(&b.why)) {
		log_error("%s", b.why.text);
		return EXIT_CODE_USAGE;
	}
	/* Epochs are large and come often: keep their memory instead of giving it back each time.
	 */
	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	b.hv = b.ops->open(&b.why);
	if (w->discard && b.hv)
		return discard(&b);
	if (!w->discard && worker_open(w, NULL))
		return EXIT_CODE_USAGE;
	if (!b.hv) {
		log_error("%s", b.why.text);
		return w->discard ? EXIT_CODE_FAILED : fail(&b, -ENODEV);
	}
	if (!w->uuid || !w->listen) {
		why_set(&b.why, -EINVAL, "--uuid and --listen are missing");
		return fail(&b, -EINVAL);
	}
	receive_init(&b.rx, w->staging_bytes);
	r = b.ops->can_host(b.hv, w->domain, w->uuid, w->memory_kb, &b.why);
	if (!r)
		r = accept_stream(&b);
	if (r)
		return fail(&b, r);
	r = serve(&b);
	feed_free(b.feed);
	receive_clear(&b.rx);
	b.ops->close(b.hv);
	proto_session_free(w->daemon);
	return r;
}
