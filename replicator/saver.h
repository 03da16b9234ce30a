/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether another hand is saving or migrating a domain (`xl save`, `xl migrate`, libvirt): libxl
 * does that in a process of its own, libxl-save-helper, whose arguments name the domain
 * (tools/libs/light/libxl_save_callout.c). Nothing in xenstore or Xen says so. Nor that xl dumps
 * what has crashed, which it does itself: that is seen by the file.
 */
#ifndef REPLICATOR_SAVER_H
#define REPLICATOR_SAVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* Whether @line, @n bytes of /proc/PID/cmdline, is such a process at work on @domid. */
bool saver_is(const char *line, size_t n, uint32_t domid);

/* Its pid, or 0: there is none; @proc: "/proc". */
pid_t saver_find(const char *proc, uint32_t domid);

/*
 * That process is gone before its parent has finished: `xl migrate` then asks the other host
 * whether all has arrived, and the guest stands suspended. So who it is is noted in @run_dir, for a
 * repair of what we have left on the guest. One that has no such process is not noted. 0 or a
 * negative errno.
 */
int saver_note(const char *proc, const char *run_dir, const char *uuid, uint32_t domid);
/* Whether @domid was noted and whoever saves it still lives. */
bool saver_noted(const char *run_dir, const char *uuid, uint32_t domid);
void saver_forget(const char *run_dir, const char *uuid);

/* Whether a core dump of the domain called @name is being written in @dir, at @now. */
bool saver_dumps(const char *dir, const char *name, time_t now);

#endif
