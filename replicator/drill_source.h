/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The backup's part in a drill: hands the standby, as of a checkpoint, to romulus-drill over a
 * socket of this host, while the protection goes on. What the checkpoints to come bring waits in
 * the feed for as long as that takes. The socket stays open for as long as the drill lasts.
 */
#ifndef REPLICATOR_DRILL_SOURCE_H
#define REPLICATOR_DRILL_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "replicator/feed.h"
#include "replicator/hv.h"

struct drill_source;
struct why;

/*
 * What comes first; then @why_length bytes of a sentence (there is no more), or @config_length of
 * configuration and one whole stream of libxl's.
 */
struct drill_head {
	uint64_t epoch, acked_ns; /* by the monotonic clock of this host */
	uint32_t config_length, why_length;
};

/* Bytes of a configuration, and of a sentence, that are believed. */
#define DRILL_CONFIG_MAX (1u << 20)

/*
 * Connect to the socket called @path. @config_json, of the domain whose standby is @standby, must
 * last. 0 with *ret owned by the caller, or a negative errno.
 */
int drill_source_open(const char *path, const struct hv_ops *ops, const char *standby,
	const char *config_json, struct drill_source **ret, struct why *why);

/* Checkpoint @epoch has been acked and was pushed to @feed right now: it is the one. */
void drill_source_begin(struct drill_source *s, struct feed *feed, uint64_t epoch);
bool drill_source_begun(const struct drill_source *s);

/*
 * The drill is over, as far as it says: it has closed its end, or was stopped; ask when the feed's
 * visit has returned. For poll: readable then.
 */
bool drill_source_over(const struct drill_source *s);
int drill_source_fd(const struct drill_source *s);

/* Break it off; the feed's visit returns within moments. */
void drill_source_stop(struct drill_source *s);
bool drill_source_stopped(const struct drill_source *s);

/* Only when the feed's visit has returned, or was never begun. NULL ok; returns NULL. */
struct drill_source *drill_source_free(struct drill_source *s);

#endif
