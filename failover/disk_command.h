/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `romulus disk`: what the configuration says of a domain's disks, as arguments of romulus-disk. */
#ifndef FAILOVER_DISK_COMMAND_H
#define FAILOVER_DISK_COMMAND_H

struct failover_config;

/*
 * @words: VERB, DOMAIN or "--all", then what is passed on, NULL at the end. Becomes romulus-disk
 * (from @libexec) and does not return, except upon failure and for --all: an exit code.
 */
int failover_disk_command(const struct failover_config *c, const char *libexec, char **words);

#endif
