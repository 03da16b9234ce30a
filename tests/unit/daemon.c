/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two daemons on the loopback interface and what their operators ask of them. Their workers are
 * this program under another name: it says what a worker says and has no guest.
 */
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/why.h"
#include "failover/state.h"
#include "proto/proto.h"
#include "tests/unit/cluster.h"
#include "tests/unit/daemon_rig.h"

#define UUID "deadbeef-0102-0304-0506-0708090a0b0c"
#define DAEMON_FD 3

static const char *transport; /* of both */
static char dir[64], self[PATH_MAX];

/* ---- what a worker says ---------------------------------------------------------------------- */

static void say(struct proto_session *s, enum proto_report kind)
{
	static const uint8_t token[PROTO_TOKEN_BYTES];
	Romulus__Report report = ROMULUS__REPORT__INIT;
	struct why why;

	report.kind = kind;
	report.domain = "db";
	report.uuid = UUID;
	report.type = "pvh";
	report.hypervisor = "4.17";
	report.memory_kb = 65536;
	report.port = 7;
	report.token = (ProtobufCBinaryData){sizeof(token), (uint8_t *)token};
	proto_session_send(s, PROTO_REPORT, &report.base, UINT64_MAX, &why);
}

static bool is_file(const char *path, const char *suffix)
{
	char file[PATH_MAX];

	snprintf(file, sizeof(file), "%s.%s", path, suffix);
	return access(file, F_OK) == 0;
}

/* True: that was its last word. */
static bool obey(struct proto_session *s, const char *path, enum proto_order order)
{
	switch (order) {
	case PROTO_ORDER_CONNECT:
		say(s, PROTO_REPORT_PROTECTED);
		return false;
	case PROTO_ORDER_MOVE:
		say(s, is_file(path, "loses") ? PROTO_REPORT_LOST : PROTO_REPORT_COMPLETE);
		return false;
	case PROTO_ORDER_TAKEOVER:
		say(s, is_file(path, "fails") ? PROTO_REPORT_FAILED : PROTO_REPORT_RUNNING);
		return true;
	default:
		say(s, PROTO_REPORT_DONE);
		return true;
	}
}

/*
 * A file LIBEXEC/WORKER.silent keeps it from saying anything, .loses has it lose its stream in the
 * last epoch, .fails fail in a takeover.
 */
static int be_worker(const char *path, int argc, char **argv)
{
	const bool primary = strstr(path, "primary");
	struct proto_session *s;
	struct proto_frame frame;
	struct why why;

	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--repair") == 0 || strcmp(argv[i], "--discard") == 0)
			return 0;
	s = proto_session_new(DAEMON_FD);
	if (!s)
		return 1;
	if (!is_file(path, "silent")) {
		say(s, primary ? PROTO_REPORT_FOUND : PROTO_REPORT_LISTENING);
		if (!primary)
			say(s, PROTO_REPORT_PROTECTED);
	}
	while (proto_session_receive(s, UINT64_MAX, &frame, &why) > 0)
		if (obey(s, path, ((const Romulus__Order *)frame.message)->kind))
			break;
	proto_session_free(s);
	return 0;
}

/* ---- a host ---------------------------------------------------------------------------------- */

/* @more: in the peer's section; @top: outside of it. */
static void configure(const struct host *h, const char *more, const char *top)
{
	CLEANUP_FCLOSE FILE *f = fopen(rig_path(h, "conf"), "we");

	assert_non_null(f);
	fprintf(f,
		"host = \"%s\"\ntransport = \"%s\"\nport = %u\ndead-after = 10000\n"
		"reprotect-delay = 100\nstate-dir = "
		"\"%s\"\n"
		"pki-dir = \"%s\"\nrun-dir = \"%s\"\nxendomains = \"%s\"\npeer \"%s\" {\n"
		"path \"a\" { local = \"%s\" remote = \"%s\" }\n%s\n}\n%s\n",
		h->name, transport, rig_port, rig_path(h, "state"), rig_path(h, "pki"),
		rig_path(h, "run"), rig_path(h, "xendomains"), h->peer, h->address, h->peer_address,
		more, top);
}

static void expect_in(const char *text, const char *expect)
{
	if (!strstr(text, expect))
		fail_msg("not \"%s\": %s", expect, text);
}

#define PROTECT(host)                                                                              \
	daemon_ask(host, "{\"command\":\"protect\",\"domain\":\"db\",\"host\":\"beta\"}\n")
#define MIGRATE(host, to, more)                                                                    \
	daemon_ask(                                                                                \
		host, "{\"command\":\"migrate\",\"domain\":\"db\",\"host\":\"" to "\"" more "}\n")
#define UNPROTECT(host) daemon_ask(host, "{\"command\":\"unprotect\",\"domain\":\"db\"}\n")

static void both_up(void)
{
	daemon_run(&host_alpha);
	daemon_run(&host_beta);
	daemon_await(&host_alpha, "\"alive\":true");
	daemon_await(&host_beta, "\"alive\":true");
}

static void prepare_host(const struct host *h)
{
	rig_shell(
		"cd %s && mkdir -p %s/auto %s/libexec && cd %s && ln -s %s libexec/romulus-primary "
		"&& "
		"ln -s %s libexec/romulus-backup && echo XENDOMAINS_AUTO=$PWD/auto >xendomains",
		dir, h->name, h->name, h->name, self, self);
	configure(h, "", "");
}

static int begin(void **state)
{
	transport = "plain";
	strcpy(dir, "/tmp/romulus-daemon-XXXXXX");
	assert_non_null(mkdtemp(dir));
	prepare_host(&host_alpha);
	prepare_host(&host_beta);
	return 0;
}

static int finish(void **state)
{
	daemon_rig_finish();
	rig_shell("rm -rf %s", dir);
	return 0;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void a_guest_is_protected_and_let_go(void **state)
{
	CLEANUP_FREE char *text = NULL, *after = NULL;

	both_up();
	text = daemon_answer(PROTECT(&host_alpha));
	expect_in(text, "{\"exit\":0}");
	daemon_await(&host_beta, "\"name\":\"db\"");
	after = daemon_answer(UNPROTECT(&host_alpha));
	expect_in(after, "{\"exit\":0}");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* While the worker looks at the guest, and while the backup makes up its mind. */
static void an_attempt_can_be_called_off(void **state)
{
	static const char *const silent[] = {
		"alpha/libexec/romulus-primary", "beta/libexec/romulus-backup"};
	static const char *const states[] = {"\"state\":\"checking\"", "\"state\":\"preparing\""};

	both_up();
	for (size_t i = 0; i < ARRAY_SIZE(silent); i++) {
		CLEANUP_FREE char *called_off = NULL, *protect = NULL, *later = NULL,
				  *end_it = NULL;
		int asked;

		rig_shell("touch %s/%s.silent", dir, silent[i]);
		asked = PROTECT(&host_alpha);
		daemon_await(&host_alpha, states[i]);
		called_off = daemon_answer(UNPROTECT(&host_alpha));
		expect_in(called_off, "\"exit\":0");
		expect_in(called_off, "called off");
		protect = daemon_answer(asked);
		expect_in(protect, "\"exit\":1");
		daemon_await(&host_alpha, "\"domains\":[]"); /* forgotten, nothing is tried again */
		rig_shell("rm %s/%s.silent", dir, silent[i]);
		if (i == 1)
			break;
		later = daemon_answer(PROTECT(&host_alpha));
		expect_in(later, "{\"exit\":0}");
		end_it = daemon_answer(UNPROTECT(&host_alpha));
		expect_in(end_it, "{\"exit\":0}");
	}
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* On either host: the backup would run a second one when it boots. */
static void what_xendomains_starts_is_not_protected(void **state)
{
	CLEANUP_FREE char *here = NULL, *there = NULL, *none = NULL;

	both_up();
	rig_shell("echo 'name = \"db\"' >%s", rig_path(&host_alpha, "auto/db"));
	here = daemon_answer(PROTECT(&host_alpha));
	expect_in(here, "\"exit\":4");
	expect_in(here, "alpha/auto/db");
	rig_shell("mv %s %s", rig_path(&host_alpha, "auto/db"), rig_path(&host_beta, "auto/db"));
	there = daemon_answer(PROTECT(&host_alpha));
	expect_in(there, "\"exit\":5");
	expect_in(there, "beta/auto/db");
	unlink(rig_path(&host_beta, "auto/db"));
	none = daemon_answer(PROTECT(&host_alpha));
	expect_in(none, "{\"exit\":0}");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

static void restart_beta(const char *more, const char *top)
{
	daemon_end(&host_beta);
	configure(&host_beta, more, top);
	daemon_run(&host_beta);
	daemon_await(&host_beta, "\"alive\":true");
	daemon_await(&host_alpha, "\"alive\":true");
}

#define ETCD(prefix) "etcd { endpoints = { \"http://127.0.0.1:1\" } prefix = \"" prefix "\" }\n"

static void hosts_that_decide_differently_do_not_pair(void **state)
{
	CLEANUP_FREE char *kind = NULL, *prefix = NULL, *good = NULL;

	configure(&host_alpha, "arbiter = \"etcd\"", ETCD("/romulus"));
	both_up();
	kind = daemon_answer(PROTECT(&host_alpha));
	expect_in(kind, "\"exit\":5");
	expect_in(kind, "arbiter is \\\"manual\\\" on beta and \\\"etcd\\\" on alpha");
	restart_beta("arbiter = \"etcd\"", ETCD("/elsewhere"));
	prefix = daemon_answer(PROTECT(&host_alpha));
	expect_in(prefix, "\"exit\":5");
	expect_in(prefix, "/elsewhere");
	restart_beta("arbiter = \"etcd\"", ETCD("/romulus"));
	good = daemon_answer(PROTECT(&host_alpha));
	expect_in(good, "{\"exit\":0}");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* Where there is no hypervisor it is said, and the rest goes on. */
static void a_watchdog_that_is_not_to_be_had_is_said(void **state)
{
	const bool xen = access("/dev/xen/privcmd", F_OK) == 0;

	configure(&host_alpha, "", "watchdog = \"hypervisor\"");
	daemon_run(&host_alpha);
	daemon_await(&host_alpha, xen ? "\"watchdog\":\"not armed\"" : "\"watchdog\":\"failed\"");
	daemon_end(&host_alpha);
}

/* ---- switchover -------------------------------------------------------------------------------
 */

static void protect_db(void)
{
	CLEANUP_FREE char *text = daemon_answer(PROTECT(&host_alpha));

	expect_in(text, "{\"exit\":0}");
	daemon_await(&host_beta, "\"state\":\"ready\"");
}

static unsigned int count_events(const struct host *h, const char *text);

/* There and back: each time it is protected again by the host that it came from. */
static void a_guest_is_moved_and_moved_back(void **state)
{
	CLEANUP_FREE char *there = NULL, *again = NULL, *back = NULL;

	both_up();
	protect_db();
	there = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(there, "{\"exit\":0}");
	expect_in(there, "\"stage\"");
	assert_int_equal(count_events(&host_beta, "\"running\""), 1); /* before that was said */
	assert_int_equal(count_events(&host_alpha, "\"handed-over\""), 1);
	daemon_await(&host_beta, "\"state\":\"protected\"");
	daemon_await(&host_alpha, "\"state\":\"ready\"");
	again = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(again, "\"exit\":9");
	expect_in(again, "run this on beta");
	back = daemon_answer(MIGRATE(&host_beta, "alpha", ""));
	expect_in(back, "{\"exit\":0}");
	daemon_await(&host_alpha, "\"state\":\"protected\"");
	daemon_await(&host_beta, "\"state\":\"ready\"");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* Who moves a protected guest wants it protected, which is more than `reprotect` says of failures.
 */
static void a_move_reverses_what_is_not_protected_again_by_itself(void **state)
{
	CLEANUP_FREE char *moved = NULL;

	configure(&host_beta, "", "domain \"db\" { reprotect = \"manual\" }");
	both_up();
	protect_db();
	moved = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(moved, "{\"exit\":0}");
	daemon_await(&host_beta, "\"state\":\"protected\"");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* The wish is the operator's of the host that it leaves; another one may protect it later. */
static void a_guest_is_moved_without_protection(void **state)
{
	CLEANUP_FREE char *moved = NULL, *protect = NULL;

	both_up();
	protect_db();
	moved = daemon_answer(MIGRATE(&host_alpha, "beta", ",\"protect\":false"));
	expect_in(moved, "{\"exit\":0}");
	daemon_await(&host_beta, "\"state\":\"taken-over\"");
	daemon_end(&host_beta); /* nor does a restart protect it */
	daemon_run(&host_beta);
	daemon_await(&host_beta, "\"alive\":true");
	daemon_await(&host_beta, "\"state\":\"taken-over\"");
	assert_int_equal(count_events(&host_beta, "protect-begin"), 0);
	protect = daemon_answer(daemon_ask(
		&host_beta, "{\"command\":\"protect\",\"domain\":\"db\",\"host\":\"alpha\"}\n"));
	expect_in(protect, "{\"exit\":0}");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

static void what_cannot_be_moved_is_left_alone(void **state)
{
	CLEANUP_FREE char *unknown = NULL, *host = NULL, *backup = NULL, *status = NULL;

	both_up();
	unknown = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(unknown, "\"exit\":3");
	protect_db();
	host = daemon_answer(MIGRATE(&host_alpha, "gamma", ""));
	expect_in(host, "\"exit\":3");
	expect_in(host, "gamma is no configured peer");
	backup = daemon_answer(MIGRATE(&host_beta, "alpha", ""));
	expect_in(backup, "\"exit\":9");
	expect_in(backup, "run this on alpha");
	status = daemon_command(&host_alpha, "{\"command\":\"status\"}\n");
	expect_in(status, "\"state\":\"protected\"");
	assert_int_equal(count_events(&host_alpha, "\"moving\""), 0);
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* Before anything is promised: the guest goes on here, and is protected again. */
static void a_move_that_loses_its_stream_changes_nothing(void **state)
{
	CLEANUP_FREE char *moved = NULL;

	both_up();
	protect_db();
	rig_shell("touch %s", rig_path(&host_alpha, "libexec/romulus-primary.loses"));
	moved = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(moved, "\"exit\":1");
	assert_int_equal(count_events(&host_alpha, "\"handed-over\""), 0);
	assert_int_equal(count_events(&host_beta, "\"running\""), 0);
	daemon_await(&host_alpha, "\"state\":\"protected\"");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

static void a_move_whose_takeover_fails_says_so(void **state)
{
	CLEANUP_FREE char *moved = NULL;

	both_up();
	protect_db();
	rig_shell("touch %s", rig_path(&host_beta, "libexec/romulus-backup.fails"));
	moved = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(moved, "\"exit\":1");
	expect_in(moved, "could not start it");
	daemon_await(&host_beta, "\"state\":\"broken\"");
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* Nobody is kept waiting for it; but what was promised holds when it is heard again. */
static void a_silent_backup_may_have_what_it_was_handed(void **state)
{
	CLEANUP_FREE char *moved = NULL, *again = NULL, *unprotect = NULL;
	int mover;

	both_up();
	protect_db();
	kill(host_beta.pid, SIGSTOP);
	mover = MIGRATE(&host_alpha, "beta", "");
	daemon_await(&host_alpha, "\"state\":\"handed-over\"");
	unprotect = daemon_answer(UNPROTECT(&host_alpha)); /* which does not disturb who waits */
	expect_in(unprotect, "\"exit\":9");
	moved = daemon_answer(mover);
	expect_in(moved, "\"exit\":6");
	expect_in(moved, "may have run it");
	again = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(again, "\"exit\":9");
	kill(host_beta.pid, SIGCONT);
	daemon_await(&host_beta, "\"state\":\"protected\"");
	assert_int_equal(count_events(&host_alpha, "\"taken-back\""), 0);
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* It is gone for good, and a person accepts what that means. */
static void what_was_handed_to_a_lost_backup_is_taken_back_by_an_operator(void **state)
{
	CLEANUP_FREE char *moved = NULL, *early = NULL, *failover = NULL;

	both_up();
	protect_db();
	kill(host_beta.pid, SIGSTOP);
	early = daemon_command(&host_alpha, "{\"command\":\"failover\",\"domain\":\"db\"}\n");
	expect_in(early, "\"exit\":9");
	moved = daemon_answer(MIGRATE(&host_alpha, "beta", ",\"protect\":false"));
	expect_in(moved, "\"exit\":6");
	failover = daemon_command(&host_alpha, "{\"command\":\"failover\",\"domain\":\"db\"}\n");
	expect_in(failover, "\"exit\":");
	daemon_await(&host_alpha, "\"state\":\"solo\"");
	assert_int_equal(count_events(&host_alpha, "\"taken-back\""), 1);
	daemon_end(&host_alpha);
}

static void nothing_is_moved_to_a_host_that_is_not_heard(void **state)
{
	CLEANUP_FREE char *moved = NULL;

	both_up();
	protect_db();
	kill(host_beta.pid, SIGSTOP);
	daemon_await(&host_alpha, "\"alive\":false");
	moved = daemon_answer(MIGRATE(&host_alpha, "beta", ""));
	expect_in(moved, "\"exit\":6");
	expect_in(moved, "not heard");
	daemon_await(&host_alpha, "\"state\":\"protected\"");
	daemon_end(&host_alpha);
}

/* A restart keeps the promise: the guest stands there, and only the backup's word moves it on. */
static void a_promise_to_hand_over_survives_a_restart(void **state)
{
	struct failover_record r = {.name = "db",
		.uuid = UUID,
		.peer = "beta",
		.generation = 7,
		.role = PROTO_ROLE_PRIMARY,
		.decision = FAILOVER_DECISION_HANDED,
		.intent = true};
	struct why why;

	failover_boot_id(r.boot);
	rig_shell("mkdir -p %s/domains %s/domains", rig_path(&host_alpha, "state"),
		rig_path(&host_beta, "state"));
	assert_int_equal(failover_state_save(rig_path(&host_alpha, "state"), &r, &why), 0);
	daemon_run(&host_alpha);
	daemon_await(&host_alpha, "\"state\":\"handed-over\"");
	/* Beta had its standby then, which its romulusd has lost: so it lets go. */
	snprintf(r.peer, sizeof(r.peer), "alpha");
	r.role = PROTO_ROLE_BACKUP;
	r.decision = FAILOVER_DECISION_NONE;
	assert_int_equal(failover_state_save(rig_path(&host_beta, "state"), &r, &why), 0);
	daemon_run(&host_beta);
	daemon_await(&host_alpha, "\"state\":\"protected\"");
	assert_int_equal(count_events(&host_alpha, "\"taken-back\""), 1);
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
}

/* ---- certificates -----------------------------------------------------------------------------
 */

static struct cluster write_certificates(void)
{
	const struct proto_pki_validity validity = proto_pki_ten_years(time(NULL));
	struct cluster c = cluster_new();

	cluster_write(&c, rig_path(&host_alpha, "pki"), "alpha", validity);
	cluster_write(&c, rig_path(&host_beta, "pki"), "beta", validity);
	return c;
}

static unsigned int count_events(const struct host *h, const char *text)
{
	CLEANUP_FREE char *events = daemon_command(h, "{\"command\":\"events\"}\n");
	unsigned int n = 0;

	for (const char *p = events; (p = strstr(p, text)); p++)
		n++;
	return n;
}

static void reload(const struct host *h, const char *says)
{
	const unsigned int before = count_events(h, says);
	const uint64_t last = clock_now_ns() + RIG_PATIENCE;

	kill(h->pid, SIGHUP);
	while (count_events(h, says) == before && clock_now_ns() < last)
		usleep(10000);
	assert_int_equal(count_events(h, says), before + 1);
}

/* What @h says of its peer: the forged heartbeats so far, and how long ago a good one came. */
static void hears(const struct host *h, json_int_t *ret_forged, json_int_t *ret_silent_ms)
{
	CLEANUP_FREE char *text = daemon_command(h, "{\"command\":\"status\"}\n");
	json_t *j = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);

	assert_int_equal(
		json_unpack(j, "{s:{s:[{s:I, s:[{s:I}]}]}}", "status", "peers", "heartbeats_forged",
			ret_forged, "paths", "silent_ms", ret_silent_ms),
		0);
	json_decref(j);
}

/* Each understands what the other says after this moment: several heartbeats, and every one. */
static void nobody_falls_silent(void)
{
	const uint64_t start = clock_now_ns(), last = start + RIG_PATIENCE;

	for (struct host *h = &host_alpha; h; h = h == &host_alpha ? &host_beta : NULL) {
		json_int_t forged, silent, passed;

		do {
			usleep(10000);
			hears(h, &forged, &silent);
			assert_int_equal(forged, 0);
			passed = (json_int_t)((clock_now_ns() - start) / NSEC_PER_MSEC);
		} while (silent + 500 > passed && clock_now_ns() < last);
		assert_true(silent + 500 <= passed);
	}
}

static void all_is_well(void)
{
	CLEANUP_FREE char *protect = daemon_answer(PROTECT(&host_alpha)), *unprotect = NULL;

	expect_in(protect, "{\"exit\":0}");
	unprotect = daemon_answer(UNPROTECT(&host_alpha));
	expect_in(unprotect, "{\"exit\":0}");
}

static void under_tls(void)
{
	transport = "tls";
	configure(&host_alpha, "", "");
	configure(&host_beta, "", "");
	rig_shell("mkdir %s %s", rig_path(&host_alpha, "pki"), rig_path(&host_beta, "pki"));
}

static void new_certificates_are_taken_without_a_break(void **state)
{
	CLEANUP_FREE char *protect = NULL, *unprotect = NULL;
	struct cluster old, new;

	under_tls();
	old = write_certificates();
	both_up();
	protect = daemon_answer(PROTECT(&host_alpha));
	expect_in(protect, "{\"exit\":0}");
	new = write_certificates(); /* of another CA, with another heartbeat key */
	reload(&host_alpha, "read again from");
	nobody_falls_silent();
	reload(&host_beta, "read again from");
	nobody_falls_silent();
	daemon_await(&host_alpha, "\"protected\":true");
	assert_int_equal(count_events(&host_alpha, "protect-begin"), 1); /* all the time */
	unprotect = daemon_answer(UNPROTECT(&host_alpha));
	expect_in(unprotect, "{\"exit\":0}");
	all_is_well();
	daemon_end(&host_alpha); /* from here on it has nothing but the new ones */
	daemon_run(&host_alpha);
	daemon_await(&host_alpha, "\"alive\":true");
	daemon_await(&host_beta, "\"alive\":true");
	all_is_well();
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
	cluster_free(&old);
	cluster_free(&new);
}

/* It has nothing but the new key, and has not heard yet what this one would say with it. */
static void a_peer_that_restarts_while_keys_change_is_heard(void **state)
{
	struct cluster old, new;

	under_tls();
	old = write_certificates();
	both_up();
	new = write_certificates();
	reload(&host_alpha, "read again from");
	daemon_end(&host_beta);
	daemon_run(&host_beta);
	daemon_await(&host_beta, "\"alive\":true");
	daemon_await(&host_alpha, "\"alive\":true");
	all_is_well();
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
	cluster_free(&old);
	cluster_free(&new);
}

static void a_bad_certificate_is_not_taken(void **state)
{
	struct cluster c, again;

	under_tls();
	c = write_certificates();
	both_up();
	all_is_well();
	rig_shell("echo nonsense >%s", rig_path(&host_alpha, "pki/host.pem"));
	reload(&host_alpha, "the old certificate stays in use");
	all_is_well();
	rig_shell("cp %s %s", rig_path(&host_beta, "pki/host.pem"),
		rig_path(&host_alpha, "pki/host.pem"));
	reload(&host_alpha, "the old certificate stays in use");
	all_is_well();
	/* Two changes at once: beta would know neither key. */
	again = write_certificates();
	reload(&host_alpha, "read again from");
	cluster_free(&again);
	again = write_certificates();
	reload(&host_alpha, "beta has not got the heartbeat key");
	nobody_falls_silent();
	daemon_end(&host_alpha);
	daemon_end(&host_beta);
	cluster_free(&c);
	cluster_free(&again);
}

static int set_up(void **state)
{
	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	daemon_rig_begin(dir);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, finish)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_guest_is_protected_and_let_go),
		TEST(an_attempt_can_be_called_off),
		TEST(what_xendomains_starts_is_not_protected),
		TEST(hosts_that_decide_differently_do_not_pair),
		TEST(a_watchdog_that_is_not_to_be_had_is_said),
		TEST(a_guest_is_moved_and_moved_back),
		TEST(a_move_reverses_what_is_not_protected_again_by_itself),
		TEST(a_guest_is_moved_without_protection),
		TEST(what_cannot_be_moved_is_left_alone),
		TEST(a_move_that_loses_its_stream_changes_nothing),
		TEST(a_move_whose_takeover_fails_says_so),
		TEST(a_silent_backup_may_have_what_it_was_handed),
		TEST(what_was_handed_to_a_lost_backup_is_taken_back_by_an_operator),
		TEST(nothing_is_moved_to_a_host_that_is_not_heard),
		TEST(a_promise_to_hand_over_survives_a_restart),
		TEST(new_certificates_are_taken_without_a_break),
		TEST(a_peer_that_restarts_while_keys_change_is_heard),
		TEST(a_bad_certificate_is_not_taken),
	};

	if (strstr(argv[0], "/libexec/"))
		return be_worker(argv[0], argc, argv);
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, set_up, NULL);
}
