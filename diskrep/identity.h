/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether two hosts see the same disk under one path: its world wide name where the device has one,
 * and a fingerprint of samples of its content, which is only read. For disks that nobody writes.
 */
#ifndef DISKREP_IDENTITY_H
#define DISKREP_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct why;

#define DISKREP_WWN_MAX 128

struct diskrep_identity {
	char wwn[DISKREP_WWN_MAX]; /* or serial number; "": it has none */
	uint64_t bytes;
	uint64_t fingerprint;
};

/*
 * Of the block device or regular file @path, which must be absolute. 0 and *ret, or a negative
 * errno with a sentence.
 */
int diskrep_identity_read(const char *path, struct diskrep_identity *ret, struct why *why);

/*
 * What holds the real disk @path, if that is anything but the device mapper device @mapper (a file
 * system, swap, another device): its name in @ret, else "". 0 or a negative errno with a sentence.
 */
#define DISKREP_HELD_MAX 128
int diskrep_identity_held(
	const char *path, const char *mapper, char ret[DISKREP_HELD_MAX], struct why *why);

/* Pure: the mount point of device @number in @text, /proc/self/mountinfo; false: it is not there.
 */
bool diskrep_identity_mounted(const char *text, dev_t number, char ret[DISKREP_HELD_MAX]);

#endif
