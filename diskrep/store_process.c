/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/store_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "diskrep/store.h"
#include "diskrep/undo.h"

#define NBDKIT "/usr/bin/nbdkit"
#define ARGS_MAX (16 + DISKREP_UNDO_VOLUMES_MAX)

static bool set_path(char *ret, size_t size, const struct diskrep_store_spec *spec, const char *ext)
{
	return snprintf(ret, size, "%s/store-%s.%s", spec->run_dir, spec->name, ext) < (int)size;
}

int store_paths_set(struct store_paths *p, const struct diskrep_store_spec *spec, struct why *why)
{
	if (set_path(p->nbd, sizeof(p->nbd), spec, "nbd") &&
		set_path(p->control, sizeof(p->control), spec, "ctl") &&
		set_path(p->pid, sizeof(p->pid), spec, "pid"))
		return 0;
	return why_set(why, -ENAMETOOLONG,
		"%s/store-%s.nbd is too long for a socket's name; the disks cannot be protected",
		spec->run_dir, spec->name);
}

void store_paths_unlink(const struct store_paths *p)
{
	unlink(p->nbd);
	unlink(p->control);
	unlink(p->pid);
}

/* The words of a command line in one piece of memory that is freed at once. */
struct command {
	char *argv[ARGS_MAX + 1], *text;
	size_t n;
	FILE *stream;
};

static void add(struct command *c, const char *key, const char *value)
{
	fprintf(c->stream, "%s%s%c", key, value, '\0');
	c->n++;
}

static int build(
	struct command *c, const struct store_paths *p, const struct diskrep_store_spec *spec)
{
	char limit[24];
	size_t length;
	char *word;

	c->stream = open_memstream(&c->text, &length);
	if (!c->stream)
		return -ENOMEM;
	snprintf(limit, sizeof(limit), "%llu", (unsigned long long)spec->undo_limit);
	add(c, NBDKIT, "");
	add(c, "--foreground", "");
	add(c, "--log=stderr", "");
	add(c, "--unix=", p->nbd);
	add(c, "--pidfile=", p->pid);
	add(c, "", spec->plugin);
	add(c, "control=", p->control);
	add(c, "undo-limit=", limit);
	add(c, "marker=", spec->marker);
	for (size_t i = 0; i < spec->volumes_n; i++)
		add(c, "volume=", spec->volumes[i]);
	if (fclose(c->stream))
		return -ENOMEM;
	word = c->text;
	for (size_t i = 0; i < c->n; i++, word += strlen(word) + 1)
		c->argv[i] = word;
	return 0;
}

static int spawn(char *const argv[], pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(
		&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
	r = posix_spawn(ret, argv[0], &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

pid_t store_process_spawn(
	const struct store_paths *p, const struct diskrep_store_spec *spec, struct why *why)
{
	struct command c = {0};
	pid_t pid = 0;
	int r;

	if (spec->volumes_n < 1 || spec->volumes_n > DISKREP_UNDO_VOLUMES_MAX)
		return why_set(why, -EINVAL, "an undo store has 1 to %d volumes, not %zu",
			DISKREP_UNDO_VOLUMES_MAX, spec->volumes_n);
	r = build(&c, p, spec);
	if (!r)
		r = spawn(c.argv, &pid);
	free(c.text);
	return r ? why_set(why, r,
			   "cannot run " NBDKIT ": %s; the disks of '%s' cannot be protected "
			   "without it (package nbdkit)",
			   strerror(-r), spec->name)
		 : pid;
}
