/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's claim in etcd. It is asked again until it is answered, also by a daemon that begins
 * anew: an entry of this host's own is a grant, whenever it was made.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "failover/arbiter.h"

static void on_answer(void *data, const struct failover_etcd_answer *answer, const struct why *why);

static void event(struct failover_claim *c, const char *kind, const char *text)
{
	failover_event(c->arbiter->events, c->entry.domain, kind, "%s", text);
}

static void begin(struct failover_claim *c, struct failover_arbiter *a,
	const struct failover_question *q, enum failover_claim_state state)
{
	failover_claim_forget(c);
	c->state = state;
	c->arbiter = a;
	c->entry.generation = q->generation;
	c->entry.word = q->word;
	snprintf(c->entry.domain, sizeof(c->entry.domain), "%s", q->domain);
	snprintf(c->entry.uuid, sizeof(c->entry.uuid), "%s", q->uuid);
	snprintf(c->entry.owner, sizeof(c->entry.owner), "%s", a->events->host);
}

static void ask(struct failover_claim *c, enum failover_etcd_operation operation)
{
	struct why why;

	if (failover_etcd_ask(
		    c->arbiter->etcd, &c->entry, operation, on_answer, c, &c->request, &why) < 0)
		on_answer(c, NULL, &why);
}

static void unanswered(struct failover_claim *c, const char *text)
{
	char line[WHY_MAX];

	if (c->failures == 0) {
		snprintf(line, sizeof(line),
			c->state == FAILOVER_CLAIM_TELLING
				? "etcd does not take the decision on generation %" PRIu64
				  ": the other host waits until it does (%.350s)"
				: "etcd does not answer who owns generation %" PRIu64
				  ": nothing moves until it does (%.350s)",
			c->entry.generation, text);
		event(c, "etcd-failed", line);
	}
	snprintf(c->text, sizeof(c->text), "%s", text);
	c->failures++;
	c->wait = true;
}

static void ours(struct failover_claim *c)
{
	char line[WHY_MAX];

	c->state = FAILOVER_CLAIM_OURS;
	c->open = true; /* until it is decided */
	snprintf(line, sizeof(line), "etcd has entered this host for the %s of generation %" PRIu64,
		failover_decision_name(c->entry.word), c->entry.generation);
	event(c, "etcd-granted", line);
}

static void theirs(struct failover_claim *c, const struct failover_etcd_answer *answer)
{
	const bool first = c->state != FAILOVER_CLAIM_DISPUTED;
	char line[WHY_MAX];

	c->open = false; /* an entry stays: what else was asked comes to nothing */
	c->state = answer->decided ? FAILOVER_CLAIM_LOST : FAILOVER_CLAIM_DISPUTED;
	snprintf(line, sizeof(line), "etcd says that %s %s generation %" PRIu64, answer->name,
		answer->decided ? "owns" : "was first to ask for", c->entry.generation);
	snprintf(c->text, sizeof(c->text),
		"%s is entered in etcd and has not said that it acts on it", answer->name);
	if (first || answer->decided)
		event(c, "etcd-lost", line);
	c->failures++;
	c->wait = true;
}

/* Decided by consent or by an operator, the other one's entry is of no consequence. */
static void told(struct failover_claim *c, const struct failover_etcd_answer *answer)
{
	if (answer->owner == FAILOVER_ETCD_NOBODY) {
		c->entry.decided = true;
		ask(c, FAILOVER_ETCD_ENTER);
		return;
	}
	if (answer->owner == FAILOVER_ETCD_THEIRS && answer->decided)
		event(c, "alarm",
			"etcd says that the other host owns this generation as well: look at both "
			"hosts at once, and destroy the wrong guest by hand");
	c->state = FAILOVER_CLAIM_TOLD;
}

static void on_answer(void *data, const struct failover_etcd_answer *answer, const struct why *why)
{
	struct failover_claim *c = data;
	struct failover_arbiter *a = c->arbiter;

	c->request = NULL;
	if (!answer) {
		unanswered(c, why->text);
		return;
	}
	c->text[0] = '\0';
	if (c->state == FAILOVER_CLAIM_TELLING) {
		told(c, answer);
		return;
	}
	if (answer->owner == FAILOVER_ETCD_OURS)
		ours(c);
	else
		theirs(c, answer);
	a->news(a->data); /* the domain acts, and may ask something else already */
}

static bool same(const struct failover_claim *c, const struct failover_question *q)
{
	return c->state != FAILOVER_CLAIM_NONE && c->entry.generation == q->generation &&
	       c->entry.word == q->word && strcmp(c->entry.uuid, q->uuid) == 0;
}

/* Time is the caller's: the wait after a round begins when he next asks. */
static bool due(struct failover_claim *c, uint64_t now_ns)
{
	const struct failover_timeouts *t = c->arbiter->timeouts;

	if (c->request)
		return false;
	if (c->wait)
		c->retry_at_ns =
			now_ns +
			failover_backoff(t->etcd_first, t->etcd_last, c->failures) * NSEC_PER_MSEC;
	c->wait = false;
	return now_ns >= c->retry_at_ns;
}

void failover_claim_need(struct failover_arbiter *a, struct failover_claim *c,
	const struct failover_question *q, uint64_t now_ns)
{
	if (q->word == FAILOVER_DECISION_NONE)
		return;
	if (!same(c, q))
		begin(c, a, q, FAILOVER_CLAIM_ASKED);
	if ((c->state != FAILOVER_CLAIM_ASKED && c->state != FAILOVER_CLAIM_DISPUTED) ||
		!due(c, now_ns))
		return;
	c->open = c->state == FAILOVER_CLAIM_ASKED;
	ask(c, FAILOVER_ETCD_ENTER);
}

void failover_claim_decided(struct failover_arbiter *a, struct failover_claim *c,
	const struct failover_question *q, uint64_t now_ns)
{
	if (!same(c, q) || c->state < FAILOVER_CLAIM_TELLING)
		begin(c, a, q, FAILOVER_CLAIM_TELLING);
	if (c->state != FAILOVER_CLAIM_TELLING || !due(c, now_ns))
		return;
	c->entry.decided = false;
	ask(c, FAILOVER_ETCD_DECIDE);
}

enum failover_verdict failover_claim_verdict(
	const struct failover_claim *c, const struct failover_question *q)
{
	if (q->word == FAILOVER_DECISION_NONE)
		return FAILOVER_VERDICT_GRANTED;
	if (!same(c, q))
		return FAILOVER_VERDICT_WAIT; /* that was about an earlier generation */
	if (c->state == FAILOVER_CLAIM_LOST)
		return FAILOVER_VERDICT_OTHER;
	return c->state == FAILOVER_CLAIM_OURS ? FAILOVER_VERDICT_GRANTED : FAILOVER_VERDICT_WAIT;
}

void failover_claim_waiting(const struct failover_claim *c, char *ret, size_t size)
{
	if (c->state == FAILOVER_CLAIM_DISPUTED)
		snprintf(ret, size, "waiting for word of who acts: %s", c->text);
	else if (c->text[0])
		snprintf(ret, size, "waiting for etcd, no endpoint answers: %s", c->text);
	else
		snprintf(ret, size, "waiting for etcd");
}

bool failover_claim_forget(struct failover_claim *c)
{
	const bool open = c->open;

	c->request = failover_etcd_cancel(c->request);
	*c = (struct failover_claim){.state = FAILOVER_CLAIM_NONE};
	return open;
}
