/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker's handle on an undo store: a process of its own (nbdkit with our plugin) that outlives
 * the worker, since DRBD's disks hang from it. Not thread safe: one owner per handle. Calls wait
 * for the store's answer, with a deadline.
 */
#ifndef DISKREP_STORE_H
#define DISKREP_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct why;
struct diskrep_control_status;
struct diskrep_store;

/* Strings are the caller's, needed during the call only. */
struct diskrep_store_spec {
	const char *name; /* DRBD resource; names the sockets */
	const char *run_dir;
	const char *const *volumes; /* real devices, volume 0 first, without the marker's */
	size_t volumes_n;
	const char *marker;  /* real device of the marker volume */
	uint64_t undo_limit; /* bytes */
	const char *plugin;  /* path of romulus-undo.so, with a slash in it */
};

enum diskrep_store_news_kind {
	DISKREP_STORE_BOUNDARY, /* epoch: everything before this boundary is on the disks */
	DISKREP_STORE_OVERFLOW, /* undo_limit is used up: no rollback until the next expect */
	DISKREP_STORE_ERROR,    /* text */
	DISKREP_STORE_GONE,     /* the store died or dropped this worker; said once */
};

struct diskrep_store_news {
	enum diskrep_store_news_kind kind;
	uint64_t epoch;
	char text[160];
};

/*
 * Run a store and wait until it serves: disks on diskrep_store_nbd_socket() as exports "0", "1",
 * ... and "marker". It is in a session of its own and ends only by diskrep_store_stop(); it
 * inherits standard error. NULL with a sentence when it cannot, also when one by this name runs
 * already.
 */
struct diskrep_store *diskrep_store_start(const struct diskrep_store_spec *spec, struct why *why);

/*
 * The running store of this name (only name and run_dir count), which then drops the worker that
 * had it; NULL when there is none.
 */
struct diskrep_store *diskrep_store_find(const struct diskrep_store_spec *spec);

/* Let go of the store, which runs on. NULL ok; returns NULL. */
struct diskrep_store *diskrep_store_close(struct diskrep_store *st);

/*
 * End the store, by force when it does not answer or does not end in time. Nothing may be using its
 * disks any more. NULL ok; returns NULL, the handle is gone.
 */
struct diskrep_store *diskrep_store_stop(struct diskrep_store *st);

/* Whether its process is there; false for NULL. */
bool diskrep_store_alive(const struct diskrep_store *st);

const char *diskrep_store_nbd_socket(const struct diskrep_store *st); /* path; the handle's */

/*
 * Readable while diskrep_store_news() may have something, also what came in while a call waited for
 * its answer. For poll() only.
 */
int diskrep_store_fd(const struct diskrep_store *st);

/* 1 with *ret set, or 0 for nothing new. Does not block. */
int diskrep_store_news(struct diskrep_store *st, struct diskrep_store_news *ret);

/*
 * Forget what was and wait for boundary 1 of this session. @uuid: of the domain, as text. @nonce:
 * not 0. News not read yet is dropped with the rest.
 */
int diskrep_store_expect(struct diskrep_store *st, const char *uuid, uint64_t nonce,
	uint64_t generation, struct why *why);

/* Nothing older than boundary @epoch will be rolled back to. */
int diskrep_store_commit(struct diskrep_store *st, uint64_t epoch, struct why *why);

/*
 * Write what takes the disks back to boundary @epoch to @path (absolute), durably; see rollback.h.
 * Nothing may be writing to the disks. On failure there is no new file at @path.
 */
int diskrep_store_dump(struct diskrep_store *st, uint64_t epoch, const char *path, struct why *why);

/*
 * The disks of boundary @epoch become the exports "drill-0", "drill-1", ..., which can be written
 * as well and change nothing; what that takes is kept in @dir. They end with the release, the
 * session or the store.
 */
int diskrep_store_snapshot(
	struct diskrep_store *st, uint64_t epoch, const char *dir, struct why *why);
int diskrep_store_release(struct diskrep_store *st, struct why *why);

int diskrep_store_status(
	struct diskrep_store *st, struct diskrep_control_status *ret, struct why *why);

#endif
