/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/drill.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "failover/child.h"
#include "failover/domain_roles.h"
#include "failover/worker.h"
#include "replicator/drill_history.h"

#define SWEEP_MS 300000         /* some 40 s for each disk that somebody still has open */
#define LIST_BYTES (256 * 1024) /* of the history: the newest */
#define MAX_WORDS 32

/* ---- what one that died has left ------------------------------------------------------------- */

static void on_swept(void *data, int status, const char *output)
{
	struct failover_domain *d = data;

	d->drill.sweep = NULL;
	if (status != 0)
		EVENT(d, "failed",
			"what a drill has left could not be removed: %.250s; the protection does "
			"not depend on it, the memory of the instance is missing to others. `xl "
			"destroy %.60s--drill` if it is there; the next drill tries again",
			output, NAME(d));
}

static void sweep(struct failover_domain *d)
{
	char program[PATH_MAX];
	struct why why;

	snprintf(program, sizeof(program), "%s/romulus-drill", d->fo->libexec);
	if (failover_child_run(d->fo->event,
		    (char *const[]){program, "--clean", "--domain", NAME(d), "--uuid",
			    d->record.uuid, "--run-dir", d->fo->config->run_dir, NULL},
		    NULL, SWEEP_MS, on_swept, d, &d->drill.sweep, &why) < 0)
		on_swept(d, -1, why.text);
}

void failover_drill_resume(struct failover_domain *d)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/drill-%s", d->fo->config->run_dir, NAME(d));
	if (access(path, F_OK) == 0)
		sweep(d);
}

/* ---- the worker ------------------------------------------------------------------------------ */

static void order(struct failover_domain *d, struct failover_worker *w, enum proto_order kind,
	const char *address)
{
	Romulus__Order m = ROMULUS__ORDER__INIT;
	struct why why;

	m.kind = kind;
	m.address = (char *)address;
	if (w && failover_worker_order(w, &m, &why) < 0)
		log_error("%s: order not taken: %s", NAME(d), why.text);
}

static void call_off(struct failover_domain *d)
{
	if (d->drill.called_off)
		return;
	d->drill.called_off = true;
	order(d, d->drill.worker, PROTO_ORDER_DISCARD, "");
}

static void finish(struct failover_domain *d, enum exit_code code, const char *text)
{
	d->drill.spoke = true;
	EVENT(d, "drill", "%s", text);
	if (!d->drill.client)
		return;
	if (code == EXIT_CODE_OK)
		failover_client_send(d->drill.client, json_pack("{s:s}", "note", text));
	failover_client_exit(TAKE_PTR(d->drill.client), code, code == EXIT_CODE_OK ? NULL : text);
}

static void on_report(void *data, const Romulus__Report *r)
{
	struct failover_domain *d = data;

	switch (r->kind) {
	case PROTO_REPORT_STAGE:
		if (d->drill.client)
			failover_client_send(d->drill.client,
				json_pack("{s:{s:s}}", "progress", "stage", r->text));
		return;
	case PROTO_REPORT_LISTENING:
		if (d->state == FAILOVER_READY)
			order(d, d->worker, PROTO_ORDER_DRILL, r->text);
		return;
	case PROTO_REPORT_DONE:
		finish(d, EXIT_CODE_OK, r->text);
		return;
	case PROTO_REPORT_FAILED:
		finish(d, r->exit_code ? (enum exit_code)r->exit_code : EXIT_CODE_FAILED, r->text);
		return;
	}
}

static void on_ended(void *data, const char *how)
{
	struct failover_domain *d = data;
	char text[WHY_MAX];

	d->drill.worker = NULL;
	if (d->drill.spoke) {
		failover_drill_resume(d); /* it may not have got rid of all */
		return;
	}
	snprintf(text, sizeof(text),
		"the drill of %s has come to nothing, its process %s; the protection goes on, and "
		"what is left of it is removed",
		NAME(d), how);
	finish(d, EXIT_CODE_FAILED, text);
	sweep(d);
}

static const struct failover_worker_ops ops = {.report = on_report, .ended = on_ended};

/* ---- the operator ---------------------------------------------------------------------------- */

/* Whether there can be a drill of @d here now, or a look at itself: if not, why. */
static enum exit_code check(const struct failover_domain *d, bool look, char why[WHY_MAX])
{
	const char *name = NAME(d);

	if (look && !failover_machine_guest_here(d->state))
		snprintf(why, WHY_MAX, "%s is %s here: it cannot be looked at", name,
			failover_state_name(d->state));
	else if (!look && failover_machine_role(d->state) == PROTO_ROLE_PRIMARY)
		snprintf(why, WHY_MAX,
			"%s runs here; a drill is made on its backup: run this on %s", name,
			d->peer ? failover_domain_peer_name(d) : "that host");
	else if (!look && d->state != FAILOVER_READY)
		snprintf(why, WHY_MAX,
			"%s is %s here, and a drill needs an acknowledged checkpoint and a primary "
			"that makes more: see `romulus status %s`",
			name, failover_state_name(d->state), name);
	else if (d->drill.worker || d->drill.sweep)
		snprintf(why, WHY_MAX, "there is a drill of %s already", name);
	else
		return EXIT_CODE_OK;
	return EXIT_CODE_WRONG_STATE;
}

static void add(char *words[MAX_WORDS], size_t *n, const char *option, const char *value)
{
	if (!value)
		return;
	assert(*n + 3 < MAX_WORDS); /* with --look and the NULL */
	words[(*n)++] = (char *)option;
	words[(*n)++] = (char *)value;
}

static void start(struct failover_domain *d, struct failover_client *client, bool look)
{
	static const struct failover_drill_config none = {.limit_s = FAILOVER_DRILL_LIMIT_S};
	const struct failover_domain_config *conf = failover_config_domain(d->fo->config, NAME(d));
	const struct failover_drill_config *drill = conf ? &conf->drill : &none;
	const struct failover_disk_arguments *disks = failover_disk_arguments(
		d->fo->config, NAME(d), &(struct failover_disk_arguments){.resource = NULL});
	char program[PATH_MAX], memory[24], limit[24], *words[MAX_WORDS] = {program};
	struct why why;
	size_t n = 1;

	snprintf(program, sizeof(program), "%s/romulus-drill", d->fo->libexec);
	snprintf(memory, sizeof(memory), "%lu", (unsigned long)d->memory_kb);
	snprintf(limit, sizeof(limit), "%ld", drill->limit_s);
	add(words, &n, "--domain", NAME(d));
	add(words, &n, "--uuid", d->record.uuid);
	add(words, &n, "--run-dir", d->fo->config->run_dir);
	add(words, &n, "--state-dir", d->fo->config->state_dir);
	add(words, &n, "--memory-kb", memory);
	add(words, &n, "--limit", limit);
	add(words, &n, "--resource", disks->resource);
	add(words, &n, "--volumes", disks->volumes);
	add(words, &n, "--address", drill->address);
	add(words, &n, "--command", drill->command);
	add(words, &n, "--tcp", drill->tcp);
	add(words, &n, "--http", drill->http);
	if (look)
		words[n++] = "--look";
	d->drill.looks = look;
	d->drill.called_off = d->drill.spoke = false;
	if (failover_worker_start(d->fo->event, words, &ops, d, &d->drill.worker, &why) < 0) {
		failover_client_exit(client, EXIT_CODE_FAILED, why.text);
		return;
	}
	failover_client_keep(client, &d->drill.client);
}

void failover_drill(
	struct failover *fo, struct failover_client *client, const char *name, bool look)
{
	struct failover_domain *d = failover_domain_by_name(fo, name);
	char why[WHY_MAX];
	enum exit_code code;

	snprintf(why, sizeof(why), "%.128s is not known to this host", name);
	code = d ? check(d, look, why) : EXIT_CODE_UNKNOWN;
	if (code == EXIT_CODE_OK)
		start(d, client, look);
	else
		failover_client_exit(client, code, why);
}

static void send_line(struct failover_client *client, const char *name, const char *line)
{
	json_t *drill = json_loads(line, 0, NULL);
	const char *domain = json_string_value(json_object_get(drill, "domain"));

	if (domain && (!name || strcmp(domain, name) == 0))
		failover_client_send(client, json_pack("{s:O}", "drill", drill));
	json_decref(drill);
}

void failover_drill_list(struct failover *fo, struct failover_client *client, const char *name)
{
	CLEANUP_FREE char *line = NULL;
	CLEANUP_FCLOSE FILE *f = NULL;
	size_t size = 0;
	struct why why;

	if (drill_history_open(fo->config->state_dir, &f, &why) < 0) {
		failover_client_exit(client, EXIT_CODE_FAILED, why.text);
		return;
	}
	/* Into the middle of a line, which is then none. */
	if (f && fseek(f, -LIST_BYTES, SEEK_END) < 0)
		rewind(f);
	while (f && getline(&line, &size, f) > 0)
		send_line(client, name, line);
	failover_client_exit(client, EXIT_CODE_OK, NULL);
}

void failover_drill_note(struct failover *fo, struct failover_client *client, const json_t *drill)
{
	struct why why;
	int r = drill_history_add(fo->config->state_dir, drill, &why);

	failover_client_exit(client, r ? EXIT_CODE_FAILED : EXIT_CODE_OK, r ? why.text : NULL);
}

/* ---- beside the domain ----------------------------------------------------------------------- */

void failover_drill_tend(struct failover_domain *d)
{
	const struct failover_drill *drill = &d->drill;

	if (drill->worker && !drill->spoke &&
		(!drill->client || (!drill->looks && d->state != FAILOVER_READY)))
		call_off(d);
}

void failover_drill_dispose(struct failover_drill *drill)
{
	failover_worker_abandon(drill->worker); /* it sees that, and removes what it has made */
	failover_child_free(drill->sweep);
}
