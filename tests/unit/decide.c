/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What words and records mean: each rule over every state, word, generation and record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "failover/decide.h"

#define OURS 7u /* generation of the record */

static const enum proto_role roles[] = {PROTO_ROLE_NONE, PROTO_ROLE_PRIMARY, PROTO_ROLE_BACKUP};

/* One word to one domain, and what became of it. */
struct heard {
	enum failover_state state;
	struct failover_record record;
	struct failover_gossip word;
	bool shot, means;
	enum failover_event event;
};

static bool attempts(enum failover_state s)
{
	return s == FAILOVER_CHECKING || s == FAILOVER_PREPARING || s == FAILOVER_OPENING;
}

static bool as_primary(enum failover_state s)
{
	return failover_machine_role(s) == PROTO_ROLE_PRIMARY;
}

static void each_word(void (*rule)(const struct heard *))
{
	struct heard h = {.record.generation = OURS};

	for (int s = 0; s < FAILOVER_STATE_COUNT; s++)
		for (size_t r = 0; r < ARRAY_SIZE(roles); r++)
			for (int w = PROTO_STATE_IDLE; w <= PROTO_STATE_TAKEN_OVER; w++)
				for (uint64_t g = OURS - 1; g <= OURS + 1; g++)
					for (int shot = 0; shot < 2; shot++) {
						h.state = (enum failover_state)s;
						h.word.role = roles[r];
						h.word.state = (enum proto_state)w;
						h.word.generation = g;
						h.shot = shot;
						h.means = failover_decide_word(h.state, &h.record,
							&h.word, h.shot, &h.event);
						rule(&h);
					}
}

static void rule_early_words(const struct heard *h)
{
	if (attempts(h->state) || h->word.generation < OURS)
		assert_false(h->means);
}

static void an_attempt_and_an_earlier_generation_hear_nothing(void **state)
{
	each_word(rule_early_words);
}

static void rule_released(const struct heard *h)
{
	const bool from_other = as_primary(h->state) ? h->word.role == PROTO_ROLE_BACKUP
						     : h->word.role == PROTO_ROLE_PRIMARY;
	const bool said = !attempts(h->state) && from_other && h->word.generation == OURS &&
			  h->word.state == PROTO_STATE_RELEASED;

	assert_int_equal(h->means && h->event == FAILOVER_ON_PEER_RELEASED, said);
}

/* The one word that lets somebody own it: exactly the other side's promise of this generation. */
static void only_a_promise_releases(void **state)
{
	each_word(rule_released);
}

static void rule_owns(const struct heard *h)
{
	const bool taken = h->word.generation == OURS && h->word.state == PROTO_STATE_TAKEN_OVER;
	const bool later = h->word.generation > OURS && h->word.state != PROTO_STATE_RELEASED;

	assert_int_equal(h->means && h->event == FAILOVER_ON_PEER_OWNS,
		as_primary(h->state) && !attempts(h->state) && h->word.role == PROTO_ROLE_PRIMARY &&
			(taken || later));
}

/* A guest here is stale only when the other host runs it, in this generation or a later one. */
static void only_an_owner_makes_a_guest_stale(void **state)
{
	each_word(rule_owns);
}

static void rule_wants_solo(const struct heard *h)
{
	if (!h->means || h->event != FAILOVER_ON_PEER_WANTS_SOLO)
		return;
	assert_false(h->shot || as_primary(h->state));
	assert_int_equal(h->word.role, PROTO_ROLE_PRIMARY);
	assert_true(h->word.generation > OURS || h->word.state == PROTO_STATE_WANT_SOLO ||
		    h->word.state == PROTO_STATE_SOLO || h->word.state == PROTO_STATE_IDLE);
}

/* No checkpoint is given up for a primary that replicates, or that may be shot at any moment. */
static void a_backup_lets_go_only_of_a_primary_that_asks(void **state)
{
	each_word(rule_wants_solo);
}

static void rule_events(const struct heard *h)
{
	if (h->means)
		assert_true(h->event == FAILOVER_ON_PEER_RELEASED ||
			    h->event == FAILOVER_ON_PEER_OWNS ||
			    h->event == FAILOVER_ON_PEER_WANTS_SOLO);
}

static void a_word_is_one_of_three_events(void **state)
{
	each_word(rule_events);
}

static bool becomes_owner(enum failover_state to, enum failover_state from)
{
	const struct failover_record r = {.generation = OURS};
	struct failover_gossip word = {.generation = OURS,
		.role = failover_machine_role(from),
		.state = failover_machine_gossip(from)};
	enum failover_event event;
	struct failover_step step;

	return failover_decide_word(to, &r, &word, false, &event) &&
	       failover_machine_step(to, event, FAILOVER_IDLE, &step) &&
	       (step.action == FAILOVER_DO_GO_SOLO || step.action == FAILOVER_DO_TAKE_OVER ||
		       step.action == FAILOVER_DO_RECLAIM || step.action == FAILOVER_DO_STOP ||
		       step.action == FAILOVER_DO_TAKE_BACK);
}

/* Invariant 2: no two states of one generation make owners of each other. */
static void two_hosts_never_release_each_other(void **state)
{
	for (int a = 0; a < FAILOVER_STATE_COUNT; a++)
		for (int b = 0; b < FAILOVER_STATE_COUNT; b++)
			assert_false(
				becomes_owner((enum failover_state)a, (enum failover_state)b) &&
				becomes_owner((enum failover_state)b, (enum failover_state)a));
}

/* ---- restart --------------------------------------------------------------------------------- */

static void each_record(void (*rule)(
	const struct failover_record *r, bool same_boot, const struct failover_restart *then))
{
	for (size_t r = 0; r < ARRAY_SIZE(roles); r++)
		for (int d = FAILOVER_DECISION_NONE; d <= FAILOVER_DECISION_HANDED; d++)
			for (int flags = 0; flags < 4; flags++) {
				const struct failover_record record = {.generation = OURS,
					.role = roles[r],
					.decision = (enum failover_decision)d,
					.intent = flags & 1};
				const struct failover_restart then =
					failover_decide_restart(&record, flags & 2);

				rule(&record, flags & 2, &then);
			}
}

static void rule_owner(
	const struct failover_record *r, bool same_boot, const struct failover_restart *then)
{
	const bool owner =
		r->role == PROTO_ROLE_PRIMARY && (r->decision == FAILOVER_DECISION_SOLO ||
							 r->decision == FAILOVER_DECISION_TAKEOVER);

	assert_int_equal(then->state == FAILOVER_SOLO || then->state == FAILOVER_GOING_SOLO ||
				 then->state == FAILOVER_TAKEN_OVER,
		owner);
	if (then->then == FAILOVER_RESUME_START)
		assert_true(owner && !same_boot && r->intent);
	if (then->then == FAILOVER_RESUME_REPAIR)
		assert_int_equal(then->state, FAILOVER_GOING_SOLO);
}

/* Who owned it owns it, nobody else does; only an owner's dead guest is started, when wanted. */
static void a_restart_makes_no_owner(void **state)
{
	each_record(rule_owner);
}

static void rule_promises(
	const struct failover_record *r, bool same_boot, const struct failover_restart *then)
{
	if (then->decision == r->decision)
		return;
	assert_int_equal(then->decision, FAILOVER_DECISION_RELEASED);
	assert_int_not_equal(r->decision, FAILOVER_DECISION_TAKEOVER);
	if (r->role == PROTO_ROLE_PRIMARY)
		assert_true((r->decision == FAILOVER_DECISION_NONE ||
				    r->decision == FAILOVER_DECISION_HANDED) &&
			    !same_boot);
	else
		assert_int_equal(r->role, PROTO_ROLE_BACKUP);
}

/* A restart decides nothing but to let go: of a guest or of a standby that is gone. */
static void a_restart_only_ever_releases(void **state)
{
	each_record(rule_promises);
}

static void rule_states(
	const struct failover_record *r, bool same_boot, const struct failover_restart *then)
{
	if (failover_machine_needs_grant(then->state)) /* its guest is there, mute */
		assert_true(then->state == FAILOVER_WANT_SOLO && same_boot &&
			    r->role == PROTO_ROLE_PRIMARY && r->decision == FAILOVER_DECISION_NONE);
	if (r->decision == FAILOVER_DECISION_LEFT && r->role == PROTO_ROLE_PRIMARY)
		assert_true(
			then->state == FAILOVER_LEAVING && then->then == FAILOVER_RESUME_DISCARD);
	/* Its guest stands there as long as the kernel below it does. */
	assert_int_equal(then->state == FAILOVER_HANDED_OVER,
		same_boot && r->role == PROTO_ROLE_PRIMARY &&
			r->decision == FAILOVER_DECISION_HANDED);
	if (then->state == FAILOVER_HANDED_OVER)
		assert_true(then->then == FAILOVER_RESUME_HANDED_OVER && !then->vacant);
	if (r->role == PROTO_ROLE_BACKUP)
		assert_int_equal(then->state, r->decision == FAILOVER_DECISION_TAKEOVER
						      ? FAILOVER_TAKING_OVER
						      : FAILOVER_RELEASING);
	if (then->state == FAILOVER_VACANT)
		assert_true(then->then == FAILOVER_RESUME_AWAIT_WORD &&
			    then->decision == FAILOVER_DECISION_RELEASED);
	if (r->role == PROTO_ROLE_NONE)
		assert_true(then->state == FAILOVER_IDLE && then->then == FAILOVER_RESUME_NOTHING);
}

/* Each record leads to the one state from which what it says can be carried to its end. */
static void a_restart_goes_on_where_the_record_ends(void **state)
{
	each_record(rule_states);
}

/* ---- what is forgotten ----------------------------------------------------------------------- */

static enum failover_event heard_by(enum failover_state peer, const struct failover_record *r)
{
	const struct failover_record theirs = {.generation = r->generation};
	const struct failover_gossip word = failover_decide_gossip(FAILOVER_IDLE, r, false);
	enum failover_event event = FAILOVER_EVENT_COUNT;

	failover_decide_word(peer, &theirs, &word, false, &event);
	return event;
}

/* Whoever has not heard what was decided still hears it after romulus unprotect. */
static void what_was_decided_is_not_forgotten(void **state)
{
	static const struct {
		enum proto_role role;
		enum failover_decision decision;
		enum failover_state peer;
		enum failover_event hears;
	} cases[] = {
		{PROTO_ROLE_PRIMARY, FAILOVER_DECISION_SOLO, FAILOVER_HOLDING,
			FAILOVER_ON_PEER_WANTS_SOLO},
		{PROTO_ROLE_PRIMARY, FAILOVER_DECISION_ENDED, FAILOVER_READY,
			FAILOVER_ON_PEER_WANTS_SOLO},
		{PROTO_ROLE_PRIMARY, FAILOVER_DECISION_NONE, FAILOVER_HOLDING,
			FAILOVER_ON_PEER_WANTS_SOLO},
		{PROTO_ROLE_PRIMARY, FAILOVER_DECISION_RELEASED, FAILOVER_HOLDING,
			FAILOVER_ON_PEER_RELEASED},
		{PROTO_ROLE_PRIMARY, FAILOVER_DECISION_HANDED, FAILOVER_HOLDING,
			FAILOVER_ON_PEER_RELEASED},
		{PROTO_ROLE_PRIMARY, FAILOVER_DECISION_TAKEOVER, FAILOVER_HANDED_OVER,
			FAILOVER_ON_PEER_OWNS},
		{PROTO_ROLE_BACKUP, FAILOVER_DECISION_RELEASED, FAILOVER_HANDED_OVER,
			FAILOVER_ON_PEER_RELEASED},
		{PROTO_ROLE_PRIMARY, FAILOVER_DECISION_TAKEOVER, FAILOVER_WANT_SOLO,
			FAILOVER_ON_PEER_OWNS},
		{PROTO_ROLE_BACKUP, FAILOVER_DECISION_TAKEOVER, FAILOVER_VACANT,
			FAILOVER_ON_PEER_OWNS},
		{PROTO_ROLE_BACKUP, FAILOVER_DECISION_RELEASED, FAILOVER_WANT_SOLO,
			FAILOVER_ON_PEER_RELEASED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct failover_record r = {
			.generation = OURS, .role = cases[i].role, .decision = cases[i].decision};
		const struct failover_forgotten rest = failover_decide_forget(&r);

		r.role = rest.role;
		r.decision = rest.decision;
		assert_int_equal(heard_by(cases[i].peer, &r), cases[i].hears);
	}
}

/* What is said in a state is what the table says, but for an attempt: that has promised nothing. */
static void gossip_of_an_attempt_is_that_of_its_record(void **state)
{
	const struct failover_record r = {
		.generation = OURS, .role = PROTO_ROLE_PRIMARY, .decision = FAILOVER_DECISION_SOLO};
	struct failover_gossip g;

	for (int s = FAILOVER_IDLE + 1; s < FAILOVER_STATE_COUNT; s++) {
		const enum failover_state in =
			attempts((enum failover_state)s) ? FAILOVER_SOLO : (enum failover_state)s;

		g = failover_decide_gossip((enum failover_state)s, &r, false);
		assert_int_equal(g.role, failover_machine_role(in));
		assert_int_equal(g.state, failover_machine_gossip(in));
		assert_int_equal(g.generation, OURS);
	}
}

/* ---- a guest that is handed over ------------------------------------------------------------- */

static struct failover_gossip said_of(
	enum failover_state s, enum proto_role role, enum failover_decision decision, bool intent)
{
	const struct failover_record r = {
		.generation = OURS, .role = role, .decision = decision, .intent = intent};

	return failover_decide_gossip(s, &r, false);
}

static void expect_heeded(const struct failover_gossip *g, enum proto_wish wish)
{
	for (int i = 0; i < FAILOVER_STATE_COUNT; i++)
		for (int e = 0; e < FAILOVER_EVENT_COUNT; e++)
			assert_int_equal(failover_decide_wished(
						 (enum failover_state)i, (enum failover_event)e, g),
				(i == FAILOVER_READY || i == FAILOVER_HOLDING) &&
						e == FAILOVER_ON_PEER_RELEASED
					? wish
					: PROTO_WISH_NONE);
}

/* Who moves it says whether it is wanted protected; only who then takes it over heeds that. */
static void the_wish_travels_with_the_guest(void **state)
{
	static const struct {
		enum failover_state state;
		enum proto_role role;
		enum failover_decision decision;
		bool intent;
		enum proto_wish wish;
	} rows[] = {
		{FAILOVER_HANDED_OVER, PROTO_ROLE_PRIMARY, FAILOVER_DECISION_HANDED, true,
			PROTO_WISH_PROTECT},
		{FAILOVER_HANDED_OVER, PROTO_ROLE_PRIMARY, FAILOVER_DECISION_HANDED, false,
			PROTO_WISH_END},
		/* A guest that died with its host was not moved. */
		{FAILOVER_VACANT, PROTO_ROLE_PRIMARY, FAILOVER_DECISION_RELEASED, true,
			PROTO_WISH_NONE},
		{FAILOVER_VACANT, PROTO_ROLE_PRIMARY, FAILOVER_DECISION_RELEASED, false,
			PROTO_WISH_END},
		/* A backup that lets go has no wish, nor has an owner. */
		{FAILOVER_RELEASED, PROTO_ROLE_BACKUP, FAILOVER_DECISION_RELEASED, false,
			PROTO_WISH_NONE},
		{FAILOVER_SOLO, PROTO_ROLE_PRIMARY, FAILOVER_DECISION_SOLO, false, PROTO_WISH_NONE},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct failover_gossip g =
			said_of(rows[i].state, rows[i].role, rows[i].decision, rows[i].intent);

		assert_int_equal(g.wish, rows[i].wish);
		expect_heeded(&g, rows[i].wish);
	}
}

/* Only by the backup of this generation, ready, and from a primary that is protected by it. */
static void a_ready_backup_may_fetch_it(void **state)
{
	const struct failover_record ours = {.generation = OURS, .role = PROTO_ROLE_PRIMARY};
	struct failover_gossip g;

	for (int i = 0; i < FAILOVER_STATE_COUNT; i++)
		for (int k = 0; k < FAILOVER_STATE_COUNT; k++) {
			g = said_of((enum failover_state)k,
				failover_machine_role((enum failover_state)k),
				FAILOVER_DECISION_NONE, true);
			g.fetches = true;
			assert_int_equal(failover_decide_fetched((enum failover_state)i, &ours, &g),
				i == FAILOVER_PROTECTED && k == FAILOVER_READY);
		}
	g = said_of(FAILOVER_READY, PROTO_ROLE_BACKUP, FAILOVER_DECISION_NONE, true);
	assert_false(failover_decide_fetched(FAILOVER_PROTECTED, &ours, &g));
	g.fetches = true;
	g.generation--;
	assert_false(failover_decide_fetched(FAILOVER_PROTECTED, &ours, &g));
}

/* It has arrived when it runs there and nothing of it is left here, not when it was decided. */
static void a_move_has_ended_when_the_guest_runs_there(void **state)
{
	const struct failover_record ours = {.generation = OURS,
		.role = PROTO_ROLE_PRIMARY,
		.decision = FAILOVER_DECISION_RELEASED};
	static const struct {
		enum failover_state state;
		enum proto_role role;
		enum failover_arrival arrival;
	} rows[] = {
		{FAILOVER_READY, PROTO_ROLE_BACKUP, FAILOVER_ARRIVAL_AWAITED},
		{FAILOVER_TAKING_OVER, PROTO_ROLE_BACKUP, FAILOVER_ARRIVAL_AWAITED},
		{FAILOVER_CLEARING, PROTO_ROLE_BACKUP, FAILOVER_ARRIVAL_FAILED},
		{FAILOVER_BROKEN, PROTO_ROLE_BACKUP, FAILOVER_ARRIVAL_FAILED},
		{FAILOVER_STUCK, PROTO_ROLE_BACKUP, FAILOVER_ARRIVAL_FAILED},
		{FAILOVER_TAKEN_OVER, PROTO_ROLE_PRIMARY, FAILOVER_ARRIVED},
		{FAILOVER_IDLE, PROTO_ROLE_PRIMARY, FAILOVER_ARRIVED}, /* unprotected there */
	};
	struct failover_gossip g;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		g = said_of(rows[i].state, rows[i].role, FAILOVER_DECISION_TAKEOVER, true);
		assert_int_equal(
			failover_decide_arrival(FAILOVER_IDLE, &ours, &g), rows[i].arrival);
		assert_int_equal(failover_decide_arrival(FAILOVER_LEAVING, &ours, &g),
			rows[i].arrival == FAILOVER_ARRIVED ? FAILOVER_ARRIVAL_AWAITED
							    : rows[i].arrival);
	}
	/* Protected again already, by this host or another one. */
	g = (struct failover_gossip){
		.generation = OURS + 1, .role = PROTO_ROLE_PRIMARY, .state = PROTO_STATE_SYNCING};
	assert_int_equal(failover_decide_arrival(FAILOVER_IDLE, &ours, &g), FAILOVER_ARRIVED);
	assert_int_equal(failover_decide_arrival(FAILOVER_RECEIVING, &ours, &g), FAILOVER_ARRIVED);
	g.generation = OURS - 1;
	assert_int_equal(
		failover_decide_arrival(FAILOVER_IDLE, &ours, &g), FAILOVER_ARRIVAL_AWAITED);
	/* One that does not say yet what has become of the guest. */
	g = (struct failover_gossip){
		.generation = OURS, .role = PROTO_ROLE_PRIMARY, .state = PROTO_STATE_TAKEN_OVER};
	assert_int_equal(failover_decide_arrival(FAILOVER_IDLE, &ours, &g), FAILOVER_ARRIVED);
}

/* ---- admission ------------------------------------------------------------------------------- */

/* A backup is made of a host only for a newer generation, where nothing of the guest is or runs. */
static void admission_is_for_hosts_that_are_free(void **state)
{
	for (int s = 0; s < FAILOVER_STATE_COUNT; s++)
		for (uint64_t g = OURS - 1; g <= OURS + 1; g++)
			for (int busy = 0; busy < 2; busy++) {
				const enum failover_state in = (enum failover_state)s;
				const enum failover_admission a =
					failover_decide_prepare(in, OURS, g, busy);

				if (g <= OURS)
					assert_int_equal(a, FAILOVER_REFUSE_GENERATION);
				else if (as_primary(in) && in != FAILOVER_VACANT)
					assert_int_equal(a, FAILOVER_REFUSE_OWNER);
				else if (busy || in == FAILOVER_RELEASING)
					assert_int_equal(a, FAILOVER_REFUSE_BUSY);
				else
					assert_int_equal(a, FAILOVER_ADMIT);
			}
}

/* Free is exactly where a new standby may begin without an order to the old one. */
static void free_states_take_a_prepare_to_opening(void **state)
{
	struct failover_step step;

	for (int s = 0; s < FAILOVER_STATE_COUNT; s++) {
		const enum failover_state in = (enum failover_state)s;

		assert_int_equal(failover_decide_free(in),
			failover_machine_step(in, FAILOVER_ON_PREPARE, FAILOVER_IDLE, &step) &&
				step.next == FAILOVER_OPENING);
	}
}

/* Nobody begins to protect what the other host says it runs, now or in a later generation. */
static void a_claim_is_a_running_guest_of_no_earlier_generation(void **state)
{
	const struct failover_record r = {.generation = OURS};

	for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
		for (int w = PROTO_STATE_IDLE; w <= PROTO_STATE_TAKEN_OVER; w++)
			for (uint64_t g = OURS - 1; g <= OURS + 1; g++) {
				const struct failover_gossip word = {.generation = g,
					.role = roles[i],
					.state = (enum proto_state)w};

				assert_int_equal(failover_decide_claimed(&r, &word),
					roles[i] == PROTO_ROLE_PRIMARY && g >= OURS &&
						w != PROTO_STATE_IDLE && w != PROTO_STATE_RELEASED);
			}
}

static bool asks(enum failover_state s, bool stay_mute)
{
	const struct failover_record r = {.generation = OURS};
	struct failover_question q;

	return failover_decide_inquire(s, &r, stay_mute, &q) == FAILOVER_INQUIRE_GRANT;
}

/* Who stays mute asks nobody, but an operator who ends the protection is not kept waiting. */
static void who_stays_mute_does_not_ask(void **state)
{
	for (int i = 0; i < FAILOVER_STATE_COUNT; i++) {
		const enum failover_state s = (enum failover_state)i;

		assert_int_equal(asks(s, false), failover_machine_needs_grant(s));
		assert_int_equal(
			asks(s, true), failover_machine_needs_grant(s) && s != FAILOVER_WANT_SOLO);
	}
	assert_true(asks(FAILOVER_WANT_SOLO, false));
	assert_true(asks(FAILOVER_STOPPING, true));
	assert_true(asks(FAILOVER_READY, true));
}

/* The store hears what was decided from whoever owns the guest, and nothing else. */
static void only_what_was_decided_is_told(void **state)
{
	struct failover_question q;

	for (int i = 0; i < FAILOVER_STATE_COUNT; i++)
		for (int d = FAILOVER_DECISION_NONE; d <= FAILOVER_DECISION_HANDED; d++) {
			const enum failover_state s = (enum failover_state)i;
			const struct failover_record r = {
				.generation = OURS, .decision = (enum failover_decision)d};
			const bool owner =
				d == FAILOVER_DECISION_SOLO || d == FAILOVER_DECISION_TAKEOVER;
			const bool tells =
				failover_decide_inquire(s, &r, false, &q) == FAILOVER_INQUIRE_TELL;

			assert_int_equal(tells, owner && !failover_machine_needs_grant(s));
			if (tells)
				assert_int_equal(q.word, d);
			assert_int_equal(q.generation, OURS);
		}
}

/* A grant, a word and a wish may be void by the time that they could be written. */
static void what_may_become_void_is_not_tried_again(void **state)
{
	static const enum failover_event void_later[] = {FAILOVER_ON_PROTECT, FAILOVER_ON_PREPARED,
		FAILOVER_ON_REFUSED, FAILOVER_ON_UNPROTECT, FAILOVER_ON_GRANT,
		FAILOVER_ON_PEER_RELEASED, FAILOVER_ON_PEER_WANTS_SOLO, FAILOVER_ON_PEER_OWNS,
		FAILOVER_ON_PREPARE, FAILOVER_ON_UNPROTECT_ASKED};

	for (size_t i = 0; i < ARRAY_SIZE(void_later); i++)
		assert_false(failover_decide_once(void_later[i]));
	assert_true(failover_decide_once(FAILOVER_ON_WORKER_DIED));
	assert_true(failover_decide_once(FAILOVER_ON_GUEST_GONE));
}

/* A grant to a host whose worker is dead would be for a takeover that nobody carries out. */
static void nothing_is_heard_before_a_debt_is_paid(void **state)
{
	struct failover_debt debt = {.owes = true, .event = FAILOVER_ON_WORKER_DIED};

	for (int e = 0; e < FAILOVER_EVENT_COUNT; e++)
		assert_int_equal(failover_decide_heeds(&debt, (enum failover_event)e),
			e == FAILOVER_ON_WORKER_DIED);
	debt.owes = false;
	for (int e = 0; e < FAILOVER_EVENT_COUNT; e++)
		assert_true(failover_decide_heeds(&debt, (enum failover_event)e));
}

/* Nobody promises anything to a host that may be switched off at any moment. */
static void who_may_be_shot_is_not_let_go_of(void **state)
{
	for (int i = 0; i < FAILOVER_STATE_COUNT; i++) {
		const enum failover_state s = (enum failover_state)i;

		assert_int_equal(failover_decide_unprotect(s, true),
			as_primary(s) ? FAILOVER_REFUSE_OWNER : FAILOVER_REFUSE_SHOT);
		assert_int_equal(failover_decide_unprotect(s, false) == FAILOVER_REFUSE_OWNER,
			as_primary(s));
		assert_false(failover_decide_reunited(s, true, true));
		assert_false(failover_decide_reunited(s, false, false));
	}
	assert_true(failover_decide_reunited(FAILOVER_READY, true, false));
}

static void a_generation_is_above_all_that_is_known(void **state)
{
	const struct failover_record r = {.generation = OURS};
	const struct failover_gossip later = {.generation = OURS + 4};

	assert_int_equal(failover_decide_generation(&r, 0, NULL), OURS + 1);
	assert_int_equal(failover_decide_generation(&r, OURS + 2, NULL), OURS + 3);
	assert_int_equal(failover_decide_generation(&r, OURS + 2, &later), OURS + 5);
}

/* Wherever the other host may act, or has acted; where the guest is this host's alone, never. */
static void what_another_host_may_take_over_is_watched(void **state)
{
	for (int i = 0; i < FAILOVER_STATE_COUNT; i++) {
		const enum failover_state s = (enum failover_state)i;
		const bool watched = failover_decide_arms_watchdog(s);

		if (as_primary(s) && failover_decide_wish(s) != FAILOVER_DECISION_NONE)
			assert_true(watched);
		if (!as_primary(s) || s == FAILOVER_SOLO || s == FAILOVER_TAKEN_OVER)
			assert_false(watched);
	}
	assert_true(failover_decide_arms_watchdog(FAILOVER_PROTECTED));
	assert_true(failover_decide_arms_watchdog(FAILOVER_LEAVING));
	assert_false(failover_decide_arms_watchdog(FAILOVER_IDLE));
	assert_false(failover_decide_arms_watchdog(
		FAILOVER_SYNCING)); /* no checkpoint: nothing to take */
}

/* One that starts again is heard at once only on the host that owns the generation. */
static void a_guest_that_starts_again_waits_for_the_decision(void **state)
{
	struct failover_record r = {.generation = OURS, .role = PROTO_ROLE_PRIMARY};

	for (int i = 0; i < FAILOVER_STATE_COUNT; i++) {
		const enum failover_state s = (enum failover_state)i;
		const enum proto_state said = failover_machine_gossip(s);
		const bool owns = said == PROTO_STATE_SOLO || said == PROTO_STATE_TAKEN_OVER;

		r.decision = FAILOVER_DECISION_NONE;
		if (attempts(s))
			assert_false(failover_decide_watches(s, &r)); /* a first attempt */
		else if (failover_decide_watches(s, &r))
			assert_int_equal(failover_decide_restrains(s, &r), !owns);
		r.decision = FAILOVER_DECISION_SOLO;
		if (s == FAILOVER_CHECKING || s == FAILOVER_PREPARING) {
			assert_true(failover_decide_watches(s, &r));
			assert_false(failover_decide_restrains(s, &r));
		}
	}
	assert_true(failover_decide_restrains(FAILOVER_LEAVING, &r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_stays_mute_does_not_ask),
		cmocka_unit_test(only_what_was_decided_is_told),
		cmocka_unit_test(what_may_become_void_is_not_tried_again),
		cmocka_unit_test(nothing_is_heard_before_a_debt_is_paid),
		cmocka_unit_test(who_may_be_shot_is_not_let_go_of),
		cmocka_unit_test(a_generation_is_above_all_that_is_known),
		cmocka_unit_test(a_guest_that_starts_again_waits_for_the_decision),
		cmocka_unit_test(an_attempt_and_an_earlier_generation_hear_nothing),
		cmocka_unit_test(only_a_promise_releases),
		cmocka_unit_test(only_an_owner_makes_a_guest_stale),
		cmocka_unit_test(a_backup_lets_go_only_of_a_primary_that_asks),
		cmocka_unit_test(a_word_is_one_of_three_events),
		cmocka_unit_test(two_hosts_never_release_each_other),
		cmocka_unit_test(a_restart_makes_no_owner),
		cmocka_unit_test(a_restart_only_ever_releases),
		cmocka_unit_test(a_restart_goes_on_where_the_record_ends),
		cmocka_unit_test(what_was_decided_is_not_forgotten),
		cmocka_unit_test(gossip_of_an_attempt_is_that_of_its_record),
		cmocka_unit_test(the_wish_travels_with_the_guest),
		cmocka_unit_test(a_ready_backup_may_fetch_it),
		cmocka_unit_test(a_move_has_ended_when_the_guest_runs_there),
		cmocka_unit_test(admission_is_for_hosts_that_are_free),
		cmocka_unit_test(free_states_take_a_prepare_to_opening),
		cmocka_unit_test(a_claim_is_a_running_guest_of_no_earlier_generation),
		cmocka_unit_test(what_another_host_may_take_over_is_watched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
