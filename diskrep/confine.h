/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the undo store gives up when it has all that it works with. */
#ifndef DISKREP_CONFINE_H
#define DISKREP_CONFINE_H

struct why;

/*
 * From here on this process and its threads have no capability but that to lock memory, start no
 * program, open no socket and make none of the system calls of system administration: they fail
 * with EPERM. Call it before the first thread is made. Returns 0, or a negative errno with a
 * sentence; what was given up until then stays given up.
 */
int diskrep_confine(struct why *why);

#endif
