/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/etcd_rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

char rig_dir[] = "/tmp/romulus-etcd-XXXXXX";
static uint16_t client_port[RIG_MEMBERS], peer_port[RIG_MEMBERS];
static pid_t member[RIG_MEMBERS];
char rig_endpoint[RIG_MEMBERS][64];
static char ca[64], certificate[64], key[64];
static char *endpoints[RIG_MEMBERS] = {rig_endpoint[0], rig_endpoint[1], rig_endpoint[2]};
struct failover_etcd_config rig_conf = {.endpoints = endpoints,
	.endpoints_n = RIG_MEMBERS,
	.prefix = (char *)"/romulus",
	.ca = ca,
	.certificate = certificate,
	.key = key,
	.timeout_ms = 20000}; /* a busy machine elects again and again */
sd_event *rig_event;

/* ---- the cluster ----------------------------------------------------------------------------- */

/* etcd's gateway is a client of its own member: the certificate must be good for both sides. */
static void make_certificate(const char *authority, const char *name)
{
	rig_shell("cd %s && certtool --generate-privkey --ecc --outfile %s.key 2>>certtool.log && "
		  "printf 'cn = %s\\nip_address = 127.0.0.1\\nexpiration_days = 1\\n"
		  "tls_www_server\\ntls_www_client\\nsigning_key\\n' >%s.cfg && "
		  "certtool --generate-certificate --load-privkey %s.key --load-ca-certificate "
		  "%s.pem --load-ca-privkey %s.key --template %s.cfg --outfile %s.pem "
		  "2>>certtool.log",
		rig_dir, name, name, name, name, authority, authority, name, name);
}

static void make_authority(const char *name)
{
	rig_shell("cd %s && certtool --generate-privkey --ecc --outfile %s.key 2>>certtool.log && "
		  "printf 'cn = %s\\nca\\ncert_signing_key\\nexpiration_days = 1\\n' >%s.cfg && "
		  "certtool --generate-self-signed --load-privkey %s.key --template %s.cfg "
		  "--outfile %s.pem 2>>certtool.log",
		rig_dir, name, name, name, name, name, name);
}

void rig_start(unsigned int i)
{
	char name[8], data[96], log[96], clients[64], peers[64], cluster[256];
	char server[64], server_key[64];
	sigset_t all;
	int fd;

	sigfillset(&all);
	snprintf(name, sizeof(name), "m%u", i);
	snprintf(data, sizeof(data), "%s/m%u", rig_dir, i);
	snprintf(log, sizeof(log), "%s/m%u.log", rig_dir, i);
	snprintf(server, sizeof(server), "%s/server.pem", rig_dir);
	snprintf(server_key, sizeof(server_key), "%s/server.key", rig_dir);
	snprintf(clients, sizeof(clients), "https://127.0.0.1:%u", client_port[i]);
	snprintf(peers, sizeof(peers), "http://127.0.0.1:%u", peer_port[i]);
	snprintf(cluster, sizeof(cluster),
		"m0=http://127.0.0.1:%u,m1=http://127.0.0.1:%u,m2=http://127.0.0.1:%u",
		peer_port[0], peer_port[1], peer_port[2]);
	if (member[i])
		return;
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

void rig_kill(unsigned int i)
{
	if (!member[i])
		return;
	kill(member[i], SIGKILL);
	waitpid(member[i], NULL, 0);
	member[i] = 0;
}

/* ---- asking ---------------------------------------------------------------------------------- */

void rig_note(void *data, const struct failover_etcd_answer *answer, const struct why *why)
{
	struct rig_outcome *o = data;

	*o = (struct rig_outcome){.done = true, .answered = answer != NULL, .why = *why};
	if (answer)
		o->answer = *answer;
}

void rig_wait(const bool *done)
{
	const uint64_t end = clock_now_ns() + RIG_PATIENCE;

	while (!*done && clock_now_ns() < end)
		sd_event_run(rig_event, 100000);
	assert_true(*done);
}

struct failover_etcd_entry rig_entry(const char *host, uint64_t generation)
{
	struct failover_etcd_entry e = {.domain = "db",
		.uuid = RIG_UUID,
		.generation = generation,
		.word = strcmp(host, "alpha") == 0 ? FAILOVER_DECISION_SOLO
						   : FAILOVER_DECISION_TAKEOVER};

	snprintf(e.owner, sizeof(e.owner), "%s", host);
	return e;
}

struct failover_etcd *rig_client(void)
{
	struct failover_etcd *e = NULL;
	struct why why;

	assert_int_equal(failover_etcd_new(rig_event, &rig_conf, &e, &why), 0);
	return e;
}

struct rig_outcome rig_ask(struct failover_etcd *e, const char *host, uint64_t generation,
	enum failover_etcd_operation operation)
{
	const struct failover_etcd_entry entry = rig_entry(host, generation);
	struct failover_etcd_request *r = NULL;
	struct rig_outcome o = {.done = false};
	struct why why;

	assert_int_equal(failover_etcd_ask(e, &entry, operation, rig_note, &o, &r, &why), 0);
	rig_wait(&o.done);
	return o;
}

/* Until a majority answers. */
void rig_await(void)
{
	const uint64_t end = clock_now_ns() + RIG_PATIENCE;
	struct failover_etcd *e = rig_client();
	struct rig_outcome o = {.done = false};

	while (!o.answered && clock_now_ns() < end)
		o = rig_ask(e, "alpha", 0, FAILOVER_ETCD_PROBE);
	if (!o.answered)
		fail_msg("no majority: %s", o.why.text);
	failover_etcd_free(e);
}

int rig_set_up(void **state)
{
	int fd[2 * RIG_MEMBERS];

	assert_non_null(mkdtemp(rig_dir));
	assert_true(sd_event_new(&rig_event) >= 0);
	snprintf(ca, sizeof(ca), "%s/ca.pem", rig_dir);
	snprintf(certificate, sizeof(certificate), "%s/host.pem", rig_dir);
	snprintf(key, sizeof(key), "%s/host.key", rig_dir);
	make_authority("ca");
	make_authority("other");
	make_certificate("ca", "server");
	make_certificate("ca", "host");
	make_certificate("other", "stranger");
	for (unsigned int i = 0; i < RIG_MEMBERS; i++) {
		client_port[i] = rig_free_port(&fd[2 * i]);
		peer_port[i] = rig_free_port(&fd[2 * i + 1]);
		snprintf(rig_endpoint[i], sizeof(rig_endpoint[i]), "https://127.0.0.1:%u",
			client_port[i]);
	}
	for (unsigned int i = 0; i < 2 * RIG_MEMBERS; i++)
		close(fd[i]);
	for (unsigned int i = 0; i < RIG_MEMBERS; i++)
		rig_start(i);
	rig_await();
	return 0;
}

int rig_tear_down(void **state)
{
	for (unsigned int i = 0; i < RIG_MEMBERS; i++)
		rig_kill(i);
	sd_event_unref(rig_event);
	rig_shell("rm -rf %s", rig_dir);
	return 0;
}
