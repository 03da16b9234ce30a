/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a guest may be about to suspend because we have asked it to: it acknowledges a request
 * at once and suspends when its processes are frozen, and a worker that dies in between leaves a
 * suspension that nobody waits for. Noted in a file of RUN-DIR that outlives the worker; one small
 * write per checkpoint, outside the pause.
 */
#ifndef REPLICATOR_ASKED_H
#define REPLICATOR_ASKED_H

#include <stdbool.h>
#include <stdint.h>

/* The note of the domain with @uuid: a descriptor for asked_note, or a negative errno. */
int asked_open(const char *run_dir, const char *uuid);
/* @domid is about to be asked; 0: the answer has come. 0 or a negative errno. */
int asked_note(int fd, uint32_t domid);
/* Whether @domid has been and has not answered. */
bool asked_noted(const char *run_dir, const char *uuid, uint32_t domid);
void asked_forget(const char *run_dir, const char *uuid);

#endif
