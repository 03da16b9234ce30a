/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disks of a drill as block devices of this host: the exports of the undo store's snapshot (see
 * store.h), attached through the kernel's NBD client. For romulus-drill, which is not the worker
 * that the store belongs to. What is on them is thrown away.
 */
#ifndef DISKREP_DRILL_H
#define DISKREP_DRILL_H

#include <stddef.h>
#include <stdint.h>

#include "diskrep/drbd.h"

#define DISKREP_DRILL_NOTE_MAX 96

struct diskrep_drill {
	struct diskrep_drbd_status status;     /* of the resource */
	char socket[108];                      /* of its undo store */
	size_t n;                              /* attached so far */
	char devices[DISKREP_MAX_VOLUMES][64]; /* "/dev/nbd3", by volume */
};

/* Look at @resource. 0 or a negative errno. */
int diskrep_drill_open(
	const char *resource, const char *run_dir, struct diskrep_drill *d, struct why *why);

/*
 * Attach the next of its volumes, all but the marker's. @disk: the real one, whose sector size
 * counts. @ret_note: what diskrep_drill_detach wants to know of it. 0 or a negative errno.
 */
int diskrep_drill_attach(struct diskrep_drill *d, const char *disk,
	char ret_note[DISKREP_DRILL_NOTE_MAX], struct why *why);

/* The device for the disk that the domain has at @path; NULL: it is none of the resource's. */
const char *diskrep_drill_device(const struct diskrep_drill *d, const char *path);

/* 0 when all of them still show the snapshot, else -EIO. */
int diskrep_drill_sound(const struct diskrep_drill *d, struct why *why);

/*
 * The device of @note is free: when nobody has it open any more, which is waited for; or, where the
 * store is dead and what is under way would wait for ever, all the same. Nothing is done when it is
 * another's by now. 0 or a negative errno.
 */
int diskrep_drill_detach(const char *note, struct why *why);

#endif
