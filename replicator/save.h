/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain into a file and back. What must hold whenever this process dies: there is one good file
 * or one good domain, and nothing half done is taken for either. So a domain is destroyed only when
 * its file is on disk under its name, and none is built before all of the file has been verified. A
 * second process (save_main.c) waits for this one and undoes what it was in the middle of; what
 * that is, is noted before it begins.
 */
#ifndef REPLICATOR_SAVE_H
#define REPLICATOR_SAVE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/why.h"
#include "replicator/hv.h"
#include "replicator/savefile.h"

#define SAVE_PROTECTED_MAX 128

/* What is to be undone or finished by whoever survives. In memory that both processes see. */
enum save_stage {
	SAVE_NOTHING,
	SAVE_SUSPENDS, /* domid may be suspended: let it run on */
	SAVE_KEPT,     /* the file is good: domid is to be destroyed */
	SAVE_BUILDS,   /* a domain with uuid is being built: destroy it */
};

struct save_notice {
	enum save_stage stage;
	uint32_t domid;
	char name[256], uuid[37];
	bool runs; /* it was suspended or built, and runs now: xl may watch it no more */
};

struct save {
	const struct hv_ops *ops;
	struct hv *hv;
	struct save_notice *notice;
	const char *file, *host, *run_dir;
	/* Run with the domain standing still; see docs/operator-guide.md. NULL: none. */
	const char *hook;
	bool no_snapshot; /* the disks are seen to in another way */
	bool force;
	/* of save */
	const char *domain;
	enum savefile_format format;
	bool checkpoint;
	/* of restore */
	bool paused;
	const char *protected_[SAVE_PROTECTED_MAX]; /* "NAME" or uuid of what romulusd owns */
	size_t protected_n;

	/* How many bytes of the stream, of how many, and of the file. NULL: nobody looks. */
	void (*progress)(const char *stage, uint64_t stream, uint64_t total, uint64_t file);
	uint32_t domid; /* out: of restore */
	uint64_t stream_bytes, file_bytes;
};

/* Each returns 0 or a negative errno with the sentence. */
int save_run(struct save *s, struct why *why);
int restore_run(struct save *s, struct why *why);

/* After the process with @n has died: undo, or finish. 1: nothing was left to do. */
int save_mend(
	const struct hv_ops *ops, struct hv *hv, const struct save_notice *n, struct why *why);

/*
 * The program @hook with @verb, the domain, @words (NULL at the end) and its disks. *ret_note, if
 * wanted, is the first line that it printed; the caller's to free.
 */
int save_hook(const char *hook, const char *verb, const char *domain, const char *word,
	const struct hv_domain *dom, char **ret_note, struct why *why);

/* Whether @name or @uuid is one that romulusd owns. */
bool save_is_protected(const struct save *s, const char *name, const char *uuid);

#endif
