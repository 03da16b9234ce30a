/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that has started again while the backup may own its generation yet stays paused, so that
 * nobody hears it and nothing it does counts. That it is we who have paused it is in a file of
 * RUN-DIR, for whoever lets it go: its monitor, or the repair that precedes running on alone.
 */
#ifndef REPLICATOR_RESTRAIN_H
#define REPLICATOR_RESTRAIN_H

#include <stdint.h>

struct hv;
struct hv_ops;
struct why;

/* Pause @domid. 0 also when we have, and it still is. */
int restrain_pause(const struct hv_ops *ops, struct hv *hv, const char *run_dir, const char *uuid,
	uint32_t domid, struct why *why);

/* Let the domain with @uuid go. 0 also when it is not held, or not paused any more. */
int restrain_let_go(const struct hv_ops *ops, struct hv *hv, const char *run_dir, const char *uuid,
	struct why *why);

/* It is no more. */
void restrain_forget(const char *run_dir, const char *uuid);

#endif
