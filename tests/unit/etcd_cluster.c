/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client and the arbiter against three members of a real etcd on loopback, with TLS and
 * certificates made here. Members and clients are killed.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "failover/arbiter.h"

#define MEMBERS 3u
#define PATIENCE (30 * NSEC_PER_SEC) /* a loaded machine; nothing waits for it to pass */
#define UUID "12345678-9abc-def0-1234-56789abcdef0"
#define GENERATIONS 200u

static char dir[] = "/tmp/romulus-etcd-XXXXXX";
static uint16_t client_port[MEMBERS], peer_port[MEMBERS];
static pid_t member[MEMBERS];
static char endpoint[MEMBERS][64], ca[64], other_ca[64], certificate[64], key[64];
static char *endpoints[MEMBERS] = {endpoint[0], endpoint[1], endpoint[2]};
static struct failover_etcd_config conf = {.endpoints = endpoints,
	.endpoints_n = MEMBERS,
	.prefix = (char *)"/romulus",
	.ca = ca,
	.certificate = certificate,
	.key = key,
	.timeout_ms = 2000};
static const struct failover_timeouts timeouts = {
	.etcd_first = 20, .etcd_last = 100, .fence_first = 50, .fence_last = 50};
static sd_event *event;
static uint64_t next_generation = 1;

/* ---- the cluster ----------------------------------------------------------------------------- */

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (system(line) != 0)
		fail_msg("failed: %s", line);
}

/* etcd's gateway is a client of its own member: the certificate must be good for both sides. */
static void make_certificate(const char *authority, const char *name)
{
	shell("cd %s && certtool --generate-privkey --ecc --outfile %s.key 2>>certtool.log && "
	      "printf 'cn = %s\\nip_address = 127.0.0.1\\nexpiration_days = 1\\n"
	      "tls_www_server\\ntls_www_client\\nsigning_key\\n' >%s.cfg && "
	      "certtool --generate-certificate --load-privkey %s.key --load-ca-certificate "
	      "%s.pem --load-ca-privkey %s.key --template %s.cfg --outfile %s.pem "
	      "2>>certtool.log",
		dir, name, name, name, name, authority, authority, name, name);
}

static void make_authority(const char *name)
{
	shell("cd %s && certtool --generate-privkey --ecc --outfile %s.key 2>>certtool.log && "
	      "printf 'cn = %s\\nca\\ncert_signing_key\\nexpiration_days = 1\\n' >%s.cfg && "
	      "certtool --generate-self-signed --load-privkey %s.key --template %s.cfg "
	      "--outfile %s.pem 2>>certtool.log",
		dir, name, name, name, name, name, name);
}

static uint16_t free_port(int *ret_fd)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);

	*ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(*ret_fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(*ret_fd, (struct sockaddr *)&a, &n), 0);
	return ntohs(a.sin_port);
}

static void start(unsigned int i)
{
	char name[8], data[96], log[96], clients[64], peers[64], cluster[256];
	char server[64], server_key[64];
	sigset_t all;
	int fd;

	sigfillset(&all);
	snprintf(name, sizeof(name), "m%u", i);
	snprintf(data, sizeof(data), "%s/m%u", dir, i);
	snprintf(log, sizeof(log), "%s/m%u.log", dir, i);
	snprintf(server, sizeof(server), "%s/server.pem", dir);
	snprintf(server_key, sizeof(server_key), "%s/server.key", dir);
	snprintf(clients, sizeof(clients), "https://127.0.0.1:%u", client_port[i]);
	snprintf(peers, sizeof(peers), "http://127.0.0.1:%u", peer_port[i]);
	snprintf(cluster, sizeof(cluster),
		"m0=http://127.0.0.1:%u,m1=http://127.0.0.1:%u,m2=http://127.0.0.1:%u",
		peer_port[0], peer_port[1], peer_port[2]);
	member[i] = fork();
	if (member[i] > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(fd, 1);
	dup2(fd, 2);
	execlp("etcd", "etcd", "--name", name, "--data-dir", data, "--listen-client-urls", clients,
		"--advertise-client-urls", clients, "--listen-peer-urls", peers,
		"--initial-advertise-peer-urls", peers, "--initial-cluster", cluster, "--cert-file",
		server, "--key-file", server_key, "--trusted-ca-file", ca, "--client-cert-auth",
		"--heartbeat-interval", "50", "--election-timeout", "500", NULL);
	_exit(127);
}

static void stop(unsigned int i)
{
	if (!member[i])
		return;
	kill(member[i], SIGKILL);
	waitpid(member[i], NULL, 0);
	member[i] = 0;
}

/* ---- asking ---------------------------------------------------------------------------------- */

struct outcome {
	bool done, answered;
	struct failover_etcd_answer answer;
	struct why why;
};

static void note(void *data, const struct failover_etcd_answer *answer, const struct why *why)
{
	struct outcome *o = data;

	*o = (struct outcome){.done = true, .answered = answer != NULL, .why = *why};
	if (answer)
		o->answer = *answer;
}

static void wait_for(const bool *done)
{
	const uint64_t end = clock_now_ns() + PATIENCE;

	while (!*done && clock_now_ns() < end)
		sd_event_run(event, 100000);
	assert_true(*done);
}

static struct failover_etcd_entry entry_of(const char *host, uint64_t generation)
{
	struct failover_etcd_entry e = {.domain = "db",
		.uuid = UUID,
		.generation = generation,
		.word = strcmp(host, "alpha") == 0 ? FAILOVER_DECISION_SOLO
						   : FAILOVER_DECISION_TAKEOVER};

	snprintf(e.owner, sizeof(e.owner), "%s", host);
	return e;
}

static struct failover_etcd *client(void)
{
	struct failover_etcd *e = NULL;
	struct why why;

	assert_int_equal(failover_etcd_new(event, &conf, &e, &why), 0);
	return e;
}

static struct outcome ask(struct failover_etcd *e, const char *host, uint64_t generation,
	enum failover_etcd_operation operation)
{
	const struct failover_etcd_entry entry = entry_of(host, generation);
	struct failover_etcd_request *r = NULL;
	struct outcome o = {.done = false};
	struct why why;

	assert_int_equal(failover_etcd_ask(e, &entry, operation, note, &o, &r, &why), 0);
	wait_for(&o.done);
	return o;
}

/* Until a majority answers. */
static void await_cluster(void)
{
	const uint64_t end = clock_now_ns() + PATIENCE;
	struct failover_etcd *e = client();
	struct outcome o = {.done = false};

	while (!o.answered && clock_now_ns() < end)
		o = ask(e, "alpha", 0, FAILOVER_ETCD_PROBE);
	if (!o.answered)
		fail_msg("no majority: %s", o.why.text);
	failover_etcd_free(e);
}

static int set_up(void **state)
{
	int fd[2 * MEMBERS];

	assert_non_null(mkdtemp(dir));
	assert_true(sd_event_new(&event) >= 0);
	snprintf(ca, sizeof(ca), "%s/ca.pem", dir);
	snprintf(other_ca, sizeof(other_ca), "%s/other.pem", dir);
	snprintf(certificate, sizeof(certificate), "%s/host.pem", dir);
	snprintf(key, sizeof(key), "%s/host.key", dir);
	make_authority("ca");
	make_authority("other");
	make_certificate("ca", "server");
	make_certificate("ca", "host");
	make_certificate("other", "stranger");
	for (unsigned int i = 0; i < MEMBERS; i++) {
		client_port[i] = free_port(&fd[2 * i]);
		peer_port[i] = free_port(&fd[2 * i + 1]);
		snprintf(endpoint[i], sizeof(endpoint[i]), "https://127.0.0.1:%u", client_port[i]);
	}
	for (unsigned int i = 0; i < 2 * MEMBERS; i++)
		close(fd[i]);
	for (unsigned int i = 0; i < MEMBERS; i++)
		start(i);
	await_cluster();
	return 0;
}

static int tear_down(void **state)
{
	for (unsigned int i = 0; i < MEMBERS; i++)
		stop(i);
	sd_event_unref(event);
	shell("rm -rf %s", dir);
	return 0;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void the_first_owns_it_for_good(void **state)
{
	const uint64_t generation = next_generation++;
	struct failover_etcd *e = client();
	struct outcome o = ask(e, "beta", generation, FAILOVER_ETCD_DECIDE);

	assert_int_equal(
		o.answer.owner, FAILOVER_ETCD_NOBODY); /* nothing to decide, nothing made */
	o = ask(e, "alpha", generation, FAILOVER_ETCD_ENTER);
	assert_int_equal(o.answer.owner, FAILOVER_ETCD_OURS);
	for (int i = 0; i < 2; i++) {
		o = ask(e, "beta", generation, FAILOVER_ETCD_ENTER);
		assert_int_equal(o.answer.owner, FAILOVER_ETCD_THEIRS);
		assert_false(o.answer.decided);
		assert_string_equal(o.answer.name, "alpha");
	}
	o = ask(e, "beta", generation, FAILOVER_ETCD_DECIDE);
	assert_int_equal(o.answer.owner, FAILOVER_ETCD_THEIRS);
	o = ask(e, "alpha", generation, FAILOVER_ETCD_DECIDE);
	assert_int_equal(o.answer.owner, FAILOVER_ETCD_OURS);
	o = ask(e, "beta", generation, FAILOVER_ETCD_ENTER);
	assert_int_equal(o.answer.owner, FAILOVER_ETCD_THEIRS);
	assert_true(o.answer.decided);
	o = ask(e, "alpha", generation, FAILOVER_ETCD_ENTER);
	assert_int_equal(o.answer.owner, FAILOVER_ETCD_OURS);
	failover_etcd_free(e);
}

static void of_two_that_race_one_wins(void **state)
{
	struct failover_etcd *e[2] = {client(), client()};
	static const char *const host[2] = {"alpha", "beta"};

	for (uint64_t i = 0; i < GENERATIONS; i++) {
		const uint64_t generation = next_generation++;
		struct outcome o[2] = {{.done = false}, {.done = false}};
		struct failover_etcd_request *r = NULL;
		struct why why;

		e[i % 2] = failover_etcd_free(e[i % 2]); /* at another member first */
		endpoints[0] = endpoint[i % MEMBERS];
		endpoints[i % MEMBERS] = endpoint[0];
		e[i % 2] = client();
		for (uint64_t k = i; k < i + 2; k++) {
			const struct failover_etcd_entry entry = entry_of(host[k % 2], generation);

			assert_int_equal(failover_etcd_ask(e[k % 2], &entry, FAILOVER_ETCD_ENTER,
						 note, &o[k % 2], &r, &why),
				0);
		}
		wait_for(&o[0].done);
		wait_for(&o[1].done);
		for (unsigned int k = 0; k < MEMBERS; k++)
			endpoints[k] = endpoint[k];
		if (!o[0].answered || !o[1].answered)
			fail_msg("%s%s", o[0].why.text, o[1].why.text);
		assert_int_equal((o[0].answer.owner == FAILOVER_ETCD_OURS) +
					 (o[1].answer.owner == FAILOVER_ETCD_OURS),
			1);
		assert_string_equal(o[0].answer.name, o[1].answer.name);
	}
	failover_etcd_free(e[0]);
	failover_etcd_free(e[1]);
}

/* A client of its own process, killed after @us. */
static void ask_and_die(const char *host, uint64_t generation, unsigned int us)
{
	const struct failover_etcd_entry entry = entry_of(host, generation);
	struct failover_etcd_request *r = NULL;
	struct failover_etcd *e = NULL;
	struct outcome o = {.done = false};
	struct why why;
	pid_t pid = fork();

	if (pid == 0) {
		if (sd_event_new(&event) < 0 || failover_etcd_new(event, &conf, &e, &why) < 0 ||
			failover_etcd_ask(e, &entry, FAILOVER_ETCD_ENTER, note, &o, &r, &why) < 0)
			_exit(1);
		while (!o.done)
			sd_event_run(event, UINT64_MAX);
		_exit(0);
	}
	usleep(us); /* any moment will do */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void whoever_is_killed_finds_the_same_owner_again(void **state)
{
	struct failover_etcd *e = client();
	unsigned int entered = 0;

	for (unsigned int i = 0; i < 60; i++) {
		const uint64_t generation = next_generation++;
		struct outcome alpha, beta, again;

		ask_and_die("alpha", generation, i * 500);
		beta = ask(e, "beta", generation, FAILOVER_ETCD_ENTER);
		alpha = ask(e, "alpha", generation, FAILOVER_ETCD_ENTER);
		again = ask(e, "beta", generation, FAILOVER_ETCD_ENTER);
		assert_true(alpha.answered && beta.answered && again.answered);
		assert_string_equal(alpha.answer.name, beta.answer.name);
		assert_string_equal(alpha.answer.name, again.answer.name);
		assert_true((alpha.answer.owner == FAILOVER_ETCD_OURS) !=
			    (beta.answer.owner == FAILOVER_ETCD_OURS));
		entered += alpha.answer.owner == FAILOVER_ETCD_OURS;
	}
	print_message("killed 60 times, entered before that %u times\n", entered);
	failover_etcd_free(e);
}

static void strangers_are_not_asked_and_not_answered(void **state)
{
	static char stranger[64], stranger_key[64];
	struct failover_etcd_config good = conf;
	struct failover_etcd *e;
	struct outcome o;

	snprintf(stranger, sizeof(stranger), "%s/stranger.pem", dir);
	snprintf(stranger_key, sizeof(stranger_key), "%s/stranger.key", dir);
	conf.ca = other_ca; /* the members are none of ours */
	e = client();
	o = ask(e, "alpha", next_generation, FAILOVER_ETCD_ENTER);
	assert_false(o.answered);
	assert_non_null(strstr(o.why.text, "certificate"));
	failover_etcd_free(e);
	conf = good;
	conf.certificate = stranger; /* we are none of theirs */
	conf.key = stranger_key;
	e = client();
	o = ask(e, "alpha", next_generation, FAILOVER_ETCD_ENTER);
	assert_false(o.answered);
	failover_etcd_free(e);
	conf = good;
	e = client();
	o = ask(e, "beta", next_generation++, FAILOVER_ETCD_ENTER); /* nothing was entered */
	assert_int_equal(o.answer.owner, FAILOVER_ETCD_OURS);
	failover_etcd_free(e);
}

static void a_request_can_be_forgotten(void **state)
{
	const struct failover_etcd_entry entry = entry_of("alpha", next_generation++);
	struct failover_etcd *e = client();
	struct failover_etcd_request *r = NULL;
	struct outcome o = {.done = false};
	struct why why;

	for (int i = 0; i < 20; i++) {
		assert_int_equal(
			failover_etcd_ask(e, &entry, FAILOVER_ETCD_ENTER, note, &o, &r, &why), 0);
		for (int k = 0; k < i && !o.done; k++)
			sd_event_run(event, 0);
		if (!o.done)
			failover_etcd_cancel(r);
		o.done = false;
	}
	o = ask(e, "alpha", entry.generation, FAILOVER_ETCD_ENTER);
	assert_int_equal(o.answer.owner, FAILOVER_ETCD_OURS);
	failover_etcd_free(e);
}

/* ---- the arbiter ----------------------------------------------------------------------------- */

struct side {
	const char *peer;
	struct failover_peer_config conf;
	struct failover_events events;
	struct failover_etcd *etcd;
	struct failover_arbiter arbiter;
	struct failover_claim claim;
	struct failover_question question;
};

static void news(void *data)
{
}

static void side_init(
	struct side *s, bool primary, uint64_t generation, enum failover_arbiter_kind kind)
{
	static struct failover_fence_config fence = {.agent = (char *)"/bin/false", .timeout_s = 1};

	*s = (struct side){.conf = {.name = (char *)(primary ? "beta" : "alpha"),
				   .arbiter = kind,
				   .fences = &fence,
				   .fences_n = 1}};
	s->events.host = primary ? "alpha" : "beta";
	s->etcd = client();
	s->question = (struct failover_question){.domain = "db",
		.uuid = UUID,
		.generation = generation,
		.word = primary ? FAILOVER_DECISION_SOLO : FAILOVER_DECISION_TAKEOVER,
		.as_primary = primary};
	failover_arbiter_init(
		&s->arbiter, event, &s->conf, &timeouts, &s->events, s->etcd, news, s);
}

static void side_dispose(struct side *s)
{
	failover_claim_forget(&s->claim);
	failover_arbiter_dispose(&s->arbiter);
	failover_etcd_free(s->etcd);
	failover_events_clear(&s->events);
}

static enum failover_verdict need(struct side *s)
{
	return failover_arbiter_need(&s->arbiter, &s->claim, &s->question, clock_now_ns());
}

/* As the daemon's tick does it, until the claim is in @state. */
static void need_until(struct side *s, enum failover_claim_state state)
{
	const uint64_t end = clock_now_ns() + PATIENCE;

	while (s->claim.state != state && clock_now_ns() < end) {
		need(s);
		sd_event_run(event, 10000);
	}
	assert_int_equal(s->claim.state, state);
}

static void tell(struct side *s)
{
	const uint64_t end = clock_now_ns() + PATIENCE;

	while (s->claim.state != FAILOVER_CLAIM_TOLD && clock_now_ns() < end) {
		failover_arbiter_decided(&s->arbiter, &s->claim, &s->question, clock_now_ns());
		sd_event_run(event, 10000);
	}
	assert_int_equal(s->claim.state, FAILOVER_CLAIM_TOLD);
}

static void the_loser_hears_when_the_winner_acts(void **state)
{
	struct side alpha, beta;
	char text[WHY_MAX];

	side_init(&alpha, true, next_generation, FAILOVER_ARBITER_ETCD);
	side_init(&beta, false, next_generation++, FAILOVER_ARBITER_ETCD);
	need_until(&beta, FAILOVER_CLAIM_OURS);
	assert_int_equal(need(&beta), FAILOVER_VERDICT_GRANTED);
	need_until(&alpha, FAILOVER_CLAIM_DISPUTED);
	assert_int_equal(need(&alpha), FAILOVER_VERDICT_WAIT);
	failover_claim_waiting(&alpha.claim, text, sizeof(text));
	assert_non_null(strstr(text, "beta is entered in etcd"));
	tell(&beta);
	need_until(&alpha, FAILOVER_CLAIM_LOST);
	assert_int_equal(need(&alpha), FAILOVER_VERDICT_OTHER);
	alpha.question.generation++; /* that says nothing about the next one */
	assert_int_equal(failover_arbiter_verdict(&alpha.arbiter, &alpha.claim, &alpha.question),
		FAILOVER_VERDICT_WAIT);
	side_dispose(&alpha);
	side_dispose(&beta);
	next_generation++;
}

/* What was decided without the store, by an operator, is told to it all the same. */
static void a_decision_is_entered_where_nothing_was(void **state)
{
	struct side alpha, beta;

	side_init(&alpha, true, next_generation, FAILOVER_ARBITER_ETCD);
	side_init(&beta, false, next_generation++, FAILOVER_ARBITER_ETCD);
	tell(&alpha);
	need_until(&beta, FAILOVER_CLAIM_LOST);
	side_dispose(&alpha);
	side_dispose(&beta);
}

static void with_fence_both_are_needed(void **state)
{
	struct side alpha;

	side_init(&alpha, true, next_generation++, FAILOVER_ARBITER_ETCD_FENCE);
	failover_arbiter_confirm(&alpha.arbiter);
	assert_int_equal(need(&alpha), FAILOVER_VERDICT_WAIT); /* off, and whose it is is open */
	need_until(&alpha, FAILOVER_CLAIM_OURS);
	assert_int_equal(need(&alpha), FAILOVER_VERDICT_GRANTED);
	failover_arbiter_heard(&alpha.arbiter);
	assert_int_equal(need(&alpha), FAILOVER_VERDICT_WAIT); /* ours, and the peer is not off */
	side_dispose(&alpha);
}

static void a_question_that_is_dropped_may_still_come_to_pass(void **state)
{
	struct side alpha;

	side_init(&alpha, true, next_generation++, FAILOVER_ARBITER_ETCD);
	assert_false(failover_claim_forget(&alpha.claim));
	need(&alpha);
	assert_true(failover_claim_forget(&alpha.claim));
	need_until(&alpha, FAILOVER_CLAIM_OURS);
	assert_true(failover_claim_forget(&alpha.claim));
	tell(&alpha);
	assert_false(failover_claim_forget(&alpha.claim));
	side_dispose(&alpha);
}

static void members_die(void **state)
{
	struct side alpha;
	char text[WHY_MAX];

	stop(0); /* the one that is asked first */
	side_init(&alpha, true, next_generation++, FAILOVER_ARBITER_ETCD);
	need_until(&alpha, FAILOVER_CLAIM_OURS);
	side_dispose(&alpha);

	stop(1);
	side_init(&alpha, true, next_generation++, FAILOVER_ARBITER_ETCD);
	for (const uint64_t end = clock_now_ns() + PATIENCE;
		!alpha.claim.text[0] && clock_now_ns() < end;) {
		assert_int_equal(need(&alpha), FAILOVER_VERDICT_WAIT);
		sd_event_run(event, 10000);
	}
	failover_claim_waiting(&alpha.claim, text, sizeof(text));
	assert_non_null(strstr(text, "waiting for etcd, no endpoint answers: https://127.0.0.1:"));
	assert_non_null(strstr(text, endpoint[2]));
	assert_int_equal(need(&alpha), FAILOVER_VERDICT_WAIT);

	start(0);
	start(1);
	need_until(&alpha, FAILOVER_CLAIM_OURS);
	side_dispose(&alpha);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_owns_it_for_good),
		cmocka_unit_test(of_two_that_race_one_wins),
		cmocka_unit_test(whoever_is_killed_finds_the_same_owner_again),
		cmocka_unit_test(strangers_are_not_asked_and_not_answered),
		cmocka_unit_test(a_request_can_be_forgotten),
		cmocka_unit_test(the_loser_hears_when_the_winner_acts),
		cmocka_unit_test(a_decision_is_entered_where_nothing_was),
		cmocka_unit_test(with_fence_both_are_needed),
		cmocka_unit_test(a_question_that_is_dropped_may_still_come_to_pass),
		cmocka_unit_test(members_die),
	};

	sigset_t child;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD); /* the loop waits for the fence agent */
	sigprocmask(SIG_BLOCK, &child, NULL);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
