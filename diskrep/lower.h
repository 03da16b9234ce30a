/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lower devices: a linear device-mapper device between DRBD and the real disk, so that what is
 * beneath an attached DRBD can be switched between the real disk and the undo store. They are made
 * without waiting for udev, which need not run, and marked so that udev does not probe them.
 */
#ifndef DISKREP_LOWER_H
#define DISKREP_LOWER_H

#include <stddef.h>
#include <stdint.h>

#include "common/why.h"

/*
 * Create /dev/mapper/@name over the whole of @device. 0 also when it is there with that target;
 * one that a crash left suspended or without a table is mended. -EEXIST: it maps to another device.
 */
int diskrep_lower_create(const char *name, const char *device, struct why *why);

/* The same over @sectors sectors (512 bytes) of @device from @start on. */
int diskrep_lower_create_part(
	const char *name, const char *device, uint64_t start, uint64_t sectors, struct why *why);

/*
 * Let /dev/mapper/@name map to @device from now on, under whoever has it open. The new table is
 * loaded first; then the device is suspended, which waits for the writes in flight: as long as the
 * old target takes for them. -EINVAL: the sizes differ. After any failure the old table is in
 * place and the device is resumed; a failure of that too is said in the sentence.
 */
int diskrep_lower_switch(const char *name, const char *device, struct why *why);

/*
 * What /dev/mapper/@name maps to: the path of the device, @size bytes at @ret_path. -ENOENT
 * with a sentence when there is no such device.
 */
int diskrep_lower_target(const char *name, char *ret_path, size_t size, struct why *why);

/* 0 when it maps to @device, -ENOENT no such lower device, -EXDEV it maps to another one. */
int diskrep_lower_check(const char *name, const char *device, struct why *why);

/* Remove it; 0 also when there is none. -EBUSY while it is open. */
int diskrep_lower_remove(const char *name, struct why *why);

#endif
