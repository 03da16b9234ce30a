/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the configuration share; nobody else includes this. */
#ifndef FAILOVER_CONFIG_PARTS_H
#define FAILOVER_CONFIG_PARTS_H

#include <confuse.h>

#include "failover/config.h"

/* config_options.c */

/*
 * Parse @file, each key having been checked for itself. 0 with *ret for cfg_free(), or a negative
 * errno.
 */
int failover_config_parse(const char *file, cfg_t **ret, struct why *why);
/* The members of @c that are one number of the file. */
void failover_config_take_numbers(cfg_t *cfg, struct failover_config *c);
/* The kind for a word that has been checked. */
enum failover_arbiter_kind failover_config_arbiter_kind(const char *word);

/* config_build.c */

/* Fill @c, all zero; also after a failure it is for failover_config_free(). */
int failover_config_build(cfg_t *cfg, const char *file, struct failover_config *c, struct why *why);

#endif
