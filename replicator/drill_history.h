/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What became of the drills of this host: the file "drills" in its state-dir, the newest last. */
#ifndef REPLICATOR_DRILL_HISTORY_H
#define REPLICATOR_DRILL_HISTORY_H

#include <stdio.h>

#include <jansson.h>

struct why;

/* Both: 0 or a negative errno. *ret: to read from, the caller's to close; NULL: there was none yet.
 */
int drill_history_open(const char *state_dir, FILE **ret, struct why *why);
/* Add @drill (borrowed) as one line, on disk when this returns 0. */
int drill_history_add(const char *state_dir, const json_t *drill, struct why *why);

#endif
