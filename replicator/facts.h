/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * romulus-facts: what is true of a host and of a guest, for the checks before a guest is protected
 * or moved. It collects and compares nothing, changes nothing, and knows no verdict: romulusd does
 * (failover/preflight.c). What could not be found out is left as a zero that is no good.
 */
#ifndef REPLICATOR_FACTS_H
#define REPLICATOR_FACTS_H

#include "common/why.h"
#include "diskrep/drbd.h"
#include "diskrep/identity.h"
#include "replicator/hv.h"
#include "replicator/worker.h"

/* The messages and all that they point to. */
struct facts {
	struct worker worker;
	const struct hv_ops *ops;
	struct hv *hv;
	struct hv_domain dom;
	struct hv_host host;
	struct why why, taken;
	uint8_t nonce[PROTO_NONCE_BYTES];

	Romulus__Check check;
	uint32_t features[HV_FEATURE_WORDS];
	char *bridge_names[HV_MAX_NICS];
	Romulus__CheckDisk disk[2 * HV_MAX_DISKS], *disks[2 * HV_MAX_DISKS];
	struct diskrep_identity identity[2 * HV_MAX_DISKS];

	Romulus__Checked checked;
	Romulus__CheckBridge bridge[HV_MAX_NICS], *bridges[HV_MAX_NICS];
	int listening[HV_MAX_NICS]; /* by bridge; -1: cannot */
	Romulus__CheckResource resource;
	struct diskrep_drbd_status drbd;
	char summary[DISKREP_DRBD_SUMMARY_MAX];
	Romulus__CheckVolume volume[DISKREP_MAX_VOLUMES], *volumes[DISKREP_MAX_VOLUMES];
	char held[DISKREP_MAX_VOLUMES][DISKREP_HELD_MAX];
};

/* ---- facts.c --------------------------------------------------------------------------------- */

/* Fill f->check with the guest --domain of this host. 0 or a negative errno with a sentence. */
int facts_of_guest(struct facts *f);
/*
 * Fill f->checked with this host, for the guest of @q: that is f->check, or another host's. After
 * facts_listen().
 */
int facts_of_host(struct facts *f, const Romulus__Check *q);
/* Open the bridges of @q for probe frames. */
void facts_listen(struct facts *f, const Romulus__Check *q);
/* One from each. */
void facts_send(struct facts *f);
/* Hear them; how many bridges of @q have not got one yet. */
size_t facts_hear(struct facts *f, const Romulus__Check *q);

/* ---- facts_disks.c --------------------------------------------------------------------------- */

/* The domain's resource on this host; after it the guest's disks can be told to be on it. */
void facts_of_resource(struct facts *f);
bool facts_covers(const struct facts *f, const char *path);
/* Fill disk @i with what is under @path here; the strings are the caller's. */
void facts_of_disk(struct facts *f, size_t i, const char *vdev, const char *path);

#endif
