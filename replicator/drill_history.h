/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What became of the drills of this host: the file "drills" in its state-dir, the newest last. */
#ifndef REPLICATOR_DRILL_HISTORY_H
#define REPLICATOR_DRILL_HISTORY_H

#include <jansson.h>

struct why;

/* Add @drill (borrowed) as one line, on disk when this returns 0; else a negative errno. */
int drill_history_add(const char *state_dir, const json_t *drill, struct why *why);

#endif
