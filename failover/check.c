/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `romulus check`, and what precedes a protection or a move: a worker (romulus-facts) on each host
 * says what is true of it, preflight.c compares. The one where the guest is sends probe frames
 * until all is over. What a peer asks of this host is answered in the same way, and changes nothing
 * here.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"
#include "failover/autostart.h"
#include "failover/daemon.h"
#include "failover/preflight.h"
#include "failover/worker.h"

#define MAX_CHECKS 8u /* at a time, our own and those of peers */
#define WHOLE_NS (60 * NSEC_PER_SEC)
#define FIRST_NS (20 * NSEC_PER_SEC) /* who wants something else is not kept for longer */

struct failover_check {
	struct failover *fo;
	struct failover_check *next;
	char name[FAILOVER_NAME_MAX];
	struct failover_peer *peer;
	struct failover_client *client;   /* who asked is an operator here, */
	struct failover_inbound *inbound; /* or that peer */
	bool ours;
	failover_check_then *then;     /* NULL: the checks are all that was asked for */
	struct failover_wishes wishes; /* for it */
	uint64_t began_ns;
	struct failover_worker *worker;
	struct failover_request *request;
	Romulus__Check *guest; /* ours: what the worker said */
	Romulus__Checked *here;
};

static struct failover_check *check_new(struct failover *fo, struct failover_peer *peer)
{
	struct failover_check *c;

	if (fo->checks_n == MAX_CHECKS)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	*c = (struct failover_check){
		.fo = fo, .peer = peer, .began_ns = clock_now_ns(), .next = fo->checks};
	fo->checks = c;
	fo->checks_n++;
	return c;
}

static void check_free(struct failover_check *c)
{
	struct failover_check **p = &c->fo->checks;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	c->fo->checks_n--;
	failover_worker_free(c->worker);
	failover_request_free(c->request);
	if (c->guest)
		romulus__check__free_unpacked(c->guest, NULL);
	if (c->here)
		romulus__checked__free_unpacked(c->here, NULL);
	free(c);
}

/* Whatever the client waits for next has its slot when this returns, or has answered. */
static void go_on(struct failover_check *c)
{
	c->then(c->fo, TAKE_PTR(c->client), c->name, c->peer->conf->name, &c->wishes);
	check_free(c);
}

static void finish(struct failover_check *c, enum exit_code code, const char *text)
{
	if (c->client)
		failover_client_exit(TAKE_PTR(c->client), code, text);
	if (c->inbound)
		failover_inbound_refuse(TAKE_PTR(c->inbound), "", 0, text);
	check_free(c);
}

static void show_stage(struct failover_client *client, const char *stage)
{
	failover_client_send(client, json_pack("{s:{s:s}}", "progress", "stage", stage));
}

static void note_unchecked(struct failover_client *client, const char *name, const char *why)
{
	char text[WHY_MAX];

	snprintf(text, sizeof(text), "not checked beforehand: %.400s", why);
	text_clean(text);
	log_warning("%s: %s", name, text);
	show_stage(client, text);
}

/* It could not be found out. */
static void give_up(struct failover_check *c, enum exit_code code, const char *text)
{
	if (!c->client || !c->then) {
		finish(c, code, text);
		return;
	}
	note_unchecked(c->client, c->name, text);
	if (c->client)
		go_on(c);
	else /* it could not be told, and is gone */
		check_free(c);
}

static ProtobufCMessage *copy(const ProtobufCMessage *m)
{
	CLEANUP_FREE uint8_t *packed = malloc(protobuf_c_message_get_packed_size(m) + 1);

	if (!packed)
		abort();
	return protobuf_c_message_unpack(
		m->descriptor, NULL, protobuf_c_message_pack(m, packed), packed);
}

/* What a daemon knows of its own host and its worker does not. */
static void add_own(const struct failover_check *c, const char *name, Romulus__Checked *ret,
	struct why *autostart)
{
	const struct failover_terms terms = failover_peer_terms(c->peer);

	ret->arbiter = (char *)terms.arbiter;
	ret->etcd_prefix = (char *)terms.etcd_prefix;
	ret->etcd_cluster = terms.etcd_cluster;
	ret->autostart = "";
	if (failover_autostart_find(c->fo->config->xendomains, name, autostart) < 0)
		ret->autostart = autostart->text;
	ret->wall_ns = clock_wall_ns();
}

/* ---- our own guest --------------------------------------------------------------------------- */

static json_t *row_json(const struct failover_check_row *row)
{
	return json_pack("{s:s, s:s, s:s, s:s}", "name", row->name, "result",
		failover_result_name(row->result), "found", row->found, "do", row->todo);
}

static void show(struct failover_check *c, const struct failover_check_row *rows, size_t fails)
{
	json_t *list = json_array();
	char text[WHY_MAX];

	for (size_t i = 0; i < FAILOVER_CHECKS; i++)
		json_array_append_new(list, row_json(&rows[i]));
	failover_client_send(c->client, json_pack("{s:{s:s, s:s, s:o}}", "check", "domain", c->name,
						"host", c->peer->conf->name, "checks", list));
	snprintf(text, sizeof(text),
		"%zu of %u checks failed: as things are %s cannot be protected on %s, nor moved "
		"there safely",
		fails, FAILOVER_CHECKS, c->name, c->peer->conf->name);
	finish(c, fails ? EXIT_CODE_PREFLIGHT : EXIT_CODE_OK, fails ? text : NULL);
}

/* With the command that says all, whole: it is offered for copying. */
static void refuse(struct failover_check *c, const struct failover_check_row *row)
{
	char text[WHY_MAX], command[2 * FAILOVER_NAME_MAX + 64];

	snprintf(command, sizeof(command),
		" (romulus check %s %.127s says all; --no-check goes on without)", c->name,
		c->peer->conf->name);
	snprintf(text, sizeof(text) - strlen(command), "%.200s; nothing was changed: %.250s",
		row->found, row->todo);
	memcpy(text + strlen(text), command, strlen(command) + 1);
	finish(c, EXIT_CODE_PREFLIGHT, text);
}

/* The first that nobody else would notice. */
static void refuse_or_go_on(
	struct failover_check *c, const struct failover_check_row *rows, bool standby)
{
	for (size_t i = 0; i < FAILOVER_CHECKS; i++) {
		if (!rows[i].refuses || rows[i].result != FAILOVER_FAIL)
			continue;
		if (!rows[i].lets_go || !standby || c->then != failover_domain_migrate) {
			refuse(c, &rows[i]);
			return;
		}
		log_warning("%s is moved to its standby on %s all the same: %s: %s", c->name,
			c->peer->conf->name, rows[i].found, rows[i].todo);
	}
	go_on(c);
}

static void judge(struct failover_check *c, const Romulus__Checked *there)
{
	const uint64_t now_ns = clock_wall_ns();
	struct failover_check_row rows[FAILOVER_CHECKS];
	Romulus__Checked here = *c->here;
	struct why autostart;
	size_t fails;

	add_own(c, c->name, &here, &autostart);
	fails = failover_preflight(
		&(struct failover_preflight){
			.host = c->fo->config->host,
			.peer = c->peer->conf->name,
			.guest = c->guest,
			.here = &here,
			.there = there,
			.ahead_ns = (int64_t)(there->wall_ns - now_ns),
			.staging_bytes =
				(uint64_t)failover_config_staging_mb(c->fo->config, c->name) << 20,
		},
		rows);
	if (c->then)
		refuse_or_go_on(c, rows, there->standby);
	else
		show(c, rows, fails);
}

static void on_answer(void *data, const struct proto_frame *frame, enum exit_code exit_code,
	const struct why *why)
{
	struct failover_check *c = data;
	char text[WHY_MAX];

	c->request = NULL;
	if (!c->client) {
		check_free(c);
	} else if (!frame) {
		give_up(c, exit_code, why->text);
	} else if (frame->type == PROTO_CHECKED) {
		judge(c, (const Romulus__Checked *)frame->message);
	} else if (frame->type == PROTO_REFUSED) {
		snprintf(text, sizeof(text), "%s could not be checked: %.400s", c->peer->conf->name,
			((const Romulus__Refused *)frame->message)->reason);
		give_up(c, EXIT_CODE_REFUSED, text);
	} else {
		snprintf(text, sizeof(text), "%s answered with %s", c->peer->conf->name,
			proto_type_name(frame->type));
		give_up(c, EXIT_CODE_PROTOCOL, text);
	}
}

static void take_own(struct failover_check *c, const Romulus__Report *r)
{
	if (c->guest)
		return;
	c->guest = (Romulus__Check *)copy(&r->check->base);
	c->here = (Romulus__Checked *)copy(&r->checked->base);
	c->request = failover_request_start(c->peer, PROTO_CHECK, &c->guest->base, on_answer, c);
}

/* ---- a peer's -------------------------------------------------------------------------------- */

static void answer_peer(struct failover_check *c, const Romulus__Report *r)
{
	Romulus__Checked answer = *r->checked;
	struct why autostart;

	answer.standby = failover_domain_stands_by(c->peer, c->guest->uuid);
	add_own(c, c->name, &answer, &autostart);
	if (c->inbound)
		failover_inbound_answer(TAKE_PTR(c->inbound), PROTO_CHECKED, &answer.base);
	check_free(c);
}

/* ---- the worker ------------------------------------------------------------------------------ */

static void on_report(void *data, const Romulus__Report *r)
{
	struct failover_check *c = data;

	if (r->kind == PROTO_REPORT_FAILED)
		give_up(c, r->exit_code ? (enum exit_code)r->exit_code : EXIT_CODE_FAILED, r->text);
	else if (r->kind != PROTO_REPORT_FACTS || !r->checked || (c->ours && !r->check))
		return;
	else if (c->ours)
		take_own(c, r);
	else
		answer_peer(c, r);
}

static void on_ended(void *data, const char *how)
{
	struct failover_check *c = data;
	char text[WHY_MAX];

	c->worker = NULL;
	if (c->request) /* it has said all, and grew tired of sending frames */
		return;
	snprintf(text, sizeof(text),
		"romulus-facts %s before it had said anything: see journalctl "
		"-u romulusd",
		how);
	give_up(c, EXIT_CODE_FAILED, text);
}

static const struct failover_worker_ops worker_ops = {.report = on_report, .ended = on_ended};

static int spawn(struct failover_check *c, struct why *why)
{
	const struct failover_config *conf = c->fo->config;
	const struct failover_disk_arguments *disks = failover_disk_arguments(
		conf, c->name, &(struct failover_disk_arguments){.resource = NULL});
	char program[PATH_MAX];
	char *const ours[] = {program, "--domain", c->name, "--host", conf->host, "--run-dir",
		conf->run_dir, "--state-dir", conf->state_dir, FAILOVER_DISK_ARGUMENTS(disks)};
	char *const theirs[] = {program, "--domain", c->name, "--host", conf->host, "--run-dir",
		conf->run_dir, "--state-dir", conf->state_dir, "--elsewhere",
		FAILOVER_DISK_ARGUMENTS(disks)};

	snprintf(program, sizeof(program), "%s/romulus-facts", c->fo->libexec);
	return failover_worker_start(
		c->fo->event, c->ours ? ours : theirs, &worker_ops, c, &c->worker, why);
}

/* ---- what is asked --------------------------------------------------------------------------- */

static void begin(struct failover_check *c, struct failover_client *client, const char *name)
{
	struct why why;

	c->ours = true;
	snprintf(c->name, sizeof(c->name), "%s", name);
	failover_client_keep(client, &c->client);
	if (spawn(c, &why) < 0)
		give_up(c, EXIT_CODE_FAILED, why.text);
}

void failover_check(
	struct failover *fo, struct failover_client *client, const char *name, const char *host)
{
	struct failover_peer *peer = failover_peer_find(fo, host);
	struct failover_check *c;
	struct why why;

	if (!peer) {
		why_set(&why, 0, "%.128s is no configured peer of this host", host);
		failover_client_exit(client, EXIT_CODE_UNKNOWN, why.text);
		return;
	}
	if (!failover_name_valid(name)) {
		why_set(&why, 0, "\"%.128s\" is no name of a domain", name);
		failover_client_exit(client, EXIT_CODE_USAGE, why.text);
		return;
	}
	c = check_new(fo, peer);
	if (!c) {
		failover_client_exit(
			client, EXIT_CODE_WRONG_STATE, "too many checks are under way: try again");
		return;
	}
	begin(c, client, name);
}

/* Where nobody can be asked, or nothing is to begin, @then says so at once. */
static bool needs_none(
	const struct failover_peer *peer, const char *name, failover_check_then *then)
{
	const struct failover_domain *d;

	if (!peer || !failover_name_valid(name) || !failover_peer_alive(peer))
		return true;
	d = failover_domain_by_name(peer->fo, name);
	return then != failover_domain_migrate && d && d->state == FAILOVER_PROTECTED &&
	       d->peer == peer;
}

void failover_check_first(struct failover *fo, struct failover_client *client, const char *name,
	const char *host, const struct failover_wishes *wishes, failover_check_then *then)
{
	struct failover_peer *peer = failover_peer_find(fo, host);
	struct failover_check *c = NULL;

	if (!needs_none(peer, name, then)) {
		c = peer->no_checks ? NULL : check_new(fo, peer);
		if (!c)
			note_unchecked(client, name,
				peer->no_checks ? "the other host does not know that question: "
						  "install the same Romulus on both"
						: "too many checks are under way");
	}
	if (!c) {
		then(fo, client, name, host, wishes);
		return;
	}
	c->then = then;
	if (wishes)
		c->wishes = *wishes;
	show_stage(client, "checking both hosts");
	begin(c, client, name);
}

bool failover_check_awaited(const struct failover *fo, const char *name)
{
	for (const struct failover_check *c = fo->checks; c; c = c->next)
		if (c->client && c->then && strcmp(c->name, name) == 0)
			return true;
	return false;
}

bool failover_check_call_off(struct failover *fo, const char *name, failover_check_then *then)
{
	bool found = false;

	for (struct failover_check *c = fo->checks, *next; c; c = next) {
		next = c->next;
		if (!c->client || c->then != then || strcmp(c->name, name) != 0)
			continue;
		found = true;
		finish(c, EXIT_CODE_FAILED, "called off before it had begun: nothing was changed");
	}
	return found;
}

void failover_check_asked(struct failover *fo, struct failover_inbound *in, const Romulus__Check *m)
{
	struct failover_check *c;
	Romulus__Order order = ROMULUS__ORDER__INIT;
	struct why why;

	if (!failover_uuid_valid(m->uuid) || !failover_name_valid(m->domain) ||
		m->nonce.len != PROTO_NONCE_BYTES) {
		failover_inbound_refuse(in, "", 0, "the name, uuid or nonce is not one");
		return;
	}
	c = check_new(fo, failover_inbound_peer(in));
	if (!c) {
		failover_inbound_put_off(in, "", 0, "too many checks are under way", true);
		return;
	}
	snprintf(c->name, sizeof(c->name), "%s", m->domain);
	c->guest = (Romulus__Check *)copy(&m->base);
	failover_inbound_keep(in, &c->inbound);
	order.kind = PROTO_ORDER_CHECK;
	order.check = c->guest;
	if (spawn(c, &why) < 0 || failover_worker_order(c->worker, &order, &why) < 0)
		give_up(c, EXIT_CODE_FAILED, why.text);
}

void failover_checks_tick(struct failover *fo, uint64_t now_ns)
{
	for (struct failover_check *c = fo->checks, *next; c; c = next) {
		next = c->next;
		if (!c->client && !c->inbound)
			check_free(c);
		else if (now_ns - c->began_ns > (c->then ? FIRST_NS : WHOLE_NS))
			give_up(c, EXIT_CODE_FAILED,
				"the facts take too long: does the hypervisor answer on both hosts "
				"(xl "
				"list)?");
	}
}

void failover_checks_free(struct failover *fo)
{
	while (fo->checks)
		check_free(fo->checks);
}
