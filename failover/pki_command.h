/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `romulus pki`: makes and exchanges the certificates of a cluster. Needs no running daemon. */
#ifndef FAILOVER_PKI_COMMAND_H
#define FAILOVER_PKI_COMMAND_H

struct failover_config;

/* @words: the verb and what follows it, NULL at the end. Returns the exit status. */
int failover_pki_command(const struct failover_config *c, char **words);

#endif
