/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Verbs of `romulus pki`. `join` is `request`, `issue` on the first host by ssh, and `install` in
 * one command; the three are there for hosts that cannot reach each other by ssh. Text that another
 * program reads goes to standard output, what a person reads to standard error.
 */
#include "failover/pki_command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/exit_codes.h"
#include "common/why.h"
#include "failover/config.h"
#include "proto/pki.h"

#define FILE_NEW_KEY "host-key.pem.new" /* between request and install */
#define CERTIFICATE "CERTIFICATE"

struct pki {
	const struct failover_config *config;
	const char *dir, *host;
	const char *argument; /* HOST or NAME */
	bool force;
};

static int fail(const struct why *why)
{
	fprintf(stderr, "romulus pki: %s\n", why->text);
	return EXIT_CODE_FAILED;
}

static bool exists(const struct pki *p, const char *name)
{
	CLEANUP_FREE char *text = NULL;

	return proto_pki_read(p->dir, name, &text) != -ENOENT;
}

static int refuse_existing(const struct pki *p, const char *name)
{
	if (p->force || !exists(p, name))
		return EXIT_CODE_OK;
	fprintf(stderr,
		"romulus pki: %s/%s exists already; nothing was changed; --force replaces it\n",
		p->dir, name);
	return EXIT_CODE_WRONG_STATE;
}

/* Standard input to its end, at most PROTO_FILE_MAX bytes. NULL: nothing, or too much. */
static char *read_all(FILE *in)
{
	CLEANUP_FREE char *text = calloc(1, PROTO_FILE_MAX + 1);
	size_t n = text ? fread(text, 1, PROTO_FILE_MAX, in) : 0;

	if (n == 0 || n == PROTO_FILE_MAX || strlen(text) != n)
		return NULL;
	return TAKE_PTR(text);
}

static void say_done(const struct pki *p, const char *certificate)
{
	struct proto_pki_facts facts;
	char day[PROTO_DAY_MAX];

	if (proto_pki_facts(certificate, &facts, NULL) == 0)
		fprintf(stderr, "the certificate of %s is in %s, valid until %s\n", facts.name,
			p->dir, proto_pki_day(facts.until, day));
}

/* ---- the first host ------------------------------------------------------------------------- */

static int init(const struct pki *p)
{
	const struct proto_pki_validity validity = proto_pki_ten_years(time(NULL));
	CLEANUP_FREE char *ca_key = NULL, *ca = NULL, *key = NULL, *request = NULL;
	CLEANUP_FREE char *certificate = NULL, *heartbeat = NULL;
	struct why why;
	int r = refuse_existing(p, PROTO_FILE_CA);

	if (!r)
		r = refuse_existing(p, PROTO_FILE_HOST);
	if (r)
		return r;
	if (proto_pki_make_key(&ca_key, &why) ||
		proto_pki_make_ca(ca_key, p->host, validity, &ca, &why) ||
		proto_pki_make_key(&key, &why) ||
		proto_pki_make_request(key, p->host, &request, &why) ||
		proto_pki_issue(ca, ca_key, request, p->host, validity, &certificate, &why) ||
		proto_pki_make_heartbeat_key(&heartbeat, &why) ||
		proto_pki_write(p->dir, PROTO_FILE_CA_KEY, ca_key, &why) ||
		proto_pki_write(p->dir, PROTO_FILE_CA, ca, &why) ||
		proto_pki_write(p->dir, PROTO_FILE_HEARTBEAT, heartbeat, &why) ||
		proto_pki_write(p->dir, PROTO_FILE_HOST_KEY, key, &why) ||
		proto_pki_write(p->dir, PROTO_FILE_HOST, certificate, &why))
		return fail(&why);
	say_done(p, certificate);
	fprintf(stderr,
		"now, on each other host of the cluster: romulus pki join %s\n"
		"then, on all of them: systemctl reload-or-restart romulusd\n",
		p->host);
	return EXIT_CODE_OK;
}

/* To standard output: all that the host which asks needs, and nothing that only this one may have.
 */
static int issue(const struct pki *p)
{
	CLEANUP_FREE char *ca = NULL, *ca_key = NULL, *heartbeat = NULL, *certificate = NULL;
	CLEANUP_FREE char *request = NULL;
	struct proto_pki_facts facts;
	struct why why;

	if (proto_pki_read(p->dir, PROTO_FILE_CA_KEY, &ca_key) < 0 ||
		proto_pki_read(p->dir, PROTO_FILE_CA, &ca) < 0 ||
		proto_pki_read(p->dir, PROTO_FILE_HEARTBEAT, &heartbeat) < 0) {
		fprintf(stderr,
			"romulus pki: %s has no CA in %s: `romulus pki init` makes it, on one host "
			"of the cluster; ask that one\n",
			p->host, p->dir);
		return EXIT_CODE_WRONG_STATE;
	}
	if (!failover_config_peer(p->config, p->argument))
		fprintf(stderr,
			"romulus pki: %s has no peer \"%s\" in its romulus.conf: sessions with it "
			"are refused until it has\n",
			p->host, p->argument);
	request = read_all(stdin);
	if (!request) {
		fprintf(stderr, "romulus pki: no request for a certificate on standard input\n");
		return EXIT_CODE_USAGE;
	}
	if (proto_pki_issue(ca, ca_key, request, p->argument, proto_pki_ten_years(time(NULL)),
		    &certificate, &why) ||
		proto_pki_facts(certificate, &facts, &why))
		return fail(&why);
	printf("%s%s%s", certificate, ca, heartbeat);
	if (fflush(stdout) != 0) {
		why_set(&why, -errno, "cannot write the certificate: %s", strerror(errno));
		return fail(&why);
	}
	fprintf(stderr, "issued a certificate for %s, SHA-256 %s\n", facts.name, facts.fingerprint);
	return EXIT_CODE_OK;
}

/* ---- every other host ----------------------------------------------------------------------- */

static int make_request(const struct pki *p, char **ret_request)
{
	CLEANUP_FREE char *key = NULL;
	struct why why;
	int r = refuse_existing(p, PROTO_FILE_HOST);

	if (r)
		return r;
	if (exists(p, PROTO_FILE_CA_KEY)) {
		fprintf(stderr,
			"romulus pki: this host has a CA of its own in %s, others may depend on "
			"it; remove %s there if it is to join another cluster\n",
			p->dir, PROTO_FILE_CA_KEY);
		return EXIT_CODE_WRONG_STATE;
	}
	if (proto_pki_make_key(&key, &why) ||
		proto_pki_make_request(key, p->host, ret_request, &why) ||
		proto_pki_write(p->dir, FILE_NEW_KEY, key, &why))
		return fail(&why);
	return EXIT_CODE_OK;
}

static int request(const struct pki *p)
{
	CLEANUP_FREE char *text = NULL;
	int r = make_request(p, &text);

	if (!r)
		fputs(text, stdout);
	return r;
}

/* Nothing is replaced before all of it is known to be good. */
static int install_bundle(const struct pki *p, const char *bundle)
{
	CLEANUP_FREE char *certificate = NULL, *ca = NULL, *heartbeat = NULL, *key = NULL;
	struct proto_pki_facts facts;
	uint8_t raw[PROTO_KEY_BYTES];
	char path[4096];
	struct why why;

	certificate = proto_pki_block(bundle, CERTIFICATE, 0);
	ca = proto_pki_block(bundle, CERTIFICATE, 1);
	heartbeat = proto_pki_block(bundle, PROTO_HEARTBEAT_ARMOUR, 0);
	if (!certificate || !ca || !heartbeat || proto_pki_heartbeat_key(heartbeat, raw) < 0)
		why_set(&why, -EINVAL,
			"what the other host sent is not what `romulus pki issue` prints; nothing "
			"was changed");
	else if (proto_pki_read(p->dir, FILE_NEW_KEY, &key) < 0)
		why_set(&why, -EINVAL, "there is no %s/%s: begin with `romulus pki request`",
			p->dir, FILE_NEW_KEY);
	else if (!proto_pki_fits(certificate, key) || !proto_pki_signed_by(certificate, ca))
		why_set(&why, -EINVAL,
			"the certificate is not for the last request of this host; nothing was "
			"changed; begin again");
	else if (proto_pki_facts(certificate, &facts, &why) == 0 &&
		 strcasecmp(facts.name, p->host) != 0)
		why_set(&why, -EINVAL,
			"the certificate is for %s, this host is %s; nothing was changed",
			facts.name, p->host);
	else if (!proto_pki_write(p->dir, PROTO_FILE_CA, ca, &why) &&
		 !proto_pki_write(p->dir, PROTO_FILE_HEARTBEAT, heartbeat, &why) &&
		 !proto_pki_write(p->dir, PROTO_FILE_HOST_KEY, key, &why) &&
		 !proto_pki_write(p->dir, PROTO_FILE_HOST, certificate, &why)) {
		snprintf(path, sizeof(path), "%s/%s", p->dir, FILE_NEW_KEY);
		unlink(path);
		say_done(p, certificate);
		return EXIT_CODE_OK;
	}
	return fail(&why);
}

static int install(const struct pki *p)
{
	CLEANUP_FREE char *bundle = read_all(stdin);

	return install_bundle(p, bundle ? bundle : "");
}

/* Run `romulus pki issue` on @p->argument. NULL: it failed and has said why on our stderr. */
static char *ask_by_ssh(const struct pki *p, const char *text)
{
	CLEANUP_FCLOSE FILE *out = NULL;
	CLEANUP_FREE char *answer = NULL;
	int in[2], from[2], status = 0;
	pid_t pid;

	if (pipe(in) < 0 || pipe(from) < 0)
		return NULL;
	pid = fork();
	if (pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		for (int fd = 3; fd < 16; fd++)
			close(fd);
		execlp("ssh", "ssh", "-T", "--", p->argument, "romulus", "pki", "issue", p->host,
			(char *)NULL);
		fprintf(stderr, "romulus pki: cannot run ssh: %s\n", strerror(errno));
		_exit(127);
	}
	close(in[0]);
	close(from[1]);
	/* Less than a pipe holds: this does not wait for ssh. */
	if (pid < 0 || write(in[1], text, strlen(text)) != (ssize_t)strlen(text))
		status = -1;
	close(in[1]);
	out = fdopen(from[0], "r");
	answer = out ? read_all(out) : NULL;
	if (pid > 0 && (waitpid(pid, &status, 0) < 0 || status != 0))
		return NULL;
	return status == 0 ? TAKE_PTR(answer) : NULL;
}

static int join(const struct pki *p)
{
	CLEANUP_FREE char *text = NULL, *bundle = NULL;
	int r = make_request(p, &text);

	if (r)
		return r;
	signal(SIGPIPE, SIG_IGN); /* an ssh that ends at once has an exit status to tell of */
	bundle = ask_by_ssh(p, text);
	if (!bundle) {
		fprintf(stderr,
			"romulus pki: %s issued no certificate; nothing was changed. Is it the "
			"host with `romulus pki init`, and does `ssh %s romulus version` work?\n",
			p->argument, p->argument);
		return EXIT_CODE_UNREACHABLE;
	}
	r = install_bundle(p, bundle);
	if (!r)
		fprintf(stderr, "now: systemctl reload-or-restart romulusd\n");
	return r;
}

/* ---- looking -------------------------------------------------------------------------------- */

static int show(const struct pki *p)
{
	static const struct {
		const char *file, *what;
	} files[] = {{PROTO_FILE_CA, "CA"}, {PROTO_FILE_HOST, "host"}};
	struct proto_identity *id = NULL;
	struct why why;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		CLEANUP_FREE char *text = NULL;
		struct proto_pki_facts facts;
		char from[PROTO_DAY_MAX], until[PROTO_DAY_MAX];

		if (proto_pki_read(p->dir, files[i].file, &text) < 0 ||
			proto_pki_facts(text, &facts, NULL) < 0)
			continue;
		printf("%-5s %s, valid %s to %s\n      SHA-256 %s\n", files[i].what, facts.name,
			proto_pki_day(facts.from, from), proto_pki_day(facts.until, until),
			facts.fingerprint);
	}
	if (exists(p, PROTO_FILE_CA_KEY))
		printf("this host issues the certificates (%s)\n", PROTO_FILE_CA_KEY);
	for (size_t i = 0; i < p->config->peers_n; i++)
		printf("let in: %s\n", p->config->peers[i].name);
	if (failover_config_is_plain(p->config))
		printf("transport = \"plain\" in romulus.conf: NOTHING OF THIS IS USED\n");
	if (proto_identity_load(p->dir, p->host, &id, &why) < 0)
		return fail(&why);
	if (proto_identity_warning(id, time(NULL), &why))
		fprintf(stderr, "romulus pki: %s\n", why.text);
	proto_identity_free(id);
	return EXIT_CODE_OK;
}

/* ---- dispatch ------------------------------------------------------------------------------- */

static const struct verb {
	const char *name, *argument;
	bool force;
	int (*run)(const struct pki *p);
	const char *summary;
} verbs[] = {
	{"init", NULL, true, init, "on one host: make the CA and this host's certificate"},
	{"join", "HOST", true, join, "on each other host: get a certificate from HOST by ssh"},
	{"show", NULL, false, show, "names, dates and fingerprints"},
	{"request", NULL, true, request, "join in parts, 1: print this host's request"},
	{"issue", "NAME", false, issue,
		"2, on the first host: read NAME's request, print a bundle"},
	{"install", NULL, false, install, "3: read the bundle"},
};

static int usage(const char *what)
{
	fprintf(stderr, "romulus pki: %s\n", what);
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(stderr, "  romulus pki %-8s%-5s%s%s\n", verbs[i].name,
			verbs[i].argument ? verbs[i].argument : "",
			verbs[i].force ? "[--force]  " : "           ", verbs[i].summary);
	return EXIT_CODE_USAGE;
}

int failover_pki_command(const struct failover_config *c, char **words)
{
	struct pki p = {.config = c, .dir = c->pki_dir, .host = c->host};
	const struct verb *v = NULL;

	for (size_t i = 0; words[0] && i < ARRAY_SIZE(verbs); i++)
		if (strcmp(words[0], verbs[i].name) == 0)
			v = &verbs[i];
	if (!v)
		return usage(words[0] ? "no such verb" : "which verb?");
	for (char **w = words + 1; *w; w++) {
		if (v->force && strcmp(*w, "--force") == 0)
			p.force = true;
		else if (v->argument && !p.argument && (*w)[0] != '-')
			p.argument = *w;
		else
			return usage("unexpected argument");
	}
	if (v->argument && !p.argument)
		return usage("an argument is missing");
	/* Names go into certificates, and the host's through a shell. */
	if (!proto_pki_name_valid(c->host) ||
		(v->run == issue && !proto_pki_name_valid(p.argument)))
		return usage("a host's name must be of letters, digits, dots, - and _");
	return v->run(&p);
}
