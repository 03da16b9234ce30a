/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's lifecycle: events come in, domain_machine.c says what follows, domain_actions.c does
 * it. This file keeps the list, compares what peers say with what is held here, and starts again
 * what the operator wants kept protected.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "failover/autostart.h"
#include "failover/child.h"
#include "failover/domain_actions.h"
#include "failover/worker.h"

struct failover_domain *failover_domain_by_name(struct failover *fo, const char *name)
{
	for (struct failover_domain *d = fo->domains; d; d = d->next)
		if (strcmp(d->record.name, name) == 0)
			return d;
	return NULL;
}

struct failover_domain *failover_domain_by_uuid(struct failover *fo, const char *uuid)
{
	for (struct failover_domain *d = fo->domains; d; d = d->next)
		if (d->record.uuid[0] && strcmp(d->record.uuid, uuid) == 0)
			return d;
	return NULL;
}

struct failover_domain *failover_domain_new(struct failover *fo, const char *name)
{
	struct failover_domain *d;

	if (fo->domains_n == FAILOVER_MAX_DOMAINS)
		return NULL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->fo = fo;
	d->copy = failover_copy_default;
	snprintf(d->record.name, sizeof(d->record.name), "%s", name);
	d->next = fo->domains;
	fo->domains = d;
	fo->domains_n++;
	return d;
}

void failover_domain_free(struct failover_domain *d)
{
	struct failover_domain **p = &d->fo->domains;

	while (*p && *p != d)
		p = &(*p)->next;
	if (*p) {
		*p = d->next;
		d->fo->domains_n--;
	}
	failover_claim_forget(&d->claim);
	/* From a takeover there is no way back: the next daemon hears what has become of it. */
	if (d->state == FAILOVER_TAKING_OVER)
		failover_worker_abandon(d->worker);
	else
		failover_worker_free(d->worker);
	failover_worker_abandon(d->monitor); /* it may have to outlive this daemon */
	failover_child_free(d->command);
	failover_request_free(d->request);
	failover_announcement_free(d->announcement);
	failover_drill_dispose(&d->drill);
	free(d);
}

void failover_domains_free(struct failover *fo)
{
	while (fo->domains)
		failover_domain_free(fo->domains);
}

bool failover_domain_stands_by(const struct failover_peer *peer, const char *uuid)
{
	const struct failover_domain *d = failover_domain_by_uuid(peer->fo, uuid);

	return d && d->peer == peer &&
	       (d->state == FAILOVER_RECEIVING || d->state == FAILOVER_READY);
}

enum failover_state failover_domain_base(const struct failover_domain *d)
{
	return failover_decide_base(&d->record, d->vacant);
}

bool failover_domain_state(const struct failover_domain *d, Romulus__DomainState *ret)
{
	struct failover_gossip g;

	if (!d->recorded || d->resumes)
		return false;
	g = failover_decide_gossip(d->state, &d->record, d->vacant);
	ret->uuid = (char *)d->record.uuid;
	ret->generation = g.generation;
	ret->role = g.role;
	ret->state = g.state;
	ret->wish = g.wish;
	ret->guest = g.guest;
	ret->fetches = d->fetches && d->state == FAILOVER_READY;
	ret->epoch = d->figures.epoch;
	return true;
}

/* The answer for whoever waits, and the line for status. */
void failover_domain_settle(struct failover_domain *d, enum exit_code code, const char *fmt, ...)
{
	struct failover_client *client = d->client;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->why, sizeof(d->why), fmt, ap);
	va_end(ap);
	d->exit_code = code;
	d->client = NULL;
	d->moves = false;
	d->copy = failover_copy_default;
	failover_client_exit(client, code, code == EXIT_CODE_OK ? NULL : d->why);
}

int failover_domain_persist(
	struct failover_domain *d, const struct failover_record *record, struct why *why)
{
	struct failover_record r = *record;
	int err;

	/* A guest that is still to be started is of no boot: a daemon that ends here starts it
	 * then. */
	snprintf(r.boot, sizeof(r.boot), "%s", d->guest_died ? "none" : d->fo->boot_id);
	err = failover_state_save(d->fo->config->state_dir, &r, why);
	if (err < 0)
		return err;
	d->record = r;
	d->recorded = true;
	d->unwritten = false;
	return 0;
}

bool failover_domain_takes(
	const struct failover_domain *d, enum failover_event event, struct failover_step *ret)
{
	return !d->resumes && failover_decide_heeds(&d->debt, event) &&
	       failover_machine_step(d->state, event, failover_domain_base(d), ret);
}

bool failover_domain_on(struct failover_domain *d, enum failover_event event)
{
	struct failover_step step;
	enum failover_state before = d->state;

	if (!failover_domain_takes(d, event, &step))
		return false;
	log_debug("%s: %s in %s -> %s", d->record.name, failover_event_name(event),
		failover_state_name(before), failover_state_name(step.next));
	d->debt.owes = false;
	if (!failover_domain_act(d, &step))
		d->debt = (struct failover_debt){failover_decide_once(event), event};
	return true;
}

static void resume(struct failover_domain *d);

/* ---- what a silent or speaking peer means ---------------------------------------------------- */

/* Of a primary that hands the guest over. */
static void heed(struct failover_domain *d, enum proto_wish wish)
{
	d->reverses = wish == PROTO_WISH_PROTECT || (wish == PROTO_WISH_NONE && d->reverses);
	if (wish == PROTO_WISH_END)
		d->record.intent = false; /* written with the decision */
}

void failover_domains_heard(struct failover_peer *peer)
{
	for (struct failover_domain *d = peer->fo->domains, *next; d; d = next) {
		const struct failover_gossip *g = failover_peer_gossip(peer, d->record.uuid);
		enum failover_event event;

		next = d->next;
		if (d->peer != peer || !g)
			continue;
		if (failover_decide_word(d->state, &d->record, g,
			    failover_arbiter_busy(&peer->arbiter), &event)) {
			heed(d, failover_decide_wished(d->state, event, g));
			failover_domain_on(d, event);
		}
		failover_domain_arrival(d, g);
	}
}

static enum failover_inquiry inquiry(const struct failover_domain *d, struct failover_question *ret)
{
	return failover_decide_inquire(d->state, &d->record,
		failover_config_stays_mute(d->fo->config, d->record.name), ret);
}

static void judge(struct failover_domain *d, enum failover_verdict verdict)
{
	enum failover_event event;

	if (failover_decide_verdict(d->state, &d->record, verdict,
		    failover_arbiter_busy(&d->peer->arbiter), &event))
		failover_domain_on(d, event);
}

void failover_domains_judge(struct failover_peer *peer)
{
	for (struct failover_domain *d = peer->fo->domains, *next; d; d = next) {
		struct failover_question q;

		next = d->next;
		if (d->peer == peer && inquiry(d, &q) == FAILOVER_INQUIRE_GRANT)
			judge(d, failover_arbiter_verdict(&peer->arbiter, &d->claim, &q));
	}
}

/* What the peer says from here on decides. */
void failover_domains_reunited(struct failover_peer *peer)
{
	for (struct failover_domain *d = peer->fo->domains, *next; d; d = next) {
		next = d->next;
		if (d->peer != peer ||
			!failover_decide_reunited(d->state, failover_claim_forget(&d->claim),
				failover_arbiter_busy(&peer->arbiter)))
			continue;
		snprintf(d->why, sizeof(d->why),
			"%s was silent and is heard again, and etcd had been asked: protection "
			"begins anew",
			peer->conf->name);
		failover_event(&d->fo->events, d->record.name, "waiting", "%s", d->why);
		failover_domain_on(d, FAILOVER_ON_PEER_WANTS_SOLO);
	}
}

static void ask_arbiter(struct failover_domain *d, uint64_t now_ns)
{
	struct failover_question q;

	if (!d->peer || !failover_peer_silent(d->peer))
		return;
	switch (inquiry(d, &q)) {
	case FAILOVER_INQUIRE_NOTHING:
		return;
	case FAILOVER_INQUIRE_GRANT:
		judge(d, failover_arbiter_need(&d->peer->arbiter, &d->claim, &q, now_ns));
		return;
	case FAILOVER_INQUIRE_TELL:
		failover_arbiter_decided(&d->peer->arbiter, &d->claim, &q, now_ns);
	}
}

static void keep_protected(struct failover_domain *d, uint64_t now_ns)
{
	struct failover_peer *p = d->peer;

	if (d->worker || d->command || d->request || !p || now_ns < d->attempts.retry_at_ns ||
		!failover_detector_steady(
			&p->detector, 0, d->fo->timeouts.reprotect_delay, now_ns) ||
		!failover_decide_again(
			d->state, &d->record, failover_peer_gossip(p, d->record.uuid)) ||
		!failover_domain_reprotects(d) || failover_check_awaited(d->fo, d->record.name))
		return;
	d->attempt_peer = p;
	failover_domain_on(d, FAILOVER_ON_PROTECT);
}

/* A promise is kept, however often that has to be tried. */
static void try_again(struct failover_domain *d, uint64_t now_ns)
{
	if (!d->worker && !d->command && now_ns >= d->attempts.retry_at_ns)
		failover_domain_on(d, FAILOVER_ON_RETRY);
}

void failover_domains_tick(struct failover *fo, uint64_t now_ns)
{
	for (struct failover_domain *d = fo->domains, *next; d; d = next) {
		next = d->next;
		if (d->resumes)
			resume(d);
		if (d->debt.owes)
			failover_domain_on(d, d->debt.event);
		if (d->unwritten)
			failover_domain_persist(d, &d->record, NULL);
		failover_domain_tend_fetch(d);
		ask_arbiter(d, now_ns);
		failover_domain_await(d);
		failover_domain_fetched(d, now_ns);
		failover_domain_tend_move(d);
		failover_drill_tend(d);
		try_again(d, now_ns);
		keep_protected(d, now_ns);
		failover_domain_monitor(d, now_ns);
	}
}

/* ---- start ----------------------------------------------------------------------------------- */

static void resume_await_word(struct failover_domain *d)
{
	snprintf(d->why, sizeof(d->why),
		"the guest is gone from this host: waiting for word from %s, which may have taken "
		"it over",
		d->record.peer);
}

static void resume_handed_over(struct failover_domain *d)
{
	snprintf(d->why, sizeof(d->why),
		"romulusd was restarted: the guest stands suspended here, handed over to %s",
		d->record.peer);
}

static void resume_ask(struct failover_domain *d)
{
	snprintf(d->why, sizeof(d->why),
		"romulusd was restarted: the guest is mute until %s or the arbiter lets go",
		d->record.peer);
	snprintf(d->cause, sizeof(d->cause), "romulusd was restarted");
}

static void resume_repair(struct failover_domain *d)
{
	snprintf(d->cause, sizeof(d->cause), "it ran alone when romulusd was restarted");
	failover_domain_repair(d);
}

static void resume_adopt(struct failover_domain *d)
{
	struct why why;

	snprintf(d->why, sizeof(d->why),
		"romulusd ended in the middle of the takeover, which goes on: do not start the "
		"guest");
	failover_event(&d->fo->events, d->record.name, "taking-over", "%s", d->why);
	if (failover_domain_spawn_adopter(d, &why) == 0)
		return;
	snprintf(d->why, sizeof(d->why), "%s", why.text);
	failover_domain_on(d, FAILOVER_ON_FAILED);
}

static void resume_nothing(struct failover_domain *d)
{
}

static void (*const resumptions[])(struct failover_domain *) = {
	[FAILOVER_RESUME_NOTHING] = resume_nothing,
	[FAILOVER_RESUME_ASK] = resume_ask,
	[FAILOVER_RESUME_AWAIT_WORD] = resume_await_word,
	[FAILOVER_RESUME_HANDED_OVER] = resume_handed_over,
	[FAILOVER_RESUME_START] = failover_domain_guest_died,
	[FAILOVER_RESUME_REPAIR] = resume_repair,
	[FAILOVER_RESUME_ADOPT] = resume_adopt,
	[FAILOVER_RESUME_DISCARD] = failover_domain_discard,
};

/* A promise that cannot be written is not made: it is tried again, and nothing else before. */
static void resume(struct failover_domain *d)
{
	const struct failover_restart restart =
		failover_decide_restart(&d->record, strcmp(d->record.boot, d->fo->boot_id) == 0);
	const bool promises = restart.decision != d->record.decision;
	struct failover_record r = d->record;
	struct why why;

	r.decision = restart.decision;
	d->resumes = promises && failover_domain_persist(d, &r, &why) < 0;
	if (d->resumes) {
		if (strcmp(d->why, why.text) != 0)
			failover_event(&d->fo->events, d->record.name, "failed", "%s", why.text);
		snprintf(d->why, sizeof(d->why), "%s", why.text);
		return;
	}
	if (promises && r.role == PROTO_ROLE_PRIMARY)
		failover_event(&d->fo->events, d->record.name, "released",
			"this host was restarted, so the guest is gone from here: %s may take it "
			"over",
			d->record.peer);
	if (d->record.intent &&
		failover_autostart_find(d->fo->config->xendomains, d->record.name, &why) < 0)
		failover_event(&d->fo->events, d->record.name, "auto-start", "%s", why.text);
	d->vacant = restart.vacant;
	d->state = restart.state;
	resumptions[restart.then](d);
}

static void load_one(void *data, const struct failover_record *r, const struct why *why)
{
	struct failover *fo = data;
	struct failover_domain *d;

	if (!r) {
		failover_event(&fo->events, NULL, "failed", "%s", why->text);
		return;
	}
	d = failover_domain_new(fo, r->name);
	if (!d)
		return;
	d->record = *r;
	d->passing = r->passing;
	d->recorded = true;
	d->peer = failover_peer_find(fo, r->peer);
	if (!d->peer && r->role != PROTO_ROLE_NONE)
		failover_event(&fo->events, r->name, "failed",
			"its peer %s is not in the configuration any more: it stays as it is",
			r->peer);
	failover_drill_resume(d);
	resume(d);
}

void failover_domains_load(struct failover *fo)
{
	struct why why;

	if (failover_state_load(fo->config->state_dir, load_one, fo, &why) < 0)
		failover_event(&fo->events, NULL, "failed", "%s", why.text);
}
