/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Xen backend's own header: hv_*.c only. */
#ifndef REPLICATOR_HV_XEN_H
#define REPLICATOR_HV_XEN_H

#include <libxl.h>
#include <libxl_utils.h>
#include <xenctrl.h>
#include <xenevtchn.h>
#include <xenguest.h>
#include <xenstore.h>

#include "replicator/hv.h"

#define SHUTDOWN_PATH_MAX 64 /* of the node for requests to a guest */

struct hv {
	xentoollog_logger *log;
	xc_interface *xc;
	struct xs_handle *xs;
	libxl_ctx *xl;

	/* Of the attached domain. */
	uint32_t domid;
	bool hvm; /* or PVH: memory that Xen translates */
	char name[256];
	char shutdown_path[SHUTDOWN_PATH_MAX];
	xenevtchn_handle *evtchn;      /* NULL: the xenstore path is used */
	int suspend_port, remote_port; /* ours, and the guest's, for its suspension */
	bool resume_late;              /* guest runs, xenstored not yet told */
	struct shape shape;
	struct xs_handle *changes; /* NULL: they are not watched for */
	bool reshaped;             /* something of the shape has, and was not looked at */
	uint64_t looked_ns;        /* for another hand that saves it */
	uint64_t owed_until_ns;    /* it is still to suspend as we have asked; 0: it is not */
};

/* What Xen says of a domain. -ESRCH when it is gone. *ret_reason is valid when *ret_shutdown. */
int hv_xen_shutdown_state(
	struct hv *hv, uint32_t domid, bool *ret_shutdown, unsigned int *ret_reason);
bool hv_xen_is_suspended(struct hv *hv, uint32_t domid);
/* Whether the attached domain is, by any hand. */
bool hv_xen_is_paused(struct hv *hv);

/* As far as the guest has said. */
bool hv_xen_can_suspend(struct hv *hv, uint32_t domid);
int hv_xen_attach(struct hv *hv, const struct hv_domain *dom, struct why *why);
void hv_xen_give_way(struct hv *hv);
void hv_xen_detach(struct hv *hv);
int hv_xen_settle(struct hv *hv);

/* What has become of a request to suspend when it was to be taken back. */
enum hv_request {
	HV_REQUEST_WITHDRAWN, /* it was still to be taken, and is not any more */
	HV_REQUEST_TAKEN, /* the guest has, and suspends whenever it gets to it; or none was made */
	HV_REQUEST_NONE,  /* there is another one, or no place for any */
};
enum hv_request hv_xen_withdraw(struct hv *hv, uint32_t domid);
/*
 * Suspend the attached guest for ourselves. *ret_begun_ns: when that began. -ETIMEDOUT: it did not;
 * -EALREADY: for another hand; -ESHUTDOWN, -ESRCH: it has ended, or is no more; -EIO.
 */
int hv_xen_suspend(struct hv *hv, uint64_t *ret_begun_ns, struct why *why);
int hv_xen_save(struct hv *hv, int io_fd, const struct hv_save_calls *calls, struct why *why);

int hv_xen_repair(struct hv *hv, uint32_t domid, bool asked, struct why *why);

int hv_xen_restore(struct hv *hv, const char *config_json, const char *name, int stream_fd,
	uint32_t *ret_domid, struct why *why);
int hv_xen_read_in(struct hv *hv, const char *config_json, const char *name, int stream_fd,
	uint32_t *ret_domid, struct why *why);
int hv_xen_copy_out(
	struct hv *hv, const char *name, const struct replica *replica, int fd, struct why *why);
int hv_xen_write_out(struct hv *hv, uint32_t domid, int fd, bool live, struct why *why);
int hv_xen_resume(struct hv *hv, uint32_t domid, struct why *why);
int hv_xen_take_back(struct hv *hv, uint32_t domid, struct why *why);
int hv_xen_activate(struct hv *hv, uint32_t domid, const char *standby, const char *name, bool run,
	struct hv_domain *ret, struct why *why);
void hv_xen_shape(struct xs_handle *xs, uint32_t domid, struct shape *ret);
int hv_xen_watch_shape(struct hv *hv, const struct hv_domain *dom, struct why *why);
int hv_xen_changed(struct hv *hv, struct why *why);
/* How often the node for requests to the guest was written since the last call, as far as heard. */
unsigned int hv_xen_requests(struct hv *hv);

int hv_xen_watch(struct hv *hv, struct why *why);
void hv_xen_heed(struct hv *hv);
int hv_xen_look(
	struct hv *hv, const char *uuid, uint32_t domid, struct hv_sight *ret, struct why *why);
int hv_xen_endings(struct hv *hv, uint32_t domid, enum hv_then ret[HV_ENDS], struct why *why);
int hv_xen_finish(
	struct hv *hv, uint32_t domid, enum hv_then then, uint32_t *ret_domid, struct why *why);
int hv_xen_pause(struct hv *hv, uint32_t domid, struct why *why);
int hv_xen_unpause(struct hv *hv, uint32_t domid, struct why *why);

int hv_xen_free_kb(struct hv *hv, uint64_t *ret, struct why *why);
int hv_xen_host(struct hv *hv, enum hv_type type, struct hv_host *ret, struct why *why);
int hv_xen_claim(struct hv *hv, const char *name, uint64_t memory_kb, struct why *why);
int hv_xen_features(struct hv *hv, const struct hv_domain *dom, const struct hv_host *host,
	uint32_t ret[HV_FEATURE_WORDS], struct why *why);

int hv_xen_find(struct hv *hv, const char *name, struct hv_domain *ret, struct why *why);

#endif
