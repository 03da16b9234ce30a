/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `drbdsetup show --show-defaults` prints: the options that are in force in the kernel, which
 * need not be those of the file. Pure.
 */
#ifndef DISKREP_DRBD_SHOW_H
#define DISKREP_DRBD_SHOW_H

#include <stdbool.h>
#include <stddef.h>

#define DISKREP_DRBD_VALUE_MAX 256

/*
 * The value of statement @key directly in the section named @section ("net"; "volume" for what
 * stands directly in one), of volume @volume, or outside of all volumes for -1. @text is a string.
 * Quotes are taken off. False when there is none, or it is too long: *value is then empty.
 */
bool diskrep_drbd_show_value(const char *text, int volume, const char *section, const char *key,
	char value[DISKREP_DRBD_VALUE_MAX]);

#endif
