/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the lifecycle table's actions do. */
#ifndef FAILOVER_DOMAIN_ACTIONS_H
#define FAILOVER_DOMAIN_ACTIONS_H

#include "failover/daemon.h"

/* Carry out @step: the new state is entered once what it promises is on disk. */
void failover_domain_act(struct failover_domain *d, const struct failover_step *step);

#endif
