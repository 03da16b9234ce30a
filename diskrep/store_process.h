/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The undo store as a process: where its files are, how it is begun. For store.c only. */
#ifndef DISKREP_STORE_PROCESS_H
#define DISKREP_STORE_PROCESS_H

#include <sys/types.h>
#include <sys/un.h>

struct diskrep_store_spec;
struct why;

struct store_paths {
	char nbd[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char control[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char pid[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/* 0, or -ENAMETOOLONG with a sentence when they do not fit a socket's address. */
int store_paths_set(struct store_paths *p, const struct diskrep_store_spec *spec, struct why *why);
void store_paths_unlink(const struct store_paths *p);

/*
 * Run nbdkit in a session of its own, so that what ends the worker does not end it. Returns its pid
 * or a negative errno with a sentence.
 */
pid_t store_process_spawn(
	const struct store_paths *p, const struct diskrep_store_spec *spec, struct why *why);

#endif
