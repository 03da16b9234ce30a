/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `romulus pki`: two commands make two hosts trust each other, and nothing is lost by a mistake. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/exit_codes.h"
#include "failover/config.h"
#include "failover/pki_command.h"
#include "failover/state.h"
#include "tests/unit/cluster.h"

static char top[] = "/tmp/romulus-pki-test-XXXXXX";
static char said[16384]; /* by the last command, on both outputs */

static char *path(const char *name)
{
	static char text[4][256];
	static unsigned int i;
	char *t = text[i++ % 4];

	snprintf(t, sizeof(text[0]), "%s/%s", top, name);
	return t;
}

static const char *conf_of(const char *host)
{
	return strcmp(host, "alpha") == 0  ? "alpha.conf"
	       : strcmp(host, "beta") == 0 ? "beta.conf"
					   : "gamma.conf";
}

static void write_text(const char *file, const char *text, mode_t mode)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static char *read_text(const char *file)
{
	FILE *f = fopen(file, "r");
	size_t n = f ? fread(said, 1, sizeof(said) - 1, f) : 0;

	said[n] = '\0';
	if (f)
		fclose(f);
	return said;
}

static void make_config(const char *host)
{
	char text[512];

	snprintf(text, sizeof(text),
		"host = \"%s\"\npki-dir = \"%s/%s\"\n"
		"peer \"%s\" { path \"r\" { local = \"127.0.0.1\" remote = \"127.0.0.2\" } }\n",
		host, top, host, strcmp(host, "alpha") ? "alpha" : "beta");
	write_text(path(conf_of(host)), text, 0600);
}

/* Run a verb as @host in a process of its own; `in` and `out` are files below top or NULL. */
static int pki(const char *host, const char *in, const char *out, char **words)
{
	struct failover_config *c = NULL;
	struct why why = {""};
	int status, fd;
	pid_t pid = fork();

	if (pid == 0) {
		fd = open(in ? path(in) : "/dev/null", O_RDONLY);
		dup2(fd, STDIN_FILENO);
		fd = open(path("said"), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
		dup2(fd, STDERR_FILENO);
		if (out)
			fd = open(path(out), O_WRONLY | O_CREAT | O_TRUNC, 0600);
		dup2(fd, STDOUT_FILENO);
		if (failover_config_load(path(conf_of(host)), &c, &why) < 0)
			_exit(78);
		status = failover_pki_command(c, words);
		fflush(stdout);
		failover_config_free(c);
		_exit(status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	read_text(path("said"));
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define PKI(host, ...) pki(host, NULL, NULL, (char *[]){__VA_ARGS__, NULL})

static void expect_said(const char *part)
{
	if (!strstr(said, part))
		fail_msg("\"%s\" is not in: %s", part, said);
}

static struct proto_identity *identity(const char *host)
{
	struct proto_identity *id = NULL;
	struct why why = {""};

	if (proto_identity_load(path(host), host, &id, &why) < 0)
		snprintf(said, sizeof(said), "%s", why.text);
	return id;
}

static int make_hosts(void **state)
{
	strcpy(strrchr(top, '-') + 1, "XXXXXX");
	if (!mkdtemp(top))
		return 1;
	make_config("alpha");
	make_config("beta");
	return 0;
}

static int drop_hosts(void **state)
{
	char command[300];

	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	return system(command);
}

/* An ssh that runs its command as alpha: this test, with the words after "romulus pki". */
static void fake_ssh(const char *then)
{
	char text[1024], paths[4096];

	snprintf(text, sizeof(text),
		"#!/bin/sh\n[ \"$1 $2 $3 $4 $5\" = '-T -- alpha romulus pki' ] || exit 9\n"
		"shift 5\nROMULUS_TEST_AS='%s/alpha.conf' /proc/%d/exe \"$@\" %s\n",
		top, (int)getpid(), then);
	mkdir(path("bin"), 0700);
	write_text(path("bin/ssh"), text, 0700);
	snprintf(paths, sizeof(paths), "%s/bin:/usr/bin:/bin", top);
	setenv("PATH", paths, 1);
}

/* A daemon whose peer has not read the new key yet: each understands the other one. */
static void a_new_heartbeat_key_follows_the_old_one(void **state)
{
	struct proto_identity *first, *second, *third, *other;
	uint8_t tag[PROTO_TAG_BYTES];
	enum proto_key key = PROTO_KEY_NOW;

	assert_int_equal(PKI("alpha", "init"), EXIT_CODE_OK);
	first = identity("alpha");
	other = identity("alpha"); /* of a host that reads nothing again */
	assert_int_equal(PKI("alpha", "init", "--force"), EXIT_CODE_OK);
	second = identity("alpha");
	assert_true(proto_identity_key_number(first) != 0);
	assert_true(proto_identity_key_number(first) == proto_identity_key_number(other));
	assert_true(proto_identity_key_number(first) != proto_identity_key_number(second));

	assert_int_equal(proto_identity_tag(other, PROTO_KEY_NOW, "c", "x", 1, tag), 0);
	assert_false(proto_identity_tag_good(second, "c", "x", 1, tag, &key));
	assert_true(proto_identity_follow(second, first));
	first = proto_identity_free(first);
	assert_true(proto_identity_tag_good(second, "c", "x", 1, tag, &key));
	assert_int_equal(key, PROTO_KEY_BEFORE);
	assert_int_equal(proto_identity_tag(second, PROTO_KEY_BEFORE, "c", "x", 1, tag), 0);
	assert_true(proto_identity_tag_good(other, "c", "x", 1, tag, &key));
	assert_int_equal(key, PROTO_KEY_NOW);
	assert_int_equal(proto_identity_tag(second, PROTO_KEY_NOW, "c", "x", 1, tag), 0);
	assert_false(proto_identity_tag_good(other, "c", "x", 1, tag, &key));

	/* Read again without a change: the one before is still good. */
	third = identity("alpha");
	assert_false(proto_identity_follow(third, second));
	proto_identity_free(second);
	assert_int_equal(proto_identity_tag(other, PROTO_KEY_NOW, "c", "x", 1, tag), 0);
	assert_true(proto_identity_tag_good(third, "c", "x", 1, tag, &key));
	assert_int_equal(key, PROTO_KEY_BEFORE);
	proto_identity_free(third);
	proto_identity_free(other);
}

static void two_commands(void **state)
{
	struct proto_identity *a, *b;
	uint8_t tag[PROTO_TAG_BYTES];
	enum proto_key key;
	struct stat st;

	fake_ssh("");
	assert_null(identity("alpha"));
	expect_said("romulus pki init");
	expect_said("romulus pki join");
	expect_said("transport = \"plain\"");
	assert_int_equal(PKI("alpha", "init"), EXIT_CODE_OK);
	expect_said("romulus pki join alpha");
	assert_int_equal(PKI("beta", "join", "alpha"), EXIT_CODE_OK);
	expect_said("the certificate of beta");
	a = identity("alpha");
	b = identity("beta");
	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal(proto_identity_tag(a, PROTO_KEY_NOW, "c", "x", 1, tag), 0);
	assert_true(proto_identity_tag_good(b, "c", "x", 1, tag, &key));
	assert_false(proto_identity_tag_good(b, "d", "x", 1, tag, &key));
	proto_identity_free(a);
	proto_identity_free(b);

	/* What is secret is root's, and stays where it was made. */
	assert_int_equal(stat(path("beta"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(path("beta/host-key.pem"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(path("alpha/ca-key.pem"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(access(path("beta/ca-key.pem"), F_OK), -1);
	assert_int_equal(access(path("beta/host-key.pem.new"), F_OK), -1);

	assert_int_equal(PKI("beta", "show"), EXIT_CODE_OK);
	expect_said("host  beta, valid ");
	expect_said("CA    Romulus CA of alpha");
	expect_said("let in: alpha");
}

static void nothing_is_overwritten_by_mistake(void **state)
{
	CLEANUP_FREE char *before = NULL;

	fake_ssh("");
	assert_int_equal(PKI("alpha", "init"), EXIT_CODE_OK);
	before = strdup(read_text(path("alpha/ca.pem")));
	assert_int_equal(PKI("alpha", "init"), EXIT_CODE_WRONG_STATE);
	expect_said("--force");
	assert_int_equal(PKI("alpha", "join", "beta", "--force"), EXIT_CODE_WRONG_STATE);
	expect_said("a CA of its own");
	assert_string_equal(before, read_text(path("alpha/ca.pem")));
	assert_int_equal(PKI("beta", "join", "alpha"), EXIT_CODE_OK);
	assert_int_equal(PKI("beta", "join", "alpha"), EXIT_CODE_WRONG_STATE);
	assert_int_equal(PKI("beta", "join", "alpha", "--force"), EXIT_CODE_OK);
	assert_int_equal(PKI("alpha", "init", "--force"), EXIT_CODE_OK);
	assert_string_not_equal(before, read_text(path("alpha/ca.pem")));
}

static void a_join_that_fails_changes_nothing(void **state)
{
	CLEANUP_FREE char *before = NULL;
	struct proto_identity *id;

	fake_ssh("");
	assert_int_equal(PKI("beta", "join", "alpha"), EXIT_CODE_UNREACHABLE); /* no CA there */
	expect_said("has no CA");
	expect_said("ssh alpha romulus version");
	assert_int_equal(access(path("beta/host.pem"), F_OK), -1);
	assert_int_equal(PKI("alpha", "init"), EXIT_CODE_OK);
	assert_int_equal(PKI("beta", "join", "alpha"), EXIT_CODE_OK);
	before = strdup(read_text(path("beta/host.pem")));
	fake_ssh("| head -c 300");
	assert_int_equal(PKI("beta", "join", "alpha", "--force"), EXIT_CODE_FAILED);
	expect_said("not what `romulus pki issue` prints");
	fake_ssh("; exit 1");
	assert_int_equal(PKI("beta", "join", "alpha", "--force"), EXIT_CODE_UNREACHABLE);
	setenv("PATH", "/nonexistent", 1);
	assert_int_equal(PKI("beta", "join", "alpha", "--force"), EXIT_CODE_UNREACHABLE);
	expect_said("cannot run ssh");
	fake_ssh("");
	assert_string_equal(before, read_text(path("beta/host.pem")));
	id = identity("beta");
	assert_non_null(id);
	proto_identity_free(id);
}

static void join_in_parts(void **state)
{
	assert_int_equal(PKI("alpha", "init"), EXIT_CODE_OK);
	assert_int_equal(pki("beta", NULL, "request", (char *[]){"request", NULL}), EXIT_CODE_OK);
	assert_int_equal(
		pki("alpha", "request", "bundle", (char *[]){"issue", "beta", NULL}), EXIT_CODE_OK);
	assert_null(strstr(read_text(path("bundle")), "PRIVATE"));
	/* for another host, from another request, from nobody */
	assert_int_equal(
		pki("alpha", "request", "other", (char *[]){"issue", "gamma", NULL}), EXIT_CODE_OK);
	expect_said("no peer \"gamma\"");
	assert_int_equal(pki("beta", "other", NULL, (char *[]){"install", NULL}), EXIT_CODE_FAILED);
	expect_said("is for gamma");
	assert_int_equal(pki("beta", NULL, NULL, (char *[]){"install", NULL}), EXIT_CODE_FAILED);
	assert_int_equal(pki("beta", "bundle", NULL, (char *[]){"install", NULL}), EXIT_CODE_OK);
	assert_int_equal(
		pki("beta", NULL, "request", (char *[]){"request", "--force", NULL}), EXIT_CODE_OK);
	assert_int_equal(
		pki("beta", "bundle", NULL, (char *[]){"install", NULL}), EXIT_CODE_FAILED);
	expect_said("not for the last request");
	proto_identity_free(identity("beta"));
}

static void senseless_commands(void **state)
{
	assert_int_equal(PKI("alpha", "init"), EXIT_CODE_OK);
	assert_int_equal(PKI("alpha", "innit"), EXIT_CODE_USAGE);
	assert_int_equal(PKI("alpha", "init", "beta"), EXIT_CODE_USAGE);
	assert_int_equal(PKI("alpha", "join"), EXIT_CODE_USAGE);
	assert_int_equal(PKI("alpha", "issue", "--force"), EXIT_CODE_USAGE);
	assert_int_equal(PKI("alpha", "issue", "a b; reboot"), EXIT_CODE_USAGE);
	expect_said("letters, digits");
	assert_int_equal(PKI("alpha", "issue", "beta"), EXIT_CODE_USAGE);
	expect_said("no request");
	assert_int_equal(pki("alpha", "alpha.conf", NULL, (char *[]){"issue", "beta", NULL}),
		EXIT_CODE_FAILED);
	expect_said("no request for a certificate");
}

static void files_that_do_not_fit_are_named(void **state)
{
	fake_ssh("");
	assert_int_equal(PKI("alpha", "init"), EXIT_CODE_OK);
	assert_int_equal(PKI("beta", "join", "alpha"), EXIT_CODE_OK);
	make_config("gamma");
	assert_int_equal(rename(path("beta"), path("gamma")), 0);
	assert_null(identity("gamma"));
	expect_said("is that of beta, but host is \"gamma\"");
	assert_int_equal(rename(path("gamma"), path("beta")), 0);
	assert_int_equal(PKI("alpha", "init", "--force"), EXIT_CODE_OK);
	write_text(path("beta/ca.pem"), read_text(path("alpha/ca.pem")), 0600);
	assert_null(identity("beta"));
	expect_said("is not signed by");
	assert_int_equal(PKI("beta", "join", "alpha", "--force"), EXIT_CODE_OK);
	write_text(path("beta/host-key.pem"), read_text(path("alpha/host-key.pem")), 0600);
	assert_null(identity("beta"));
	expect_said("do not fit together");
	assert_int_equal(PKI("beta", "join", "alpha", "--force"), EXIT_CODE_OK);
	write_text(path("beta/heartbeat.key"), "abc", 0600);
	assert_null(identity("beta"));
	expect_said("is no heartbeat key");
}

static void an_end_that_comes_near_is_announced(void **state)
{
	struct cluster c = cluster_new();
	struct proto_identity *id = cluster_host(&c, "alpha", DAYS(-100), DAYS(31));
	CLEANUP_FREE char *key = NULL, *request = NULL, *certificate = NULL;
	struct proto_pki_facts facts;
	time_t now = time(NULL);
	struct why why = {""};

	assert_false(proto_identity_warning(id, now, &why));
	assert_true(proto_identity_warning(id, now + DAYS(2), &why));
	assert_non_null(strstr(why.text, "expires on"));
	assert_true(proto_identity_warning(id, now + DAYS(32), &why));
	assert_non_null(strstr(why.text, "expired on"));
	/* The CA of this cluster is of yesterday: before it nothing is valid. */
	assert_true(proto_identity_warning(id, now - DAYS(3), &why));
	assert_non_null(strstr(why.text, "clock"));
	proto_identity_free(id);

	/* Ten years, and never longer than the CA. */
	assert_int_equal(proto_pki_make_key(&key, &why), 0);
	assert_int_equal(proto_pki_make_request(key, "alpha", &request, &why), 0);
	assert_int_equal(
		proto_pki_issue(c.ca, c.ca_key, request, "alpha",
			(struct proto_pki_validity){now, now + DAYS(36500)}, &certificate, &why),
		0);
	assert_int_equal(proto_pki_facts(certificate, &facts, &why), 0);
	assert_in_range(facts.until, now + DAYS(3649), now + DAYS(3651));
	cluster_free(&c);
}

static void every_start_has_a_higher_number(void **state)
{
	uint64_t first = 0, second = 0;
	struct why why;

	assert_int_equal(failover_state_start(top, 1000, &first, &why), 0);
	assert_int_equal(first, 1000);
	assert_int_equal(failover_state_start(top, 2000, &second, &why), 0);
	assert_int_equal(second, 2000);
	assert_int_equal(failover_state_start(top, 500, &second, &why), 0); /* a clock set back */
	assert_int_equal(second, 2001);
	assert_true(failover_state_start("/proc/none", 500, &second, &why) < 0);
	assert_int_equal(second, 500);
}

#define HOSTS_TEST(f) cmocka_unit_test_setup_teardown(f, make_hosts, drop_hosts)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		HOSTS_TEST(two_commands),
		HOSTS_TEST(a_new_heartbeat_key_follows_the_old_one),
		HOSTS_TEST(nothing_is_overwritten_by_mistake),
		HOSTS_TEST(a_join_that_fails_changes_nothing),
		HOSTS_TEST(join_in_parts),
		HOSTS_TEST(senseless_commands),
		HOSTS_TEST(files_that_do_not_fit_are_named),
		HOSTS_TEST(an_end_that_comes_near_is_announced),
		HOSTS_TEST(every_start_has_a_higher_number),
	};
	struct failover_config *c = NULL;
	int code;

	if (getenv("ROMULUS_TEST_AS")) { /* called by fake_ssh() */
		if (failover_config_load(getenv("ROMULUS_TEST_AS"), &c, NULL) < 0)
			return 78;
		code = failover_pki_command(c, argv + 1);
		failover_config_free(c);
		return code;
	}
	return cmocka_run_group_tests_name("pki", tests, NULL, NULL);
}
