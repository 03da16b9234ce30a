/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/save_command.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/exit_codes.h"
#include "common/why.h"
#include "failover/config.h"
#include "failover/state.h"

#define MAX_OWNED 128 /* words of names and uuids; romulus-save takes as many */
#define MAX_WORDS 32  /* of the operator */

struct owned {
	char *word[2 * MAX_OWNED];
	size_t n;
	int err;
};

static void add(struct owned *o, const char *text)
{
	static char option[] = "--protected";
	char *copy = o->n + 2 <= ARRAY_SIZE(o->word) ? strdup(text) : NULL;

	if (!copy) {
		o->err = -E2BIG;
		return;
	}
	o->word[o->n++] = option;
	o->word[o->n++] = copy;
}

/* What is wanted protected, and what is still one of a pair whether it is wanted or not. */
static void add_record(void *data, const struct failover_record *r, const struct why *why)
{
	struct owned *o = data;

	if (!r) {
		fprintf(stderr, "romulus: %s\n", why->text);
		o->err = -EINVAL; /* it may be the one that is asked about */
	} else if (r->intent ||
		   (r->role != PROTO_ROLE_NONE && r->decision == FAILOVER_DECISION_NONE)) {
		add(o, r->name);
		add(o, r->uuid);
	}
}

static int become(
	const struct failover_config *c, const char *libexec, const struct owned *o, char **words)
{
	char *argv[6 + ARRAY_SIZE(o->word) + MAX_WORDS + 1], program[PATH_MAX],
		host[HOST_NAME_MAX + 1] = "?";
	static char host_option[] = "--host", run_option[] = "--run-dir";
	size_t n = 0;

	snprintf(program, sizeof(program), "%s/romulus-save", libexec);
	argv[n++] = program;
	argv[n++] = words[0];
	gethostname(host, sizeof(host) - 1);
	argv[n++] = host_option;
	argv[n++] = c ? (char *)(uintptr_t)c->host : host;
	if (c) {
		argv[n++] = run_option;
		argv[n++] = (char *)(uintptr_t)c->run_dir;
	}
	for (size_t i = 0; i < o->n; i++)
		argv[n++] = o->word[i];
	for (char **w = words + 1; *w && n + 1 < ARRAY_SIZE(argv); w++)
		argv[n++] = *w;
	argv[n] = NULL;
	execv(program, argv);
	fprintf(stderr, "romulus: cannot run %s: %s\n", program, strerror(errno));
	return EXIT_CODE_FAILED;
}

int failover_save_command(const struct failover_config *c, const char *libexec, char **words)
{
	static struct owned owned;
	struct why why;
	size_t n = 0;

	while (words[n])
		n++;
	if (n == 0 || n > MAX_WORDS) {
		fprintf(stderr, "usage: romulus save [OPTION...] DOMAIN FILE\n"
				"       romulus restore [OPTION...] FILE\n");
		return EXIT_CODE_USAGE;
	}
	if (c && failover_state_load(c->state_dir, add_record, &owned, &why) < 0) {
		fprintf(stderr, "romulus: %s\n", why.text);
		return EXIT_CODE_FAILED;
	}
	if (owned.err) {
		fprintf(stderr, "romulus: it is not known what this host has under protection: "
				"nothing was done\n");
		return EXIT_CODE_FAILED;
	}
	return become(c, libexec, &owned, words);
}
