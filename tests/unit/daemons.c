/* SPDX-License-Identifier: GPL-2.0-or-later */
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

#include "common/cleanup.h"
#include "common/why.h"
#include "proto/proto.h"
#include "tests/unit/daemons.h"

#define DAEMON_FD 3

const char *daemons_transport;
static char dir[64], self[PATH_MAX];

/* ---- what a worker says ---------------------------------------------------------------------- */

static void say(struct proto_session *s, enum proto_report kind)
{
	static const uint8_t token[PROTO_TOKEN_BYTES];
	Romulus__Report report = ROMULUS__REPORT__INIT;
	struct why why;

	report.kind = kind;
	report.domain = "db";
	report.uuid = DAEMONS_UUID;
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

static void touch(const char *path, const char *suffix)
{
	CLEANUP_FCLOSE FILE *f = NULL;
	char file[PATH_MAX];

	snprintf(file, sizeof(file), "%s.%s", path, suffix);
	f = fopen(file, "we");
}

/* True: that was its last word. */
static bool obey(struct proto_session *s, const char *path, enum proto_order order)
{
	switch (order) {
	case PROTO_ORDER_CONNECT:
		say(s, is_file(path, "copies")    ? PROTO_REPORT_PROGRESS
			: is_file(path, "breaks") ? PROTO_REPORT_FAILED
						  : PROTO_REPORT_PROTECTED);
		return is_file(path, "breaks");
	case PROTO_ORDER_DRILL:
		touch(path, "drilled");
		return false;
	case PROTO_ORDER_MOVE:
		say(s, is_file(path, "loses") ? PROTO_REPORT_LOST : PROTO_REPORT_COMPLETE);
		return false;
	case PROTO_ORDER_TAKEOVER:
		while (is_file(path, "lingers"))
			usleep(10000);
		touch(path, "took-over");
		say(s, is_file(path, "fails") ? PROTO_REPORT_FAILED : PROTO_REPORT_RUNNING);
		return true;
	default:
		say(s, PROTO_REPORT_DONE);
		return true;
	}
}

static void note_arguments(const char *path, char **argv)
{
	CLEANUP_FCLOSE FILE *f = NULL;
	char file[PATH_MAX];

	snprintf(file, sizeof(file), "%s.arguments", path);
	f = fopen(file, "we");
	for (char **a = argv + 1; f && *a; a++)
		fprintf(f, "%s ", *a);
}

/* A guest without disks, and a host that has room, unless a file says that it is full. */
static void say_facts(struct proto_session *s, const char *path, bool elsewhere)
{
	static uint32_t features[] = {0xff, 0xff};
	static uint8_t nonce[PROTO_NONCE_BYTES];
	static char *names[] = {"xenbr0"};
	Romulus__CheckBridge bridge = ROMULUS__CHECK_BRIDGE__INIT, *bridges[] = {&bridge};
	Romulus__Report report = ROMULUS__REPORT__INIT;
	Romulus__Check check = ROMULUS__CHECK__INIT;
	Romulus__Checked checked = ROMULUS__CHECKED__INIT;
	struct why why;

	check.domain = "db";
	check.uuid = DAEMONS_UUID;
	check.type = "pvh";
	check.memory_kb = 65536;
	check.feature_suspend = true;
	check.features = checked.features = features;
	check.n_features = checked.n_features = ARRAY_SIZE(features);
	check.nonce = (ProtobufCBinaryData){sizeof(nonce), nonce};
	check.bridges = names;
	checked.bridges = bridges;
	check.n_bridges = checked.n_bridges = 1;
	bridge.name = names[0];
	bridge.present = bridge.tried = true;
	bridge.heard = elsewhere && !is_file(path, "deaf");
	checked.hypervisor = is_file(path, "older") ? "4.16" : "4.17";
	checked.free_kb = is_file(path, "full") ? 65535 : 65536;
	checked.space = checked.dom0_kb = 1u << 30;
	checked.space_known = true;
	report.kind = PROTO_REPORT_FACTS;
	report.check = elsewhere ? NULL : &check;
	report.checked = &checked;
	proto_session_send(s, PROTO_REPORT, &report.base, UINT64_MAX, &why);
}

static int be_facts(const char *path, int argc, char **argv)
{
	struct proto_session *s = proto_session_new(DAEMON_FD);
	bool elsewhere = false, asked = false;
	struct proto_frame frame;
	struct why why;

	for (int i = 1; i < argc; i++)
		elsewhere |= strcmp(argv[i], "--elsewhere") == 0;
	if (!s || is_file(path, "dies"))
		return 1;
	note_arguments(path, argv);
	while (is_file(path, "lingers"))
		usleep(10000);
	if (!elsewhere && !is_file(path, "silent"))
		say_facts(s, path, false);
	while (!asked && proto_session_receive(s, UINT64_MAX, &frame, &why) > 0) {
		const Romulus__Order *order = (const Romulus__Order *)frame.message;

		asked = order->kind == PROTO_ORDER_CHECK && order->check &&
			strcmp(order->check->uuid, DAEMONS_UUID) == 0;
		if (asked)
			say_facts(s, path, true);
	}
	proto_session_free(s);
	return 0;
}

static void say_text(struct proto_session *s, enum proto_report kind, const char *text)
{
	Romulus__Report report = ROMULUS__REPORT__INIT;
	struct why why;

	report.kind = kind;
	report.text = (char *)text;
	proto_session_send(s, PROTO_REPORT, &report.base, UINT64_MAX, &why);
}

static int be_drill(const char *path, int argc, char **argv)
{
	struct proto_frame frame;
	struct proto_session *s;
	struct why why;

	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--clean") == 0) {
			touch(path, "swept");
			return 0;
		}
	note_arguments(path, argv);
	s = proto_session_new(DAEMON_FD);
	say_text(s, PROTO_REPORT_STAGE, "the next checkpoint is copied");
	say_text(s, PROTO_REPORT_LISTENING, "/nowhere.sock");
	if (is_file(path, "dies"))
		return 1;
	if (is_file(path, "silent"))
		proto_session_receive(s, UINT64_MAX, &frame, &why);
	say_text(s,
		is_file(path, "silent") || is_file(path, "fails") ? PROTO_REPORT_FAILED
								  : PROTO_REPORT_DONE,
		is_file(path, "silent") ? "was broken off" : "has passed");
	proto_session_free(s);
	return 0;
}

static int be_worker(const char *path, int argc, char **argv)
{
	const bool primary = strstr(path, "primary");
	struct proto_session *s;
	struct proto_frame frame;
	struct why why;

	if (strstr(path, "facts"))
		return be_facts(path, argc, argv);
	if (strstr(path, "drill"))
		return be_drill(path, argc, argv);
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--repair") == 0 || strcmp(argv[i], "--discard") == 0)
			return 0;
	note_arguments(path, argv);
	s = proto_session_new(DAEMON_FD);
	if (!s)
		return 1;
	if (argc > 1 && strcmp(argv[1], "--adopt") == 0) {
		while (is_file(path, "lingers"))
			usleep(10000);
		say(s, is_file(path, "fails") ? PROTO_REPORT_FAILED : PROTO_REPORT_RUNNING);
		proto_session_free(s);
		return 0;
	}
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

void daemons_configure(const struct host *h, const char *more, const char *top)
{
	CLEANUP_FCLOSE FILE *f = fopen(rig_path(h, "conf"), "we");

	assert_non_null(f);
	fprintf(f,
		"host = \"%s\"\ntransport = \"%s\"\nport = %u\ndead-after = 10000\n"
		"reprotect-delay = 100\nstate-dir = "
		"\"%s\"\n"
		"pki-dir = \"%s\"\nrun-dir = \"%s\"\nxendomains = \"%s\"\npeer \"%s\" {\n"
		"path \"a\" { local = \"%s\" remote = \"%s\" }\n%s\n}\n%s\n",
		h->name, daemons_transport, rig_port, rig_path(h, "state"), rig_path(h, "pki"),
		rig_path(h, "run"), rig_path(h, "xendomains"), h->peer, h->address, h->peer_address,
		more, top);
}

void expect_in(const char *text, const char *expect)
{
	if (!strstr(text, expect))
		fail_msg("not \"%s\": %s", expect, text);
}

void both_up(void)
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
		"ln -s %s libexec/romulus-backup && ln -s %s libexec/romulus-facts && ln -s %s "
		"libexec/romulus-drill && "
		"echo XENDOMAINS_AUTO=$PWD/auto >xendomains",
		dir, h->name, h->name, h->name, self, self, self, self);
	daemons_configure(h, "", "");
}

int daemons_begin(void **state)
{
	daemons_transport = "plain";
	strcpy(dir, "/tmp/romulus-daemon-XXXXXX");
	assert_non_null(mkdtemp(dir));
	prepare_host(&host_alpha);
	prepare_host(&host_beta);
	return 0;
}

int daemons_finish(void **state)
{
	daemon_rig_finish();
	rig_shell("rm -rf %s", dir);
	return 0;
}

unsigned int count_events(const struct host *h, const char *text)
{
	CLEANUP_FREE char *events = daemon_command(h, "{\"command\":\"events\"}\n");
	unsigned int n = 0;

	for (const char *p = events; (p = strstr(p, text)); p++)
		n++;
	return n;
}

static int set_up(void **state)
{
	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	daemon_rig_begin(dir);
	return 0;
}

int daemons_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n)
{
	if (strstr(argv[0], "/libexec/"))
		return be_worker(argv[0], argc, argv);
	signal(SIGPIPE, SIG_IGN);
	return _cmocka_run_group_tests("tests", tests, n, set_up, NULL);
}
