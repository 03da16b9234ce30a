/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim [-s FIRST] [-n SEEDS] [-b BUG] [-v]: SEEDS schedules from seed FIRST on. A violation prints
 * its seed and the last lines of the shortest trace that goes wrong in the same way, and ends
 * with 1. With -b that is what must happen: 0 when the bug was caught, 1 when not; -v shows how.
 * sim -l: the bugs, and the fault points of the product.
 */
#include "tests/sim/sim.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"

#define TROUBLE (60 * SECOND)   /* of virtual time */
#define RECOVERY (150 * SECOND) /* nothing happens any more */
#define DRIFT (20 * MS)         /* a second, more than any crystal's */
#define ALL_TAKEN_IN 20000      /* schedules, as `make sim` runs them */

static struct {
	uint64_t schedules, taken_over, solos, protections, moves, moved, ended;
} total;

/* A guest that runs and is nobody's is protected by an operator. */
static void operator_protects(struct host *h, uint64_t a, uint64_t b)
{
	sim_after(5 * SECOND, NULL, operator_protects, 0, 0);
	for (int i = 0; i < HOSTS; i++) {
		struct host *owner = &sim.host[i];

		if (!owner->record.intent &&
			(owner->state == FAILOVER_IDLE || owner->state == FAILOVER_TAKEN_OVER) &&
			owner->guest.exists && owner->guest.lineage == sim.lineage)
			daemon_ask_protect(owner);
	}
}

/* When everything has worked for a while a move is nothing out of the ordinary. */
static void operator_moves(struct host *unused, uint64_t a, uint64_t b)
{
	for (int i = 0; i < HOSTS; i++)
		if (sim.host[i].state == FAILOVER_PROTECTED && sim_chance(300)) {
			sim.moved_from = &sim.host[i];
			daemon_ask_migrate(&sim.host[i], true);
			return;
		}
}

static void begin(uint64_t seed, enum bug bug)
{
	static struct failover_config config = {.heartbeat_ms = 250,
		.dead_after_ms = 1500,
		.ack_timeout_ms = 2000,
		.reprotect_delay_ms = 2000};

	sim_forget();
	memset(&sim, 0, sizeof(sim));
	sim.seed = sim.random = seed;
	sim.bug = bug;
	sim.disks = sim_chance(700);
	sim.stay_mute = sim_chance(100);
	sim.identity = sim_chance(700);
	sim.fence_levels = sim_chance(300) ? 2 : 1;
	sim.fence_delay_ms = sim_chance(500) ? 0 : 1000;
	sim.arbiter = sim_chance(350)
			      ? FAILOVER_ARBITER_MANUAL
			      : (enum failover_arbiter_kind)sim_between(
					FAILOVER_ARBITER_FENCE, FAILOVER_ARBITER_ETCD_FENCE);
	if (bug == BUG_GRANT_TWICE || bug == BUG_LINEAGE_SKIP)
		sim.arbiter = FAILOVER_ARBITER_FENCE;
	sim.disks = sim.disks || bug == BUG_ROLLBACK_SKIP || bug == BUG_ROLLBACK_BENEATH ||
		    bug == BUG_LINEAGE_SKIP;
	if (bug == BUG_PUT_WITHOUT_COMPARE || bug == BUG_CLAIM_IS_DECISION)
		sim.arbiter = FAILOVER_ARBITER_ETCD;
	store_begin();
	failover_timeouts_init(&sim.timeouts, &config);
	for (int i = 0; i < HOSTS; i++) {
		sim.host[i] = (struct host){.name = i ? "beta" : "alpha",
			.number = i,
			.power = true,
			.boot = 1,
			.clock = sim_between(SECOND - DRIFT, SECOND + DRIFT)};
		sim_after(sim_random(SECOND), &sim.host[i], daemon_start, 0, 0);
		guest_tick(&sim.host[i], 0, 0);
	}
	disk_begin();
	guest_begin(&sim.host[0], &(struct memory){0}, "created");
	operator_protects(NULL, 0, 0);
	sim_after(TROUBLE + RECOVERY / 2, NULL, operator_moves, 0, 0);
	fate_begin();
}

/* Nobody is left who could let its output go. */
static bool mute(const struct host *h)
{
	const struct worker *w = &h->worker;
	const bool works = w->kind == WORKER_PRIMARY && w->primary.state != PRIMARY_LOST;

	return h->guest.exists && h->guest.lineage == sim.lineage && h->guest.plugged && !works;
}

/* Invariant 5, when everything has worked for long: it runs, once, or a state says what to do. */
static void judge(void)
{
	const struct host *a = &sim.host[0], *b = &sim.host[1];
	bool wanted = false;
	int running = 0;

	for (int i = 0; i < HOSTS; i++) {
		const struct host *h = &sim.host[i];

		/* A pause for a checkpoint is over in milliseconds. */
		running += h->guest.exists && h->guest.lineage == sim.lineage &&
			   (!h->guest.suspended || h->worker.suspended);
		wanted = wanted || (h->record.intent && h->record.role == PROTO_ROLE_PRIMARY);
	}
	sim_say(NULL, "end: %s %s, %s %s, %d running", a->name, failover_state_name(a->state),
		b->name, failover_state_name(b->state), running);
	if (mute(a) || mute(b))
		sim_violated("the guest is mute although everything works (invariant 5)");
	if (a->state == FAILOVER_CLOSING || b->state == FAILOVER_CLOSING)
		sim_violated("the guest has ended and the backup was never told");
	if (sim.ended || !sim.protections) /* else it was never ours */
		return;
	if (!wanted)
		return;
	if (running != 1)
		sim_violated("the domain runs nowhere and nobody is told (invariant 5)");
	else if (sim.moved_from && sim.moved_from->guest.exists)
		sim_violated("a guest that was moved when everything works is where it was");
	else if (a->state != FAILOVER_PROTECTED && b->state != FAILOVER_PROTECTED)
		sim_violated("it is not protected although everything works (invariant 5)");
}

static const char *run(uint64_t seed, enum bug bug)
{
	begin(seed, bug);
	while (sim.now < TROUBLE && !sim.violation)
		sim_step();
	if (!sim.violation)
		fate_heal();
	while (sim.now < TROUBLE + RECOVERY && !sim.violation)
		sim_step();
	if (!sim.violation && (!bug || bug == BUG_CLAIM_IS_DECISION))
		judge();
	total.schedules++;
	total.taken_over += sim.taken_over;
	total.solos += sim.solos;
	total.protections += sim.protections;
	total.moves += sim.moves;
	total.moved += sim.moved;
	total.ended += sim.ended;
	return sim.violation;
}

/* Spare whatever is not needed for it to go wrong in the same way. */
static void shorten(uint64_t seed, enum bug bug, const char *violation)
{
	const uint64_t all = sim.strokes < STROKES_MAX ? sim.strokes : STROKES_MAX;
	uint64_t needed = all;
	const char *then;

	for (uint64_t i = all; i-- > 0;) {
		fate_spares[i] = true;
		then = run(seed, bug);
		fate_spares[i] = then && strcmp(then, violation) == 0;
		needed -= fate_spares[i];
	}
	run(seed, bug);
	printf("%llu of %llu strokes of fate are enough for it:\n", (unsigned long long)needed,
		(unsigned long long)all);
}

/* Rows that say what must never happen, and why it does not. */
static const struct {
	enum failover_state state;
	enum failover_event event;
	const char *why;
} unreachable[] = {
	{FAILOVER_SOLO, FAILOVER_ON_PEER_OWNS, "two owners: the alarm of invariant 2"},
	{FAILOVER_TAKEN_OVER, FAILOVER_ON_PEER_OWNS, "two owners: the alarm of invariant 2"},
};

static const char *never(int state, int event)
{
	for (size_t i = 0; i < ARRAY_SIZE(unreachable); i++)
		if ((int)unreachable[i].state == state && (int)unreachable[i].event == event)
			return unreachable[i].why;
	return NULL;
}

/* False: @all of the reachable rows must have been taken, and were not. */
static bool coverage(bool all)
{
	unsigned int rows = 0, taken = 0;
	uint64_t least = UINT64_MAX;
	struct failover_step step;
	bool good = true;

	for (int s = 0; s < FAILOVER_STATE_COUNT; s++)
		for (int e = 0; e < FAILOVER_EVENT_COUNT; e++) {
			if (!failover_machine_step((enum failover_state)s, (enum failover_event)e,
				    FAILOVER_IDLE, &step))
				continue;
			if (never(s, e)) {
				good = good && !transitions_taken[s][e];
				continue;
			}
			rows++;
			taken += transitions_taken[s][e] > 0;
			if (transitions_taken[s][e] < least)
				least = transitions_taken[s][e];
			if (all && !transitions_taken[s][e])
				printf("  never taken: %s in %s\n",
					failover_event_name((enum failover_event)e),
					failover_state_name((enum failover_state)s));
		}
	printf("%u of %u reachable transitions taken, the rarest %llu times; ", taken, rows,
		(unsigned long long)least);
	good = epochs_covered(all) && good;
	good = points_met(stdout, all) && good;
	return good && (!all || taken == rows);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	uint64_t first = 1, n = 1000;
	enum bug bug = BUG_NONE;
	bool verbose = false, covered;
	const char *violation = NULL;
	double begun = seconds();
	int c;

	while ((c = getopt(argc, argv, "s:n:b:vl")) != -1) {
		if (c == 's')
			first = strtoull(optarg, NULL, 0);
		else if (c == 'n')
			n = strtoull(optarg, NULL, 0);
		else if (c == 'v')
			verbose = true;
		else if (c == 'b')
			bug = bug_named(optarg);
		else if (c == 'l') {
			points_list(stdout);
			return 0;
		}
		if (c == '?' || (c == 'b' && !bug))
			return 2;
	}
	for (uint64_t seed = first; seed < first + n && !violation; seed++)
		violation = run(seed, bug);
	if (violation && (!bug || verbose)) {
		shorten(sim.seed, bug, violation);
		sim_print_trace(stdout);
	}
	if (violation && bug) {
		printf("%s: caught at seed %llu: %s\n", bug_name(bug), (unsigned long long)sim.seed,
			violation);
		return 0;
	}
	if (!violation && verbose)
		sim_print_trace(stdout);
	if (violation) {
		printf("seed %llu: %s\n", (unsigned long long)sim.seed, violation);
		return 1;
	}
	if (bug) {
		printf("%s: not caught in %llu schedules\n", bug_name(bug), (unsigned long long)n);
		return 1;
	}
	covered = coverage(n >= ALL_TAKEN_IN);
	printf("%llu schedules, %.0f per second: %llu protections, %llu takeovers, %llu solos, "
	       "%llu of %llu moves, %llu ended; no "
	       "violation\n",
		(unsigned long long)total.schedules, (double)total.schedules / (seconds() - begun),
		(unsigned long long)total.protections, (unsigned long long)total.taken_over,
		(unsigned long long)total.solos, (unsigned long long)total.moved,
		(unsigned long long)total.moves, (unsigned long long)total.ended);
	if (!covered)
		printf("a transition or a crash point was never taken: add what leads there, or "
		       "delete the row\n");
	return covered ? 0 : 1;
}
