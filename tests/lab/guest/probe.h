/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the probe in the lab's domU share. */
#ifndef LAB_GUEST_PROBE_H
#define LAB_GUEST_PROBE_H

#include <stddef.h>
#include <stdint.h>

/* Time as the domU sees it, stops and all; and how fast it goes. */
uint64_t probe_tsc(void);
double probe_tsc_per_us(void);

/* The number behind NAME (such as "rate=") in a control line, @missing where there is none. */
double probe_option(const char *line, const char *name, double missing);

/*
 * One command of the disk writer (stamp.c), answered at once with one line of JSON in @answer; what
 * takes time goes on behind it. The same command may come twice.
 */
void stamp_command(const char *line, char *answer, size_t size);

/* The same of the disk load, load.c. */
void load_command(const char *line, char *answer, size_t size);

#endif
