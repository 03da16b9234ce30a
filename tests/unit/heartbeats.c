/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Heartbeats under the cluster's key: repeated, of another life, forged. */
#include "tests/unit/channel_rig.h"

#include <string.h>

static void repeated_heartbeats_are_refused(void **state)
{
	uint64_t heard_before;
	size_t n;

	until_alive();
	for (int i = 0; i < 100; i++) {
		beat(&alpha);
		beat(&beta);
	}
	assert_int_equal(peer_of(&alpha)->forged, 0);
	assert_int_equal(peer_of(&alpha)->replayed, 0);

	/* While the peer lives: each is known. */
	heard_before = heard_of;
	n = replay(BETA_ADDRESS, ALPHA_ADDRESS, ALPHA_ADDRESS);
	assert_true(n > 100);
	assert_true(peer_of(&alpha)->replayed > 100);
	assert_int_equal(heard_of, heard_before);

	/* When it is dead they do not bring it back. */
	until_silent(&alpha);
	replay(BETA_ADDRESS, ALPHA_ADDRESS, ALPHA_ADDRESS);
	failover_peers_tick(&alpha.fo, clock_now_ns());
	assert_true(failover_peer_silent(peer_of(&alpha)));

	/* Nor on the other path, nor when our own words come back from there. */
	assert_int_equal(peer_of(&alpha)->forged, 0);
	n = replay(BETA_SECOND, ALPHA_ADDRESS, ALPHA_SECOND);
	assert_int_equal(peer_of(&alpha)->forged, n);
	n += replay(BETA_ADDRESS, BETA_ADDRESS, ALPHA_ADDRESS);
	assert_int_equal(peer_of(&alpha)->forged, n);
	failover_peers_tick(&alpha.fo, clock_now_ns());
	assert_true(failover_peer_silent(peer_of(&alpha)));
	assert_int_equal(heard_of, heard_before);
}

/* A daemon that has forgotten all that it heard is not fed with it. */
static void a_restarted_daemon_takes_no_old_heartbeats(void **state)
{
	unsigned int before;

	until_alive();
	for (int i = 0; i < 20; i++) {
		beat(&alpha);
		beat(&beta);
	}
	host_stop(&alpha);
	host_start(&alpha, "alpha", "beta", "tls");
	before = heard_of;
	assert_true(replay(BETA_ADDRESS, ALPHA_ADDRESS, ALPHA_ADDRESS) > 20);
	assert_int_equal(heard_of, before);
	assert_false(failover_peer_alive(peer_of(&alpha)));
	assert_int_equal(peer_of(&alpha)->forged, 0); /* they are beta's, but old */
	until_alive();                                /* what beta says now counts */
	assert_true(heard_of > before);

	/* And beta's own restart is heard, its old life is not. */
	before = (unsigned int)record_n;
	host_stop(&beta);
	host_start(&beta, "beta", "alpha", "tls");
	until_silent(&alpha);
	until_alive();
	record_n = before;
	before = heard_of;
	replay(BETA_ADDRESS, ALPHA_ADDRESS, ALPHA_ADDRESS);
	assert_int_equal(heard_of, before);

	/* A host that has lost count is told so, where somebody looks. */
	until_silent(&alpha);
	beta.fo.boot = 5;
	beat(&beta);
	assert_false(failover_peer_alive(peer_of(&alpha)));
	assert_non_null(strstr(last_event(&alpha), "its state-dir was lost"));
}

static void forged_heartbeats_are_refused(void **state)
{
	uint8_t bytes[PROTO_MAX_DATAGRAM];
	struct datagram *d = NULL;
	uint64_t forged;
	size_t n = 0;

	until_alive();
	beat(&beta);
	for (size_t i = 0; i < record_n; i++)
		if (record[i].to == place(ALPHA_ADDRESS, 0).sin_addr.s_addr)
			d = &record[i];
	assert_non_null(d);
	heard_of = 0;
	for (size_t bit = 0; bit < d->n * 8; bit++, n++) {
		memcpy(bytes, d->bytes, d->n);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		inject(BETA_ADDRESS, ALPHA_ADDRESS, bytes, d->n);
		spin();
	}
	for (size_t cut = 0; cut < d->n; cut++, n++) {
		inject(BETA_ADDRESS, ALPHA_ADDRESS, d->bytes, cut);
		spin();
	}
	assert_int_equal(peer_of(&alpha)->forged, n);
	assert_non_null(strstr(last_event(&alpha), "not signed with the key of this cluster"));
	assert_int_equal(heard_of, 0);
	forged = peer_of(&alpha)->forged;
	for (unsigned int i = 0; i < 1000; i++) {
		inject(i % 2 ? BETA_ADDRESS : STRANGER_ADDRESS, ALPHA_ADDRESS, bytes,
			make_garbage(i, bytes, sizeof(bytes)));
		spin();
	}
	assert_int_equal(peer_of(&alpha)->forged, forged + 500);
	assert_int_equal(alpha.fo.strangers, 500);
	assert_int_equal(heard_of + touched, 0);
}

/* ---- what is fresh, as a rule ---------------------------------------------------------------- */

static void freshness(void **state)
{
	static const struct {
		size_t path;
		uint64_t boot, sequence, answers;
		enum failover_freshness verdict;
	} steps[] = {
		{0, 10, 1, 0, FAILOVER_BEAT_UNANSWERED}, /* has not heard us */
		{0, 10, 2, 7, FAILOVER_BEAT_FRESH},
		{0, 10, 2, 7, FAILOVER_BEAT_OLD},
		{0, 10, 1, 7, FAILOVER_BEAT_OLD},
		{1, 10, 2, 7, FAILOVER_BEAT_FRESH}, /* the same one over other cables */
		{1, 10, 2, 7, FAILOVER_BEAT_OLD},
		{0, 10, 100, 7, FAILOVER_BEAT_FRESH},
		{1, 10, 36, 7, FAILOVER_BEAT_FRESH}, /* a slow path */
		{1, 10, 35, 7, FAILOVER_BEAT_OLD},
		{0, 10, 200, 7, FAILOVER_BEAT_FRESH},
		{1, 10, 135, 7, FAILOVER_BEAT_OLD}, /* held back */
		{1, 10, 136, 7, FAILOVER_BEAT_FRESH},
		{0, 10, 300, 6, FAILOVER_BEAT_UNANSWERED}, /* said to our last life */
		{0, 9, 400, 7, FAILOVER_BEAT_OLD},         /* of its last life */
		{0, 11, 1, 7, FAILOVER_BEAT_FRESH},
		{0, 10, 500, 7, FAILOVER_BEAT_OLD},
		{1, 11, 1, 7, FAILOVER_BEAT_FRESH},
	};
	struct failover_replay r = {0};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (failover_replay_judge(&r, steps[i].path, steps[i].boot, steps[i].sequence,
			    steps[i].answers, 7) != steps[i].verdict)
			fail_msg("step %zu", i);
}

/* One path may be ahead of the other; of a beat that comes twice only the first one is news. */
static void news(void **state)
{
	static const struct {
		uint64_t boot, sequence;
		enum failover_news brings;
	} steps[] = {
		{10, 1, FAILOVER_NEWS_RESTARTED},
		{10, 1, FAILOVER_NEWS_NONE},
		{10, 3, FAILOVER_NEWS},
		{10, 2, FAILOVER_NEWS_NONE},
		{11, 1, FAILOVER_NEWS_RESTARTED},
		{11, 2, FAILOVER_NEWS},
	};
	struct failover_newest n = {0};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (failover_newest_take(&n, steps[i].boot, steps[i].sequence) != steps[i].brings)
			fail_msg("step %zu", i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(freshness),
		cmocka_unit_test(news),
		CHANNEL_TEST(repeated_heartbeats_are_refused),
		CHANNEL_TEST(a_restarted_daemon_takes_no_old_heartbeats),
		CHANNEL_TEST(forged_heartbeats_are_refused),
	};

	return cmocka_run_group_tests_name("heartbeats", tests, make_world, drop_world);
}
