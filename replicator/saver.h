/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether another hand is saving or migrating a domain (`xl save`, `xl migrate`, libvirt): libxl
 * does that in a process of its own, libxl-save-helper, whose arguments name the domain
 * (tools/libs/light/libxl_save_callout.c). Nothing in xenstore or Xen says so.
 */
#ifndef REPLICATOR_SAVER_H
#define REPLICATOR_SAVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether @line, @n bytes of /proc/PID/cmdline, is such a process at work on @domid. */
bool saver_is(const char *line, size_t n, uint32_t domid);

/* Whether there is one; @proc: "/proc". */
bool saver_find(const char *proc, uint32_t domid);

#endif
