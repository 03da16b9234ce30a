/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One domain of a hypervisor that is made of numbers, and a xenstore of a few nodes: what the Xen
 * backend (replicator/hv_*.c) calls of libxenctrl, libxenguest and libxenstore, and what other
 * hands do to the domain at the same time. Who links this gets it in place of those libraries'.
 */
#ifndef TESTS_UNIT_XEN_RIG_H
#define TESTS_UNIT_XEN_RIG_H

#include "replicator/hv_xen.h"

#define RIG_DOMID 7u
#define RIG_SHUTDOWN "/local/domain/7/control/shutdown"

enum rig_moment {
	RIG_LOOK,  /* at the domain */
	RIG_BEGIN, /* of a transaction */
	RIG_READ,  /* in one: the node has been read */
	RIG_ASKED, /* a request to suspend is in xenstore */
};

extern struct rig_xen {
	bool gone, suspended, paused, saver, subscribed;
	unsigned int resumed, logdirty_off, looks;
	int save_error;  /* of libxl's */
	bool unresuming; /* libxl does not resume it */
	/* What another hand, or the guest, does then. NULL: nothing. */
	void (*then)(enum rig_moment moment);
} rig;

/* Nothing has happened yet; *hv is attached and watches for changes. */
void rig_begin(struct hv *hv);
/* @value NULL: remove the node and what is below it. */
void rig_put(const char *path, const char *value);
const char *rig_get(const char *path);

#endif
