/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/drill.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/exit_codes.h"
#include "common/fault.h"
#include "common/log.h"
#include "netbuf/bubble.h"
#include "replicator/drill_history.h"

const char *const drill_phase_names[DRILL_PHASES] = {
	[DRILL_ROOM] = "room",
	[DRILL_COPY] = "copy",
	[DRILL_START] = "start",
	[DRILL_CHECK] = "check",
	[DRILL_CLEAN] = "clean",
};

int drill_await(struct drill *d, int fd, uint64_t until_ns)
{
	struct pollfd fds[] = {
		{.fd = proto_session_fd(d->worker.daemon), .events = POLLIN},
		{.fd = fd, .events = POLLIN},
	};
	uint64_t now;

	for (;;) {
		now = clock_now_ns();
		if (now >= until_ns)
			return -ETIMEDOUT;
		poll(fds, ARRAY_SIZE(fds), (int)((until_ns - now) / NSEC_PER_MSEC) + 1);
		if (fds[0].revents && worker_order(&d->worker, 0, NULL) != 0) {
			d->called_off = true;
			return why_set(&d->why, -ECANCELED, "it was called off");
		}
		if (fds[1].revents)
			return 0;
	}
}

static const struct step {
	const char *says;
	int (*run)(struct drill *d);
	enum fault fault;
} steps[] = {
	[DRILL_ROOM] = {"making room beside the standby", drill_make_room, FAULT_DRILL_ROOM},
	[DRILL_COPY] = {"the next checkpoint is copied", drill_copy, FAULT_DRILL_COPIED},
	[DRILL_START] = {"the instance starts", drill_start, FAULT_DRILL_STARTED},
	[DRILL_CHECK] = {"it runs, and is looked at", drill_look, FAULT_DRILL_CHECKED},
};

static json_t *entry(const struct drill *d, const char *result)
{
	json_t *phases = json_object();

	for (size_t i = 0; i < DRILL_PHASES; i++)
		json_object_set_new(phases, drill_phase_names[i],
			json_integer((json_int_t)(d->phase_ns[i] / NSEC_PER_MSEC)));
	return json_pack("{s:I, s:s, s:s, s:s, s:I, s:I, s:o, s:s}", "began_ns",
		(json_int_t)d->begun_ns, "domain", d->worker.domain, "result", result, "why",
		strcmp(result, "passed") == 0 ? "" : d->why.text, "checkpoint",
		(json_int_t)d->head.epoch, "age_ms", (json_int_t)(d->age_ns / NSEC_PER_MSEC),
		"phases_ms", phases, "said", d->said);
}

static int init(struct drill *d, bool wait)
{
	d->lock_fd = d->listen_fd = d->source_fd = -1;
	snprintf(d->name, sizeof(d->name), "%.240s--drill", d->worker.domain);
	standby_name(d->standby.name, sizeof(d->standby.name), d->name);
	if ((size_t)snprintf(d->path, sizeof(d->path), "%s/drill-%s.sock", d->worker.run_dir,
		    d->worker.uuid) >= sizeof(d->path))
		return why_set(&d->why, -ENAMETOOLONG, "run-dir is too long for a socket's name");
	return drill_lock(d, wait);
}

static int step_through(struct drill *d)
{
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(steps); i++) {
		const uint64_t began = clock_now_ns();

		worker_say(&d->worker, PROTO_REPORT_STAGE, steps[i].says, 0);
		r = steps[i].run(d);
		d->phase_ns[i] = clock_now_ns() - began;
		if (!r && fault_point(steps[i].fault))
			r = why_set(&d->why, -EIO, "fault point %s", fault_name(steps[i].fault));
	}
	return r;
}

static double seconds(uint64_t ns)
{
	return (double)ns / (double)NSEC_PER_SEC;
}

static void describe(struct drill *d, int r, char *ret, size_t size)
{
	size_t n = (size_t)snprintf(ret, size,
		r ? "the drill of %s %s: %s%s" : "the drill of %s has passed%s%s%s",
		d->worker.domain,
		!r              ? ""
		: d->called_off ? "was broken off"
				: "has FAILED",
		r ? d->why.text : "", r && !d->called_off ? "; the protection goes on" : "");

	if (n < size && d->head.epoch)
		n += (size_t)snprintf(ret + n, size - n,
			"; checkpoint %llu, %.1f s old when it was there",
			(unsigned long long)d->head.epoch, seconds(d->age_ns));
	for (size_t i = 0; n < size && i < DRILL_PHASES; i++)
		n += (size_t)snprintf(ret + n, size - n, "%s%s %.1f s", i ? ", " : "; ",
			drill_phase_names[i], seconds(d->phase_ns[i]));
}

int drill_run(struct drill *d)
{
	char text[WHY_MAX];
	struct why why;
	json_t *noted;
	uint64_t began;
	int r = init(d, false);

	if (r) {
		worker_say(&d->worker, PROTO_REPORT_FAILED, d->why.text, worker_exit_code(r));
		return EXIT_CODE_FAILED;
	}
	d->begun_ns = clock_wall_ns();
	r = step_through(d);
	began = clock_now_ns();
	if (drill_leave(d, &why)) {
		log_error("%s: %s", d->worker.domain, why.text);
		if (!r)
			d->why = why;
		r = -EIO;
	}
	d->phase_ns[DRILL_CLEAN] = clock_now_ns() - began;
	noted = entry(d, r ? (d->called_off ? "broken off" : "failed") : "passed");
	if (drill_history_add(d->worker.state_dir, noted, &why))
		log_error("%s", why.text);
	json_decref(noted);
	describe(d, r, text, sizeof(text));
	worker_say(&d->worker, r ? PROTO_REPORT_FAILED : PROTO_REPORT_DONE, text,
		r ? EXIT_CODE_FAILED : EXIT_CODE_OK);
	return r ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

static int find_guest(struct drill *d)
{
	struct hv_domain dom;
	int r = d->ops->find(d->hv, d->worker.domain, &dom, &d->why);

	if (r)
		return r;
	if (strcmp(dom.uuid, d->worker.uuid) != 0)
		r = why_set(&d->why, -ESTALE, "another guest has its name here");
	snprintf(d->uuid, sizeof(d->uuid), "%s", dom.uuid);
	d->domid = dom.domid;
	if (dom.nic_count)
		snprintf(d->bridge, sizeof(d->bridge), "%s", dom.nics[0].bridge);
	hv_domain_clear(&dom);
	return r;
}

int drill_visit(struct drill *d)
{
	const struct worker_checks *checks = &d->worker.checks;
	char text[WHY_MAX];
	struct why why;
	int r = init(d, false);

	if (r) {
		worker_say(&d->worker, PROTO_REPORT_FAILED, d->why.text, worker_exit_code(r));
		return EXIT_CODE_FAILED;
	}
	r = find_guest(d);
	if (!r && !d->bridge[0] && (checks->command || checks->tcp || checks->http))
		r = why_set(&d->why, -ENODEV, "it has no interface on a bridge to ask it from");
	if (!r) {
		worker_say(&d->worker, PROTO_REPORT_STAGE, "it runs here, and is looked at", 0);
		r = drill_look(d);
	}
	/* Its own interface there; and what an earlier drill has left, which is no reason to fail.
	 */
	netbuf_bubble_close(d->worker.uuid, NULL);
	if (drill_leave(d, &why))
		log_error("%s: %s", d->worker.domain, why.text);
	snprintf(text, sizeof(text),
		r ? "%.128s has FAILED its check: %.350s" : "%.128s has passed its check",
		d->worker.domain, d->why.text);
	worker_say(&d->worker, r ? PROTO_REPORT_FAILED : PROTO_REPORT_DONE, text,
		r ? EXIT_CODE_FAILED : EXIT_CODE_OK);
	return r ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

int drill_clean(struct drill *d)
{
	int r = init(d, true);

	if (!r)
		r = drill_leave(d, &d->why);
	if (r)
		log_error("%s: %s", d->worker.domain, d->why.text);
	return r ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}
