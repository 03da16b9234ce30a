/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the lifecycle table's actions do. */
#ifndef FAILOVER_DOMAIN_ACTIONS_H
#define FAILOVER_DOMAIN_ACTIONS_H

#include "failover/daemon.h"

/* Carry out @step; see failover_plan_run. */
bool failover_domain_act(struct failover_domain *d, const struct failover_step *step);

#endif
