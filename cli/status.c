/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `romulus status`: one line per domain that answers, in this order, is it protected, why not, what
 * is this host's part in it, with whom, how far, how fresh.
 */
#include "cli/cli.h"

#include <inttypes.h>
#include <string.h>

#include "common/progress.h"

void cli_status_line(FILE *out, const json_t *d)
{
	bool protected = json_is_true(json_object_get(d, "protected"));
	const char *why = cli_text(d, "why"), *peer = cli_text(d, "peer");
	const char *role = cli_text(d, "role"), *state = cli_text(d, "state");
	uint64_t epoch = cli_number(d, "epoch"), pause = cli_number(d, "pause_ms");
	uint64_t copied = cli_number(d, "copy_pages"), total = cli_number(d, "copy_total");
	bool ever = json_number_value(json_object_get(d, "commit_age_ms")) >= 0; /* -1: never */
	char age[32];

	fprintf(out, "%s: %s", cli_text(d, "name"), protected ? "protected" : "NOT PROTECTED");
	if (!protected && why[0])
		fprintf(out, " (%s)", why);
	else if (!protected && state[0])
		fprintf(out, " (%s)", state);
	if (strcmp(role, "none") != 0 && role[0])
		fprintf(out, ", %s here", role);
	if (peer[0])
		fprintf(out, ", peer %s", peer);
	if (total > 0)
		fprintf(out, ", copying %" PRIu64 " %%", copied * 100 / total);
	if (epoch > 0 && ever) {
		progress_duration_format(age, sizeof(age), cli_number(d, "commit_age_ms"));
		fprintf(out, ", epoch %" PRIu64 ", %s %s ago", epoch,
			strcmp(role, "backup") == 0 ? "acked" : "committed", age);
	}
	if (protected && pause > 0)
		fprintf(out, ", pause %" PRIu64 " ms", pause);
}

/* A silent path is worth a line even while the peer lives: the next one may be the last. */
static void peer_lines(FILE *out, const json_t *peer)
{
	bool alive = json_is_true(json_object_get(peer, "alive"));
	const json_t *path;
	size_t i;

	fprintf(out, "peer %s: %s", cli_text(peer, "name"), alive ? "alive" : "SILENT");
	json_array_foreach (json_object_get(peer, "paths"), i, path) {
		char silent[32];

		progress_duration_format(silent, sizeof(silent), cli_number(path, "silent_ms"));
		if (json_is_true(json_object_get(path, "alive")))
			fprintf(out, ", path %s up", cli_text(path, "name"));
		else if (json_number_value(json_object_get(path, "silent_ms")) < 0)
			fprintf(out, ", path %s NEVER HEARD", cli_text(path, "name"));
		else
			fprintf(out, ", path %s DOWN for %s", cli_text(path, "name"), silent);
	}
	fputc('\n', out);
}

static void etcd_line(FILE *out, const json_t *etcd)
{
	if (!json_is_true(json_object_get(etcd, "known")))
		fprintf(out, "etcd: not asked yet\n");
	else if (json_is_true(json_object_get(etcd, "answers")))
		fprintf(out, "etcd: answers\n");
	else
		fprintf(out, "etcd: DOES NOT ANSWER (%s)\n", cli_text(etcd, "why"));
}

void cli_status_print(FILE *out, const json_t *status)
{
	const json_t *peers = json_object_get(status, "peers");
	const json_t *domains = json_object_get(status, "domains");
	const char *warning;
	const json_t *item;
	size_t i;

	json_array_foreach (domains, i, item) {
		cli_status_line(out, item);
		fputc('\n', out);
	}
	if (json_array_size(domains) == 0)
		fprintf(out, "no protected domains on %s\n", cli_text(status, "host"));
	json_array_foreach (peers, i, item)
		peer_lines(out, item);
	if (strcmp(cli_text(status, "watchdog"), "failed") == 0)
		fprintf(out, "watchdog: FAILED, see romulus events\n");
	else if (json_object_get(status, "watchdog"))
		fprintf(out, "watchdog: %s\n", cli_text(status, "watchdog"));
	if (json_object_get(status, "etcd"))
		etcd_line(out, json_object_get(status, "etcd"));
	if (strcmp(cli_text(status, "transport"), "plain") == 0)
		fprintf(out, "transport PLAIN: the hosts' traffic is neither encrypted nor "
			     "authenticated (romulus.conf says so)\n");
	warning = cli_text(json_object_get(status, "certificate"), "warning");
	if (warning[0])
		fprintf(out, "certificate: %s\n", warning);
}
