/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `romulus save` and `romulus restore`: what this host has under protection, for romulus-save. */
#ifndef FAILOVER_SAVE_COMMAND_H
#define FAILOVER_SAVE_COMMAND_H

struct failover_config;

/*
 * @words: the verb and what follows it, NULL at the end; @c: NULL where nothing is configured.
 * Becomes romulus-save (from @libexec) and does not return, except upon failure: an exit code.
 * Asks the records, not the daemon: they are right while it does not run, too.
 */
int failover_save_command(const struct failover_config *c, const char *libexec, char **words);

#endif
