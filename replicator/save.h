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
	SAVE_SUSPENDS, /* domid may be suspended: let it run on, unless the file has its name */
	SAVE_KEPT,     /* the file is good: domid is to be destroyed */
	SAVE_BUILDS,   /* a domain with uuid is being built: destroy it */
};

struct save_notice {
	enum save_stage stage;
	bool hook_runs; /* wait for it: nobody could call it off */
	uint32_t domid;
	char name[256], uuid[37];
	uint64_t file_id[2]; /* of the file that is about to get its name; 0: none is */
	char tag[32];        /* of the snapshot that goes with it; "": there is none */
	size_t disks_n;
	char disks[HV_MAX_DISKS][256];
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
	bool check;                                 /* only verify the file */
	const char *protected_[SAVE_PROTECTED_MAX]; /* "NAME" or uuid of what romulusd owns */
	size_t protected_n;

	/* How many bytes of the stream, of how many, and of the file. NULL: nobody looks. */
	void (*progress)(const char *stage, uint64_t stream, uint64_t total, uint64_t file);
	uint32_t domid; /* out: of restore */
	uint64_t stream_bytes, file_bytes, saved_ns;
};

/* Each returns 0 or a negative errno with the sentence. */
int save_run(struct save *s, struct why *why);
int restore_run(struct save *s, struct why *why);

/* A guest that a save has left suspended runs on. */
int resume_run(struct save *s, struct why *why);

/*
 * After the process that has done @s has died: undo it, or finish it. Returns 1 when the file has
 * its name: what was wanted is done; 0 when it never was.
 */
int save_mend(const struct save *s, struct why *why);

/* What there is to know of the domain, in the notice. */
void save_note_domain(struct save_notice *n, const struct hv_domain *dom);

/*
 * Run s->hook with @verb, for the domain in the notice and its disks; @tag names the snapshot.
 * *ret_line, if wanted, is the first line that it printed; the caller's to free.
 */
int save_hook(
	const struct save *s, const char *verb, const char *tag, char **ret_line, struct why *why);

/* Whether @name or @uuid is one that romulusd owns. */
bool save_is_protected(const struct save *s, const char *name, const char *uuid);

#endif
