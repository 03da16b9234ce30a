/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * etcd, as a host sees it: an entry for each generation, made by whoever comes first. Questions and
 * answers are late or lost, and a question that was given up may still be carried out. It stands in
 * for failover/etcd.c; what becomes of the answers is the product's.
 */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <string.h>

#define GENERATIONS_MAX 1024u
#define REQUESTS_MAX 64u
#define LETTERS_MAX 512u
#define GIVEN_UP (3 * SECOND) /* three endpoints */

struct entry {
	const struct host *owner;
	bool decided;
};

struct failover_etcd_request {
	unsigned int serial; /* 0: not in use */
	struct host *host;
	failover_etcd_done *done;
	void *data;
};

/* A question on its way, then its answer. */
struct letter {
	unsigned int serial;
	struct failover_etcd_request *request;
	struct host *from;
	struct failover_etcd_entry entry;
	enum failover_etcd_operation operation;
	struct failover_etcd_answer answer;
};

static struct entry entries[GENERATIONS_MAX];
static struct failover_etcd_request requests[REQUESTS_MAX];
static struct letter letters[LETTERS_MAX];
static size_t next_letter;
static unsigned int serials;
static uint64_t cut_until[HOSTS];

void store_begin(void)
{
	memset(entries, 0, sizeof(entries));
	memset(requests, 0, sizeof(requests));
	memset(cut_until, 0, sizeof(cut_until));
	serials = 0;
}

void store_cut(const struct host *h, uint64_t until)
{
	sim_say(h, "etcd is out of reach until %.3f s", (double)until / SECOND);
	cut_until[h->number] = until;
}

/* False: lost. What is sent to or from a host that is cut off may wait for the cable. */
static bool travels(const struct host *h, uint64_t *ret)
{
	const bool cut = sim.now < cut_until[h->number];

	*ret = sim_chance(30) ? sim_between(MS, 4 * SECOND) : sim_between(MS, 20 * MS);
	if (cut)
		*ret += cut_until[h->number] - sim.now;
	return !sim_chance(cut ? 500 : sim.healing ? 0 : 20);
}

static void finish(struct failover_etcd_request *r, const struct failover_etcd_answer *answer)
{
	const struct failover_etcd_request taken = *r;
	const struct why why = {"it does not answer"};

	r->serial = 0;
	taken.done(taken.data, answer, &why);
}

static void answered(struct host *h, uint64_t index, uint64_t b)
{
	const struct letter *l = &letters[index];

	if (l->request->serial == l->serial)
		finish(l->request, &l->answer);
}

static void given_up(struct host *h, uint64_t index, uint64_t serial)
{
	if (requests[index].serial == serial)
		finish(&requests[index], NULL);
}

/* Until its host has heard and decided, it is a claim. */
static struct entry enter(const struct letter *l)
{
	fate_tempt(l->from, 15 * MS);
	return (struct entry){l->from, l->entry.decided};
}

static void carried_out(struct host *unused, uint64_t index, uint64_t b)
{
	struct letter *l = &letters[index];
	struct entry *e = &entries[l->entry.generation % GENERATIONS_MAX];
	uint64_t delay;

	if (l->operation == FAILOVER_ETCD_ENTER &&
		(!e->owner || sim.bug == BUG_PUT_WITHOUT_COMPARE))
		*e = enter(l);
	else if (l->operation == FAILOVER_ETCD_DECIDE && e->owner == l->from)
		e->decided = true;
	l->answer = (struct failover_etcd_answer){
		.decided = e->decided || sim.bug == BUG_CLAIM_IS_DECISION};
	if (e->owner) {
		l->answer.owner = e->owner == l->from ? FAILOVER_ETCD_OURS : FAILOVER_ETCD_THEIRS;
		snprintf(l->answer.name, sizeof(l->answer.name), "%s", e->owner->name);
	}
	if (travels(l->from, &delay))
		sim_after(delay, l->from, answered, index, 0);
}

int failover_etcd_ask(struct failover_etcd *e, const struct failover_etcd_entry *entry,
	enum failover_etcd_operation operation, failover_etcd_done *done, void *data,
	struct failover_etcd_request **ret, struct why *why)
{
	struct host *h = (struct host *)e;
	size_t free = 0;
	uint64_t delay;

	while (free < REQUESTS_MAX - 1 && requests[free].serial)
		free++;
	requests[free] = (struct failover_etcd_request){
		.serial = ++serials, .host = h, .done = done, .data = data};
	*ret = &requests[free];
	letters[next_letter] = (struct letter){.serial = serials,
		.request = *ret,
		.from = h,
		.entry = *entry,
		.operation = operation};
	if (travels(h, &delay))
		sim_after(delay, NULL, carried_out, next_letter, 0);
	next_letter = (next_letter + 1) % LETTERS_MAX;
	sim_after(GIVEN_UP, h, given_up, free, serials);
	return 0;
}

struct failover_etcd_request *failover_etcd_cancel(struct failover_etcd_request *r)
{
	if (r)
		r->serial = 0;
	return NULL;
}

void failover_event(
	struct failover_events *ev, const char *domain, const char *kind, const char *fmt, ...)
{
	char text[100];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sim_say(strcmp(ev->host, sim.host[0].name) == 0 ? &sim.host[0] : &sim.host[1], "%s: %s",
		kind, text);
}
