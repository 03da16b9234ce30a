/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of romulus-backup share; nobody else includes this. */
#ifndef REPLICATOR_BACKUP_H
#define REPLICATOR_BACKUP_H

#include <stdint.h>

#include "common/why.h"
#include "diskrep/backup.h"
#include "replicator/backup_epoch.h"
#include "replicator/claim.h"
#include "replicator/drill_source.h"
#include "replicator/feed.h"
#include "replicator/hv.h"
#include "replicator/receive.h"
#include "replicator/standby.h"
#include "replicator/worker.h"

struct backup {
	struct worker worker;
	const struct hv_ops *ops;
	struct hv *hv;
	struct proto_session *stream;
	struct standby standby;
	struct feed *feed;
	struct receive rx;
	struct backup_epoch epoch;
	struct claim claim;
	char *config_json;          /* what the standby is made of */
	struct drill_source *drill; /* NULL: there is none */
	struct diskrep_backup_spec disk_spec;
	struct diskrep_backup *disks; /* NULL: the domain has none */
	uint64_t reported_ns, bytes;
	struct why why;
};

/* backup_accept.c: wait for the primary's stream. 0 or a negative errno with b->why. */
int backup_accept(struct backup *b);

/* backup_receive.c: what arrives, from the primary and from the disks. */
void backup_read_stream(struct backup *b);    /* a loss is reported, the checkpoint held */
int backup_read_boundaries(struct backup *b); /* negative errno: the disks follow no more */

/* backup_takeover.c: the guest runs here from the last acked checkpoint on. Exit code. */
int backup_take_over(struct backup *b);
/* What has become of one whose romulusd has ended since. Exit code. */
int backup_adopt(struct backup *b);

/* backup_main.c */
/* If one waits for a checkpoint: @epoch, which was acked and fed right now, is the one. */
void backup_begin_drill(struct backup *b, uint64_t epoch);
void backup_end_drill(struct backup *b);    /* the takeover needs its room */
int backup_fail(struct backup *b, int err); /* report b->why; exit code */

#endif
