/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verdicts of `romulus check`: a pair of hosts on which all is well, then one thing spoiled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include "failover/preflight.h"

#define GIGA_KB (UINT64_C(1) << 20)
#define WORDS 20u
#define MS (int64_t)(NSEC_PER_MSEC)

/* A guest with two disks, a CD and two bridges, protectable on beta. */
static struct world {
	Romulus__Check guest;
	Romulus__Checked here, there;
	Romulus__CheckDisk disk[3], image;
	Romulus__CheckDisk *disks[3], *images[1];
	Romulus__CheckBridge bridge[2][2], *bridges[2][2];
	Romulus__CheckResource resource[2];
	Romulus__CheckVolume volume[2][3], *volumes[2][3];
	char *names[2];
	uint32_t features[3][WORDS];
	struct failover_preflight facts;
} w;

static struct failover_check_row rows[FAILOVER_CHECKS];
static size_t fails;

static char text_of[128][64];
static unsigned int texts;

static char *text(const char *s) /* what the messages point to is not const */
{
	return strncpy(text_of[texts++ % ARRAY_SIZE(text_of)], s, 63);
}

static void build_disks(void)
{
	static const char *const paths[] = {"/dev/drbd10", "/dev/drbd11", "/srv/cd.iso"};

	for (size_t i = 0; i < 3; i++) {
		romulus__check_disk__init(&w.disk[i]);
		w.disk[i].vdev = text("xvda");
		w.disk[i].path = text(paths[i]);
		w.disk[i].writable = w.disk[i].covered = i < 2;
		w.disks[i] = &w.disk[i];
	}
	w.disk[2].found = true;
	w.disk[2].bytes = 4096;
	w.disk[2].fingerprint = 7;
	w.image = w.disk[2];
	w.images[0] = &w.image;
	w.guest.disks = w.disks;
	w.guest.n_disks = 3;
	w.there.disks = w.images;
	w.there.n_disks = 1;
}

static void build_resource(size_t side)
{
	Romulus__CheckResource *r = &w.resource[side];

	romulus__check_resource__init(r);
	r->name = text("db");
	r->configured = r->up = r->connected = true;
	r->primary = side == 0;
	for (size_t v = 0; v < 3; v++) {
		romulus__check_volume__init(&w.volume[side][v]);
		w.volume[side][v].minor = 10 + (uint32_t)v;
		w.volume[side][v].good = w.volume[side][v].peer_good = true;
		w.volume[side][v].generation = 0xabc + v;
		w.volume[side][v].size_kib = 65536;
		w.volumes[side][v] = &w.volume[side][v];
	}
	r->volumes = w.volumes[side];
	r->n_volumes = 3;
}

static void build_host(size_t side, Romulus__Checked *c)
{
	romulus__checked__init(c);
	c->hypervisor = text("4.17");
	c->free_kb = c->dom0_kb = GIGA_KB;
	c->space = UINT64_C(1) << 30;
	c->space_known = true;
	c->features = w.features[side];
	c->n_features = WORDS;
	c->arbiter = text("fence");
	build_resource(side);
	c->resource = &w.resource[side];
	for (size_t i = 0; i < 2; i++) {
		romulus__check_bridge__init(&w.bridge[side][i]);
		w.bridge[side][i].name = w.names[i];
		w.bridge[side][i].present = w.bridge[side][i].tried = true;
		w.bridge[side][i].heard = side == 1;
		w.bridges[side][i] = &w.bridge[side][i];
	}
	c->bridges = w.bridges[side];
	c->n_bridges = 2;
}

static int build(void **state)
{
	memset(&w, 0, sizeof(w));
	w.names[0] = text("xenbr0");
	w.names[1] = text("xenbr1");
	for (size_t i = 0; i < 3; i++) /* of the hosts, then of the guest */
		for (size_t n = 0; n < WORDS; n++)
			w.features[i][n] = i < 2 ? 0xff : 0x0f;
	build_host(0, &w.here);
	build_host(1, &w.there);
	w.there.undo_limit = UINT64_C(64) << 20;
	romulus__check__init(&w.guest);
	w.guest.domain = text("db");
	w.guest.type = text("pvh");
	w.guest.memory_kb = GIGA_KB / 2;
	w.guest.features = w.features[2];
	w.guest.n_features = WORDS;
	w.guest.feature_suspend = true;
	w.guest.bridges = w.names;
	w.guest.n_bridges = 2;
	build_disks();
	w.facts = (struct failover_preflight){
		.host = "alpha",
		.peer = "beta",
		.guest = &w.guest,
		.here = &w.here,
		.there = &w.there,
		.staging_bytes = UINT64_C(256) << 20,
	};
	return 0;
}

static const struct failover_check_row *row(const char *name)
{
	for (size_t i = 0; i < FAILOVER_CHECKS; i++)
		if (!strcmp(rows[i].name, name))
			return &rows[i];
	fail_msg("there is no row %s", name);
	return NULL;
}

/* Row @name alone is not passed, with @result and @words, and says what to do. */
static void expect(const char *name, enum failover_result result, const char *words)
{
	const struct failover_check_row *r;

	fails = failover_preflight(&w.facts, rows);
	r = row(name);
	if (r->result != result)
		fail_msg("%s is %s: %s", name, failover_result_name(r->result), r->found);
	if (!strstr(r->found, words))
		fail_msg("%s does not say \"%s\": %s", name, words, r->found);
	assert_int_equal(!r->todo[0], result == FAILOVER_PASS);
	assert_int_equal(fails, result == FAILOVER_FAIL);
	for (size_t i = 0; i < FAILOVER_CHECKS; i++)
		if (&rows[i] != r && rows[i].result != FAILOVER_PASS)
			fail_msg("%s is no pass either: %s", rows[i].name, rows[i].found);
}

static void all_passes_where_all_is_well(void **state)
{
	assert_int_equal(failover_preflight(&w.facts, rows), 0);
	for (size_t i = 0; i < FAILOVER_CHECKS; i++) {
		if (rows[i].result != FAILOVER_PASS)
			fail_msg("%s: %s", rows[i].name, rows[i].found);
		assert_true(rows[i].found[0] && !rows[i].todo[0]);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(rows[i].name, rows[k].name);
	}
}

static void the_guest(void **state)
{
	w.guest.unfit = text("'db' is a PV domain");
	expect("guest", FAILOVER_FAIL, "PV domain");
	w.guest.later = true;
	expect("guest", FAILOVER_FAIL, "PV domain");
	assert_non_null(strstr(row("guest")->todo, "wait"));
	build(state);
	w.guest.feature_suspend = false;
	expect("suspend", FAILOVER_FAIL, "feature-suspend");
	build(state);
	w.guest.passed_through = text("PCI 0000:03:00.0");
	expect("passthrough", FAILOVER_FAIL, "0000:03:00.0");
}

static void versions_of_the_hypervisor(void **state)
{
	static const struct {
		const char *there;
		enum failover_result result;
	} versions[] = {
		{"4.17", FAILOVER_PASS},
		{"4.20", FAILOVER_WARN},
		{"5.0", FAILOVER_WARN},
		{"4.16", FAILOVER_FAIL},
		{"4.9", FAILOVER_FAIL},
		{"3.99", FAILOVER_FAIL},
		{"", FAILOVER_FAIL},
		{"new", FAILOVER_FAIL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		w.there.hypervisor = text(versions[i].there);
		expect("hypervisor", versions[i].result, versions[i].there);
	}
}

static void features_of_the_processor_are_named(void **state)
{
	w.features[1][1] &= ~1u; /* SSE3, word 1 bit 0 */
	expect("cpu", FAILOVER_FAIL, "cannot give: SSE3");
	w.features[1][5] &= ~8u; /* BMI1 */
	expect("cpu", FAILOVER_FAIL, "SSE3, BMI1");
	w.features[1][5] &= ~0x80u; /* SMEP, which the guest does not see */
	expect("cpu", FAILOVER_FAIL, "SSE3, BMI1");
	assert_null(strstr(row("cpu")->found, "SMEP"));
	w.features[1][WORDS - 1] = 0; /* one that has no name yet has a number */
	expect("cpu", FAILOVER_FAIL, "19:0");
}

static void many_missing_features_are_counted(void **state)
{
	memset(w.features[2], 0xff, sizeof(w.features[2]));
	memset(w.features[1], 0, sizeof(w.features[1]));
	expect("cpu", FAILOVER_FAIL, "and others");
}

static void words_that_are_missing_are_no_features(void **state)
{
	w.there.n_features = 2;
	expect("cpu", FAILOVER_FAIL, "cannot give");
	w.there.n_features = 0;
	expect("cpu", FAILOVER_WARN, "hypervisor of beta does not tell");
	w.guest.n_features = 0;
	expect("cpu", FAILOVER_WARN, "hypervisor of alpha does not tell");
}

static void memory_and_names(void **state)
{
	w.there.free_kb = w.guest.memory_kb;
	expect("memory", FAILOVER_PASS, "512 MB needed, 512 MB free on beta");
	w.there.free_kb--;
	expect("memory", FAILOVER_FAIL, "512 MB needed, 511 MB free on beta");
	w.there.standby = true; /* which has it */
	expect("memory", FAILOVER_PASS, "standby");
	build(state);
	w.there.dom0_kb = 319 * 1024;
	expect("dom0-memory", FAILOVER_WARN, "320 MB, 319 MB");
	w.there.standby = true;
	expect("dom0-memory", FAILOVER_PASS, "runs already");
	build(state);
	w.there.taken = text("a domain called 'db' already runs");
	expect("name", FAILOVER_FAIL, "already runs");
	w.there.standby = true;
	expect("name", FAILOVER_PASS, "its standby");
}

static void bridges(void **state)
{
	w.bridge[1][1].present = w.bridge[1][1].heard = false;
	failover_preflight(&w.facts, rows);
	assert_int_equal(row("bridge")->result, FAILOVER_FAIL);
	assert_non_null(strstr(row("bridge")->found, "no bridge on beta: xenbr1"));
	assert_int_equal(row("segment")->result, FAILOVER_FAIL);
	w.bridge[1][1].present = true; /* but deaf */
	expect("segment", FAILOVER_FAIL, "arrived on beta: xenbr1");
	w.bridge[1][1].heard = true;
	w.bridge[0][0].present = false;
	expect("bridge", FAILOVER_FAIL, "no bridge on alpha: xenbr0");
}

/* What a peer leaves out it does not have, and what it adds nobody has asked for. */
static void an_answer_may_have_other_bridges(void **state)
{
	w.bridge[1][1].name = text("xenbr2");
	failover_preflight(&w.facts, rows);
	assert_non_null(strstr(row("bridge")->found, "no bridge on beta: xenbr1"));
	assert_non_null(strstr(row("segment")->found, "arrived on beta: xenbr1"));
	w.there.n_bridges = 0;
	failover_preflight(&w.facts, rows);
	assert_non_null(strstr(row("segment")->found, "xenbr0, xenbr1"));
	w.guest.n_bridges = 0;
	expect("segment", FAILOVER_PASS, "on no bridge");
	expect("bridge", FAILOVER_PASS, "no network");
}

/* Tagged frames of the guest may well arrive; the probe is in the bridge's own VLAN. */
static void a_bridge_that_filters_is_not_blamed(void **state)
{
	for (size_t side = 0; side < 2; side++) {
		build(state);
		w.bridge[side][1].filters = true;
		expect("segment", FAILOVER_PASS, "arrive on xenbr0, xenbr1");
		w.bridge[1][1].heard = false;
		expect("segment", FAILOVER_WARN, "the guest's own VLAN: xenbr1");
	}
	w.bridge[1][0].heard = false; /* this one is */
	expect("segment", FAILOVER_FAIL, "arrived on beta: xenbr0");
	assert_null(strstr(row("segment")->found, "xenbr1"));
}

/* Nothing was sent, or nobody could listen. */
static void what_was_not_tried_is_no_failure(void **state)
{
	for (size_t side = 0; side < 2; side++) {
		build(state);
		w.bridge[side][0].tried = false;
		w.bridge[1][0].heard = false;
		expect("segment", FAILOVER_WARN, "could not be tried: xenbr0");
	}
}

/* Routed: there is nothing to compare, and nothing wrong. */
static void a_network_without_bridges_is_left_to_its_owner(void **state)
{
	w.names[0] = text("");
	expect("bridge", FAILOVER_WARN, "without one");
	w.names[0] = text("routed");
	expect("bridge", FAILOVER_WARN, "on either host: routed");
	assert_int_equal(row("segment")->result, FAILOVER_PASS);
	assert_non_null(strstr(row("segment")->found, "alpha arrive on xenbr1"));
	assert_null(strstr(row("segment")->found, "routed"));
}

static void disks_are_replicated(void **state)
{
	w.disk[1].covered = false;
	expect("disks", FAILOVER_FAIL, "/dev/drbd11");
	w.guest.n_disks = 0;
	w.here.resource = w.there.resource = NULL;
	expect("disks", FAILOVER_PASS, "no disk");
	expect("drbd", FAILOVER_PASS, "not needed");
}

static void the_resource(void **state)
{
	w.there.resource = NULL;
	expect("drbd", FAILOVER_FAIL, "db is not configured on beta");
	build(state);
	w.resource[1].up = false;
	w.resource[1].summary = text("not up");
	expect("drbd", FAILOVER_FAIL, "db is not up on beta (not up)");
	build(state);
	w.resource[0].connected = false;
	expect("drbd", FAILOVER_FAIL, "is not connected on alpha");
	w.resource[1].alone = true; /* which is why */
	expect("drbd", FAILOVER_WARN, "is disconnected on beta");
	w.resource[1].configured = false;
	expect("drbd", FAILOVER_FAIL, "is not configured on beta");
	build(state);
	w.volume[1][2].good = false;
	expect("drbd", FAILOVER_FAIL, "is not up to date on beta");
	build(state);
	w.volume[0][1].peer_good = false;
	expect("drbd", FAILOVER_FAIL, "is not up to date on alpha");
}

static void the_same_disks_on_both_hosts(void **state)
{
	w.resource[1].name = text("web");
	expect("drbd", FAILOVER_FAIL, "not the same disks");
	build(state);
	w.volume[1][1].generation++;
	expect("drbd", FAILOVER_FAIL, "not the same disks");
	build(state);
	w.volume[1][0].size_kib++;
	expect("drbd", FAILOVER_FAIL, "not the same disks");
	build(state);
	w.volume[0][2].generation = w.volume[1][2].generation = 0; /* not known is not the same */
	expect("drbd", FAILOVER_FAIL, "not the same disks");
	build(state);
	w.resource[1].n_volumes = 2;
	expect("drbd", FAILOVER_FAIL, "not the same disks");
}

static void disks_in_use(void **state)
{
	w.resource[1].primary = true;
	expect("disks-in-use", FAILOVER_FAIL, "primary on beta");
	build(state);
	w.volume[1][0].held = text("/mnt/old");
	expect("disks-in-use", FAILOVER_FAIL, "/dev/drbd10 on beta is in use: /mnt/old");
	build(state);
	w.volume[0][2].held = text("vg-copy");
	expect("disks-in-use", FAILOVER_FAIL, "/dev/drbd12 on alpha is in use: vg-copy");
}

static void disks_that_it_cannot_write(void **state)
{
	w.image.fingerprint++;
	expect("read-only-disks", FAILOVER_FAIL, "another one on beta");
	w.disk[2].wwn = w.image.wwn = text("naa.5000"); /* its name is worth more */
	expect("read-only-disks", FAILOVER_PASS, "the same");
	w.image.wwn = text("naa.5001");
	expect("read-only-disks", FAILOVER_FAIL, "another one");
	w.image.fingerprint--; /* a copy */
	expect("read-only-disks", FAILOVER_PASS, "the same");
	w.image.bytes++;
	expect("read-only-disks", FAILOVER_FAIL, "another one");
	w.image.found = false;
	expect("read-only-disks", FAILOVER_FAIL, "missing on beta");
	w.there.n_disks = 0;
	expect("read-only-disks", FAILOVER_FAIL, "missing on beta");
	w.disk[2].path = text("iqn.2001-05:target"); /* of a script */
	expect("read-only-disks", FAILOVER_PASS, "none");
	w.guest.n_disks = 2;
	expect("read-only-disks", FAILOVER_PASS, "none");
}

/* A drive without a disc, on either host. */
static void what_cannot_be_read_is_not_missing(void **state)
{
	w.image.found = false;
	w.image.unreadable = true;
	expect("read-only-disks", FAILOVER_WARN, "on beta, and cannot be compared");
	w.disk[2].found = false;
	w.disk[2].unreadable = true;
	expect("read-only-disks", FAILOVER_WARN, "and cannot be compared");
	w.image.found = true;
	w.image.unreadable = false;
	expect("read-only-disks", FAILOVER_WARN, "on alpha, and cannot be compared");
	w.image.found = false;
	expect("read-only-disks", FAILOVER_FAIL, "missing on beta");
}

/* One that is missing is not hidden by one that cannot be read. */
static void the_worst_of_the_disks_counts(void **state)
{
	w.disk[1] = w.disk[2];
	w.disk[1].path = w.image.path = text("/dev/sr0");
	w.image.found = false;
	w.image.unreadable = true;
	expect("read-only-disks", FAILOVER_FAIL, "(/srv/cd.iso) is missing on beta");
}

/* A Secondary cannot be opened: what is on DRBD is the same by other means. */
static void what_is_on_drbd_is_not_read(void **state)
{
	w.disk[2].covered = true;
	w.there.n_disks = 0;
	expect("read-only-disks", FAILOVER_PASS, "none");
	w.guest.disks = &w.disks[2]; /* but a guest that writes nothing has no DRBD */
	w.guest.n_disks = 1;
	expect("read-only-disks", FAILOVER_FAIL, "missing on beta");
}

static void clocks(void **state)
{
	static const struct {
		int64_t ahead;
		enum failover_result result;
		const char *words;
	} clock_rows[] = {
		{0, FAILOVER_PASS, "0.000 s"},
		{499 * MS, FAILOVER_PASS, "0.499 s ahead"},
		{-500 * MS, FAILOVER_WARN, "0.500 s behind"},
		{9999 * MS, FAILOVER_WARN, "9.999 s ahead"},
		{-10000 * MS, FAILOVER_FAIL, "10.000 s behind"},
		{INT64_MIN, FAILOVER_FAIL, "behind"},
		{INT64_MAX, FAILOVER_FAIL, "ahead"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(clock_rows); i++) {
		w.facts.ahead_ns = clock_rows[i].ahead;
		expect("clock", clock_rows[i].result, clock_rows[i].words);
	}
}

static void room(void **state)
{
	w.there.space = UINT64_C(80) << 20;
	expect("space", FAILOVER_PASS, "80 MB on beta");
	w.there.space--;
	expect("space", FAILOVER_WARN, "79 MB on beta");
	w.there.space = UINT64_C(15) << 20;
	expect("space", FAILOVER_FAIL, "15 MB on beta");
	build(state);
	assert_true(row("space")->refuses);
	w.here.space = 0;
	expect("space", FAILOVER_FAIL, "0 MB free in state-dir on alpha");
	assert_false(row("space")->refuses); /* whoever writes here says so */
	w.there.space = 0;
	expect("space", FAILOVER_FAIL, "0 MB on beta");
	assert_true(row("space")->refuses);
	build(state);
	w.there.space_known = false;
	expect("space", FAILOVER_WARN, "beta does not tell");
	w.here.space_known = false;
	expect("space", FAILOVER_WARN, "alpha does not tell");
	build(state);
	w.there.undo_limit = 0;
	w.there.space = UINT64_C(16) << 20;
	expect("space", FAILOVER_PASS, "16 MB on beta");
}

static void what_both_daemons_say(void **state)
{
	w.there.autostart = text("/etc/xen/auto/db would start it");
	expect("autostart", FAILOVER_FAIL, "on beta: /etc/xen/auto/db");
	w.there.autostart = text("");
	w.here.autostart = text("/etc/xen/auto/db would start it");
	expect("autostart", FAILOVER_FAIL, "on alpha: /etc/xen/auto/db");
	build(state);
	w.there.arbiter = text("manual");
	expect("arbiter", FAILOVER_FAIL, "\"manual\" on beta");
}

/* Who protects or moves a guest is not told twice, and what is only known there is waited for. */
static void what_others_judge_is_left_to_them(void **state)
{
	static const char *const refused[] = {"passthrough", "hypervisor", "cpu", "bridge",
		"segment", "read-only-disks", "clock", "space"};
	static const char *const let_go[] = {"segment", "clock", "space"};
	size_t n = 0, m = 0;

	failover_preflight(&w.facts, rows);
	for (size_t i = 0; i < FAILOVER_CHECKS; i++) {
		n += rows[i].refuses;
		m += rows[i].lets_go;
	}
	assert_int_equal(n, ARRAY_SIZE(refused));
	for (size_t i = 0; i < n; i++)
		assert_true(row(refused[i])->refuses);
	assert_int_equal(m, ARRAY_SIZE(let_go));
	for (size_t i = 0; i < m; i++)
		assert_true(row(let_go[i])->lets_go);
}

/* A peer of another mind: empty, and full of what does not fit. Sentences stay sentences. */
static void nothing_that_a_peer_says_breaks_it(void **state)
{
	static char long_text[4096];
	Romulus__Checked empty = ROMULUS__CHECKED__INIT;

	w.facts.there = &empty;
	fails = failover_preflight(&w.facts, rows);
	assert_true(fails >= 6);
	build(state);
	memset(long_text, 0x9b, sizeof(long_text) - 1);
	w.there.hypervisor = w.there.taken = w.there.autostart = w.there.arbiter = long_text;
	w.there.etcd_prefix = w.resource[1].name = w.resource[1].summary = long_text;
	w.resource[1].up = false;
	w.volume[1][0].held = long_text;
	fails = failover_preflight(&w.facts, rows);
	for (size_t i = 0; i < FAILOVER_CHECKS; i++) {
		assert_true(text_valid(rows[i].found) && text_valid(rows[i].todo));
		assert_true(strlen(rows[i].found) < WHY_MAX && rows[i].found[0]);
	}
	assert_int_equal(fails, 6);
}

#define TEST(name) cmocka_unit_test_setup(name, build)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_passes_where_all_is_well),
		TEST(the_guest),
		TEST(versions_of_the_hypervisor),
		TEST(features_of_the_processor_are_named),
		TEST(many_missing_features_are_counted),
		TEST(words_that_are_missing_are_no_features),
		TEST(memory_and_names),
		TEST(bridges),
		TEST(an_answer_may_have_other_bridges),
		TEST(a_bridge_that_filters_is_not_blamed),
		TEST(what_was_not_tried_is_no_failure),
		TEST(a_network_without_bridges_is_left_to_its_owner),
		TEST(disks_are_replicated),
		TEST(the_resource),
		TEST(the_same_disks_on_both_hosts),
		TEST(disks_in_use),
		TEST(disks_that_it_cannot_write),
		TEST(what_cannot_be_read_is_not_missing),
		TEST(the_worst_of_the_disks_counts),
		TEST(what_is_on_drbd_is_not_read),
		TEST(clocks),
		TEST(room),
		TEST(what_both_daemons_say),
		TEST(what_others_judge_is_left_to_them),
		TEST(nothing_that_a_peer_says_breaks_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
