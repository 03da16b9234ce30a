/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two daemons say to each other: heartbeats, and questions with their answers. */
#include "tests/sim/sim.h"

#define WORDS_MAX 1024u

/* Heartbeats that are under way. */
static struct word {
	struct failover_gossip gossip;
	bool about_domain;
	uint64_t boot, sequence, answers;
} words[WORDS_MAX];
static size_t next_word;

/* ---- the network ---------------------------------------------------------------------------- */

static uint64_t latency(void)
{
	return sim_chance(20) ? sim_between(MS, 3 * SECOND) : sim_between(MS, 30 * MS);
}

/* And what goes out. */
static uint64_t delayed(const struct host *h)
{
	return latency() + (h->busy_until > sim.now ? h->busy_until - sim.now : 0);
}

/* A number for the start of the daemon, as failover_state_start makes it. */
static uint64_t start_of(const struct host *h)
{
	return h->boot * 1000 + h->life;
}

static void hear(struct host *h, uint64_t path, uint64_t index)
{
	const struct word *w = &words[index];
	const unsigned int life = h->life;
	enum failover_event event;
	enum failover_news news;

	if (!sim_awake(h) || !h->daemon || daemon_waits(h, hear, path, index))
		return;
	if (sim.identity && failover_replay_judge(&h->replay, path, w->boot, w->sequence,
				    w->answers, start_of(h)) != FAILOVER_BEAT_FRESH)
		return;
	if (failover_detector_heard(&h->detector, path, host_now(h))) {
		failover_arbiter_heard(&h->arbiter);
		if (failover_decide_reunited(h->state, failover_claim_forget(&h->claim),
			    failover_arbiter_busy(&h->arbiter)))
			daemon_on(h, FAILOVER_ON_PEER_WANTS_SOLO);
	}
	if (daemon_gone(h, life))
		return;
	news = failover_newest_take(&h->newest, w->boot, w->sequence);
	if (news == FAILOVER_NEWS_NONE)
		return;
	if (news == FAILOVER_NEWS_RESTARTED)
		h->gossip_known = false;
	if (!w->about_domain)
		return;
	h->gossip_known = true;
	h->gossip = w->gossip;
	if (failover_decide_word(
		    h->state, &h->record, &h->gossip, failover_arbiter_busy(&h->arbiter), &event)) {
		if (failover_decide_wished(h->state, event, &h->gossip) == PROTO_WISH_END)
			h->record.intent = false;
		daemon_on(h, event);
	}
	if (!daemon_gone(h, life) && h->moves &&
		failover_decide_arrival(h->state, &h->record, &h->gossip) == FAILOVER_ARRIVED) {
		h->moves = false;
		sim.moved++;
	}
}

void peers_beat(struct host *h)
{
	struct host *peer = sim_other(h);
	struct word *w = &words[next_word];

	*w = (struct word){
		.boot = start_of(h), .sequence = ++h->sequence, .answers = h->replay.boot};
	w->about_domain = h->recorded && !h->resumes;
	w->gossip = failover_decide_gossip(h->state, &h->record, h->vacant);
	for (uint64_t path = 0; path < PATHS; path++) {
		if (sim.cut[path][h->number] || sim.deaf[h->number] || sim_chance(10))
			continue;
		sim_after(delayed(h), peer, hear, path, next_word);
		if (sim_chance(10))
			sim_after(delayed(h), peer, hear, path, next_word);
	}
	next_word = (next_word + 1) % WORDS_MAX;
}

static bool reachable(const struct host *h)
{
	for (int path = 0; path < PATHS; path++)
		if (!sim.cut[path][0] && !sim.cut[path][1])
			return sim_other(h)->daemon;
	return false;
}

/* ---- requests between daemons -----------------------------------------------------------------
 */

static void on_prepare_answer(struct host *h, enum answer answer, uint64_t generation)
{
	const unsigned int life = h->life;

	h->later = answer == ANSWER_LATER;
	if (answer == ANSWER_PREPARED) {
		daemon_on(h, FAILOVER_ON_PREPARED);
		if (daemon_gone(h, life))
			return;
		if (h->state == FAILOVER_SYNCING) {
			worker_connect(h);
			return;
		}
	} else if (generation > h->record.generation) {
		h->attempt_generation = generation;
	}
	daemon_on(h, FAILOVER_ON_REFUSED);
}

/* @b: answer | generation << 8 */
static void take_answer(struct host *h, uint64_t number, uint64_t b)
{
	const enum answer answer = b & 0xff;

	if (!h->daemon || !h->requesting || h->request != number ||
		daemon_waits(h, take_answer, number, b))
		return;
	h->requesting = false;
	if (answer != ANSWER_NONE)
		failover_arbiter_heard(&h->arbiter);
	if (h->state == FAILOVER_STOPPING)
		daemon_on(h, answer == ANSWER_UNPROTECTED ? FAILOVER_ON_UNPROTECTED
							  : FAILOVER_ON_UNPROTECT_FAILED);
	else
		on_prepare_answer(h, answer, b >> 8);
}

/* An answer that does not get through is a failure when the asker has waited long enough. */
static void answer(struct host *h, uint64_t number, enum answer what)
{
	if (reachable(h))
		sim_after(delayed(h), sim_other(h), take_answer, number,
			(uint64_t)what | h->record.generation << 8);
}

void peers_answer(struct host *h, enum answer what)
{
	h->asker = false;
	answer(h, h->asker_request, what);
}

static void keep_asker(struct host *h, uint64_t number, bool unprotects)
{
	h->asker = true;
	h->asker_unprotects = unprotects;
	h->asker_request = number;
}

static void take_prepare(struct host *h, uint64_t generation, uint64_t number)
{
	if (!h->daemon || daemon_waits(h, take_prepare, generation, number))
		return;
	failover_arbiter_heard(&h->arbiter);
	switch (failover_decide_prepare(h->state, h->record.generation, generation,
		h->commanding || h->worker.kind != WORKER_NONE)) {
	case FAILOVER_REFUSE_BUSY:
		daemon_on(h, FAILOVER_ON_PREPARE);
		/* fall through */
	case FAILOVER_REFUSE_GENERATION:
	case FAILOVER_REFUSE_OWNER:
		answer(h, number, ANSWER_REFUSED);
		return;
	default:
		break;
	}
	h->attempt_generation = generation;
	keep_asker(h, number, false);
	if (!daemon_on(h, FAILOVER_ON_PREPARE))
		peers_answer(h, ANSWER_REFUSED);
}

static void take_unprotect(struct host *h, uint64_t generation, uint64_t number)
{
	if (!h->daemon || daemon_waits(h, take_unprotect, generation, number))
		return;
	failover_arbiter_heard(&h->arbiter);
	switch (failover_decide_unprotect(h->state, failover_arbiter_busy(&h->arbiter))) {
	case FAILOVER_DONE_ALREADY:
		answer(h, number, ANSWER_UNPROTECTED);
		return;
	case FAILOVER_ADMIT:
		break;
	default:
		answer(h, number, ANSWER_REFUSED);
		return;
	}
	h->record.intent = false;
	keep_asker(h, number, true);
	if (!daemon_on(h, FAILOVER_ON_UNPROTECT_ASKED) && h->state != FAILOVER_RELEASING)
		peers_answer(h, ANSWER_REFUSED);
}

void peers_ask(struct host *h, bool unprotect)
{
	const bool breaks = reachable(h) && !sim.healing && sim_chance(unprotect ? 300 : 50);
	uint64_t patience = reachable(h) ? sim.timeouts.reply * MS : sim.timeouts.connect * MS;

	h->requesting = true;
	h->request++;
	if (breaks)
		patience = sim_between(MS, sim_chance(700) ? 20 * MS : 2 * SECOND);
	else if (reachable(h))
		sim_after(delayed(h), sim_other(h), unprotect ? take_unprotect : take_prepare,
			unprotect ? h->record.generation : h->attempt_generation, h->request);
	sim_after(patience, h, take_answer, h->request, ANSWER_NONE);
}
