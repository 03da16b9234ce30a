/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/disk_command.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/exit_codes.h"
#include "failover/config.h"
#include "failover/events.h"
#include "failover/watchdog.h"

#define MAX_WORDS (64 + 2 * FAILOVER_MAX_VOLUMES)

struct words {
	char *word[MAX_WORDS + 1];
	size_t n;
};

static void add(struct words *w, const char *word)
{
	if (w->n < MAX_WORDS)
		w->word[w->n++] = (char *)(uintptr_t)word;
}

static void add_pair(struct words *w, const char *option, const char *value)
{
	add(w, option);
	add(w, value);
}

/* Replace this process by romulus-disk; returns only when that fails. */
static int become(const struct failover_config *c, const char *libexec, const char *verb,
	const struct failover_domain_config *d, char **rest)
{
	const struct failover_disks_config *disks = &d->disks;
	const struct failover_peer_config *peer =
		disks->peer[0] ? failover_config_peer(c, disks->peer) : &c->peers[0];
	char program[PATH_MAX], port[24], minor[24];
	struct words w = {.n = 0};

	snprintf(program, sizeof(program), "%s/romulus-disk", libexec);
	snprintf(port, sizeof(port), "%ld", disks->port);
	snprintf(minor, sizeof(minor), "%ld", disks->minor);
	add_pair(&w, program, verb);
	add(&w, d->name);
	add_pair(&w, "--resource", disks->resource);
	for (size_t i = 0; i < disks->volumes_n; i++)
		add_pair(&w, "--volume", disks->volumes[i]);
	add_pair(&w, "--marker", disks->marker);
	add_pair(&w, "--meta", disks->meta);
	add_pair(&w, "--port", port);
	add_pair(&w, "--minor", minor);
	add_pair(&w, "--host", c->host);
	add_pair(&w, "--address", peer->paths[0].local);
	add_pair(&w, "--peer", peer->name);
	add_pair(&w, "--peer-address", peer->paths[0].remote);
	for (; rest && *rest; rest++)
		add(&w, *rest);
	execv(program, w.word);
	fprintf(stderr, "romulus disk: cannot run %s: %s\n", program, strerror(errno));
	return EXIT_CODE_FAILED;
}

/* Before a romulusd that follows another one, disk after disk: this is progress too. */
static void keep_alive(const struct failover_config *c)
{
	static struct failover_events events;

	failover_watchdog_bridge(
		&failover_watchdog_xen, c->run_dir, failover_config_watchdog_s(c), &events);
}

/* At boot one bad resource must not keep the others down. */
static int for_all(const struct failover_config *c, const char *libexec, const char *verb)
{
	int result = EXIT_CODE_OK;

	for (size_t i = 0; i < c->domains_n; i++) {
		int status;
		pid_t pid;

		if (!c->domains[i].disks.resource)
			continue;
		if (strcmp(verb, "up") == 0)
			keep_alive(c);
		pid = fork();
		if (pid == 0)
			_exit(become(c, libexec, verb, &c->domains[i], NULL));
		if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
			result = EXIT_CODE_FAILED;
	}
	return result;
}

int failover_disk_command(const struct failover_config *c, const char *libexec, char **words)
{
	const struct failover_domain_config *d;

	if (!words[0] || !words[1]) {
		fprintf(stderr, "usage: romulus disk prepare|check|up|down|status DOMAIN|--all "
				"[OPTION...]\n");
		return EXIT_CODE_USAGE;
	}
	if (!strcmp(words[1], "--all"))
		return for_all(c, libexec, words[0]);
	d = failover_config_domain(c, words[1]);
	if (!d || !d->disks.resource) {
		fprintf(stderr,
			"romulus disk: the configuration has no section domain \"%s\" with disks; "
			"see romulus.conf.example\n",
			words[1]);
		return EXIT_CODE_CONFIG;
	}
	return become(c, libexec, words[0], d, words + 2);
}
