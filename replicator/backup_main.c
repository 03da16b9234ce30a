/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * romulus-backup: holds the standby of one domain. Receives whole epochs into RAM, verifies and
 * acknowledges them, feeds them to the standby, and resumes it when romulusd has been granted the
 * takeover, never by itself. The epoch machine (backup_epoch.c) says what to do.
 */
#include "replicator/backup.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/exit_codes.h"
#include "common/fault.h"
#include "common/log.h"

int backup_fail(struct backup *b, int err)
{
	worker_say(&b->worker, PROTO_REPORT_FAILED, b->why.text, worker_exit_code(err));
	return EXIT_CODE_FAILED;
}

static void retire_disks(struct backup *b)
{
	struct why why;

	if (diskrep_backup_retire(b->disks, &why))
		log_error("%s: %s", b->worker.domain, why.text);
	b->disks = NULL;
}

static int end_standby(struct backup *b)
{
	if (b->standby.pid && standby_destroy(&b->standby, b->ops, b->hv, &b->why))
		log_error("%s", b->why.text);
	if (b->drill)
		drill_source_stop(b->drill);
	b->feed = feed_free(b->feed);
	b->drill = drill_source_free(b->drill);
	if (b->stream)
		proto_session_bye(b->stream, PROTO_BYE_DONE, "the standby was given up");
	b->stream = proto_session_free(b->stream);
	retire_disks(b);
	return EXIT_CODE_OK;
}

/* Whatever was acked cannot be resumed any more. Say so at once, on both sides. */
static int lose_standby(struct backup *b, const char *what)
{
	char text[WHY_MAX];

	snprintf(text, sizeof(text), "%s", what); /* may be b->why itself */
	why_set(&b->why, -EIO, "the standby of '%s' is lost: %s", b->worker.domain, text);
	if (b->stream)
		proto_session_bye(b->stream, PROTO_BYE_FAILED, b->why.text);
	worker_say(&b->worker, PROTO_REPORT_STANDBY_LOST, b->why.text, EXIT_CODE_FAILED);
	backup_epoch_step(&b->epoch, BACKUP_EV_STANDBY_LOST, 0);
	end_standby(b);
	return EXIT_CODE_FAILED;
}

/* ---- a drill of it --------------------------------------------------------------------------- */

static void order_drill(struct backup *b, const char *path)
{
	struct why why;
	int r = b->drill || !b->epoch.acked
			? why_set(&why, -EBUSY, "there is one, or no checkpoint yet")
			: drill_source_open(
				  path, b->ops, b->standby.name, b->config_json, &b->drill, &why);

	if (r)
		log_warning("%s: no drill: %s", b->worker.domain, why.text);
}

void backup_begin_drill(struct backup *b, uint64_t epoch)
{
	struct why why;

	if (!b->drill || drill_source_begun(b->drill))
		return;
	if (!b->disks || diskrep_backup_snapshot(b->disks, epoch, &why) == 0) {
		drill_source_begin(b->drill, b->feed, epoch);
		return;
	}
	log_warning("%s: no drill: %s", b->worker.domain, why.text);
	b->drill = drill_source_free(b->drill);
}

static void release_disks(struct backup *b)
{
	struct why why;

	if (b->disks && diskrep_backup_release(b->disks, &why))
		log_warning("%s: %s", b->worker.domain, why.text);
}

void backup_end_drill(struct backup *b)
{
	if (!b->drill)
		return;
	drill_source_stop(b->drill);
	if (drill_source_begun(b->drill))
		release_disks(b);
}

/* The protection goes first: what it brings must not wait for a drill that is slow. */
static void tend_drill(struct backup *b)
{
	if (!b->drill)
		return;
	if (feed_visiting(b->feed)) {
		if (feed_has_room(b->feed) || drill_source_stopped(b->drill))
			return;
		log_warning("%s: the drill is broken off: more has arrived than `staging` holds",
			b->worker.domain);
		drill_source_stop(b->drill);
	} else if (drill_source_over(b->drill)) {
		if (drill_source_begun(b->drill))
			release_disks(b);
		b->drill = drill_source_free(b->drill);
	}
}

static int lose_restore(struct backup *b)
{
	struct standby_news news;

	if (standby_news(&b->standby, &news) > 0 && news.stage == STANDBY_FAILED)
		return lose_standby(b, news.why.text);
	return lose_standby(b, "its restore process died");
}

/* While its memory is copied the feed says how that ends. */
static int drill_fd(const struct backup *b)
{
	return b->drill && !feed_visiting(b->feed) ? drill_source_fd(b->drill) : -1;
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
			{.fd = b->disks ? diskrep_backup_fd(b->disks) : -1, .events = POLLIN},
			{.fd = drill_fd(b), .events = POLLIN},
		};
		bool buffered = reading && proto_session_pending(b->stream);
		const Romulus__Order *details = NULL;
		int order;

		poll(fds, ARRAY_SIZE(fds), buffered ? 0 : -1);
		order = worker_order(&b->worker, 0, &details);
		if (order < 0) { /* daemon gone: nobody can grant anything any more */
			end_standby(b);
			return EXIT_CODE_FAILED;
		}
		if (order == PROTO_ORDER_TAKEOVER) {
			if (backup_epoch_step(&b->epoch, BACKUP_EV_TAKEOVER, 0) > 0)
				return backup_take_over(b);
			why_set(&b->why, -EPROTO, "no checkpoint of '%s' is complete yet",
				b->worker.domain);
			return backup_fail(b, -EPROTO);
		}
		if (order == PROTO_ORDER_DISCARD) {
			backup_epoch_step(&b->epoch, BACKUP_EV_DISCARD, 0);
			end_standby(b);
			worker_say(&b->worker, PROTO_REPORT_DONE, "", 0);
			return EXIT_CODE_OK;
		}
		if (order == PROTO_ORDER_DRILL)
			order_drill(b, details->address);
		if (b->feed && (feed_failed(b->feed) || fds[3].revents))
			return lose_restore(b);
		tend_drill(b);
		if (b->disks && backup_read_boundaries(b) < 0)
			return lose_standby(b, b->why.text);
		if (reading && (buffered || fds[1].revents))
			backup_read_stream(b);
		if (b->epoch.state == BACKUP_ENDED || (!b->stream && !b->epoch.acked)) {
			end_standby(b);
			return backup_fail(b, -ECONNRESET);
		}
	}
}

static int discard(struct backup *b)
{
	int r = b->ops->destroy(b->hv, b->worker.discard, &b->why);

	if (!r && b->worker.resource)
		r = diskrep_backup_repair(&b->disk_spec, &b->why);
	if (r)
		log_error("%s", b->why.text);
	return r ? EXIT_CODE_FAILED : EXIT_CODE_OK;
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
	b.disk_spec = (struct diskrep_backup_spec){
		.resource = w->resource,
		.run_dir = w->run_dir,
		.state_dir = w->state_dir,
		.plugin = ROMULUS_LIBEXECDIR "/romulus-undo.so",
		.volumes = w->volumes,
		.undo_limit = w->undo_limit,
	};
	b.epoch.disks = w->resource;
	b.hv = b.ops->open(&b.why);
	if (w->discard && b.hv)
		return discard(&b);
	if (!w->discard && worker_open(w, NULL))
		return EXIT_CODE_USAGE;
	if (!b.hv) {
		log_error("%s", b.why.text);
		return w->discard ? EXIT_CODE_FAILED : backup_fail(&b, -ENODEV);
	}
	if (w->adopt && w->uuid)
		return backup_adopt(&b);
	if (!w->uuid || !w->listen) {
		why_set(&b.why, -EINVAL, "--uuid and --listen are missing");
		return backup_fail(&b, -EINVAL);
	}
	receive_init(&b.rx, w->staging_bytes);
	r = b.ops->can_host(b.hv, w->domain, w->uuid, w->memory_kb, "the backup host", &b.why);
	if (!r && w->resource)
		r = diskrep_backup_open(&b.disk_spec, &b.disks, &b.why);
	if (!r)
		r = backup_accept(&b);
	if (r) {
		retire_disks(&b);
		return backup_fail(&b, r);
	}
	r = serve(&b);
	retire_disks(&b);
	feed_free(b.feed);
	receive_clear(&b.rx);
	b.ops->close(b.hv);
	proto_session_free(w->daemon);
	return r;
}
