/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain's processes: the worker and its reports, and the commands that clean up after one. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "failover/child.h"
#include "failover/daemon.h"
#include "failover/worker.h"

#define COMMAND_MS 60000
#define STANDBY_SUFFIX "--standby"

#define NUMBER_TEXT(name, format, value)                                                           \
	char name[32];                                                                             \
	snprintf(name, sizeof(name), format, value)

static void keep_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
}

static void take_figures(struct failover_domain *d, const Romulus__Report *r)
{
	struct failover_figures *f = &d->figures;

	f->epoch = r->epoch;
	f->commit_ns = clock_now_ns();
	f->staging_bytes = r->staging_bytes;
	f->staging_limit = r->staging_limit;
	f->pause_ns = r->pause_ns;
	f->suspend_ns = r->suspend_ns;
	f->capture_ns = r->capture_ns;
	f->resume_ns = r->resume_ns;
	f->ship_ns = r->ship_ns;
	f->ack_ns = r->ack_ns;
	f->bytes = r->bytes;
	f->boundary_ns = r->boundary_ns;
	f->boundary_wait_ns = r->boundary_wait_ns;
	f->undo_bytes = r->undo_bytes;
	f->undo_largest = r->undo_largest;
	f->undo_limit = r->undo_limit;
}

static void show_progress(struct failover_domain *d, const Romulus__Report *r)
{
	uint64_t left = r->pages_total > r->pages_done ? r->pages_total - r->pages_done : 0;

	d->figures.copy_pages = r->pages_done;
	d->figures.copy_total = r->pages_total;
	if (!d->client)
		return;
	failover_client_send(d->client,
		json_pack("{s:{s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I}}", "progress", "stage",
			"copy", "round", (int)r->round, "dirty", (json_int_t)r->dirty, "pages",
			(json_int_t)r->pages_done, "total", (json_int_t)r->pages_total, "bytes",
			(json_int_t)r->bytes, "bytes_per_s", (json_int_t)r->bytes_per_s, "eta_s",
			(json_int_t)(r->bytes_per_s ? left * 4096 / r->bytes_per_s : 0)));
}

/*
 * A new guest of an old name: nothing of the old one binds it, but where that was wanted protected
 * on the host that owns it, so is this one, or an attempt that is put off would be the last.
 */
static void forget_old_guest(struct failover_domain *d)
{
	const struct failover_record old = d->record;
	bool owned = old.role == PROTO_ROLE_PRIMARY &&
		     (old.decision == FAILOVER_DECISION_SOLO ||
			     old.decision == FAILOVER_DECISION_TAKEOVER);
	struct failover_record fresh = old;
	struct why why;

	d->recorded = d->unwritten = false;
	d->record.generation = 0;
	d->record.role = PROTO_ROLE_NONE;
	d->record.decision = FAILOVER_DECISION_NONE;
	d->record.uuid[0] = '\0';
	fresh.generation = 0;
	fresh.decision = FAILOVER_DECISION_SOLO;
	keep_text(fresh.uuid, sizeof(fresh.uuid), d->uuid);
	if (old.intent && owned)
		failover_domain_persist(d, &fresh, &why);
	failover_state_remove(d->fo->config->state_dir, old.uuid, NULL);
}

static void take_found(struct failover_domain *d, const Romulus__Report *r)
{
	struct failover_domain *other = failover_domain_by_uuid(d->fo, r->uuid);

	keep_text(d->uuid, sizeof(d->uuid), r->uuid);
	keep_text(d->type, sizeof(d->type), r->type);
	keep_text(d->hypervisor, sizeof(d->hypervisor), r->hypervisor);
	d->memory_kb = r->memory_kb;
	d->exit_code = EXIT_CODE_WRONG_STATE;
	if (!failover_uuid_valid(d->uuid)) {
		keep_text(d->why, sizeof(d->why), "its worker reports no uuid: this is a bug");
	} else if (other && other != d) {
		snprintf(d->why, sizeof(d->why),
			"its uuid is that of %s, which is known here: unprotect that one first",
			other->record.name);
	} else {
		d->guest_died = d->guest_ended = false;
		if (d->recorded && strcmp(d->record.uuid, d->uuid) != 0)
			forget_old_guest(d);
		failover_domain_on(d, FAILOVER_ON_FOUND);
		return;
	}
	failover_domain_on(d, FAILOVER_ON_REFUSED);
}

static void take_listening(struct failover_domain *d, const Romulus__Report *r)
{
	Romulus__Prepared m = ROMULUS__PREPARED__INIT;
	char before[FAILOVER_UUID_MAX];

	keep_text(before, sizeof(before), d->recorded ? d->record.uuid : "");
	if (!failover_domain_on(d, FAILOVER_ON_LISTENING))
		return;
	if (d->state != FAILOVER_RECEIVING) { /* it could not be written down */
		d->exit_code = EXIT_CODE_FAILED;
		d->worker = failover_worker_free(d->worker);
		failover_domain_on(d, FAILOVER_ON_FAILED);
		return;
	}
	if (before[0] && strcmp(before, d->record.uuid) != 0) /* one name, one record */
		failover_state_remove(d->fo->config->state_dir, before, NULL);
	m.uuid = d->record.uuid;
	m.generation = d->record.generation;
	m.port = r->port;
	m.token = r->token;
	failover_inbound_answer(d->asker, PROTO_PREPARED, &m.base);
}

static void take_running(struct failover_domain *d, const Romulus__Report *r)
{
	if (!failover_domain_on(d, FAILOVER_ON_RUNNING))
		return;
	d->worker_leaving = failover_decide_last_word(FAILOVER_ON_RUNNING);
	failover_announcement_free(d->announcement);
	d->announcement = failover_announcement_start(d, r);
}

/* Reports that are nothing but an event of the machine. */
static const struct plain_report {
	uint32_t kind;
	enum failover_event event;
} plain[] = {
	{PROTO_REPORT_COMPLETE, FAILOVER_ON_COMPLETE},
	{PROTO_REPORT_LOST, FAILOVER_ON_LOST},
	{PROTO_REPORT_STANDBY_LOST, FAILOVER_ON_STANDBY_LOST},
	{PROTO_REPORT_GUEST_GONE, FAILOVER_ON_GUEST_GONE},
	{PROTO_REPORT_FAILED, FAILOVER_ON_FAILED},
	{PROTO_REPORT_DONE, FAILOVER_ON_DONE},
};

/*
 * After its last word a worker takes no order, and what follows from the word must not wait for
 * one. A word that has no place is none: the end of the worker is then its death.
 */
static void take_plain(
	struct failover_domain *d, const struct plain_report *p, const Romulus__Report *r)
{
	if (r->text[0]) {
		keep_text(d->why, sizeof(d->why), r->text);
		log_warning("%s: %s", d->record.name, r->text);
	}
	d->exit_code = r->exit_code ? (enum exit_code)r->exit_code : EXIT_CODE_FAILED;
	d->worker_leaving = failover_decide_last_word(p->event);
	if (!failover_domain_on(d, p->event))
		d->worker_leaving = false;
}

static void on_report(void *data, const Romulus__Report *r)
{
	struct failover_domain *d = data;

	if (d->worker_leaving)
		return;
	switch (r->kind) {
	case PROTO_REPORT_FOUND:
		take_found(d, r);
		return;
	case PROTO_REPORT_LISTENING:
		take_listening(d, r);
		return;
	case PROTO_REPORT_PROGRESS:
		show_progress(d, r);
		return;
	case PROTO_REPORT_PROTECTED:
		take_figures(d, r);
		failover_domain_on(d, FAILOVER_ON_SYNCED);
		failover_domain_copied(d);
		return;
	case PROTO_REPORT_EPOCH:
		take_figures(d, r);
		return;
	case PROTO_REPORT_STAGE:
		failover_event(&d->fo->events, d->record.name, "stage", "%s", r->text);
		failover_domain_show(d, r->text);
		return;
	case PROTO_REPORT_RUNNING:
		take_running(d, r);
		return;
	}
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (plain[i].kind == r->kind)
			take_plain(d, &plain[i], r);
}

static void on_ended(void *data, const char *how)
{
	struct failover_domain *d = data;
	bool expected = d->worker_leaving;

	d->worker = NULL;
	d->worker_leaving = false;
	if (expected)
		return;
	d->exit_code = EXIT_CODE_FAILED;
	/* Why protection ended before says more than how the worker took it. */
	if (d->state != FAILOVER_RELEASING && d->state != FAILOVER_LEAVING)
		snprintf(d->why, sizeof(d->why), "its worker %s", how);
	if (failover_domain_on(d, FAILOVER_ON_WORKER_DIED))
		failover_event(&d->fo->events, d->record.name, "worker-died", "its worker %s", how);
}

static const struct failover_worker_ops worker_ops = {.report = on_report, .ended = on_ended};

static int start(struct failover_domain *d, char *const argv[], struct why *why)
{
	/* One that was told to leave has nothing left to say. */
	d->worker = failover_worker_free(d->worker);
	d->worker_leaving = false;
	return failover_worker_start(d->fo->event, argv, &worker_ops, d, &d->worker, why);
}

const struct failover_disk_arguments *failover_disk_arguments(
	const struct failover_config *c, const char *name, struct failover_disk_arguments *ret)
{
	const struct failover_domain_config *conf = failover_config_domain(c, name);
	size_t n = 0;

	if (!conf || !conf->disks.resource)
		return ret;
	for (size_t i = 0; i < conf->disks.volumes_n && n < sizeof(ret->text); i++)
		n += (size_t)snprintf(
			ret->text + n, sizeof(ret->text) - n, "%s,", conf->disks.volumes[i]);
	if (n < sizeof(ret->text))
		snprintf(ret->text + n, sizeof(ret->text) - n, "%s", conf->disks.marker);
	snprintf(ret->limit, sizeof(ret->limit), "%ld", conf->disks.undo_limit_mb);
	ret->resource = conf->disks.resource;
	ret->volumes = ret->text;
	ret->undo_limit = ret->limit;
	return ret;
}

/* Where the worker finds the certificate; "": the stream is plain. */
static char *pki_argument(const struct failover_config *c)
{
	return failover_config_is_plain(c) ? "" : c->pki_dir;
}

int failover_domain_spawn_primary(struct failover_domain *d, struct why *why)
{
	const struct failover_config *c = d->fo->config;
	const struct failover_disk_arguments *disks = failover_disk_arguments(
		d->fo->config, d->record.name, &(struct failover_disk_arguments){.resource = NULL});
	char program[PATH_MAX];
	NUMBER_TEXT(interval, "%ld", failover_config_interval_ms(c, d->record.name));
	NUMBER_TEXT(staging, "%ld", failover_config_staging_mb(c, d->record.name));
	NUMBER_TEXT(limit, "%ld", c->netbuf_limit_mb);
	NUMBER_TEXT(ack, "%ld", c->ack_timeout_ms);
	NUMBER_TEXT(stall, "%" PRIu64, d->fo->timeouts.stall);
	NUMBER_TEXT(rounds, "%" PRIu32, d->copy.max_rounds);
	NUMBER_TEXT(threshold, "%" PRIu32, d->copy.dirty_threshold);
	NUMBER_TEXT(downtime, "%" PRIu32, d->copy.max_downtime_ms);
	NUMBER_TEXT(bandwidth, "%" PRIu64, d->copy.bandwidth);
	char *const argv[] = {program, "--domain", d->record.name, "--host", c->host, "--peer",
		(char *)d->attempt_peer->conf->name, "--interval", interval, "--staging", staging,
		"--netbuf-limit", limit, "--ack-timeout", ack, "--stall", stall, "--max-rounds",
		rounds, "--dirty-threshold", threshold, "--max-downtime", downtime, "--bandwidth",
		bandwidth, "--no-live", d->copy.no_live ? "1" : "0", "--run-dir", c->run_dir,
		"--pki", pki_argument(c), FAILOVER_DISK_ARGUMENTS(disks)};

	snprintf(program, sizeof(program), "%s/romulus-primary", d->fo->libexec);
	return start(d, argv, why);
}

int failover_domain_spawn_backup(struct failover_domain *d, struct why *why)
{
	const struct failover_config *c = d->fo->config;
	const struct failover_disk_arguments *disks = failover_disk_arguments(
		d->fo->config, d->record.name, &(struct failover_disk_arguments){.resource = NULL});
	char program[PATH_MAX];
	NUMBER_TEXT(generation, "%" PRIu64, d->attempt_generation);
	NUMBER_TEXT(memory, "%" PRIu64, d->memory_kb);
	NUMBER_TEXT(staging, "%" PRIu64, d->staging_bytes);
	char *const argv[] = {program, "--domain", d->record.name, "--uuid", d->uuid,
		"--generation", generation, "--memory-kb", memory, "--type", d->type,
		"--hypervisor", d->hypervisor, "--staging-bytes", staging, "--peer",
		(char *)d->attempt_peer->conf->name, "--host", c->host, "--listen",
		d->attempt_peer->conf->paths[0].local, "--run-dir", c->run_dir, "--state-dir",
		c->state_dir, "--pki", pki_argument(c), FAILOVER_DISK_ARGUMENTS(disks)};

	snprintf(program, sizeof(program), "%s/romulus-backup", d->fo->libexec);
	return start(d, argv, why);
}

int failover_domain_spawn_adopter(struct failover_domain *d, struct why *why)
{
	char program[PATH_MAX];
	char *const argv[] = {program, "--adopt", "--domain", d->record.name, "--uuid",
		d->record.uuid, "--run-dir", d->fo->config->run_dir, NULL};

	snprintf(program, sizeof(program), "%s/romulus-backup", d->fo->libexec);
	return start(d, argv, why);
}

/* ---- commands ------------------------------------------------------------------------------- */

static void on_command_done(void *data, int status, const char *output)
{
	struct failover_domain *d = data;

	d->command = NULL;
	if (status != 0) /* its last line, without the log's "<3>name: " */
		snprintf(d->why, sizeof(d->why), "%s",
			output[0] == '<' && strchr(output, ' ') ? strchr(output, ' ') + 1 : output);
	if (status != 0)
		failover_event(&d->fo->events, d->record.name, "failed",
			"cleaning up after its worker did not succeed (%d): %s; look with xl list",
			status, output);
	failover_domain_on(d, status == 0 ? FAILOVER_ON_DONE : FAILOVER_ON_NOT_DONE);
}

static void run_command(struct failover_domain *d, char *const argv[])
{
	struct why why;

	d->command = failover_child_free(d->command);
	if (failover_child_run(d->fo->event, argv, NULL, COMMAND_MS, on_command_done, d,
		    &d->command, &why) < 0)
		on_command_done(d, -1, why.text);
}

static void repair(struct failover_domain *d, bool release)
{
	char program[PATH_MAX];

	snprintf(program, sizeof(program), "%s/romulus-primary", d->fo->libexec);
	run_command(d,
		(char *const[]){program, "--repair", d->record.name, "--uuid", d->record.uuid,
			"--run-dir", d->fo->config->run_dir, release ? "--release" : NULL, NULL});
}

/* Only ever after solo has been decided, so held output may go. */
void failover_domain_repair(struct failover_domain *d)
{
	repair(d, true);
}

void failover_domain_sweep(struct failover_domain *d)
{
	repair(d, false);
}

void failover_domain_discard(struct failover_domain *d)
{
	const struct failover_disk_arguments *disks = failover_disk_arguments(
		d->fo->config, d->record.name, &(struct failover_disk_arguments){.resource = NULL});
	const bool standby = failover_decide_standby(d->state);
	char program[PATH_MAX], name[FAILOVER_NAME_MAX + sizeof(STANDBY_SUFFIX)];

	snprintf(program, sizeof(program), "%s/romulus-%s", d->fo->libexec,
		standby ? "backup" : "primary");
	snprintf(name, sizeof(name), "%s%s", d->record.name, standby ? STANDBY_SUFFIX : "");
	run_command(d, (char *const[]){program, "--discard", name, "--uuid", d->record.uuid,
			       "--run-dir", d->fo->config->run_dir, "--state-dir",
			       d->fo->config->state_dir, FAILOVER_DISK_ARGUMENTS(disks)});
}
