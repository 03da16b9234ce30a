/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an epoch changed, captured by Romulus itself after libxenguest has made the first checkpoint
 * of the stream. libxenguest does the same thing for every kind of domain; this does it for the HVM
 * kinds in half the time of the pause, and unmaps the guest's pages when the guest runs again.
 */
#ifndef REPLICATOR_HV_CAPTURE_H
#define REPLICATOR_HV_CAPTURE_H

struct hv;
struct hv_capture;
struct why;

/*
 * For the attached domain of @hv, whose log-dirty mode is on. Returns 0 with *ret owned by the
 * caller, or a negative errno with a sentence.
 */
int hv_capture_open(struct hv *hv, struct hv_capture **ret, struct why *why);
struct hv_capture *hv_capture_close(struct hv_capture *c); /* NULL ok; returns NULL */

/*
 * With the guest suspended: append its dirty pages, its vCPUs and a CHECKPOINT record to the
 * blocking @fd. Non-zero: a negative errno with a sentence; the stream ends in the middle then.
 */
int hv_capture_write(struct hv_capture *c, int fd, struct why *why);

/* With the guest running again, before the next hv_capture_write. */
void hv_capture_unmap(struct hv_capture *c);

#endif
