/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/save.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "diskrep/command.h"
#include "replicator/outfile.h"
#include "replicator/saver.h"
#include "replicator/xenstream.h"

#define HOOK_MS (10 * 60 * 1000)
#define PIECE (256u << 10)

/* ---- the hook ------------------------------------------------------------------------------- */

int save_hook(
	const struct save *s, const char *verb, const char *tag, char **ret_line, struct why *why)
{
	struct save_notice *n = s->notice;
	const char *argv[5 + HV_MAX_DISKS] = {s->hook, verb, n->name, tag};
	struct diskrep_command c;
	char said[200];
	int r;

	for (size_t i = 0; i < n->disks_n; i++)
		argv[4 + i] = n->disks[i];
	n->hook_runs = true;
	r = diskrep_command_run(argv, HOOK_MS, &c, why);
	n->hook_runs = false;
	if (r)
		return r;
	if (c.status) {
		diskrep_command_complaint(&c, said, sizeof(said));
		r = why_set(why, -EIO, "`%s %s %s` failed (%d): %s", s->hook, verb, n->name,
			c.status, said);
	} else if (ret_line) {
		*ret_line = c.output ? strndup(c.output, strcspn(c.output, "\n")) : strdup("");
		if (!*ret_line)
			r = why_set(why, -ENOMEM, "no memory for what %s said", s->hook);
	}
	diskrep_command_clear(&c);
	return r;
}

/* Of a snapshot that has no file, or may be only half of one. */
static void drop_snapshot(const struct save *s)
{
	struct why why;

	if (s->notice->tag[0] && save_hook(s, "drop", s->notice->tag, NULL, &why))
		log_error("the snapshot of the disks may still be there: %s", why.text);
	s->notice->tag[0] = '\0';
}

void save_note_domain(struct save_notice *n, const struct hv_domain *dom)
{
	snprintf(n->name, sizeof(n->name), "%s", dom->name);
	snprintf(n->uuid, sizeof(n->uuid), "%s", dom->uuid);
	n->domid = dom->domid;
	n->disks_n = dom->disk_count;
	for (size_t i = 0; i < dom->disk_count; i++)
		snprintf(n->disks[i], sizeof(n->disks[i]), "%s", dom->disks[i].path);
}

bool save_is_protected(const struct save *s, const char *name, const char *uuid)
{
	for (size_t i = 0; i < s->protected_n; i++)
		if (!strcmp(s->protected_[i], name) || !strcmp(s->protected_[i], uuid))
			return true;
	return false;
}

/* ---- from libxl's pipe into the file -------------------------------------------------------- */

struct pump {
	struct save *save;
	struct savefile_writer writer;
	struct xenstream stream;
	uint64_t total;
	int from, err;
	struct why why;
};

static void *pump_run(void *data)
{
	struct pump *p = data;
	CLEANUP_FREE uint8_t *piece = malloc(PIECE);
	ssize_t n = 1;

	if (!piece)
		p->err = why_set(&p->why, -ENOMEM, "no memory to write the file");
	while (!p->err && n > 0) {
		n = read(p->from, piece, PIECE);
		if (n < 0 && errno == EINTR) {
			n = 1;
			continue;
		}
		if (n < 0)
			p->err = why_set(
				&p->why, -errno, "cannot read from libxl: %s", strerror(errno));
		if (n <= 0)
			break;
		p->err = xenstream_put(&p->stream, piece, (size_t)n, &p->why);
		if (!p->err && fault_point(FAULT_SAVE_WRITE))
			p->err = why_set(&p->why, -ENOSPC, "fault point save-write");
		if (!p->err)
			p->err = savefile_writer_put(&p->writer, piece, (size_t)n, &p->why);
		if (p->save->progress)
			p->save->progress("save", p->stream.offset, p->total, p->writer.written);
	}
	close(p->from); /* whoever still writes is told */
	return NULL;
}

/* The domain into the open file; it stands suspended when this returns 0, else it runs. */
static int write_out(struct save *s, const struct hv_domain *dom, struct pump *p, struct why *why)
{
	pthread_t thread;
	int fd[2], r;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return why_set(why, -errno, "no pipe: %s", strerror(errno));
	p->from = fd[0];
	if (pthread_create(&thread, NULL, pump_run, p)) {
		close(fd[0]);
		close(fd[1]);
		return why_set(why, -ENOMEM, "no thread to write the file");
	}
	s->notice->stage = SAVE_SUSPENDS;
	/* Memory that is copied while the guest runs is copied again: only where it is to run on.
	 */
	r = s->ops->write_out(
		s->hv, dom->domid, fd[1], s->checkpoint && dom->type != HV_TYPE_PV, why);
	close(fd[1]);
	pthread_join(thread, NULL);
	if (r == -ENOTRECOVERABLE) /* it stands suspended, and the sentence says so */
		return r;
	if (p->err) { /* the cause, where libxl has only noticed the effect */
		if (!r && s->ops->resume(s->hv, dom->domid, why))
			return -ENOTRECOVERABLE;
		s->notice->stage = SAVE_NOTHING;
		return why_set(
			why, p->err, "'%s' runs on, it was not saved: %s", dom->name, p->why.text);
	}
	if (!r)
		r = xenstream_end(&p->stream, why);
	else
		s->notice->stage = SAVE_NOTHING;
	return r;
}

static int finish_file(
	struct save *s, struct pump *p, struct outfile *out, const char *note, struct why *why)
{
	int r = savefile_writer_end(&p->writer, note, why);

	if (!r && fault_point(FAULT_SAVE_COMMIT))
		r = why_set(why, -EIO, "fault point save-commit");
	outfile_id(out, s->notice->file_id);
	if (!r)
		r = outfile_commit(out, why);
	if (r)
		s->notice->file_id[0] = s->notice->file_id[1] = 0;
	return r;
}

/* Into *ret_note, NULL: there is none; the caller's to free. */
static int take_snapshot(struct save *s, char **ret_note, struct why *why)
{
	CLEANUP_FREE char *line = NULL;
	const time_t now = time(NULL);
	struct tm tm;
	int r;

	if (!s->hook)
		return 0;
	if (!gmtime_r(&now, &tm) ||
		!strftime(s->notice->tag, sizeof(s->notice->tag), "%Y%m%dT%H%M%SZ", &tm))
		return why_set(why, -EINVAL, "this host's clock is set to no time");
	r = save_hook(s, "take", s->notice->tag, &line, why);
	if (!r && asprintf(ret_note, "%s %s", s->notice->tag, line) < 0)
		r = why_set(why, -ENOMEM, "no memory for what %s said", s->hook);
	return r;
}

/* The guest waits for the snapshot, not for the file. */
static int finish_checkpoint(struct save *s, const struct hv_domain *dom, struct pump *p,
	struct outfile *out, struct why *why)
{
	CLEANUP_FREE char *note = NULL;
	struct why other;
	int r = take_snapshot(s, &note, why);

	if (s->ops->resume(s->hv, dom->domid, &other))
		r = why_set(why, -ENOTRECOVERABLE, "%s", other.text);
	else
		s->notice->stage = SAVE_NOTHING;
	s->notice->runs = true;
	if (!r)
		r = finish_file(s, p, out, note, why);
	if (r)
		drop_snapshot(s);
	return r;
}

/* From here on the file is the domain. */
static int finish_save(struct save *s, const struct hv_domain *dom, struct pump *p,
	struct outfile *out, struct why *why)
{
	struct why other;
	int r = finish_file(s, p, out, NULL, why);

	if (r) {
		if (s->ops->resume(s->hv, dom->domid, &other))
			return why_set(why, -ENOTRECOVERABLE, "%s", other.text);
		s->notice->stage = SAVE_NOTHING;
		return r;
	}
	s->notice->stage = SAVE_KEPT;
	fault_point(FAULT_SAVE_KEPT);
	r = s->ops->kill(s->hv, dom->domid, why);
	s->notice->stage = SAVE_NOTHING;
	return r;
}

/* ---- before --------------------------------------------------------------------------------- */

static int check_domain(struct save *s, const struct hv_domain *dom, struct why *why)
{
	if (save_is_protected(s, dom->name, dom->uuid))
		return why_set(why, -EBUSY,
			"'%s' is protected, and saving it%s would end that: nothing was done. "
			"`romulus unprotect %s`, save it, then protect it again",
			dom->name, s->checkpoint ? ", even with --checkpoint," : "", dom->name);
	if (saver_find("/proc", dom->domid))
		return why_set(why, -EAGAIN, "'%s' is being saved or migrated already", dom->name);
	if (dom->suspended)
		return why_set(why, -EAGAIN,
			"'%s' stands suspended: it is being saved or migrated already, or that was "
			"killed. If you know that it was, `romulus resume %s`",
			dom->name, dom->name);
	if (dom->paused)
		return why_set(why, -EAGAIN,
			"'%s' is paused, so it cannot suspend itself: `xl unpause %s` first",
			dom->name, dom->name);
	if (dom->shut_down)
		return why_set(why, -EAGAIN, "the guest in '%s' has shut down", dom->name);
	if (s->checkpoint && !s->hook && dom->disk_count && !s->no_snapshot)
		return why_set(why, -EINVAL,
			"'%s' has %zu disks that it goes on writing to: what is saved of its "
			"memory is of no use without a snapshot of them. Say --snapshot PROGRAM, "
			"or --no-snapshot if they are taken care of",
			dom->name, dom->disk_count);
	return 0;
}

static int check_room(const struct save *s, const struct hv_domain *dom, const struct outfile *out,
	struct why *why)
{
	const uint64_t room = outfile_room(out), need = dom->memory_kb * 1024;

	if (s->force || room >= need)
		return 0;
	return why_set(why, -ENOSPC,
		"no room for %s: '%s' has %" PRIu64 " MB of memory, there are %" PRIu64
		" MB. It runs on. %s",
		out->path, dom->name, need >> 20, room >> 20,
		s->format == SAVEFILE_XL ? "Without --format=xl it would be compressed"
					 : "Compressed it may fit: --force tries it");
}

static int save_domain(struct save *s, struct hv_domain *dom, struct outfile *out, struct why *why)
{
	struct pump p = {.save = s, .total = dom->memory_kb * 1024};
	const struct savefile_about about = {.format = s->format,
		.config_json = dom->config_json,
		.host = (char *)(uintptr_t)s->host,
		.memory_kb = dom->memory_kb,
		.saved_ns = clock_wall_ns(),
		.checkpoint = s->checkpoint};
	int r = savefile_writer_open(&p.writer, out->fd, &about, dom->hypervisor, why);

	if (!r)
		r = write_out(s, dom, &p, why);
	if (r && s->notice->stage == SAVE_SUSPENDS && !s->ops->resume(s->hv, dom->domid, NULL))
		s->notice->stage = SAVE_NOTHING;
	if (!r)
		r = s->checkpoint ? finish_checkpoint(s, dom, &p, out, why)
				  : finish_save(s, dom, &p, out, why);
	s->stream_bytes = p.writer.stream_bytes;
	s->file_bytes = p.writer.written;
	savefile_writer_close(&p.writer);
	return r;
}

int save_run(struct save *s, struct why *why)
{
	struct outfile out = {.fd = -1, .dir = -1};
	struct hv_domain dom;
	int r = s->ops->find(s->hv, s->domain, &dom, why);

	if (r)
		return r;
	save_note_domain(s->notice, &dom);
	r = check_domain(s, &dom, why);
	if (!r)
		r = outfile_open(&out, s->file, why);
	if (!r)
		r = check_room(s, &dom, &out, why);
	if (!r)
		r = save_domain(s, &dom, &out, why);
	outfile_close(&out);
	hv_domain_clear(&dom);
	return r;
}

/* ---- afterwards ----------------------------------------------------------------------------- */

int resume_run(struct save *s, struct why *why)
{
	struct hv_domain dom;
	int r = s->ops->find(s->hv, s->domain, &dom, why);

	if (r)
		return r;
	save_note_domain(s->notice, &dom);
	if (save_is_protected(s, dom.name, dom.uuid))
		r = why_set(why, -EBUSY,
			"'%s' is protected: romulusd decides when it runs (`romulus status %s`)",
			dom.name, dom.name);
	else if (saver_find("/proc", dom.domid))
		r = why_set(why, -EAGAIN, "'%s' is being saved or migrated", dom.name);
	else if (!dom.suspended)
		r = why_set(why, -EAGAIN, "'%s' does not stand suspended", dom.name);
	else
		r = s->ops->resume(s->hv, dom.domid, why);
	s->notice->runs = !r;
	hv_domain_clear(&dom);
	return r;
}

static int destroy_unless_it_runs(const struct save *s, struct why *why)
{
	struct hv_sight sight;
	uint32_t domid;
	int r = s->ops->look(s->hv, s->notice->uuid, 0, &sight, why);

	if (r || !sight.other)
		return r;
	domid = sight.other;
	r = s->ops->look(s->hv, s->notice->uuid, domid, &sight, why);
	if (r || !sight.exists || !sight.paused)
		return r;
	return s->ops->kill(s->hv, domid, why);
}

int save_mend(const struct save *s, struct why *why)
{
	const struct save_notice *n = s->notice;
	const bool kept = n->stage == SAVE_KEPT || outfile_is(s->file, n->file_id);
	int r = 0;

	if (n->stage == SAVE_BUILDS)
		r = destroy_unless_it_runs(s, why);
	else if (kept && n->stage != SAVE_NOTHING)
		r = s->ops->kill(s->hv, n->domid, why);
	else if (n->stage == SAVE_SUSPENDS)
		r = s->ops->take_back(s->hv, n->domid, why);
	if (!kept)
		drop_snapshot(s);
	return r ? r : kept;
}
